"""How fast `nmt` trains on one pinned core, and what share of the machine's arithmetic peak that is.

    python tests/benchmarks/training_speed.py DATA_DIR [--precision P] [--objective O] [--set SECTION.KEY=VALUE]..
        [--steps N]

DATA_DIR is from `nmt prepare`. The model is the one that other toolkits are measured with: embeddings of 256, one
bidirectional LSTM encoder layer and one LSTM decoder layer of 512, "general" attention, untied tables, label smoothing,
dropout 0.3, batches of 2,048 tokens; `--set` changes it. Only whole training steps are timed, batch assembly included,
and of these not the first quarter. Operations are those of matrix products with weights, forward and backward three
times the forward ones; the peak is that of the arithmetic used, measured before and after. Prints JSON lines.
"""

import argparse
import os
import statistics
import threading
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from arithmetic import Weights, peak
from records import emit

from nmt.config import Settings, load_settings
from nmt.models.build import build_model
from nmt.models.devices import choose_precision
from nmt.prepared import PreparedData
from nmt.training.observers import Silence, StepReport
from nmt.training.trainer import train

WINDOWS = 4
MODEL = [
    "model.embedding_size=256",
    "model.hidden_size=512",
    "model.encoder_layers=1",
    "model.decoder_layers=1",
    "model.attention=general",
    "model.tied_embeddings=none",
    "model.dropout=0.3",
    "training.batch_tokens=2048",
    "training.label_smoothing=0.1",
    "training.learning_rate=0.001",
    "training.threads=1",
    "training.tensorboard=false",
]


class EnoughError(Exception):
    """As many steps were made as are timed."""


class Stopwatch(Silence):
    """Watches a run, and ends it after its last window, so that nothing but steps is done."""

    def __init__(self) -> None:
        self.reports: list[StepReport] = []

    def on_step(self, report: StepReport) -> None:
        self.reports.append(report)
        if len(self.reports) == WINDOWS:
            raise EnoughError


def train_tokens_per_second(data: PreparedData, settings: Settings) -> float:
    """Train for a few steps; return target tokens/s after the first window."""
    watch = Stopwatch()
    with TemporaryDirectory() as folder, suppress(EnoughError):
        train(data, Path(folder) / "model", settings, observer=watch, stop=threading.Event())
    totals = [(report.tokens, report.seconds) for report in watch.reports]
    windows = [(after[0] - before[0], after[1] - before[1]) for before, after in pairwise(totals)]
    return statistics.harmonic_mean([tokens / seconds for tokens, seconds in windows])


def operations_per_target_token(data: PreparedData, settings: Settings) -> tuple[float, int]:
    """Count the operations of a target piece, and the parameters of the model."""
    model = build_model(
        settings.model,
        src_vocab_size=len(data.tokenizers.src),
        tgt_vocab_size=len(data.tokenizers.tgt),
        joint=settings.tokenizer.joint,
        seed=1,
    )
    weights, pairs = Weights.of(model), len(data.train_src)
    targets = data.train_tgt.lengths.sum() + pairs
    positions, sentences = (data.train_src.lengths.sum() + pairs) / targets, pairs / targets
    output = weights.output
    if settings.training.objective == "sampled":
        output = settings.training.samples * model.output.in_features
    once = weights.encoder * positions + weights.bridges * sentences + weights.decoder + output
    return 6.0 * float(once), sum(parameter.numel() for parameter in model.parameters())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--precision", choices=["auto", "fp32", "bf16"], default="auto")
    parser.add_argument("--objective", choices=["full", "sampled"], default="full")
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="SECTION.KEY=VALUE")
    parser.add_argument("--steps", type=int, default=40)
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    data, steps = PreparedData.open(arguments.data), arguments.steps
    chosen = choose_precision(arguments.precision, torch.device("cpu"))
    of_run = {"precision": chosen, "objective": arguments.objective, "log_every": steps // WINDOWS}
    of_run |= dict.fromkeys(("max_steps", "validate_every", "checkpoint_every"), 2 * steps)
    overrides = [*MODEL, *(f"training.{key}={value}" for key, value in of_run.items()), *arguments.settings]
    settings = load_settings(overrides=overrides, base=data.settings)
    before = peak(chosen)
    rate = train_tokens_per_second(data, settings)
    best = max(before, peak(chosen))
    operations, parameters = operations_per_target_token(data, settings)
    params = f"{parameters / 1e6:.2f}M"
    emit("nmt", "training", rate, "target tokens/s", params, f"{chosen}, {arguments.objective} softmax, {steps} steps")
    emit("nmt", "share of the peak", 100 * rate * operations / best, "%", params, chosen)
    emit("machine", chosen, best / 1e9, "GFLOP/s")


if __name__ == "__main__":
    main()
