"""Parts of a translation model on devices of their own: a table for which a GPU has no memory, each side on a GPU.

The model is where its decoder is: batches come there, and features, states and scores are there. What every other part
reads is moved to it, and what it makes is moved back. Tried on fake devices only, never on two GPUs.
"""

from collections.abc import Mapping
from functools import partial
from itertools import combinations
from typing import Final, get_args

import torch
from torch import Tensor, nn

from nmt.config.training import ModelPart
from nmt.errors import ConfigError, counted
from nmt.models.seq2seq import Seq2Seq

PARTS: Final[tuple[ModelPart, ...]] = get_args(ModelPart)


def spread(model: Seq2Seq, placement: Mapping[ModelPart, str], usual: torch.device) -> None:
    """Move each part of a model to the device that `placement` names, and all others to the `usual` one.

    Raises:
        ConfigError: There is no such GPU, or parts that share a table shall be on different devices.
    """
    devices = {part: torch.device(placement.get(part, usual)) for part in PARTS}
    _check(model, devices, usual)
    home = devices["decoder"]
    for part, device in devices.items():
        module: nn.Module = getattr(model, part).to(device)
        if device != home:
            module.register_forward_pre_hook(partial(_there, device))
            module.register_forward_hook(partial(_back, home))


def _check(model: Seq2Seq, devices: Mapping[ModelPart, torch.device], usual: torch.device) -> None:
    for part, device in devices.items():
        if device.type == "cuda" and usual.type == "cpu":
            raise ConfigError(
                f'training.placement puts {part} on {device}, but training.device is the CPU: set it to "cuda", and '
                'place on "cpu" what stays there'
            )
        if device.type == "cuda" and (device.index or 0) >= (count := torch.cuda.device_count()):
            raise ConfigError(f"training.placement puts {part} on {device}, but torch finds {counted(count, 'GPU')}")
    for one, other in combinations(PARTS, 2):
        tables = set(getattr(model, one).parameters()) & set(getattr(model, other).parameters())
        if tables and devices[one] != devices[other]:
            raise ConfigError(
                f"training.placement puts {one} on {devices[one]} and {other} on {devices[other]}, but they share a "
                'table: place them together, or set model.tied_embeddings = "none"'
            )


def _there(device: torch.device, module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    kind = next(module.parameters()).dtype  # autocast is that of a kind of device: on a CPU beside a GPU there is none
    narrow = device.type == "cpu"
    return tuple(one.to(device, kind if narrow and one.is_floating_point() else one.dtype) for one in inputs)


def _back(
    home: torch.device, module: nn.Module, inputs: tuple[Tensor, ...], made: Tensor | tuple[Tensor, ...]
) -> Tensor | tuple[Tensor, ...]:
    return tuple(one.to(home) for one in made) if isinstance(made, tuple) else made.to(home)
