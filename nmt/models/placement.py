"""Parts of a model, and single layers, on devices of their own: a table for which a GPU has no memory, encoder and
decoder on two GPUs, eight layers on four.

The model is where its decoder is: batches come there, and features, states and scores are there. What every other part
reads is moved to it, and what it makes is moved back to where that came from; a layer that is elsewhere than its part
is left and entered in the same way. Tried on fake devices only, never on two GPUs.
"""

from collections.abc import Callable, Mapping
from functools import partial
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn

from nmt.config.training import ModelPart
from nmt.errors import ConfigError, counted
from nmt.models.language_model import LanguageModel
from nmt.models.parts import layers_of, parts_of
from nmt.models.seq2seq import Seq2Seq
from nmt.models.tensors import mapped


def spread(model: Seq2Seq | LanguageModel, placement: Mapping[str, str], usual: torch.device) -> None:
    """Move each part and layer of a model to the device that `placement` names, layers that it does not name to that of
    their part, and all other parts to the `usual` one.

    Raises:
        ConfigError: There is no such part, layer or GPU, or parts that share a table shall be on different devices.
    """
    parts, layers = parts_of(model), layers_of(model)
    for name in placement:
        if name not in parts and name not in layers:
            there = ", ".join((*parts, *layers))
            raise ConfigError(f"training.placement names {name}, which this model has not: it has {there}")
    devices: dict[str, torch.device] = {part: torch.device(placement.get(part, usual)) for part in parts}
    devices |= {name: torch.device(placement.get(name, devices[name.rpartition("_")[0]])) for name in layers}
    for name, device in devices.items():
        _check_device(name, device, usual)
    _check_tables(parts, devices)
    for name, module in [*parts.items(), *layers.items()]:
        module.to(devices[name])
    around = {**devices, "decoder": model.device}
    """Where the layers of a part find what they read."""
    for part, module in parts.items():
        if part != "decoder" and devices[part] != model.device:
            _visit(module, ["forward"], devices[part])
    for name, directions in layers.items():
        if devices[name] != around[name.rpartition("_")[0]]:
            for layer in directions:
                _visit(layer, ["run", "read", "step"], devices[name])


def _check_device(name: str, device: torch.device, usual: torch.device) -> None:
    if device.type == "cuda" and usual.type == "cpu":
        raise ConfigError(
            f'training.placement puts {name} on {device}, but training.device is the CPU: set it to "cuda", and '
            'place on "cpu" what stays there'
        )
    if device.type == "cuda" and (device.index or 0) >= (count := torch.cuda.device_count()):
        raise ConfigError(f"training.placement puts {name} on {device}, but torch finds {counted(count, 'GPU')}")


def _check_tables(parts: Mapping[ModelPart, nn.Module], devices: Mapping[str, torch.device]) -> None:
    for one, other in combinations(parts, 2):
        if devices[one] != devices[other] and set(parts[one].parameters()) & set(parts[other].parameters()):
            raise ConfigError(
                f"training.placement puts {one} on {devices[one]} and {other} on {devices[other]}, but they share a "
                'table: place them together, or set model.tied_embeddings = "none"'
            )


def _visit(module: nn.Module, calls: list[str], device: torch.device) -> None:
    """Let these methods of a module compute on a device what is read from and goes back to another; within each other
    they find everything there."""
    for call in calls:
        setattr(module, call, partial(_visited, getattr(module, call), module, device))


def _visited(
    call: Callable[..., Any], module: nn.Module, device: torch.device, first: Tensor, *rest: Any, **weights: Any
) -> Any:
    kind = next(module.parameters()).dtype  # autocast is that of a kind of device: on a CPU beside a GPU there is none

    def there(one: Tensor) -> Tensor:
        return one.to(device, kind if device.type == "cpu" and one.is_floating_point() else one.dtype)

    made = call(*mapped(there, (first, *rest)), **weights)
    return mapped(lambda one: one.to(first.device), made)
