"""Where and in which arithmetic to compute."""

from contextlib import AbstractContextManager
from typing import Literal

import torch

from nmt.errors import ConfigError

Precision = Literal["fp32", "bf16"]


def choose_device(name: Literal["auto", "cpu", "cuda"]) -> torch.device:
    """Resolve "auto" to the GPU if there is one.

    Raises:
        ConfigError: A GPU is asked for and torch sees none.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError('device "cuda" was asked for, but torch finds no GPU here; use "cpu" or "auto"')
    return torch.device(name)


def choose_precision(name: Literal["auto", "fp32", "bf16"], device: torch.device) -> Precision:
    """Resolve "auto" to bf16 where the hardware multiplies it natively."""
    if name != "auto":
        return name
    return "bf16" if _has_bf16(device) else "fp32"


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """Return the context in which matrix products run in `precision`."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def use_threads(count: int) -> int:
    """Let torch use `count` CPU threads, or for 0 as many as it chose itself: one a core; return how many."""
    if count:
        torch.set_num_threads(count)
    return torch.get_num_threads()


def _has_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
