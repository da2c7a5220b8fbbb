import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from nmt.config import SearchSettings
from nmt.models.tensors import tensors_of, with_tensors
from nmt.search.beam import Beams
from nmt.search.combined import Ensemble, EnsembleState, FusedModel
from nmt.search.engine import Engine, Kind, start_of
from nmt.search.frontier import Limits
from nmt.search.protocol import Hypothesis, Sentence
from nmt.search.rules import Scoring, places
from nmt.search.sampling import Sampling
from nmt.text.vocab import BOS, EOS, PAD, UNK

RandomModel = Callable[[int], Any]


@pytest.fixture
def models(random_model: RandomModel) -> list[Any]:
    return [random_model(seed) for seed in (5, 6, 7)]


SOURCES = [(4, 5), (6,), (7, 8, 9, 4), (5, 6, 7), (), (4,), (9, 9, 9)]


def translate(model: Any, *, batch_tokens: int = 4000) -> list[list[Hypothesis]]:
    def start(sentences: Any, src_lengths: Tensor) -> Beams:
        limits = Limits.start(src_lengths + 9)
        return Beams.start(limits, beam_size=3, n_best=3, scoring=Scoring(1.0), with_attention=True)

    engine: Engine[Any, Any] = Engine(model, start, batch_tokens=batch_tokens, reverse_source=False)
    engine.add([Sentence(ids, number) for number, ids in enumerate(SOURCES)])
    found: dict[int, list[Hypothesis]] = {}
    while engine.busy:
        found.update(engine.step())
    return [found[number] for number in range(len(SOURCES))]


def only_state(attention: Tensor, pieces: Tensor | None = None) -> Any:
    @dataclass
    class State:
        attention: Tensor
        pieces: Tensor | None

    return State(attention, pieces)


def test_one_model_gives_what_it_gives_alone(models: list[Any]) -> None:
    assert translate(Ensemble(models[:1])) == translate(models[0])
    ensemble, ids = Ensemble(models[:1]), torch.tensor([[BOS], [BOS]])
    logits, state = ensemble.step(ids, ensemble.start(([0, 1],)))
    alone, alone_state = models[0].step(ids, models[0].start([0, 1]))
    assert torch.equal(logits, alone)
    assert torch.equal(state.attention, alone_state.attention)


def test_probabilities_are_averaged(models: list[Any]) -> None:
    ensemble = Ensemble(models)
    memory = tuple([3] for _ in models)
    logits, _ = ensemble.step(torch.tensor([[BOS]]), ensemble.start(memory))
    alone = [model.decoder.next_log_probs(3, []).exp() for model in models]
    torch.testing.assert_close(logits[0, 0].softmax(dim=0), (alone[0] + alone[1] + alone[2]) / 3)


def test_a_piece_that_no_float_could_hold_the_probability_of_keeps_its_logarithm(models: list[Any]) -> None:
    for model in models:
        model.decoder.table[:, :, 4] = -1000.0
    ensemble = Ensemble(models)
    logits, _ = ensemble.step(torch.tensor([[BOS]]), ensemble.start(tuple([0] for _ in models)))
    assert -1100 < logits.log_softmax(dim=-1)[0, 0, 4] < -900


def test_low_precision_logits_are_averaged_in_float32(models: list[Any]) -> None:
    for model in models:
        model.decoder.table = model.decoder.table.bfloat16()
    ensemble = Ensemble(models)
    logits, _ = ensemble.step(torch.tensor([[BOS]]), ensemble.start(tuple([0] for _ in models)))
    assert logits.dtype == torch.float32


def test_attention_is_averaged() -> None:
    state = EnsembleState((only_state(torch.tensor([[[0.5, 0.5]]])), only_state(torch.tensor([[[0.25, 0.75]]]))), 2)
    assert state.attention.tolist() == [[[0.375, 0.625]]]


def test_the_shortlist_is_that_of_the_models() -> None:
    pieces = torch.tensor([[0, 1, 2, 3, 9]])
    attention = torch.ones(1, 1, 1)
    assert EnsembleState((only_state(attention, pieces), only_state(attention, pieces)), 2).pieces is pieces
    assert EnsembleState((only_state(attention),), 1).pieces is None


