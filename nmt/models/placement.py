"""Parts of a model on devices of their own: a table for which a GPU has no memory, encoder and decoder on two GPUs.

The model is where its decoder is: batches come there, and features, states and scores are there. What every other part
reads is moved to it, and what it makes is moved back. Tried on fake devices only, never on two GPUs.
"""

from collections.abc import Mapping
from functools import partial
from itertools import combinations

import torch
from torch import Tensor, nn

from nmt.config.training import ModelPart
from nmt.errors import ConfigError, counted
from nmt.models.language_model import LanguageModel
from nmt.models.parts import parts_of
from nmt.models.seq2seq import Seq2Seq


def spread(model: Seq2Seq | LanguageModel, placement: Mapping[ModelPart, str], usual: torch.device) -> None:
    """Move each part of a model to the device that `placement` names, and all others to the `usual` one.

    Raises:
        ConfigError: There is no such part or GPU, or parts that share a table shall be on different devices.
    """
    parts = parts_of(model)
    for part in placement.keys() - parts.keys():
        raise ConfigError(f"training.placement names {part}, which a language model has not: {', '.join(parts)}")
    devices = {part: torch.device(placement.get(part, usual)) for part in parts}
    for part, device in devices.items():
        _check_device(part, device, usual)
    _check_tables(parts, devices)
    home = devices["decoder"]
    for part, device in devices.items():
        module = parts[part].to(device)
        if device != home:
            module.register_forward_pre_hook(partial(_there, device))
            module.register_forward_hook(partial(_back, home))


def _check_device(part: ModelPart, device: torch.device, usual: torch.device) -> None:
    if device.type == "cuda" and usual.type == "cpu":
        raise ConfigError(
            f'training.placement puts {part} on {device}, but training.device is the CPU: set it to "cuda", and '
            'place on "cpu" what stays there'
        )
    if device.type == "cuda" and (device.index or 0) >= (count := torch.cuda.device_count()):
        raise ConfigError(f"training.placement puts {part} on {device}, but torch finds {counted(count, 'GPU')}")


def _check_tables(parts: Mapping[ModelPart, nn.Module], devices: Mapping[ModelPart, torch.device]) -> None:
    for one, other in combinations(parts, 2):
        if devices[one] != devices[other] and set(parts[one].parameters()) & set(parts[other].parameters()):
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
