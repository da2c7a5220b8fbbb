import pytest
import torch

from nmt.errors import ConfigError
from nmt.models import devices
from nmt.models.devices import autocast, choose_device, choose_precision, use_threads

CPU = torch.device("cpu")


def test_an_asked_precision_is_kept_and_auto_follows_the_hardware(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_precision("fp32", CPU) == "fp32"
    assert choose_precision("bf16", CPU) == "bf16"
    for has, expected in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr(devices, "_has_bf16", lambda device, has=has: has)
        assert choose_precision("auto", CPU) == expected


def test_a_missing_gpu_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == CPU
    with pytest.raises(ConfigError, match='device "cuda" was asked for, but torch finds no GPU here'):
        choose_device("cuda")


def test_autocast_multiplies_in_the_chosen_precision() -> None:
    x = torch.ones(2, 2)
    with autocast(CPU, "bf16"):
        assert (x @ x).dtype == torch.bfloat16
    with autocast(CPU, "fp32"):
        assert (x @ x).dtype == torch.float32


def test_threads_are_set_and_zero_leaves_the_choice_to_torch() -> None:
    before = torch.get_num_threads()
    try:
        assert use_threads(0) == before
        assert use_threads(before + 1) == torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)
