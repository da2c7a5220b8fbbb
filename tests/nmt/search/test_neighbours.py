"""Steps in which the neighbours of a source vote, against the obvious sums, whatever shares the batch."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from nmt.batching import Batch, SourceBatch, source_batch, target_batch
from nmt.config import SearchSettings, load_settings
from nmt.models.build import build_language_model, build_model
from nmt.models.devices import for_inference
from nmt.models.prepacked import SearchPrecision
from nmt.models.seq2seq import Seq2Seq
from nmt.search.combined import Ensemble, FusedModel
from nmt.search.engine import Engine, Kind, start_of
from nmt.search.neighbours import Neighbour, NeighbourModel, Vote
from nmt.search.protocol import Sentence
from nmt.search.sampling import Sampling
from nmt.text.sequences import FlatSequences
from nmt.text.vocab import BOS, EOS

VOCAB_SIZE = 90
PRECISIONS: tuple[SearchPrecision, ...] = ("fp32", "bf16", "int8")
Found = list[tuple[int, Any]]


@pytest.fixture(scope="module")
def model() -> Seq2Seq:
    settings = load_settings(overrides=["model.embedding_size=24", "model.hidden_size=40", "model.encoder_layers=1"])
    made = build_model(settings.model, src_vocab_size=VOCAB_SIZE, tgt_vocab_size=VOCAB_SIZE, joint=False, seed=3)
    return made.eval().requires_grad_(False)


def batch_of(sources: Sequence[Sequence[int]]) -> SourceBatch:
    return source_batch(FlatSequences.from_lists(sources), np.arange(len(sources)), reverse_source=True)


def drawn(count: int, *, seed: int) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [rng.integers(4, VOCAB_SIZE, rng.integers(1, 12)).tolist() for _ in range(count)]


def some_for_each(ids: Sequence[int]) -> list[Neighbour]:
    """None for some sources, for others up to 9 pairs that are drawn as the source wants it; all know two of them."""
    rng = np.random.default_rng(list(ids))
    of_all = [tuple(row) for row in drawn(4, seed=5)]
    rows = [*of_all, *(tuple(row) for row in drawn(14, seed=int(rng.integers(1000))))]
    count = int(rng.integers(0, 10))
    return [Neighbour(src, tgt) for src, tgt in zip(rows[::2], rows[1::2], strict=True)][:count]


def known(*pairs: tuple[Sequence[int], Sequence[int]]) -> Callable[[Sequence[int]], list[Neighbour]]:
    return lambda ids: [Neighbour(tuple(src), tuple(tgt)) for src, tgt in pairs]


def beside(
    model: Seq2Seq, find: Any = some_for_each, *, precision: SearchPrecision = "fp32", **vote: Any
) -> NeighbourModel:
    votes = Vote(**{"nearest": 4, "reach": 0.1, "weight": None, **vote})
    return NeighbourModel(for_inference(model, precision), find, votes, reverse_source=True)


def first_step(model: Any, source: Sequence[int]) -> Tensor:
    """The log-probabilities of what comes first, [V]."""
    logits, _ = model.step(torch.tensor([[BOS]]), model.start(model.encode(batch_of([source]))))
    scores: Tensor = logits[0, 0].log_softmax(dim=0)
    return scores


def features(model: Seq2Seq, src: Sequence[int], tgt: Sequence[int]) -> Tensor:
    """What the output layer reads before each piece of a target and `</s>`, by training's code, [T, F]."""
    rows = np.arange(1)
    return model(Batch(batch_of([src]), target_batch(FlatSequences.from_lists([tgt]), rows)))[0]


@pytest.mark.parametrize("weight", [None, 0.3])
def test_the_nearest_places_vote_by_their_distances(model: Seq2Seq, weight: float | None) -> None:
    source, pairs = [5, 6, 7], [([5, 6, 8], [20, 21]), ([9, 6], [20]), ([5, 7], [22, 20, 23])]
    keys = torch.cat([features(model, *pair) for pair in pairs])
    values = [20, 21, EOS, 20, EOS, 22, 20, 23, EOS]
    distances = (keys - features(model, source, [])[0]).square().mean(dim=1)
    reach = 2 * float(distances.min())
    nearest = sorted(range(9), key=lambda row: float(distances[row]))[:4]
    heat = (-distances[nearest] / reach).exp()
    vote = torch.zeros(VOCAB_SIZE)
    for row, share in zip(nearest, heat / heat.sum(), strict=True):
        vote[values[row]] += share
    share = 0.5 if weight is None else weight
    expected = (1 - share) * features_to_probabilities(model, source) + share * vote
    found = first_step(beside(model, known(*pairs), reach=reach, weight=weight), source).exp()
    assert torch.allclose(found, expected, atol=0.01)


