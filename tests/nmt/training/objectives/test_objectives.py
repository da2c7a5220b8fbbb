import itertools
import math
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Literal, get_args

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from nmt.batching import Batch, TargetBatch
from nmt.config import ModelSettings, TrainingSettings
from nmt.models.build import build_language_model, build_model
from nmt.models.devices import Precision, autocast
from nmt.models.language_model import LanguageModel
from nmt.models.seq2seq import Seq2Seq
from nmt.text.sequences import FlatSequences
from nmt.text.vocab import EOS, PAD
from nmt.training.distributed import Ranks
from nmt.training.feeding import TrainingPairs
from nmt.training.language_modelling import SegmentLoss
from nmt.training.objectives.full import FullSoftmax
from nmt.training.objectives.r_drop import RDrop
from nmt.training.objectives.sampled import SampledSoftmax, sampled, sampled_loss
from nmt.training.state import Carry
from nmt.training.text_feeding import Parts, TextStream
from nmt.training.translation import TrainingLoss, piece_features
from nmt.training.update import make_objective

Kind = Literal["log_uniform", "unigram"]
CPU = torch.device("cpu")
COUNTS = np.arange(12)


def tiny(dropout: float) -> Seq2Seq:
    settings = ModelSettings(embedding_size=4, hidden_size=6, dropout=dropout)
    return build_model(settings, src_vocab_size=12, tgt_vocab_size=12, joint=True, seed=1).train()


def three_pairs() -> Batch:
    """Pairs with targets of 1, 3 and 0 pieces: 7 words with their ends."""
    src = FlatSequences.from_lists([[4, 5], [6], [7, 8, 9]])
    tgt = FlatSequences.from_lists([[10], [11, 4, 5], []])
    return TrainingPairs(src, tgt, reverse_source=True).batch(np.arange(3))


def without_words() -> Batch:
    batch = three_pairs()
    tgt = batch.tgt
    return Batch(batch.src, TargetBatch.of(tgt.inputs, torch.full_like(tgt.outputs, PAD)))


def parts(words: int = 5, vocab_size: int = 7) -> tuple[torch.Tensor, torch.Tensor, nn.Linear]:
    torch.manual_seed(0)
    return torch.randn(words, 4), torch.randint(0, vocab_size, (words,)), nn.Linear(4, vocab_size)


def sampler(kind: Kind, counts: NDArray[np.int64], *, samples: int) -> SampledSoftmax:
    return sampled(TrainingSettings(objective="sampled", sampler=kind, samples=samples), counts)


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
def test_the_sampled_loss_equals_a_loop_over_words(kind: Kind) -> None:
    features, gold, output = parts()
    words, log_counts = sampler(kind, np.arange(7), samples=4).draw()
    assert len(words) > 0
    loss = sampled_loss(features, gold, output, words, log_counts)
    assert loss.item() == pytest.approx(slow_sampled_loss(features, gold, output, words, log_counts), rel=1e-5)


@pytest.mark.parametrize("kind", ["log_uniform", "unigram"])
def test_the_estimated_denominator_is_unbiased_over_every_possible_draw(kind: Kind) -> None:
    features, gold, output = parts(words=1)
    logits = output(features)[0]
    inclusion = sampler(kind, np.array([9, 4, 4, 3, 2, 1, 0]), samples=3).inclusion.double()
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
    sampled = sampler("log_uniform", np.arange(7), samples=7)([features], gold, output)
    full = FullSoftmax(label_smoothing=0.0)([features], gold, output)
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
    full = make_objective(TrainingSettings(), np.ones(7, dtype=np.int64))
    assert isinstance(full, FullSoftmax)
    assert full.label_smoothing == 0.1
    sampled = make_objective(TrainingSettings(objective="sampled", samples=2), np.ones(7, dtype=np.int64))
    assert isinstance(sampled, SampledSoftmax)
    assert sampled.inclusion.sum().item() == pytest.approx(2)
    both = make_objective(TrainingSettings(r_drop=3.0, label_smoothing=0.2), np.ones(7, dtype=np.int64))
    assert isinstance(both, RDrop)
    assert (both.weight, both.label_smoothing) == (3.0, 0.2)


class Squares:
    """The mean of the squared features: what the gold pieces are does not matter."""

    passes = 2

    def __call__(self, passes: Sequence[torch.Tensor], gold: torch.Tensor, output: nn.Linear) -> torch.Tensor:
        return torch.stack(list(passes)).square().mean() + 0.0 * output.bias.sum()


def test_a_new_objective_is_one_file_and_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    toy = ModuleType("nmt.training.objectives.squares")
    monkeypatch.setattr(toy, "squares", lambda settings, counts: Squares(), raising=False)
    monkeypatch.setitem(sys.modules, toy.__name__, toy)
    settings = TrainingSettings().model_copy(update={"objective": "squares"})
    model, batch = tiny(0.0), three_pairs()
    loss = TrainingLoss(model, make_objective(settings, COUNTS))(batch)
    torch.testing.assert_close(loss, piece_features(model, batch)[0].square().mean())


def test_every_name_of_an_objective_has_its_file() -> None:
    for name in get_args(TrainingSettings.model_fields["objective"].annotation):
        objective = make_objective(TrainingSettings(objective=name), COUNTS)
        assert type(objective).__module__ == f"nmt.training.objectives.{name}"


