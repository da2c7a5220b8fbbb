"""The whole state of a run in one file: weights, their moving average, optimiser, scale of the loss, what is carried
on, and counters.

A run keeps its last few checkpoints. Each holds a digest of its own content, so that one that was cut off or altered is
known, and the one before it serves.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Final, cast

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.optim import Optimizer

from nmt.errors import ModelError
from nmt.io.files import is_leftover, make_folder, remove_leftovers, replacing
from nmt.models.folder import CARD, CONFIG, load_tensors
from nmt.models.language_model import LanguageModel
from nmt.models.snapshot import Snapshot, memory_of, safetensors_of
from nmt.training.loss_scale import LossScale
from nmt.training.observers import LOG
from nmt.training.state import Carry, TrainingState
from nmt.training.update import MovingAverage

FORMAT_VERSION = 3
"""Of the file, and of the order in which an epoch is read: a checkpoint says how far."""
FOLDER = "checkpoints"
_WEIGHTS, _AVERAGE, _OPTIMIZER, _CARRIED = "model/", "average/", "optimizer/", "carried/"
_SCALE = "loss_scale"
_MOMENTUM: Final = frozenset({"momentum_buffer"})
_MOMENTS: Final = frozenset({"step", "exp_avg", "exp_avg_sq"})
"""What the optimiser keeps of each weight: SGD, and Adam."""
_CARRIED_TYPES: Final = (torch.float32, torch.bfloat16, torch.float16)
"""The arithmetic of a step is that of its state."""
_NOTHING: Mapping[str, Tensor] = MappingProxyType({})


def list_checkpoints(model_dir: Path) -> list[Path]:
    """List the checkpoints of a run, oldest first."""
    found = (model_dir / FOLDER).glob("step-*.safetensors")
    return sorted((path for path in found if path.stem.removeprefix("step-").isdecimal()), key=checkpoint_step)


def refuse_foreign(model_dir: Path) -> None:
    """Refuse a folder that no run can begin or go on in, with a ModelError: what it holds is left alone."""
    nearest = next(path for path in (model_dir, *model_dir.absolute().parents) if path.exists())
    if not nearest.is_dir():
        raise ModelError(f"{nearest} is a file; a model needs a folder")
    if not os.access(nearest, os.W_OK):
        raise ModelError(f"{nearest} cannot be written to; choose another folder")
    if not model_dir.is_dir() or list_checkpoints(model_dir):
        return
    if (model_dir / CARD).exists():
        raise ModelError(f"{model_dir} holds a model without the checkpoint to continue from; choose another folder")
    others = [path for path in model_dir.iterdir() if path.name != LOG and not is_leftover(path)]
    foreign = [
        path for path in others if not path.is_dir() or any(path.iterdir())
    ]  # a run killed early leaves empty ones
    if foreign and not (model_dir / CONFIG).exists():
        raise ModelError(f"{model_dir} holds other files; choose a new or empty folder")


def checkpoint_step(path: Path) -> int:
    """Return the step that a checkpoint was taken at."""
    return int(path.stem.removeprefix("step-"))


@dataclass
class Checkpoints:
    """Writes and reads the checkpoints of one run; the newest `keep` stay."""

    model_dir: Path
    model: nn.Module
    optimizer: Optimizer
    _: KW_ONLY
    average: MovingAverage | None
    keep: int
    carry: Carry | None = None
    scale: LossScale | None = None

    def writer(self, state: TrainingState, carried: Mapping[str, Tensor] = _NOTHING) -> Callable[[], None]:
        """Copy the state, and return what writes it as a checkpoint, then removes the oldest; a kill at any instant
        leaves the last good one.

        `carried` is what a language model remembers of the text, as its `Carry` names it.
        """
        here = self._tensors() | {f"{_CARRIED}{name}": tensor for name, tensor in carried.items()}
        return partial(self._write, Snapshot(here), step=state.step, counters=state.to_json())

    def _write(self, snapshot: Snapshot, *, step: int, counters: str) -> None:
        path = self.model_dir / FOLDER / f"step-{step:08d}.safetensors"
        make_folder(path.parent)
        tensors = snapshot.tensors()
        metadata = {"format_version": str(FORMAT_VERSION), "state": counters, "sha256": _digest(tensors, counters)}
        with replacing(path) as file:
            file.writelines(safetensors_of(tensors, metadata))
        paths = list_checkpoints(self.model_dir)
        kept = [path for path in paths if checkpoint_step(path) <= step][-self.keep :]
        for path in set(paths).difference(kept):  # later ones were damaged, or the run has gone back before them
            path.unlink()

    def load_newest(self, *, on_damage: Callable[[str], None]) -> TrainingState | None:
        """Put the run back into its newest good state, and return the counters; None if it has no checkpoint.

        `on_damage` is told of each checkpoint that cannot be used.

        Raises:
            ModelError: No checkpoint can be used, or they are of a model of another shape.
        """
        paths = list_checkpoints(self.model_dir)
        for path in reversed(paths):
            try:
                tensors, counters = _read(path)
            except ModelError as error:
                on_damage(str(error))
                continue
            self._restore(tensors, where=path)
            return counters
        if paths:
            raise ModelError(f"no checkpoint in {paths[0].parent} can be used; choose a new folder")
        return None

    @contextmanager
    def undone(self) -> Iterator[None]:
        """Put weights, average, optimiser and what is carried back afterwards; every process takes part."""
        carried = {} if self.carry is None else self.carry.tensors()
        tensors = Snapshot(self._tensors()).tensors()
        try:
            yield
        finally:
            self.optimizer.state.clear()
            tensors |= {f"{_CARRIED}{name}": tensor for name, tensor in carried.items()}
            self._restore(tensors, where=self.model_dir)

    def clean_up(self) -> None:
        """Remove what a killed process left half written."""
        make_folder(self.model_dir / FOLDER)
        remove_leftovers(self.model_dir)
        remove_leftovers(self.model_dir / FOLDER)

    def _tensors(self) -> dict[str, Tensor]:
        tensors = dict[str, Tensor]()
        for name, parameter in self.model.named_parameters():
            tensors[f"{_WEIGHTS}{name}"] = parameter.detach()
            for key, value in self.optimizer.state.get(parameter, {}).items():
                tensors[f"{_OPTIMIZER}{name}/{key}"] = value
            if self.average is not None:
                tensors[f"{_AVERAGE}{name}"] = self.average.of(parameter)
        if self.scale is not None:
            tensors[_SCALE] = self.scale.state()
        return tensors

    def _restore(self, tensors: dict[str, Tensor], *, where: Path) -> None:
        load_tensors(self.model, _under(_WEIGHTS, tensors), where=where)
        kept = _MOMENTUM if isinstance(self.optimizer, torch.optim.SGD) else _MOMENTS
        for name, parameter in self.model.named_parameters():
            saved = _under(f"{_OPTIMIZER}{name}/", tensors)
            if saved:  # what the optimiser cannot have kept of a weight, it would fall over
                if saved.keys() != kept:
                    raise ModelError(
                        f"{where}: of weight {name} the optimiser has {', '.join(sorted(saved))}, "
                        f"expected {', '.join(sorted(kept))}"
                    )
                for key, value in saved.items():
                    shape = torch.Size() if key == "step" else parameter.shape
                    _check_form(value, shape, f"{_OPTIMIZER}{name}/{key}", where=where)
                # Counters stay where the fused update wants them: beside the weights.
                self.optimizer.state[parameter] = {key: value.to(parameter.device) for key, value in saved.items()}
            if self.average is not None:  # a run that begins to average now starts from its weights
                average = tensors.get(f"{_AVERAGE}{name}", parameter.detach())
                _check_form(average, parameter.shape, f"{_AVERAGE}{name}", where=where)
                self.average.of(parameter).copy_(average)
        if self.scale is not None and _SCALE in tensors:  # a run that goes on in fp16 begins with its own
            _check_form(tensors[_SCALE], torch.Size((4,)), _SCALE, where=where)
            self.scale.restore(tensors[_SCALE])
        if self.carry is not None:
            carried = _under(_CARRIED, tensors)
            forms = self.carry.forms(self.model) if carried and isinstance(self.model, LanguageModel) else {}
            if forms and carried.keys() != forms.keys():
                raise ModelError(f"{where}: the state has {', '.join(sorted(carried))}, expected {', '.join(forms)}")
            for name, form in forms.items():
                _check_form(carried[name], form, f"{_CARRIED}{name}", where=where, dtypes=_CARRIED_TYPES)
            self.carry.restore(carried, cast(LanguageModel, self.model).device)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read the weights of a checkpoint: their moving average, if the run kept one.

    Raises:
        ModelError: The file is missing or damaged.
    """
    tensors, _ = _read(path)
    return _under(_AVERAGE, tensors) or _under(_WEIGHTS, tensors)


