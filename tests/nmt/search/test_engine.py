import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from nmt.batching import SourceBatch
from nmt.errors import ModelError
from nmt.search.beam import Beams
from nmt.search.engine import Engine
from nmt.search.frontier import Frontier, Limits
from nmt.search.greedy import Greedy
from nmt.search.protocol import Hypothesis, Sentence
from nmt.search.rules import Scoring
from nmt.text.vocab import EOS
from tests.nmt.search.alone import beam_search

RandomDecoder = Callable[..., Any]
SEARCHES = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
LENGTHS = (3, 1, 7, 2, 2, 12, 4, 1, 0, 5, 9, 2)
"""Pieces of each sentence of the decoder."""
STEPS = (6, 1, 4, 9, 2, 12, 3, 5, 1, 7, 8, 2)
"""Steps that each sentence may take."""


@dataclass
class TableModel:
    """Translates a source by the random table that its last id but `</s>` names; an empty one by that of sentence 8."""

    decoder: Any
    encoded: list[Tensor] = field(default_factory=list)
    steps: list[tuple[int, int, int]] = field(default_factory=list)
    """Sentences, beams and the longest source of each step but the first ones."""

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    def encode(self, src: SourceBatch) -> list[int]:
        self.encoded.append(src.ids)
        lengths = src.lengths.tolist()
        return [8 if n == 1 else int(row[n - 2]) - 4 for row, n in zip(src.ids, lengths, strict=True)]

    def start(self, memory: list[int]) -> Any:
        return self.decoder.start(memory)

    def step(self, prev_ids: Tensor, state: Any) -> tuple[Tensor, Any]:
        if len(state.contexts.unique()) > 1 or state.contexts.any():  # not the first step
            self.steps.append((*prev_ids.shape, int(state.sizes.max())))
        logits, state = self.decoder.step(prev_ids, state)
        return logits, state


def sentence_of(number: int) -> Sentence:
    return Sentence((4 + number,) * LENGTHS[number], number)


ALL = [sentence_of(number) for number in range(len(LENGTHS))]


def begin(sentences: Sequence[Sentence], src_lengths: Tensor, *, beam_size: int = 2, beta: float = 0.0) -> Frontier:
    limits = Limits.start(torch.tensor([STEPS[sentence.number] for sentence in sentences]))
    scoring = Scoring(0.6, beta)
    if beam_size == 1:
        return Greedy.start(limits, scoring=scoring, with_attention=True)
    return Beams.start(
        limits, beam_size=beam_size, n_best=2, scoring=scoring, src_lengths=src_lengths, with_attention=True
    )


def engine_of(
    model: TableModel, *, batch_tokens: int = 60, reverse_source: bool = False, right_to_left: bool = False, **kind: Any
) -> Engine[list[int], Any]:
    def start(sentences: Sequence[Sentence], src_lengths: Tensor) -> Frontier:
        return begin(sentences, src_lengths, **kind)

    directions = {"reverse_source": reverse_source, "right_to_left": right_to_left}
    return Engine(model, start, batch_tokens=batch_tokens, **directions)


def found_by(engine: Engine[list[int], Any]) -> dict[int, list[Hypothesis]]:
    found: dict[int, list[Hypothesis]] = {}
    while engine.busy:
        for number, hypotheses in engine.step():
            assert number not in found
            found[number] = hypotheses
    return found


def model_of(random_decoder: RandomDecoder, *, seed: int = 5, end: float = 0.0) -> TableModel:
    sizes = [length + 1 for length in LENGTHS]
    decoder = random_decoder(seed, vocab_size=11, sentences=len(LENGTHS), sizes=sizes)
    decoder.table[:, :, EOS] += end
    return TableModel(decoder)


@pytest.fixture
def model(random_decoder: RandomDecoder) -> TableModel:
    return model_of(random_decoder)


def assert_same(found: Sequence[Hypothesis], expected: Sequence[Hypothesis]) -> None:
    assert found == expected
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one.attention, other.attention)