def test_piece_features_are_those_of_the_real_words_in_their_order() -> None:
    model, batch = tiny(0.0), three_pairs()
    features, gold = piece_features(model, batch)
    assert gold.tolist() == [10, 3, 11, 4, 5, 3, 3]
    all_features = model(batch)  # [3, 4, F]
    expected = torch.cat([all_features[0, :2], all_features[1, :4], all_features[2, :1]])
    assert torch.equal(features, expected)


def test_the_training_loss_is_the_objective_of_the_real_words() -> None:
    model, batch = tiny(0.0), three_pairs()
    loss = TrainingLoss(model, FullSoftmax(label_smoothing=0.1))(batch)
    logits = model.output(model(batch))  # [3, 4, V]
    words = [(row, place) for row, length in enumerate((2, 4, 1)) for place in range(length)]
    expected = sum(
        nn.functional.cross_entropy(logits[row, place], batch.tgt.outputs[row, place], label_smoothing=0.1)
        for row, place in words
    )
    torch.testing.assert_close(loss, expected)


def test_r_drop_without_dropout_is_the_plain_loss_and_its_gradients() -> None:
    model, batch = tiny(0.0), three_pairs()
    plain = TrainingLoss(model, FullSoftmax(label_smoothing=0.1))(batch)
    loss = TrainingLoss(model, RDrop(weight=5.0, label_smoothing=0.1))(batch)
    torch.testing.assert_close(loss, plain)
    parameters = list(model.parameters())
    for got, want in zip(torch.autograd.grad(loss, parameters), torch.autograd.grad(plain, parameters), strict=True):
        torch.testing.assert_close(got, want)


def test_r_drop_compares_two_passes_with_different_dropout(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = list[Sequence[torch.Tensor]]()

    def spy(self: RDrop, passes: Sequence[torch.Tensor], *rest: object) -> torch.Tensor:
        seen.append(passes)
        return passes[0].sum()

    monkeypatch.setattr(RDrop, "__call__", spy)
    TrainingLoss(tiny(0.5), RDrop(weight=5.0, label_smoothing=0.2))(three_pairs())
    ((first, second),) = seen
    assert first.shape == second.shape == (7, 4)
    assert not torch.equal(first, second)


def test_r_drop_costs_more_the_more_its_passes_differ() -> None:
    model, batch = tiny(0.5), three_pairs()
    losses = []
    for weight in (0.0, 1.0, 2.0):
        torch.manual_seed(1)
        losses.append(TrainingLoss(model, RDrop(weight=weight, label_smoothing=0.1))(batch).item())
    assert losses[0] < losses[1] < losses[2]
    assert losses[2] - losses[1] == pytest.approx(losses[1] - losses[0], rel=1e-4)


@pytest.mark.parametrize("precision", ["fp32", pytest.param("bf16", marks=pytest.mark.needs("bf16"))])
@pytest.mark.parametrize(
    "settings",
    [
        TrainingSettings(label_smoothing=0.1),
        TrainingSettings(objective="sampled", samples=4),
        TrainingSettings(r_drop=5.0),
    ],
    ids=["full", "sampled", "r_drop"],
)
def test_a_batch_without_words_costs_nothing_and_every_weight_gets_a_gradient_of_zeros(
    settings: TrainingSettings, precision: Precision
) -> None:
    model = tiny(0.3)
    with autocast(CPU, precision):
        loss = TrainingLoss(model, make_objective(settings, COUNTS))(without_words())
    assert loss.item() == 0.0
    loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert not parameter.grad.any(), name


def tiny_language_model(dropout: float = 0.0) -> LanguageModel:
    settings = ModelSettings(kind="lm", embedding_size=4, hidden_size=6, decoder_layers=2, dropout=dropout)
    return build_language_model(settings, vocab_size=12, seed=1).train()


def test_the_loss_of_segments_is_that_of_a_plain_loop_over_the_words() -> None:
    stream = TextStream(FlatSequences.from_lists([[4, 5], [6], [7, 8, 9], [10, 11, 4, 5]]))
    model, total = tiny_language_model().double(), torch.zeros((), dtype=torch.float64)
    words = [int(word) for word in stream.read(np.arange(len(stream)))]
    columns = -(-len(words) // 3)
    for first in range(0, len(words), columns):  # each part from a state of zeros, one word at a time
        state = None
        for place in range(first, min(first + columns, len(words))):
            before = words[place - 1] if place else EOS
            features, state = model(torch.tensor([[before]]), state)
            total = total + nn.functional.cross_entropy(model.output(features)[0], torch.tensor([words[place]]))
    expected = torch.autograd.grad(total, list(model.parameters()))
    twin = tiny_language_model().double()
    loss = SegmentLoss(twin, FullSoftmax(label_smoothing=0.0), Carry(Ranks(), rows=3))
    (whole,) = Parts(stream, rows=3).segments(columns)
    found = loss(whole)
    assert found.item() == pytest.approx(total.item(), rel=1e-6)
    for one, other in zip(torch.autograd.grad(found, list(twin.parameters())), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    for segment in Parts(stream, rows=3).segments(2):
        total = total - loss(segment).detach()
    assert total.item() == pytest.approx(0.0, abs=1e-5)


def test_no_gradient_goes_back_through_the_state_of_a_segment() -> None:
    stream = TextStream(FlatSequences.from_lists([[4, 5, 6, 7]]))
    carry = Carry(Ranks(), rows=2)
    loss = SegmentLoss(tiny_language_model(), FullSoftmax(label_smoothing=0.0), carry)
    assert loss(next(Parts(stream, rows=2).segments(2))).requires_grad
    assert carry.state is not None
    assert [part.requires_grad for layer in carry.state for part in layer] == [False] * 4