def test_models_together_find_what_the_table_of_their_means_finds(models: list[Any], random_model: RandomModel) -> None:
    mean = random_model(5)
    mean.decoder.table = torch.stack([model.decoder.table.softmax(dim=2) for model in models]).mean(dim=0).log()
    together, expected = translate(Ensemble(models)), translate(mean)
    assert [[h.ids for h in found] for found in together] == [[h.ids for h in found] for found in expected]
    scores = [hypothesis.score for found in together for hypothesis in found]
    assert scores == pytest.approx([hypothesis.score for found in expected for hypothesis in found], rel=1e-5)


@pytest.mark.parametrize("batch_tokens", [1, 12, 40])
def test_sentences_together_come_and_go(models: list[Any], batch_tokens: int) -> None:
    assert translate(Ensemble(models), batch_tokens=batch_tokens) == translate(Ensemble(models))


def test_the_device_is_that_of_the_models(models: list[Any]) -> None:
    assert Ensemble(models).device == torch.device("cpu")


def test_a_model_without_attention_has_no_say_in_it() -> None:
    reads, reads_nothing = only_state(torch.tensor([[[0.25, 0.75]]])), only_state(torch.zeros(1, 1, 2))
    assert EnsembleState((reads_nothing, reads), 1).attention.tolist() == [[[0.25, 0.75]]]


VOCAB = 11
CONTEXTS = 89
SPECIALS = (PAD, UNK, BOS)


@dataclass(frozen=True)
class Read:
    """A number made of what each beam has read, [B, K]."""

    contexts: Tensor

    def select(self, parents: Tensor) -> "Read":
        return Read(self.contexts.gather(1, parents))

    def take(self, sentences: Tensor) -> "Read":
        return Read(self.contexts[sentences])

    def join(self, other: "Read") -> "Read":
        return Read(torch.cat([self.contexts, other.contexts]))


@dataclass(frozen=True)
class TableText:
    """A language model that reads its logits from a table [CONTEXTS, V], by all the pieces before."""

    table: Tensor

    def start(self, batch: int) -> Read:
        return Read(torch.zeros(batch, 1, dtype=torch.int64))

    def step(self, prev_ids: Tensor, state: Read) -> tuple[Tensor, Read]:
        contexts = (17 * state.contexts + prev_ids) % CONTEXTS
        return self.table[contexts], Read(contexts)

    def log_probability(self, pieces: tuple[int, ...]) -> float:
        """Sum the log-probabilities of pieces, as one who knows the table would; `</s>` stands before the first."""
        context, total = 0, 0.0
        for before, piece in itertools.pairwise((EOS, *pieces)):
            context = (17 * context + before) % CONTEXTS
            total += float(self.table[context].log_softmax(dim=0)[piece])
        return total


@pytest.fixture
def text_model() -> TableText:
    return TableText(2 * torch.randn(CONTEXTS, VOCAB, generator=torch.Generator().manual_seed(3)))


def search(model: Any, settings: SearchSettings, kind: Kind, *, sources: Any = SOURCES) -> list[list[Hypothesis]]:
    """Search the translations of sources, numbered from 0, all of them in one engine."""
    start = start_of(settings, kind)
    engine: Engine[Any, Any] = Engine(
        model, start, batch_tokens=settings.batch_tokens, reverse_source=False, beams=settings.beam_size
    )
    engine.add([Sentence(ids, number) for number, ids in enumerate(sources)])
    found: dict[int, list[Hypothesis]] = {}
    while engine.busy:
        found.update(engine.step())
    return [found[number] for number in range(len(sources))]


def translation_log_probability(model: Any, source: tuple[int, ...], pieces: tuple[int, ...]) -> float:
    sentence = sum(source) % 7
    parts = [model.decoder.next_log_probs(sentence, pieces[:i])[piece] for i, piece in enumerate(pieces)]
    return float(sum(parts))


WEIGHED = Kind(weighed=True)


