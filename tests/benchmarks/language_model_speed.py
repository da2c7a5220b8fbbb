"""A language model beside an equal plain script: pieces/s of training on one pinned core, and perplexity.

    python tests/benchmarks/language_model_speed.py DATA_DIR            # from `nmt prepare --text`
    python tests/benchmarks/language_model_speed.py DATA_DIR --passes 4 --core 1

Both have the shape of recipes/lm-small.toml, begin with the same weights, see the same batches, and take turns of some
updates each, so that a slow minute of a shared machine is everybody's; only updates are timed, in fp32 with one thread.
Then the same run without a carried state: its perplexity when it reads the validation text on and on, and when it
forgets after every segment.
A line of the output is one JSON object.
"""

import argparse
import json
import math
import os
import statistics
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor, nn

from nmt.config import load_settings
from nmt.models.build import build_language_model
from nmt.models.folder import load_language_model
from nmt.prepared import PreparedText
from nmt.text.sequences import Sequences
from nmt.text.vocab import EOS
from nmt.training.observers import Silence, StepReport, ValidationReport
from nmt.training.text_feeding import Parts, TextStream
from nmt.training.trainer import TrainingSummary, train

ROWS, STEPS, SIZE, RATE, NORM = 20, 20, 200, 20.0, 0.25
TURN = 100
SETTINGS = [
    f"model.embedding_size={SIZE}",
    f"model.hidden_size={SIZE}",
    "model.decoder_layers=2",
    "model.tied_embeddings=none",
    "model.dropout=0.0",
    "model.init_range=0.1",
    f"training.segment_rows={ROWS}",
    f"training.segment_steps={STEPS}",
    "training.optimizer=sgd",
    f"training.learning_rate={RATE}",
    f"training.clip_norm={NORM}",
    "training.warmup_steps=0",
    "training.schedule=epoch_decay",
    "training.decay_factor=0.5",
    "training.precision=fp32",
    "training.device=cpu",
    "training.threads=1",
    "training.tensorboard=false",
    f"training.log_every={TURN}",
    "training.validate_every=1000000",
    "training.checkpoint_every=1000000",
]


class PlainModel(nn.Module):
    """What a textbook would write."""

    def __init__(self, vocab_size: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, SIZE)
        self.lstm = nn.LSTM(SIZE, SIZE, num_layers=2, dropout=dropout)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(SIZE, vocab_size)

    def forward(self, ids: Tensor, state: tuple[Tensor, Tensor] | None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        outputs, state = self.lstm(self.dropout(self.embedding(ids)), state)
        return self.output(self.dropout(outputs)), state


class PlainRun:
    """The same training as a script: the text as one tensor, a loop, cross-entropy, clipping, SGD."""

    def __init__(self, data: PreparedText, *, decay_after: int, seed: int) -> None:
        self.model = PlainModel(len(data.tokenizer))
        # The weights that the run of ours begins with; in both models they stand in the same order.
        settings = load_settings(overrides=SETTINGS, base=data.settings).model
        start = build_language_model(settings, vocab_size=len(data.tokenizer), seed=seed)
        with torch.no_grad():
            for mine, theirs in zip(self.model.parameters(), start.parameters(), strict=True):
                mine.copy_(theirs)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=RATE)
        self.loss = nn.CrossEntropyLoss()
        pieces = stream_of(data.train)
        self.columns = len(pieces) // ROWS
        self.pieces = pieces[: self.columns * ROWS].view(ROWS, self.columns).t().contiguous()  # [columns, ROWS]
        self.before = torch.cat([torch.full((1, ROWS), EOS), self.pieces[:-1]])
        self.decay_after, self.epoch, self.column, self.state = decay_after, 0, 0, None
        self.seconds, self.trained = 0.0, 0

    def update(self) -> None:
        if self.column >= self.columns:
            self.epoch, self.column, self.state = self.epoch + 1, 0, None
            for group in self.optimizer.param_groups:
                group["lr"] = RATE * 0.5 ** max(0, self.epoch + 1 - self.decay_after)
        inputs = self.before[self.column : self.column + STEPS]
        outputs = self.pieces[self.column : self.column + STEPS]
        if self.state is not None:
            self.state = (self.state[0].detach(), self.state[1].detach())
        logits, self.state = self.model(inputs, self.state)
        loss = self.loss(logits.flatten(0, 1), outputs.flatten())
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), NORM)
        self.optimizer.step()
        self.column += STEPS
        self.trained += outputs.numel()

    def turn(self, updates: int) -> float:
        """Make some updates; return the pieces a second."""
        before, trained = time.perf_counter(), self.trained
        for _ in range(updates):
            self.update()
        seconds = time.perf_counter() - before
        self.seconds += seconds
        return (self.trained - trained) / seconds

    @torch.no_grad()
    def perplexity(self, valid: Tensor) -> float:
        total, state, before = 0.0, None, torch.cat([torch.tensor([EOS]), valid[:-1]])
        for first in range(0, len(valid), 500):
            part = slice(first, first + 500)
            logits, state = self.model(before[part, None], state)
            total += float(nn.functional.cross_entropy(logits[:, 0], valid[part], reduction="sum"))
        return math.exp(total / len(valid))