@given(
    seed=st.integers(0, 2**32),
    beam_size=st.integers(2, 3),
    end=st.sampled_from([-2.0, 0.0, 3.0]),
    batch_tokens=st.sampled_from([1, 20, 60, 200, 4000]),
    arrivals=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5)), max_size=8),
    order=st.permutations(range(len(LENGTHS))),
)
@SEARCHES
def test_whenever_sentences_arrive_they_get_what_beam_search_alone_gives_them(
    random_decoder: RandomDecoder,
    seed: int,
    beam_size: int,
    end: float,
    batch_tokens: int,
    arrivals: list[tuple[int, int]],
    order: list[int],
) -> None:
    model = model_of(random_decoder, seed=seed, end=end)
    engine = engine_of(model, batch_tokens=batch_tokens, beam_size=beam_size)
    waiting, found = [ALL[number] for number in order], {}
    for count, steps in arrivals:
        engine.add(waiting[:count])
        del waiting[:count]
        for _ in range(steps):
            found.update(engine.step())
    engine.add(waiting)
    found.update(found_by(engine))
    assert sorted(found) == list(range(len(LENGTHS)))
    for number, hypotheses in found.items():
        [expected] = beam_search(
            model.decoder,
            model.decoder.start([number]),
            limits=Limits.start(torch.tensor([STEPS[number]])),
            beam_size=beam_size,
            scoring=Scoring(0.6),
            n_best=2,
        )
        assert hypotheses == expected


@pytest.mark.parametrize("beta", [0.0, 0.3])
@pytest.mark.parametrize("beam_size", [1, 2, 3])
def test_scores_and_attention_do_not_depend_on_the_company(
    random_decoder: RandomDecoder, beam_size: int, beta: float
) -> None:
    model = model_of(random_decoder, end=1.0)
    alone = {}
    for sentence in ALL:
        engine = engine_of(model, beam_size=beam_size, beta=beta)
        engine.add([sentence])
        alone |= found_by(engine)
    rng = random.Random(1)
    for _ in range(60):
        engine = engine_of(model, batch_tokens=rng.choice([1, 30, 100, 1000]), beam_size=beam_size, beta=beta)
        engine.add(rng.sample(ALL, len(ALL)))
        for number, hypotheses in found_by(engine).items():
            assert_same(hypotheses, alone[number])


@pytest.mark.parametrize("beam_size", [1, 2])
def test_what_is_written_from_right_to_left_is_turned_around_with_its_attention(
    random_decoder: RandomDecoder, beam_size: int
) -> None:
    model = model_of(random_decoder, end=1.0)
    usual, turned = (engine_of(model, right_to_left=turns, beam_size=beam_size) for turns in (False, True))
    for engine in (usual, turned):
        engine.add(ALL)
    expected, found = found_by(usual), found_by(turned)
    assert any(len(one.ids) > 2 for some in expected.values() for one in some)
    for number, hypotheses in expected.items():
        around = [replace(one, ids=one.ids[::-1], attention=one.attention.flip(0)) for one in hypotheses]
        assert_same(found[number], around)


def test_looking_less_often_who_is_over_changes_nothing(model: TableModel) -> None:
    every, seldom = engine_of(model), engine_of(model)
    seldom._steps_at_once = 5
    for engine in (every, seldom):
        engine.add(ALL)
    expected, found = found_by(every), found_by(seldom)
    assert found.keys() == expected.keys()
    for number, hypotheses in found.items():
        assert_same(hypotheses, expected[number])


def test_those_under_way_keep_to_the_budget_but_for_one_alone(model: TableModel) -> None:
    engine = engine_of(model, batch_tokens=40)
    engine.add(ALL)
    assert len(found_by(engine)) == len(ALL)
    assert any(rows > 2 for rows, _, _ in model.steps)
    assert all(beams == 2 for _, beams, _ in model.steps)
    for rows, beams, longest in model.steps:
        assert rows == 1 or rows * beams * longest <= 40


def test_a_sentence_enters_when_another_leaves(model: TableModel) -> None:
    model.decoder.table[:, :, EOS] = -99.0  # each takes all its steps
    engine = engine_of(model, batch_tokens=2 * 2 * 4)
    engine.add([ALL[0], ALL[1], ALL[3]])  # 6, 1 and 9 steps; the first of each is made before it has to wait
    ended = []
    for _ in range(11):
        ended.append([number for number, _ in engine.step()])
    # 1 is over after a step that it makes beside 0 in vain; then 3 comes in
    assert ended == [[1], [], [], [], [0], [], [], [], [3], [], []]
    assert [rows for rows, _, _ in model.steps] == [2] * 5 + [1] * 4
    assert not engine.busy