@pytest.mark.parametrize("weight", [0.3, 1.0])
@pytest.mark.parametrize("source", [(4, 5), (6,)])
def test_a_wide_beam_finds_the_sums_that_all_translations_written_out_have(
    random_model: RandomModel, text_model: TableText, weight: float, source: tuple[int, ...]
) -> None:
    model, longest = random_model(5), 3
    model.decoder.table[:, :, 9:] = -math.inf  # pieces 4 to 8 only
    kind = replace(WEIGHED, n_best=5)
    # 10 steps more than the ratio says; the start function is told to take them back
    settings = SearchSettings(beam_size=60, length_penalty=0.5, batch_tokens=100_000)

    def start(sentences: Any, src_lengths: Tensor) -> Any:
        frontier: Any = start_of(settings, kind)(sentences, src_lengths)
        return replace(frontier, limits=replace(frontier.limits, longest=torch.full_like(src_lengths, longest)))

    fused = FusedModel(model, text_model, weight=weight)
    engine: Engine[Any, Any] = Engine(fused, start, batch_tokens=100_000, reverse_source=False, beams=60)
    engine.add([Sentence(source)])
    [(_, found)] = [one for _ in range(longest) for one in engine.step()]
    everything = [
        (*pieces, EOS) for length in range(longest) for pieces in itertools.product(range(4, 9), repeat=length)
    ] + list(itertools.product(range(4, 9), repeat=longest))  # those that come to no end are finished as they are
    sums = {
        pieces: translation_log_probability(model, source, pieces) + weight * text_model.log_probability(pieces)
        for pieces in everything
    }
    best = sorted(sums, key=lambda pieces: -sums[pieces] / ((5 + len(pieces)) / 6) ** 0.5)[:5]
    assert [one.ids for one in found] == [tuple(piece for piece in pieces if piece != EOS) for pieces in best]
    assert [one.log_probability for one in found] == pytest.approx([sums[pieces] for pieces in best], abs=1e-4)
    divided = [sums[pieces] / ((5 + len(pieces)) / 6) ** 0.5 for pieces in best]
    assert [one.score for one in found] == pytest.approx(divided, abs=1e-4)


def test_greedy_search_takes_the_best_sum_at_every_step(random_model: RandomModel, text_model: TableText) -> None:
    model = random_model(6)
    [[found]] = search(
        FusedModel(model, text_model, weight=0.5), SearchSettings(beam_size=1), WEIGHED, sources=[(7, 8)]
    )
    pieces: tuple[int, ...] = ()
    while len(pieces) < 14 and EOS not in pieces:
        sums = {
            piece: translation_log_probability(model, (7, 8), (*pieces, piece))
            + 0.5 * text_model.log_probability((*pieces, piece))
            for piece in range(VOCAB)
            if piece not in SPECIALS
        }
        pieces = (*pieces, max(sums, key=lambda piece: sums[piece]))
    assert found.ids == tuple(piece for piece in pieces if piece != EOS)
    assert found.log_probability == pytest.approx(sums[pieces[-1]], abs=1e-4)


def test_a_language_model_of_weight_zero_changes_nothing(random_model: RandomModel, text_model: TableText) -> None:
    settings = SearchSettings(beam_size=3)
    found = search(FusedModel(random_model(5), text_model, weight=0.0), settings, replace(WEIGHED, n_best=3))
    assert found == search(random_model(5), settings, Kind(n_best=3))


KINDS = {
    "beam": (SearchSettings(beam_size=3), replace(WEIGHED, n_best=3, with_attention=True)),
    "greedy": (SearchSettings(beam_size=1), WEIGHED),
    "coverage": (SearchSettings(beam_size=3, coverage_penalty=0.3, no_repeat_ngram=1), WEIGHED),
    "sampling": (SearchSettings(), replace(WEIGHED, n_best=4, sampling=Sampling(temperature=2.0, top_p=0.9))),
    "constrained": (SearchSettings(beam_size=3), replace(WEIGHED, constrained=True, n_best=2)),
}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("batch_tokens", [1, 12, 40])
def test_sentences_together_find_what_each_finds_alone(
    random_model: RandomModel, text_model: TableText, name: str, batch_tokens: int
) -> None:
    settings, kind = KINDS[name]
    model = FusedModel(random_model(5), text_model, weight=0.7)
    together = search(model, settings, kind)
    assert search(model, settings.model_copy(update={"batch_tokens": batch_tokens}), kind) == together
    assert [[one.ids for one in found] for found in together] != [
        [one.ids for one in found] for found in search(random_model(5), settings, replace(kind, weighed=False))
    ]