def _read(path: Path) -> tuple[dict[str, Tensor], TrainingState]:
    if path.exists() and not path.is_file():  # a pipe or a device would never end
        raise ModelError(f"checkpoint {path} is no regular file")
    try:
        with safe_open(path, framework="pt") as file:
            metadata: dict[str, str] = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        version = metadata["format_version"]
        if version != str(FORMAT_VERSION):
            raise ModelError(f"checkpoint {path} has format version {version}, this program reads {FORMAT_VERSION}")
        if _digest(tensors, metadata["state"]) != metadata["sha256"]:
            raise ValueError("its content is not what was written")
        return tensors, TrainingState.from_json(metadata["state"])
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"checkpoint {path} is damaged: {error}") from error


def _check_form(
    tensor: Tensor, shape: torch.Size, name: str, *, where: Path, dtypes: Sequence[torch.dtype] = (torch.float32,)
) -> None:
    if tensor.shape != shape or tensor.dtype not in dtypes:
        raise ModelError(
            f"{where}: {name} is {list(tensor.shape)} of {tensor.dtype}, expected {list(shape)} of torch.float32"
        )


def _digest(tensors: dict[str, Tensor], counters: str) -> str:
    digest = hashlib.sha256(counters.encode("utf-8"))
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(memory_of(tensor))
    return digest.hexdigest()


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
