"""Runs that are killed at any instant and started again end with the weights of one that never was."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from nmt.io.files import sha256
from nmt.prepared import PreparedData
from nmt.training.checkpoint import list_checkpoints
from nmt.training.observers import read_metrics

# everything that has a state: momentum, average, accumulated batches, noise, resampling, plateaus, several passes
SETTINGS = [
    "training.max_steps=60",
    "training.checkpoint_every=3",
    "training.validate_every=10",
    "training.log_every=2",
    "training.keep_checkpoints=2",
    "training.ema_decay=0.9",
    "training.accumulate=2",
    "training.subword_sampling=0.3",
    "training.noise=0.3",
    "training.schedule='plateau'",
    "training.patience=100",
    "training.tensorboard=false",
    "model.dropout=0.2",
    "model.recurrent_dropout=0.1",
]

Start = Callable[[Path], "subprocess.Popen[str]"]


@pytest.fixture
def start(start_process: Callable[..., "subprocess.Popen[Any]"], toy_data: PreparedData, toy_text: Path) -> Start:
    """Train a model in a process."""
    options = [part for setting in SETTINGS for part in ("--set", setting)]
    options += ["--recipe", str(toy_text / "toy.toml")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}

    def start(model: Path) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "nmt_cli", "train", str(toy_data.folder), str(model), *options]
        return start_process(command, stderr=subprocess.PIPE, text=True, env=environment)

    return start


def finish(process: "subprocess.Popen[str]") -> None:
    _, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stderr


def losses(model: Path) -> list[tuple[object, ...]]:
    names = ("loss", "bleu", "learning_rate", "gradient_norm")
    return [
        (record.kind, record.step, *map(record.values.get, names)) for record in read_metrics(model / "metrics.jsonl")
    ]


def begin(start: Start, model: Path) -> "subprocess.Popen[str]":
    """Start a run, and wait until it logs something: what comes before takes longer than the training here."""
    log = model / "train.log"
    size = log.stat().st_size if log.exists() else 0
    process = start(model)
    while process.poll() is None and not (log.exists() and log.stat().st_size > size):
        time.sleep(0.005)
    return process


def kill_and_compare(start: Start, folder: Path, *, kills: int) -> None:
    straight, killed = folder / "straight", folder / "killed"
    process, before = begin(start, straight), time.monotonic()
    finish(process)
    whole, rng, done, ended = time.monotonic() - before, random.Random(1), 0, 0
    while done < kills:
        process = begin(start, killed)
        try:
            _, stderr = process.communicate(timeout=rng.uniform(0, 0.9) * whole)
        except subprocess.TimeoutExpired:
            process.kill()
            _, stderr = process.communicate()
            done += 1
        assert process.returncode in (0, -signal.SIGKILL), stderr
        if process.returncode == 0:  # it came to its end: the next one begins anew
            compare(straight, killed)
            ended += 1
            killed.rename(folder / f"killed-{ended}")
    finish(start(killed))
    compare(straight, killed)


def compare(straight: Path, killed: Path) -> None:
    assert sha256(killed / "model.safetensors") == sha256(straight / "model.safetensors")
    ours, theirs = (load_file(list_checkpoints(folder)[-1]) for folder in (straight, killed))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)  # weights, their average, the optimiser
    assert losses(killed) == losses(straight)
    assert [path.name for path in killed.rglob(".*.tmp")] == []


def test_a_kill_changes_nothing(start: Start, tmp_path: Path) -> None:
    kill_and_compare(start, tmp_path, kills=1)


@pytest.mark.slow
def test_a_hundred_kills_change_nothing(start: Start, tmp_path: Path) -> None:
    kill_and_compare(start, tmp_path, kills=100)
