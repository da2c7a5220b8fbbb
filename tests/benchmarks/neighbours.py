"""How fast `nmt` is beside other programs that each keep a core busy: one thread or worker against several.

    python tests/benchmarks/neighbours.py DATA_DIR [--model MODEL --src FILE] [--old COMMAND] [--threads N]

Neighbours are started on purpose: none, one, two, that never rest. Beside them, programs take turns: this one and an
older one, whose COMMAND takes the arguments of `nmt`; with one thread and with several. Measured are training of the
demo's model and of the default one on DATA_DIR, in target pieces a second after the first steps, translation of a file
by MODEL (`--workers`), and preparation of it with itself as its translation (`--workers`), in lines a second, start
included. A table shows each rate, and its ratio to that of one thread or worker of the same program beside the same
neighbours.
"""

import argparse
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from nmt.training.observers import read_metrics

SECONDS = 12
DEMO = ["model.embedding_size=128", "model.hidden_size=256", "model.encoder_layers=1", "model.decoder_layers=1"]
DEMO += ["model.dropout=0.1", "training.batch_tokens=1000"]
TRAINING = [
    "training.log_every=10",
    "training.tensorboard=false",
    "training.precision=fp32",
    "training.max_steps=100000",
]
TRAINING += ["training.validate_every=1000000", "training.checkpoint_every=1000000"]


@contextmanager
def neighbours(count: int) -> Iterator[None]:
    """Keep so many cores busy, as far as there are as many."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def training_rate(command: list[str], data: Path, settings: list[str], threads: int) -> float:
    """Train for a while; return the target pieces a second after the first ten steps, nought where there are none."""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    wishes = [*TRAINING, *settings, f"training.threads={threads}"]
    with TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        options = [part for wish in wishes for part in ("--set", wish)]
        process = subprocess.Popen(
            [*command, "train", str(data), str(model), *options], stderr=subprocess.DEVNULL, env=environment, cwd=folder
        )
        metrics, deadline = model / "metrics.jsonl", time.monotonic() + 60
        while not metrics.exists() and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.1)
        if process.poll():
            raise subprocess.CalledProcessError(process.returncode, process.args)
        time.sleep(SECONDS)
        process.terminate()  # it ends the step, and writes its records
        process.wait()
        records = [record for record in read_metrics(metrics) if record.kind == "train"] if metrics.exists() else []
    if len(records) < 2:
        return 0.0
    (first, begun), (last, ended) = ((r.values["tokens"], r.values["seconds"]) for r in (records[0], records[-1]))
    return (last - first) / (ended - begun)


def lines_rate(command: list[str], lines: int) -> float:
    """Run a command to its end; return how many of its lines it does in a second."""
    before = time.perf_counter()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(command, check=True, cwd="/", **quiet)  # a program of another folder has its own packages
    return lines / (time.perf_counter() - before)


def prepare_rate(command: list[str], src: Path, lines: int, workers: int) -> float:
    """Prepare a text with itself as its translation."""
    with TemporaryDirectory() as folder:
        texts = [option for side in ("src", "tgt") for option in (f"--{side}", str(src))]
        texts += [option for side in ("src", "tgt") for option in (f"--valid-{side}", str(src))]
        found = ["prepare", f"{folder}/data", *texts, "--set", "data.drop_copies=false", "--workers", str(workers)]
        return lines_rate([*command, *found], lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--src", type=Path)
    parser.add_argument("--old", metavar="COMMAND")
    parser.add_argument("--threads", type=int, default=2, metavar="N")
    parser.add_argument("--only", metavar="WORD", default="", help="measure what has this in its name")
    parser.add_argument("--neighbours", type=int, nargs="*", default=[0, 1, 2])
    arguments = parser.parse_args()
    data, src, model = (path and path.resolve() for path in (arguments.data, arguments.src, arguments.model))
    work: dict[str, Callable[[list[str], int], float]] = {
        "train demo's model": lambda command, threads: training_rate(command, data, DEMO, threads),
        "train default model": lambda command, threads: training_rate(command, data, [], threads),
    }
    if src:
        lines = len(src.read_bytes().splitlines())
        work["prepare"] = lambda command, workers: prepare_rate(command, src, lines, workers)
        if model:
            options = ["translate", str(model), str(src), "--workers"]
            work["translate"] = lambda command, workers: lines_rate([*command, *options, str(workers)], lines)
    if not any(arguments.only in name for name in work):
        parser.error(f"--only {arguments.only}: expected a part of one of {', '.join(work)}")
    programs = {"new": [sys.executable, "-m", "nmt_cli"]}
    if arguments.old:
        programs = {"old": shlex.split(arguments.old), **programs}
    print(f"{'what':22}{'neighbours':>11}{'program':>9}{'1 thread':>11}{arguments.threads:>6} threads{'ratio':>8}")
    for name, rate in work.items():
        for count in arguments.neighbours if arguments.only in name else ():
            with neighbours(count):
                for program, command in programs.items():
                    one, several = (rate(command, threads) for threads in (1, arguments.threads))
                    print(
                        f"{name:22}{count:11}{program:>9}{one:11.0f}{several:14.0f}{several / (one or 1):8.2f}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
