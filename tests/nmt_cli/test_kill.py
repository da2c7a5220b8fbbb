"""Runs that are killed at any instant and started again end with the weights of one that never was."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from nmt.files import sha256
from nmt.prepared import PreparedData
from nmt.training.checkpoint import list_checkpoints
from nmt.training.records import read_metrics

# everything that has a state: momentum, average, accumulated batches, resampling, plateaus, several passes
SETTINGS = [
    "training.max_steps=60",
    "training.checkpoint_every=3",
    "training.validate_every=10",
    "training.log_every=2",
    "training.keep_checkpoints=2",
    "training.ema_decay=0.9",
    "training.accumulate=2",
    "training.subword_sampling=0.3",
    "training.schedule='plateau'",
    "training.patience=100",
    "training.tensorboard=false",
    "model.dropout=0.2",
    "model.recurrent_dropout=0.1",
]


def start(data: Path, model: Path, recipe: Path) -> subprocess.Popen[str]:
    options = [part for setting in SETTINGS for part in ("--set", setting)]
    command = [sys.executable, "-m", "nmt_cli", "train", str(data), str(model), "--recipe", str(recipe), *options]
    paths = os.pathsep.join(path for path in sys.path if path)
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": paths})


def finish(process: subprocess.Popen[str]) -> None:
    _, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stderr


def losses(model: Path) -> list[tuple[object, ...]]:
    names = ("kind", "step", "loss", "bleu", "learning_rate", "gradient_norm")
    return [tuple(record.get(name) for name in names) for record in read_metrics(model / "metrics.jsonl")]


def kill_and_compare(data: PreparedData, recipe: Path, folder: Path, *, kills: int) -> None:
    straight, killed = folder / "straight", folder / "killed"
    before = time.monotonic()
    finish(start(data.folder, straight, recipe))
    whole, rng, done, ended = time.monotonic() - before, random.Random(1), 0, 0
    while done < kills:
        process = start(data.folder, killed, recipe)
        time.sleep(rng.uniform(0.2, 0.9) * whole)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            done += 1
        process.communicate()
        if process.returncode == 0:  # it came to its end: the next one begins anew
            compare(straight, killed)
            ended += 1
            killed.rename(folder / f"killed-{ended}")
    finish(start(data.folder, killed, recipe))
    compare(straight, killed)


def compare(straight: Path, killed: Path) -> None:
    assert sha256(killed / "model.safetensors") == sha256(straight / "model.safetensors")
    ours, theirs = (load_file(list_checkpoints(folder)[-1]) for folder in (straight, killed))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)  # weights, their average, the optimiser
    assert losses(killed) == losses(straight)
    assert [path.name for path in killed.rglob(".*.tmp")] == []


def test_five_kills_change_nothing(toy_data: PreparedData, toy_text: Path, tmp_path: Path) -> None:
    kill_and_compare(toy_data, toy_text / "toy.toml", tmp_path, kills=5)


@pytest.mark.slow
def test_a_hundred_kills_change_nothing(toy_data: PreparedData, toy_text: Path, tmp_path: Path) -> None:
    kill_and_compare(toy_data, toy_text / "toy.toml", tmp_path, kills=100)
