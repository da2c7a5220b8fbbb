"""How fast `nmt` trains on one pinned core, beside the machine's own limit and other toolkits where installed.

The model is the one that other toolkits are measured with: embeddings of 256, one bidirectional LSTM encoder layer and
one LSTM decoder layer of 512, "general" attention, untied tables of 8,000 joint pieces, full softmax with label
smoothing, dropout 0.3, batches of 2,048 tokens. Only whole training steps are timed, batch assembly included.

    python tests/benchmarks/training_speed.py DATA_DIR                  # from `nmt prepare`, 8,000 joint pieces
    python tests/benchmarks/training_speed.py DATA_DIR --peer COMMAND   # also run COMMAND, which prints JSON lines

A line of the output is one JSON object: peer, measure, value, unit, params, notes. COMMAND prints lines of that form;
its training speed is the value in "target tokens/s".
"""

import argparse
import json
import os
import statistics
import subprocess
import threading
import time
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from nmt.config import Settings, load_settings
from nmt.models.devices import choose_precision
from nmt.prepared import PreparedData
from nmt.training.observers import Silence, StepReport, ValidationReport
from nmt.training.trainer import train

CORE = 0
ROUNDS = 3
STEPS = 40
MODEL = [
    "model.embedding_size=256",
    "model.hidden_size=512",
    "model.encoder_layers=1",
    "model.decoder_layers=1",
    "model.attention=general",
    "model.tied_embeddings=none",
    "model.dropout=0.3",
    "training.batch_tokens=2048",
    "training.learning_rate=0.001",
    "training.threads=1",
    "training.tensorboard=false",
    f"training.max_steps={STEPS}",
    "training.log_every=10",
    f"training.validate_every={2 * STEPS}",
    f"training.checkpoint_every={2 * STEPS}",
]


class Stopwatch(Silence):
    """Watches a run, and stops it before its last step, so that nothing but steps is done."""

    def __init__(self) -> None:
        self.reports: list[StepReport] = []
        self.parameters = 0
        self.stop = threading.Event()

    def on_step(self, report: StepReport) -> None:
        self.reports.append(report)
        if report.step >= STEPS - 10:
            self.stop.set()

    def on_validation(self, report: ValidationReport) -> None:
        raise AssertionError("the run should have stopped before validation")

    def on_message(self, message: str) -> None:
        pass


def train_tokens_per_second(data: PreparedData, precision: str) -> tuple[float, int]:
    """Train for a few steps; return target tokens/s after the first ten, and the number of parameters."""
    settings: Settings = load_settings(overrides=[*MODEL, f"training.precision={precision}"], base=data.settings)
    watch = Stopwatch()
    with TemporaryDirectory() as folder:
        summary = train(data, Path(folder) / "model", settings, observer=watch, stop=watch.stop)
    rates = [tokens / seconds for tokens, seconds in windows(watch.reports)]
    return statistics.harmonic_mean(rates), summary.parameters


def windows(reports: list[StepReport]) -> list[tuple[int, float]]:
    """Cut the run's totals into windows of target tokens and seconds, leaving the first, warm-up window out."""
    totals = [(report.tokens, report.seconds) for report in reports]
    return [(after[0] - before[0], after[1] - before[1]) for before, after in pairwise(totals)]


def peak_gflops(dtype: torch.dtype, size: int = 2048) -> float:
    """Measure the best of a few large matrix products, in GFLOP/s."""
    a, b = torch.randn(size, size).to(dtype), torch.randn(size, size).to(dtype)
    times = []
    for _ in range(8):
        before = time.perf_counter()
        torch.nn.functional.linear(a, b)
        times.append(time.perf_counter() - before)
    return 2 * size**3 / min(times) / 1e9


def flops_per_target_token(data: PreparedData) -> float:
    """Count the multiply-adds of the matrix products forward (x 2 flops) and backward (twice as many)."""
    embedding, hidden, vocab_size = 256, 512, len(data.tokenizers.tgt)
    ratio = (data.train_src.lengths.sum() + len(data.train_src)) / (data.train_tgt.lengths.sum() + len(data.train_tgt))
    encoder = 2 * 4 * (hidden // 2) * (embedding + hidden // 2) + hidden * hidden  # two directions; keys
    decoder = 4 * hidden * (embedding + hidden) + 2 * hidden * hidden + hidden * vocab_size
    return 6.0 * (ratio * encoder + decoder)


def emit(peer: str, measure: str, value: float, unit: str, params: str = "", notes: str = "") -> None:
    record = {
        "peer": peer,
        "measure": measure,
        "value": round(value, 2),
        "unit": unit,
        "params": params,
        "notes": notes,
    }
    print(json.dumps(record), flush=True)


def peer_tokens_per_second(command: str) -> dict[str, float]:
    """Run a peer's own benchmark; return its training speeds by name."""
    output = subprocess.run(command, shell=True, check=True, stdout=subprocess.PIPE, text=True).stdout
    print(output, end="", flush=True)
    records = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    return {
        f"{record['peer']} {record['measure']}": float(record["value"])
        for record in records
        if record["unit"] == "target tokens/s"
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--peer", action="append", default=[], metavar="COMMAND")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {CORE})
    torch.set_num_threads(1)
    data = PreparedData.open(arguments.data)
    rates, peaks, peers = [], [], dict[str, list[float]]()
    for _ in range(ROUNDS):  # interleaved, so that a slow minute of a shared machine is everybody's
        peaks.append(peak_gflops(torch.bfloat16))
        rate, parameters = train_tokens_per_second(data, "auto")
        rates.append(rate)
        for command in arguments.peer:
            for name, value in peer_tokens_per_second(command).items():
                peers.setdefault(name, []).append(value)
    precision = choose_precision("auto", torch.device("cpu"))
    fp32, _ = train_tokens_per_second(data, "fp32")
    params, ours = f"{parameters / 1e6:.2f}M", statistics.median(rates)
    share = ours * flops_per_target_token(data) / 1e9 / max(peaks)
    notes = f"median of {ROUNDS} rounds {[round(rate) for rate in rates]}, {precision}, 1 thread, pinned"
    emit("nmt", "train_target_tok_per_s_rnn512", ours, "target tokens/s", params, notes)
    emit("nmt", "train_target_tok_per_s_rnn512_fp32", fp32, "target tokens/s", params, "one round")
    emit("machine", "bf16_matmul_peak", max(peaks), "GFLOP/s", "2048^3", f"rounds {[round(peak) for peak in peaks]}")
    emit("nmt", "share_of_bf16_matmul_peak", 100 * share, "%", params, "matrix products only, counted as 3 x forward")
    for name, values in peers.items():
        notes = f"rounds {[round(value) for value in values]}"
        emit("nmt", f"times {name}", ours / statistics.median(values), "ratio", params, notes)


if __name__ == "__main__":
    main()
