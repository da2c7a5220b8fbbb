import pytest
import torch
from torch import nn

from nmt.config import load_settings
from nmt.models.build import build_model
from nmt.training.update import MovingAverage


def line(weight: float) -> nn.Linear:
    module = nn.Linear(1, 1, bias=False)
    nn.init.constant_(module.weight, weight)
    return module


def set_to(module: nn.Linear, value: float) -> None:
    nn.init.constant_(module.weight, value)


def test_the_average_begins_as_the_weights() -> None:
    module = line(4.0)
    average = MovingAverage(module, decay=0.5)
    set_to(module, 8.0)
    assert average.of(module.weight).item() == 4.0


def test_the_first_updates_are_averaged_with_a_smaller_decay() -> None:
    module = line(0.0)
    average = MovingAverage(module, decay=0.999)
    set_to(module, 11.0)
    average.update(step=1)  # decay 2 / 11: 0 * 2 / 11 + 11 * 9 / 11
    assert average.of(module.weight).item() == pytest.approx(9.0)
    set_to(module, 5.0)
    average.update(step=2)  # decay 3 / 12: 9 / 4 + 5 * 3 / 4
    assert average.of(module.weight).item() == pytest.approx(6.0)


def test_later_updates_are_averaged_with_the_whole_decay() -> None:
    module = line(0.0)
    average = MovingAverage(module, decay=0.5)
    set_to(module, 8.0)
    average.update(step=8)  # (1 + 8) / (10 + 8) is 0.5 itself
    assert average.of(module.weight).item() == pytest.approx(4.0)
    average.update(step=1000)
    assert average.of(module.weight).item() == pytest.approx(6.0)


def test_every_weight_is_averaged_and_none_is_changed() -> None:
    settings = load_settings(overrides=["model.embedding_size=4", "model.hidden_size=6"])
    model = build_model(settings.model, src_vocab_size=9, tgt_vocab_size=9, joint=True, seed=1)
    average = MovingAverage(model, decay=0.25)
    start = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 1.0
    average.update(step=100)
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, start[name] + 1.0), name
        torch.testing.assert_close(average.of(parameter), start[name] + 0.75)
        assert not average.of(parameter).requires_grad


def test_the_model_has_the_average_for_a_while_and_then_its_weights_to_the_bit() -> None:
    module = line(0.0)
    average = MovingAverage(module, decay=0.5)
    set_to(module, 0.1)
    storage = module.weight.data_ptr()
    with average.in_place():
        assert module.weight.item() == 0.0
        assert module.weight.data_ptr() == storage
        assert module(torch.ones(1, 1)).item() == 0.0
    assert torch.equal(module.weight, torch.tensor([[0.1]]))
    assert module.weight.data_ptr() == storage
    assert average.of(module.weight).item() == 0.0


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_a_failure_in_the_meantime_brings_the_weights_back(failure: type[BaseException]) -> None:
    module = line(0.0)
    average = MovingAverage(module, decay=0.5)
    set_to(module, 0.1)
    with pytest.raises(failure), average.in_place():
        raise failure
    assert torch.equal(module.weight, torch.tensor([[0.1]]))
    assert average.of(module.weight).item() == 0.0


def test_a_checkpoint_restores_the_average_by_writing_into_it() -> None:
    module = line(0.0)
    average = MovingAverage(module, decay=0.5)
    average.of(module.weight).fill_(4.0)
    with average.in_place():
        assert module.weight.item() == 4.0
    set_to(module, 8.0)
    average.update(step=100)
    assert average.of(module.weight).item() == 6.0