def test_no_one_starves_behind_those_that_fit_better(model: TableModel) -> None:
    model.decoder.table[:, :, EOS] = -99.0
    engine = engine_of(model, batch_tokens=16)
    engine.add([ALL[3], ALL[5], *[ALL[1]] * 20])  # 5 fits in with nobody
    order = []
    while engine.busy:
        order += [number for number, _ in engine.step()]
    assert order[:2] == [3, 5]
    assert order[2:] == [1] * 20


def test_results_come_under_the_numbers_that_their_sentences_have(model: TableModel) -> None:
    def start(sentences: Sequence[Sentence], src_lengths: Tensor) -> Frontier:
        return Greedy.start(Limits.start(src_lengths + 5), scoring=Scoring())

    found = []
    for numbers in ((7, 7000), (-1, 3)):
        engine = Engine(model, start, batch_tokens=100, reverse_source=False)
        engine.add([Sentence((4,), numbers[0]), Sentence((5, 5), numbers[1])])
        results = found_by(engine)
        assert set(results) == set(numbers)
        found.append([results[number] for number in numbers])
    assert found[0] == found[1]
    assert found[0][0] != found[0][1]


def test_so_many_sentences_are_added_together_that_they_have_4096_positions_and_1024_beams(model: TableModel) -> None:
    engine = engine_of(model)
    assert [engine.at_once(pieces) for pieces in (0, 31, 32, 127, 5000)] == [128, 128, 124, 32, 1]
    engine = Engine(model, begin, batch_tokens=100, reverse_source=False, beams=100)
    assert [engine.at_once(pieces) for pieces in (0, 127, 1000)] == [10, 10, 4]


def test_it_is_hungry_until_enough_wait_and_busy_until_all_are_over(model: TableModel) -> None:
    engine = engine_of(model, batch_tokens=1)
    assert engine.hungry
    assert not engine.busy
    assert engine.step() == []
    engine.add([ALL[0]])
    assert engine.busy
    assert not engine.hungry
    engine.step()
    assert engine.hungry  # none waits any more
    assert found_by(engine).keys() == {0}
    assert not engine.busy
    assert engine.step() == []


@pytest.mark.parametrize("beam_size", [1, 2])
def test_the_attention_of_no_pieces_is_as_wide_as_the_source(model: TableModel, beam_size: int) -> None:
    model.decoder.table[:, :, EOS] = 50.0
    engine = engine_of(model, beam_size=beam_size)
    engine.add([ALL[0], ALL[8]])
    found = found_by(engine)
    assert [found[number][0].attention.shape for number in (0, 8)] == [(0, 3), (0, 0)]


@pytest.mark.parametrize("reverse_source", [False, True])
@pytest.mark.parametrize("beam_size", [1, 2])
def test_attention_is_in_the_order_of_reading_without_end_and_padding(
    model: TableModel, reverse_source: bool, beam_size: int
) -> None:
    engine = engine_of(model, reverse_source=reverse_source, beam_size=beam_size)
    engine.add(ALL)
    for number, hypotheses in found_by(engine).items():
        for hypothesis in hypotheses:
            pieces = LENGTHS[number]
            assert hypothesis.attention is not None
            assert hypothesis.attention.shape == (len(hypothesis.ids), pieces)
            for step, row in enumerate(hypothesis.attention):
                expected = model.decoder.next_attention(number, hypothesis.ids[:step])[:pieces]
                assert torch.equal(row, expected.flip(0) if reverse_source else expected)


@pytest.mark.parametrize("beam_size", [1, 2])
def test_a_model_that_gives_no_numbers_is_refused(model: TableModel, beam_size: int) -> None:
    model.decoder.table[:] = math.nan
    engine = engine_of(model, beam_size=beam_size)
    engine.add(ALL[:3])
    message = r"^the model gives scores that are not finite numbers; its weights cannot be used$"
    with pytest.raises(ModelError, match=message):
        found_by(engine)


@pytest.mark.parametrize(("device", "tokens"), [("cpu", 8000), ("cuda", 64_000)])
def test_a_budget_of_zero_is_what_suits_the_device(device: str, tokens: int) -> None:
    model: Any = SimpleNamespace(device=torch.device(device))
    recorder: Any = SimpleNamespace()  # no graphs without a GPU
    start: Any = Greedy
    engine: Engine[Any, Any] = Engine(model, start, batch_tokens=0, reverse_source=False, recorder=recorder)
    assert engine._batch_tokens == tokens
