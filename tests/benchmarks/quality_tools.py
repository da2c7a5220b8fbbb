"""What the tools for better models cost: training speed with each of them beside that without any.

    python tests/benchmarks/quality_tools.py DATA_DIR

One thread on one pinned core, the default model and batch size; the variants take turns. Only steps after the first
window are timed; what subword sampling does at the start of an epoch is timed by itself. A line of the output is one
JSON object.
"""

import argparse
import json
import os
import statistics
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from nmt.config import load_settings
from nmt.prepared import PreparedData
from nmt.training.feeding import TrainingPairs
from nmt.training.observers import Silence, StepReport, ValidationReport
from nmt.training.resampling import make_resamplers
from nmt.training.trainer import train

ROUNDS = 3
STEPS = 60
BASICS = [
    "training.threads=1",
    "training.tensorboard=false",
    "training.log_every=10",
    f"training.max_steps={STEPS}",
    "training.validate_every=1000000",
    "training.checkpoint_every=1000000",
]
VARIANTS = {
    "plain": [],
    "subword_sampling 0.2": ["training.subword_sampling=0.2"],
    "variational_dropout": ["model.variational_dropout=true"],
    "recurrent_dropout 0.3": ["model.recurrent_dropout=0.3"],
    "ema_decay 0.999": ["training.ema_decay=0.999"],
    "r_drop 5": ["training.r_drop=5"],
}


class Stopwatch(Silence):
    """Watches a run, and stops it before its last step, so that nothing but steps is done."""

    def __init__(self) -> None:
        self.reports: list[StepReport] = []
        self.stop = threading.Event()

    def on_step(self, report: StepReport) -> None:
        self.reports.append(report)
        if report.step >= STEPS - 10:
            self.stop.set()

    def on_validation(self, report: ValidationReport) -> None:
        pass

    def on_message(self, message: str) -> None:
        pass


def pieces_per_second(data: PreparedData, changes: list[str]) -> float:
    settings = load_settings(overrides=[*BASICS, *changes], base=data.settings)
    watch = Stopwatch()
    with TemporaryDirectory() as folder:
        train(data, Path(folder) / "model", settings, observer=watch, stop=watch.stop)
    first, last = watch.reports[0], watch.reports[-1]
    return (last.tokens - first.tokens) / (last.seconds - first.seconds)


def seconds_to_sample_a_pass(data: PreparedData) -> float:
    resamplers = make_resamplers(data.tokenizers, alpha=0.2, max_pieces=128)
    pairs = TrainingPairs(data.train_src, data.train_tgt, True, resamplers)
    before = time.perf_counter()
    pairs.lengths(seed=1)
    return time.perf_counter() - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    data = PreparedData.open(parser.parse_args().data)
    os.sched_setaffinity(0, {0})
    torch.set_num_threads(1)
    found: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for _ in range(ROUNDS):
        for name, changes in VARIANTS.items():
            found[name].append(pieces_per_second(data, changes))
    plain = statistics.median(found["plain"])
    for name, rates in found.items():
        rate = statistics.median(rates)
        rounds = [round(each) for each in rates]
        record = {
            "variant": name,
            "pieces_per_second": round(rate),
            "of_plain": round(rate / plain, 3),
            "rounds": rounds,
        }
        print(json.dumps(record))
    sampling = round(seconds_to_sample_a_pass(data), 2)
    print(json.dumps({"seconds_to_sample_a_pass": sampling, "pairs": len(data.train_src)}))


if __name__ == "__main__":
    main()