def features_to_probabilities(model: Seq2Seq, source: Sequence[int]) -> Tensor:
    probabilities: Tensor = model.output(features(model, source, [])[0]).softmax(dim=0)
    return probabilities


def test_places_out_of_reach_have_no_vote(model: Seq2Seq) -> None:
    pairs = known(([30, 31], [40, 41]))
    alone = first_step(for_inference(model, "fp32"), [5, 6, 7])
    assert torch.equal(first_step(beside(model, pairs, reach=1e-5), [5, 6, 7]), alone.log_softmax(dim=0))


@pytest.mark.parametrize("weight", [None, 0.7])
def test_a_source_without_neighbours_is_scored_as_by_the_model_alone(model: Seq2Seq, weight: float | None) -> None:
    alone = first_step(for_inference(model, "fp32"), [5, 6, 7])
    both = beside(model, lambda ids: known(([5], [9]))(ids) if len(ids) == 1 else [], weight=weight)
    logits, _ = both.step(torch.full((2, 1), BOS), both.start(both.encode(batch_of([[5, 6, 7], [8]]))))
    assert torch.equal(logits[0, 0], alone)


def test_the_target_of_an_equal_source_is_followed(model: Seq2Seq) -> None:
    target = [33, 44, 55, 66]
    [(_, [best])] = searched(beside(model, known(([5, 6, 7], target)), nearest=1), [[5, 6, 7]])
    assert best.ids == tuple(target)


BEAM, ALONE = SearchSettings(), Kind()
KINDS = [
    (SearchSettings(beam_size=3), Kind(n_best=2)),
    (SearchSettings(beam_size=1), Kind()),
    (SearchSettings(), Kind(n_best=2, sampling=Sampling())),
]


def searched(model: Any, sources: list[list[int]], settings: SearchSettings = BEAM, kind: Kind = ALONE, *,
             order: Sequence[int] = (), batch_tokens: int = 0) -> Found:  # fmt: skip
    """Search for sources, in this order, with so many at once; the numbers of sentences stay theirs."""
    engine = Engine(model, start_of(settings, kind), batch_tokens=batch_tokens, reverse_source=True)
    engine.add([Sentence(tuple(sources[number]), number) for number in order or range(len(sources))])
    found: Found = []
    while engine.busy:
        found += engine.step()
    return sorted(found)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(("settings", "kind"), KINDS, ids=["beam", "greedy", "sampling"])
def test_nothing_depends_on_what_shares_the_batch(
    model: Seq2Seq, precision: SearchPrecision, settings: SearchSettings, kind: Kind
) -> None:
    sources = drawn(14, seed=7)
    both = beside(model, precision=precision)
    together = searched(both, sources, settings, kind)
    shuffled = np.random.default_rng(1).permutation(14).tolist()
    assert searched(both, sources, settings, kind, order=shuffled, batch_tokens=90) == together
    assert together != searched(for_inference(model, precision), sources, settings, kind)
    for number in range(3):
        assert searched(both, sources, settings, kind, order=[number]) == [together[number]]


def test_a_language_model_has_its_say_in_the_mixture(model: Seq2Seq) -> None:
    settings = load_settings(overrides=["model.kind='lm'", "model.embedding_size=8", "model.hidden_size=16"])
    text_model = build_language_model(settings.model, vocab_size=VOCAB_SIZE, seed=5).eval().requires_grad_(False)
    one = beside(model, known(([5, 6], [20, 21])), weight=0.5)
    fused = FusedModel(one, text_model, weight=0.4)
    found, _ = fused.step(torch.tensor([[BOS]]), fused.start(fused.encode(batch_of([[5, 6, 7]]))))
    said, _ = text_model.step(torch.tensor([[EOS]]), text_model.start(1))
    assert torch.allclose(found[0, 0], first_step(one, [5, 6, 7]) + 0.4 * said[0, 0].log_softmax(dim=0), atol=1e-5)


def test_each_model_of_an_ensemble_has_neighbours_of_its_own(model: Seq2Seq) -> None:
    pairs = known(([5, 6], [20, 21]))
    one = beside(model, pairs, weight=0.5)
    both = Ensemble([for_inference(model, "fp32")] * 2).changed(lambda each: one)
    assert torch.allclose(first_step(both, [5, 6, 7]), first_step(one, [5, 6, 7]), atol=1e-6)
