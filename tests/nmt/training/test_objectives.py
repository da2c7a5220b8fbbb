import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from nmt.config import TrainingSettings
from nmt.training.objectives import FullSoftmax, SampledSoftmax, make_objective, sampled_loss
from nmt.training.samplers import SamplerKind, make_sampler

CPU = torch.device("cpu")


def parts(words: int = 5, vocab_size: int = 7) -> tuple[torch.Tensor, torch.Tensor, nn.Linear]:
    torch.manual_seed(0)
    return torch.randn(words, 4), torch.randint(0, vocab_size, (words,)), nn.Linear(4, vocab_size)


def slow_sampled_loss(
    features: torch.Tensor, gold: torch.Tensor, output: nn.Linear, words: torch.Tensor, log_counts: torch.Tensor
) -> float:
    total = 0.0
    for vector, target in zip(features, gold.tolist(), strict=True):
        scores = (output.weight @ vector + output.bias).tolist()
        others = [
            math.exp(scores[word]) / math.exp(log_count)
            for word, log_count in zip(words.tolist(), log_counts.tolist(), strict=True)
            if word != target
        ]
        total -= math.log(math.exp(scores[target]) / (math.exp(scores[target]) + sum(others)))
    return total


@pytest.mark.parametrize("kind", ["log_uniform", "unigram"])
def test_the_sampled_loss_equals_a_loop_over_words(kind: SamplerKind) -> None:
    features, gold, output = parts()
    sampler = make_sampler(kind, np.arange(7), samples=4, device=CPU)
    words, log_counts = sampler.draw()
    assert len(words) > 0
    loss = sampled_loss(features, gold, output, words, log_counts)
    assert loss.item() == pytest.approx(slow_sampled_loss(features, gold, output, words, log_counts), rel=1e-5)


@pytest.mark.parametrize("kind", ["log_uniform", "unigram"])
def test_the_estimated_denominator_is_unbiased_over_every_possible_draw(kind: SamplerKind) -> None:
    features, gold, output = parts(words=1)
    logits = output(features)[0]
    inclusion = make_sampler(kind, np.array([9, 4, 4, 3, 2, 1, 0]), samples=3, device=CPU).inclusion.double()
    expectation = 0.0
    for members in itertools.product([False, True], repeat=7):
        drawn = torch.tensor(members)
        probability = torch.where(drawn, inclusion, 1 - inclusion).prod().item()
        words = drawn.nonzero().squeeze(1)
        loss = sampled_loss(features, gold, output, words, inclusion[words].log().float())
        denominator = math.exp(loss.item()) * math.exp(logits[gold[0]].item())
        expectation += probability * denominator
    assert expectation == pytest.approx(logits.exp().sum().item(), rel=1e-5)


def test_drawing_the_whole_vocabulary_gives_the_full_softmax_and_its_gradients() -> None:
    features, gold, output = parts()
    sampled = SampledSoftmax(make_sampler("log_uniform", np.arange(7), samples=7, device=CPU))(features, gold, output)
    full = FullSoftmax(label_smoothing=0.0)(features, gold, output)
    torch.testing.assert_close(sampled, full)
    for got, want in zip(
        torch.autograd.grad(sampled, list(output.parameters())),
        torch.autograd.grad(full, list(output.parameters())),
        strict=True,
    ):
        torch.testing.assert_close(got, want)


def test_a_sampled_gold_word_is_no_rival_to_itself() -> None:
    features, _, output = parts(words=1)
    loss = sampled_loss(features, torch.tensor([3]), output, torch.tensor([3]), torch.zeros(1))
    assert loss.item() == 0.0


def test_the_settings_choose_the_objective() -> None:
    full = make_objective(TrainingSettings(), np.ones(7, dtype=np.int64), device=CPU)
    assert isinstance(full, FullSoftmax)
    assert full.label_smoothing == 0.1
    sampled = make_objective(TrainingSettings(objective="sampled", samples=2), np.ones(7, dtype=np.int64), device=CPU)
    assert isinstance(sampled, SampledSoftmax)
    assert sampled.sampler.inclusion.sum().item() == pytest.approx(2)
