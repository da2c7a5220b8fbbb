"""The whole state of a run in one file: weights, optimiser and counters, replaced atomically."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from torch.optim import Optimizer

from nmt.errors import ModelError
from nmt.files import replacing
from nmt.models.folder import load_tensors, model_tensors
from nmt.models.seq2seq import Seq2Seq

FORMAT_VERSION = 1
FOLDER, LAST = "checkpoints", "last.safetensors"


@dataclass
class TrainingState:
    """Where a run stands; batches and dropout are functions of (seed, epoch) and (seed, step): no generator is kept."""

    data: str = ""
    """SHA-256 of the prepared training pairs."""
    step: int = 0
    """Updates made."""
    epoch: int = 0
    """Passes completed."""
    batch: int = 0
    """Batches of the current pass already seen."""
    tokens: int = 0
    """Target words trained on, `</s>` included."""
    seconds: float = 0.0
    """Time spent in updates."""
    window_loss: float = 0.0
    """Sum of the loss since the last record."""
    window_tokens: int = 0
    """Target words since the last record."""
    halvings: int = 0
    """Times the plateau schedule has halved the rate."""
    plateau: int = 0
    """Validations since the validation loss was last better."""
    best_loss: float | None = None
    """Smallest validation loss so far, nats a word."""
    best_score: float | None = None
    """Best validation score so far, by `training.best_by`."""
    best_step: int = 0
    """The step that had it."""
    stale: int = 0
    """Validations since then."""


def last_checkpoint(model_dir: Path) -> Path:
    """Return where a run keeps its state."""
    return model_dir / FOLDER / LAST


def save_checkpoint(path: Path, model: Seq2Seq, optimizer: Optimizer, state: TrainingState) -> None:
    """Replace the checkpoint; a kill at any instant leaves the old one."""
    tensors = {f"model/{name}": tensor for name, tensor in model_tensors(model).items()}
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"optimizer/{name}/{key}"] = value.detach().cpu().contiguous()
    metadata = {"format_version": str(FORMAT_VERSION), "state": json.dumps(asdict(state))}
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        file.write(save(tensors, metadata))


def load_checkpoint(path: Path, model: Seq2Seq, optimizer: Optimizer) -> TrainingState:
    """Put model and optimiser back into the saved state, and return the counters.

    Raises:
        ModelError: The file is damaged, from a newer version, or of a model of another shape.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata: dict[str, str] = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        state = _read_state(metadata)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"checkpoint {path} is damaged: {error}") from error
    load_tensors(model, _under("model/", tensors), where=path)
    for name, parameter in model.named_parameters():
        saved = _under(f"optimizer/{name}/", tensors)
        if saved:  # counters stay where the fused update wants them: beside the weights
            optimizer.state[parameter] = {key: value.to(parameter.device) for key, value in saved.items()}
    return state


def _read_state(metadata: dict[str, str]) -> TrainingState:
    version = metadata["format_version"]
    if version != str(FORMAT_VERSION):
        raise ValueError(f"format version {version}, this program reads {FORMAT_VERSION}")
    values: dict[str, Any] = json.loads(metadata["state"])
    names = {field.name for field in fields(TrainingState)}
    if values.keys() != names:
        raise ValueError(f"counters {sorted(values.keys() ^ names)} do not fit")
    return TrainingState(**values)


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