def test_samples_are_drawn_from_the_product_of_both(random_model: RandomModel, text_model: TableText) -> None:
    model = random_model(5)
    kind = replace(WEIGHED, n_best=4000, sampling=Sampling())
    settings = SearchSettings(max_length_ratio=0.01)
    [found] = search(FusedModel(model, text_model, weight=0.5), settings, kind, sources=[(6,)])
    sums = {
        piece: translation_log_probability(model, (6,), (piece,)) + 0.5 * text_model.log_probability((piece,))
        for piece in range(VOCAB)
        if piece not in SPECIALS
    }
    total = sum(map(math.exp, sums.values()))
    for piece, one in sums.items():
        share = sum((sample.ids[:1] or (EOS,)) == (piece,) for sample in found) / len(found)
        assert share == pytest.approx(math.exp(one) / total, abs=0.03)


def test_an_ensemble_is_one_translation_model(random_model: RandomModel, text_model: TableText) -> None:
    settings, kind = KINDS["beam"]
    alone = search(FusedModel(random_model(5), text_model, weight=0.7), settings, kind)
    together = search(FusedModel(Ensemble([random_model(5), random_model(5)]), text_model, weight=0.7), settings, kind)
    assert [[one.ids for one in found] for found in together] == [[one.ids for one in found] for found in alone]


@dataclass(frozen=True)
class Shortlisted:
    """A model that scores some pieces only."""

    model: Any
    pieces: Tensor

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    def encode(self, src: Any) -> Any:
        return self.model.encode(src)

    def start(self, memory: Any) -> Any:
        return ShortlistedState(self.model.start(memory), self.pieces.expand(len(memory), -1))

    def step(self, prev_ids: Tensor, state: Any) -> tuple[Tensor, Any]:
        logits, after = self.model.step(prev_ids, state.state)
        return logits[:, :, self.pieces], ShortlistedState(after, state.pieces)


@dataclass(frozen=True)
class ShortlistedState:
    state: Any
    pieces: Tensor

    @property
    def attention(self) -> Tensor:
        attention: Tensor = self.state.attention
        return attention

    def select(self, parents: Tensor) -> "ShortlistedState":
        return ShortlistedState(self.state.select(parents), self.pieces)


def test_of_a_shortlist_the_pieces_listed_are_scored(random_model: RandomModel, text_model: TableText) -> None:
    model, pieces = random_model(5), torch.tensor([0, 1, 2, 3, 6, 9])
    fused = FusedModel(Shortlisted(model, pieces), text_model, weight=0.5)
    scores, state = fused.step(torch.tensor([[BOS]]), fused.start([3]))
    text = torch.tensor([text_model.log_probability((int(piece),)) for piece in pieces])
    among = model.decoder.table[3, BOS % 97, pieces].log_softmax(dim=0)
    torch.testing.assert_close(scores[0, 0], among + 0.5 * text)
    assert state.pieces.tolist() == [pieces.tolist()]
    assert places(torch.tensor([[6]]), state.pieces).tolist() == [[4]]
    scores, _ = fused.step(torch.tensor([[6]]), state)
    text = torch.tensor([text_model.log_probability((6, int(piece))) for piece in pieces]) - text[4]
    torch.testing.assert_close(
        scores[0, 0], model.decoder.next_log_probs(3, [6])[pieces].log_softmax(dim=0) + 0.5 * text
    )


def test_low_precision_logits_are_summed_in_float32(random_model: RandomModel, text_model: TableText) -> None:
    model = random_model(5)
    model.decoder.table = model.decoder.table.bfloat16()
    fused = FusedModel(model, TableText(text_model.table.bfloat16()), weight=0.5)
    assert fused.step(torch.tensor([[BOS]]), fused.start([0]))[0].dtype == torch.float32


def test_a_recorder_finds_the_tensors_of_both_states(random_model: RandomModel, text_model: TableText) -> None:
    fused = FusedModel(random_model(5), text_model, weight=0.5)
    state = fused.start([0, 1])
    tensors = tensors_of(state)
    assert any(tensor is state.text.contexts for tensor in tensors)
    assert any(tensor is state.translation.contexts for tensor in tensors)
    assert with_tensors(state, tensors) == state