class TakingTurns(Silence):
    """Watches our run; after each of its turns the plain script has one. A stop ends both when time is up."""

    def __init__(self, plain: PlainRun | None) -> None:
        self.plain = plain
        self.ours, self.theirs = list[float](), list[float]()
        self.last_step = 0
        self.perplexity = math.nan

    def on_step(self, report: StepReport) -> None:
        self.ours.append(report.tokens_per_second)
        if self.plain is not None:
            self.theirs.append(self.plain.turn(report.step - self.last_step))
        self.last_step = report.step

    def on_validation(self, report: ValidationReport) -> None:
        self.perplexity = report.scores.perplexity

    def on_message(self, message: str) -> None:
        pass


def stream_of(sentences: Sequences) -> Tensor:
    stream = TextStream(sentences)
    return torch.from_numpy(stream.read(np.arange(len(stream))))


@torch.no_grad()
def perplexity_with_resets(folder: Path, data: PreparedText) -> float:
    """Read the validation text with a state of zeros at the start of each segment."""
    model, _ = load_language_model(folder, device=torch.device("cpu"))
    total, stream = 0.0, TextStream(data.valid)
    for segment in Parts(stream, rows=1).segments(STEPS):
        features, _ = model(segment.inputs, None)
        logits = model.output(features)[0]
        total += float(nn.functional.cross_entropy(logits, segment.outputs[0], reduction="sum"))
    return math.exp(total / len(stream))


def run(data: PreparedText, folder: Path, watch: TakingTurns, *changes: str) -> TrainingSummary:
    settings = load_settings(overrides=[*SETTINGS, *changes], base=data.settings)
    return train(data, folder, settings, observer=watch, stop=threading.Event())


def emit(peer: str, measure: str, value: float, unit: str, notes: str) -> None:
    print(json.dumps({"peer": peer, "measure": measure, "value": round(value, 2), "unit": unit, "notes": notes}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--passes", type=int, default=3)
    parser.add_argument("--decay-after", type=int, default=4, help="Passes at the full rate.")
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1, help="Of the weights that both begin with.")
    parser.add_argument("--alone", action="store_true", help="Measure speed only: no run without a carried state.")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {arguments.core})
    torch.set_num_threads(1)
    data = PreparedText.open(arguments.data)
    schedule = [f"training.max_epochs={arguments.passes}", f"training.decay_after_epochs={arguments.decay_after}"]
    schedule.append(f"training.seed={arguments.seed}")
    plain = PlainRun(data, decay_after=arguments.decay_after, seed=arguments.seed)
    pieces = f"{len(TextStream(data.train)):,} pieces, {arguments.passes} passes, {len(data.tokenizer):,} kinds"
    with TemporaryDirectory() as work:
        both = TakingTurns(plain)
        summary = run(data, Path(work) / "carried", both, *schedule)
        ours, theirs = (statistics.median(rates[1:]) for rates in (both.ours, both.theirs))
        note = f"fp32, 1 thread, median of {len(both.ours) - 1} turns of {TURN} updates; {pieces}"
        emit("nmt", "lm_small_pieces_per_s", ours, "pieces/s", f"{note}; {summary.parameters:,} parameters")
        emit("plain torch.nn.LSTM", "lm_small_pieces_per_s", theirs, "pieces/s", note)
        emit("nmt", "times plain torch.nn.LSTM", ours / theirs, "ratio", "median against median")
        emit("nmt", "valid_perplexity", both.perplexity, "perplexity", f"state carried; {pieces}")
        theirs = plain.perplexity(stream_of(data.valid))
        emit("plain torch.nn.LSTM", "valid_perplexity", theirs, "perplexity", f"state carried; {pieces}")
        if arguments.alone:
            return
        reset = TakingTurns(None)
        run(data, Path(work) / "reset", reset, *schedule, "training.carry_state=false")
        emit("nmt", "valid_perplexity_trained_with_resets", reset.perplexity, "perplexity", "read with a carried state")
        value = perplexity_with_resets(Path(work) / "reset", data)
        emit(
            "nmt", "valid_perplexity_trained_with_resets", value, "perplexity", f"read with resets, {STEPS} pieces each"
        )


if __name__ == "__main__":
    main()
