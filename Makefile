# `make demo` and `make test` need nothing but Python 3.11 or newer, make and a package index: they set up .venv first.

PYTHON ?= python3
VENV ?= .venv
JOBS ?= 2
BIN := $(VENV)/bin
# torch, oneDNN, fbgemm and, on Intel's processors, MKL choose instructions each by itself
AVX2 := ATEN_CPU_CAPABILITY=avx2 DNNL_MAX_CPU_ISA=AVX2 FBGEMM_ENABLE_INSTRUCTIONS=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2
INSTALLED := $(VENV)/.installed

.PHONY: help demo test test-avx2 test-slow test-kill bench gpu lab reference check fix
.DEFAULT_GOAL := help

help:  ## list the targets
	@grep -E '^[a-z0-9-]+:.*##' $(firstword $(MAKEFILE_LIST)) | sed -E 's/^([a-z0-9-]+):.*## */make \1\t/' | expand -t 16

demo: $(INSTALLED)  ## train on the built-in corpus, translate unseen sentences, score them
	$(BIN)/nmt demo

test: $(INSTALLED)  ## run the tests, in JOBS processes (2)
	$(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile

test-avx2: $(INSTALLED)  ## run the tests as on a processor without AVX-512, as most laptops have (x86)
	$(AVX2) $(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile

test-slow: $(INSTALLED)  ## run the long tests that `make test` leaves out
	$(BIN)/python -m pytest -m slow

test-kill: $(INSTALLED)  ## kill a training process a hundred times, and compare its weights with one left alone
	$(BIN)/python -m pytest -m slow tests/nmt_cli/test_kill.py

bench: $(INSTALLED)  ## run the benchmarks: of training with DATA=FOLDER, of decoding with MODEL=FOLDER SRC=FILE REF=FILE, of preparing with PAIRS=N
	$(BIN)/python tests/benchmarks/help_time.py
	$(if $(DATA),$(BIN)/python tests/benchmarks/training_speed.py $(DATA))
	$(if $(DATA),$(BIN)/python tests/benchmarks/two_processes.py $(DATA))
	$(if $(DATA),$(BIN)/python tests/benchmarks/neighbours.py $(DATA) $(if $(SRC),--src $(SRC)) $(if $(MODEL),--model $(MODEL)))
	$(if $(MODEL),$(BIN)/python tests/benchmarks/decoding_speed.py $(MODEL) $(SRC) $(REF))
	$(if $(MODEL),$(BIN)/python tests/benchmarks/decoding_latency.py $(MODEL) $(SRC))
	$(if $(PEERS),$(BIN)/python tests/benchmarks/peers.py $(DATA) $(MODEL) $(SRC) --peers $(PEERS))
	$(if $(PAIRS),$(BIN)/python tests/benchmarks/prepare_speed.py --pairs $(PAIRS))
	$(if $(PAIRS),$(BIN)/python tests/benchmarks/startup.py --pairs $(PAIRS))
	$(if $(LINES),$(BIN)/python tests/benchmarks/endless_input.py $(MODEL) $(SRC) --lines $(LINES))

gpu:  ## check and measure an NVIDIA GPU with the torch of PYTHON (python3), in eight minutes; nothing is installed
	$(PYTHON) tests/benchmarks/gpu.py $(if $(ONLY),--only $(ONLY))

lab: $(INSTALLED)  ## run every `nmt lab`: each prints its figure and draws its picture in recipes/nmt_lab/ anew
	for name in $$($(BIN)/nmt lab | cut -d ' ' -f 1); do $(BIN)/nmt lab $$name --output recipes/nmt_lab/$$name.png || exit 1; done

reference: $(INSTALLED)  ## write docs/reference.md anew, every command and every setting as the code has them
	$(BIN)/python tools/reference.py

check: $(INSTALLED)  ## format, lint and type checks
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

fix: $(INSTALLED)  ## format and repair what ruff can repair
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed, found " + sys.version.split()[0] + "; try: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --constraint constraints.txt --editable '.[dev]'
	touch $@
