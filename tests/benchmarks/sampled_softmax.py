"""What the sampled softmax gives for its time: speed and validation loss beside those of the full one.

    python tests/benchmarks/sampled_softmax.py DATA_DIR.. [--minutes M]

DATA_DIR: folders from `nmt prepare`, the same text with vocabularies of different sizes. Each is trained on for M
minutes of updates with each objective, one thread each; the two objectives run side by side, each on a core of its own,
so that what slows one slows the other. The model is that of training_speed.py. The loss is always that of the full
softmax. A line of the output is one JSON object.
"""

import argparse
import json
import math
import os
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from nmt.config import load_settings
from nmt.models.build import build_model
from nmt.models.folder import load_tensors
from nmt.prepared import PreparedData
from nmt.training.checkpoint import list_checkpoints, read_weights
from nmt.training.observers import Silence, StepReport, ValidationReport
from nmt.training.trainer import train
from nmt.training.translation import Validator

SETTINGS = [
    "model.embedding_size=256",
    "model.hidden_size=512",
    "model.encoder_layers=1",
    "model.tied_embeddings=none",
    "model.dropout=0.2",
    "training.label_smoothing=0",
    "training.batch_tokens=2048",
    "training.learning_rate=0.002",
    "training.schedule=constant",
    "training.warmup_steps=50",
    "training.max_steps=1000000",
    "training.log_every=1",
    "training.validate_every=1000000",
    "training.checkpoint_every=1000000",
    "training.threads=1",
    "training.tensorboard=false",
]


class Clock(Silence):
    """Watches a run, and stops it when its updates have taken long enough."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.stop = threading.Event()

    def on_step(self, report: StepReport) -> None:
        if report.seconds >= self.seconds:
            self.stop.set()

    def on_validation(self, report: ValidationReport) -> None:
        pass

    def on_message(self, message: str) -> None:
        pass


def measure(folder: Path, objective: str, *, minutes: float, core: int) -> dict[str, object]:
    """Train for some minutes; return what came of it."""
    os.sched_setaffinity(0, {core})
    data = PreparedData.open(folder)
    settings = load_settings(overrides=[*SETTINGS, f"training.objective={objective}"], base=data.settings)
    clock = Clock(60 * minutes)
    with TemporaryDirectory() as place:
        model_dir = Path(place) / "model"
        summary = train(data, model_dir, settings, observer=clock, stop=clock.stop)
        weights = read_weights(list_checkpoints(model_dir)[-1])
        where = model_dir
    vocab_sizes = {"src_vocab_size": len(data.tokenizers.src), "tgt_vocab_size": len(data.tokenizers.tgt)}
    model = build_model(settings.model, **vocab_sizes, joint=data.tokenizers.joint, seed=1)
    load_tensors(model, weights, where=where)
    with torch.inference_mode():
        loss = Validator(data.valid, data.tokenizers, settings, "fp32").loss(model.eval(), threading.Event())
    state, pieces = summary.state, len(data.valid.tgt) + int(data.valid.tgt.lengths.sum())
    characters = sum(map(len, data.valid.tgt_texts))
    return {
        "vocabulary": len(data.tokenizers.tgt),
        "objective": objective,
        "target_tokens_per_second": round(state.tokens / state.seconds),
        "steps": state.step,
        "passes": round(state.position.epoch + state.position.pairs / len(data.train_src), 2),
        "valid_loss": None if loss is None else round(loss, 4),
        # pieces of different vocabularies are of different lengths: only this compares between them
        "valid_bits_per_character": None if loss is None else round(loss * pieces / characters / math.log(2), 4),
        "parameters": summary.parameters,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--minutes", type=float, default=3.0)
    arguments = parser.parse_args()
    for folder in arguments.data:
        with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
            runs = [
                pool.submit(measure, folder, objective, minutes=arguments.minutes, core=core)
                for core, objective in enumerate(("full", "sampled"))
            ]
            full, sampled = (run.result() for run in runs)
        print(json.dumps(full), flush=True)
        print(json.dumps(sampled), flush=True)


if __name__ == "__main__":
    main()
