import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nmt.search.beam import Beams
from nmt.search.constrained import ConstrainedBeams, Required
from nmt.search.forbidden import ForbiddenWords
from nmt.search.frontier import Limits
from nmt.search.protocol import Hypothesis
from nmt.search.rules import Forbidden, Prefix, Scoring
from nmt.text.vocab import EOS
from tests.nmt.search.alone import beam_search, run

RandomDecoder = Callable[..., Any]
Sequences = list[list[int]]
SEARCHES = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
A, B, C = 4, 5, 6
SEQUENCES = st.lists(st.lists(st.integers(A, C), min_size=1, max_size=3), max_size=3)


def begun(
    limits: Limits, required: Sequence[Sequences], *, beams: int, alpha: float = 1.0, n_best: int = 1
) -> ConstrainedBeams:
    plain = Beams.start(limits, beam_size=beams, n_best=n_best, scoring=Scoring(alpha))
    return ConstrainedBeams.of(plain, list(map(Required, required)))


def search(
    decoder: Any,
    sentences: Sequence[int],
    required: Sequence[Sequences],
    *,
    limits: Limits,
    beams: int,
    alpha: float = 1.0,
    n_best: int = 1,
) -> list[list[Hypothesis]]:
    frontier = begun(limits, required, beams=beams, alpha=alpha, n_best=n_best)
    with torch.inference_mode():
        return run(decoder, decoder.start(sentences), frontier)


def limits_of(*longest: int) -> Limits:
    return Limits.start(torch.tensor(longest))


def occurrences(pieces: Sequence[int], sequence: Sequence[int]) -> int:
    """Count how often a sequence comes, each time behind the last."""
    count = place = 0
    while place + len(sequence) <= len(pieces):
        if list(pieces[place : place + len(sequence)]) == list(sequence):
            count += 1
            place += len(sequence)
        else:
            place += 1
    return count


def contains(pieces: Sequence[int], required: Sequences) -> bool:
    return all(occurrences(pieces, sequence) >= required.count(sequence) for sequence in required)


def all_hypotheses(decoder: Any, *, limit: int, vocab_size: int, alpha: float) -> list[tuple[float, tuple[int, ...]]]:
    """List everything that can be said within `limit` steps with its score, the best first."""
    found = []
    for length in range(limit + 1):
        for pieces in itertools.product(range(A, vocab_size), repeat=length):
            produced = pieces if length == limit else (*pieces, EOS)
            total = sum(decoder.next_log_probs(0, pieces[:i])[piece].item() for i, piece in enumerate(produced))
            found.append((total / math.pow((5 + len(produced)) / 6, alpha), pieces))
    return sorted(found, reverse=True)


@pytest.mark.parametrize("alpha", [0.0, 1.0, 3.0])
@pytest.mark.parametrize(
    "required",
    [[[A]], [[A], [A]], [[A, B]], [[A, B], [C]], [[A, A, B]], [[A, B], [B, C]], [[A, A], [A, A]], [[B], [C, B], [B]]],
    ids=str,
)
def test_a_beam_as_wide_as_the_language_finds_the_best_that_contain_what_is_required(
    random_decoder: RandomDecoder, required: Sequences, alpha: float
) -> None:
    decoder = random_decoder(11, vocab_size=7)
    everything = all_hypotheses(decoder, limit=4, vocab_size=7, alpha=alpha)
    expected = [(score, pieces) for score, pieces in everything if contains(pieces, required)]
    assert 0 < len(expected) < len(everything)
    [found] = search(decoder, [0], [required], limits=limits_of(4), beams=121, alpha=alpha, n_best=121)
    assert [hypothesis.ids for hypothesis in found] == [pieces for _, pieces in expected]
    assert [hypothesis.score for hypothesis in found] == pytest.approx([score for score, _ in expected], rel=1e-5)
    [best] = search(decoder, [0], [required], limits=limits_of(4), beams=121, alpha=alpha)
    assert best == found[:1]


@given(seed=st.integers(0, 2**32), required=SEQUENCES, beams=st.integers(1, 6), spare=st.integers(0, 3))
@SEARCHES
def test_what_is_required_is_found_by_any_beam_as_soon_as_there_are_steps_enough(
    random_decoder: RandomDecoder, seed: int, required: Sequences, beams: int, spare: int
) -> None:
    decoder = random_decoder(seed, vocab_size=12)
    limit = max(1, sum(map(len, required)) + spare)
    [found] = search(decoder, [0], [required], limits=limits_of(limit), beams=beams, n_best=beams)
    assert found
    assert all(contains(hypothesis.ids, required) for hypothesis in found)
    scores = [hypothesis.score for hypothesis in found]
    assert scores == sorted(scores, reverse=True)
    assert len({hypothesis.ids for hypothesis in found}) == len(found)
    for hypothesis in found:
        produced = hypothesis.ids if len(hypothesis.ids) == limit else (*hypothesis.ids, EOS)
        total = sum(decoder.next_log_probs(0, produced[:i])[piece].item() for i, piece in enumerate(produced))
        assert hypothesis.log_probability == pytest.approx(total, rel=1e-4)


@given(
    seed=st.integers(0, 2**32),
    levels=st.sampled_from([0, 3]),
    vocab_size=st.sampled_from([5, 9, 300]),
    beams=st.integers(1, 5),
    alpha=st.sampled_from([0.0, 1.0]),
)
@SEARCHES
def test_where_nothing_is_required_it_is_beam_search(
    random_decoder: RandomDecoder, seed: int, levels: int, vocab_size: int, beams: int, alpha: float
) -> None:
    decoder = random_decoder(seed, vocab_size=vocab_size, sentences=3, levels=levels)
    limits, n_best = limits_of(6, 1, 9), (beams + 1) // 2
    found = search(decoder, range(3), [[], [], []], limits=limits, beams=beams, alpha=alpha, n_best=n_best)
    assert found == beam_search(
        decoder, decoder.start(range(3)), limits=limits, beam_size=beams, scoring=Scoring(alpha), n_best=n_best
    )


@given(
    seed=st.integers(0, 2**32),
    order=st.permutations(range(6)),
    size=st.integers(1, 6),
    required=st.lists(SEQUENCES, min_size=6, max_size=6),
)
@SEARCHES
def test_a_sentence_alone_and_in_any_company_is_the_same(
    random_decoder: RandomDecoder, seed: int, order: list[int], size: int, required: list[Sequences]
) -> None:
    decoder = random_decoder(seed, vocab_size=12, sentences=6)
    longest = [1, 3, 6, 9, 12, 12]
    company = order[:size]
    limits = limits_of(*(longest[i] for i in company))
    together = search(decoder, company, [required[i] for i in company], limits=limits, beams=3, n_best=3)
    for i, got in zip(company, together, strict=True):
        assert got == search(decoder, [i], [required[i]], limits=limits_of(longest[i]), beams=3, n_best=3)[0]


def test_sentences_that_come_and_go_find_what_they_find_alone(random_decoder: RandomDecoder) -> None:
    decoder = random_decoder(3, vocab_size=30, sentences=3)
    required = [[[A, B]], [[C], [A]], [[B, B, A]]]

    def grow(frontier: Any, state: Any) -> tuple[Any, Any]:
        logits, state = decoder.step(frontier.ids, state)
        frontier, parents = frontier.grow(logits, state)
        return frontier, state.select(parents)

    def begin(*numbers: int) -> tuple[Any, Any]:
        wanted = [required[number] for number in numbers]
        limits = limits_of(*[7] * len(numbers))
        return grow(begun(limits, wanted, beams=4, n_best=2), decoder.start(numbers))

    frontier, state = grow(*begin(0, 1))
    late, late_state = begin(2)
    rest = torch.tensor([1])
    found = run(decoder, state.take(rest).join(late_state), frontier.take(rest).join(late))
    alone = [search(decoder, [i], [required[i]], limits=limits_of(7), beams=4, n_best=2)[0] for i in (1, 2)]
    assert found == alone


def test_where_steps_are_too_few_those_that_have_met_most_are_returned(random_decoder: RandomDecoder) -> None:
    decoder = random_decoder(1, vocab_size=20)
    [found] = search(decoder, [0], [[[A, B], [C]]], limits=limits_of(2), beams=4, n_best=4)
    assert {hypothesis.ids for hypothesis in found} <= {(A, B), (A, C), (C, A)}
    assert len(found) > 1
    assert found[0].score == max(hypothesis.score for hypothesis in found)


def test_the_prefix_counts_and_what_is_forbidden_stays_out(random_decoder: RandomDecoder) -> None:
    decoder = random_decoder(1, vocab_size=9)
    prefix = Prefix(torch.tensor([[A, B]]), torch.tensor([2]))
    longest = torch.tensor([8])
    table = ForbiddenWords(["三一"], ["", "", "", "", *"一二三四五"], longest.device)  # C A
    limits = Limits.start(longest, torch.tensor([3]), (Forbidden(table, longest), prefix))
    [found] = search(decoder, [0], [[[A, B], [C], [A]]], limits=limits, beams=4, n_best=4)
    assert found
    for hypothesis in found:
        assert hypothesis.ids[:2] == (A, B)
        assert C in hypothesis.ids
        assert occurrences(hypothesis.ids, [C, A]) == 0
        assert len(hypothesis.ids) >= 3


class ShortState:
    """A state whose logits score few pieces."""

    def __init__(self, state: Any) -> None:
        self.state = state

    pieces = torch.tensor([[0, 1, 2, EOS, B, 7]])

    @property
    def attention(self) -> Any:
        return self.state.attention

    def select(self, parents: Any) -> "ShortState":
        return ShortState(self.state.select(parents))


def test_required_pieces_are_looked_up_in_the_shortlist(random_decoder: RandomDecoder) -> None:
    decoder = random_decoder(1, vocab_size=9)

    class Short:
        def step(self, prev_ids: Any, state: Any) -> tuple[Any, ShortState]:
            logits, state = decoder.step(prev_ids, state.state)
            return logits[:, :, ShortState.pieces[0]], ShortState(state)

    [[found]] = run(Short(), ShortState(decoder.start([0])), begun(limits_of(5), [[[7, B, 7]]], beams=3))
    assert occurrences(found.ids, [7, B, 7]) == 1
    assert set(found.ids) <= {B, 7}


def followed(required: Required, *pieces: int) -> tuple[int, set[int]]:
    """Tell how much has been met by `pieces`, and what is needed next."""
    progress = required.begin
    for piece in pieces:
        progress = required.advance(progress, piece)
    return required.met(progress), required.needed(progress)


def test_a_sequence_that_breaks_off_starts_again_with_what_begins_it_anew() -> None:
    required = Required([[A, A, B]])
    assert followed(required) == (0, {A})
    assert followed(required, A, A) == (2, {B})
    assert followed(required, A, A, A) == (2, {B})
    assert followed(required, A, A, C) == (0, {A})
    assert followed(required, A, A, B) == followed(required, A, A, B, C) == (3, set())


def test_what_is_required_twice_has_to_come_twice() -> None:
    required = Required([[A, B], [A, B]])
    assert required.total == 4
    assert followed(required, A, B) == followed(required, A, B, C) == (2, {A})
    assert followed(required, A, B, A) == (3, {B})
    assert followed(required, A, B, A, B) == (4, set())


def test_of_sequences_that_begin_alike_the_longest_part_counts() -> None:
    required = Required([[A, B], [A, C]])
    assert followed(required, A) == (1, {B, C})
    assert followed(required, A, B) == (2, {A})
    assert followed(required, A, B, A) == (3, {C})


def test_a_sequence_that_the_next_piece_continues_is_not_met() -> None:
    required = Required([[A, B]], {C})
    assert followed(required, A, B) == followed(required, A, B, A) == (2, set())
    assert followed(required, A, B, C) == (0, {A})
    assert followed(required, A, B, C, A) == (1, {B})
    assert followed(required, A, B, A, C) == (2, set())
    assert followed(required, C, A, B) == (2, set())


def test_what_a_continued_sequence_ends_in_may_begin_it_anew() -> None:
    required = Required([[A, B, A]], {B})
    assert followed(required, A, B, A) == (3, set())
    assert followed(required, A, B, A, B) == (2, {A})
    assert followed(required, A, B, A, B, A) == (3, set())


def test_of_two_occurrences_only_the_continued_one_is_lost() -> None:
    required = Required([[A], [A]], {C})
    assert followed(required, A, A) == (2, set())
    assert followed(required, A, A, C) == (1, {A})
    assert followed(required, A, C, A) == (1, {A})


def test_what_opens_a_text_begins_a_sequence_too() -> None:
    required = Required([[A, B, A], [B]], opening={C: A})
    assert followed(required, C, B, A) == (4, set())
    assert followed(required, A, B, C) == (2, {B})


def test_sequences_without_pieces_or_with_an_end_are_refused() -> None:
    for sequences in ([[A], []], [[A, EOS]]):
        with pytest.raises(ValueError, match=r"^a required sequence has at least one piece, and none of its pieces is"):
            Required(sequences)


def test_what_is_copied_stays_met_whatever_piece_follows_it() -> None:
    for copied, met in ((frozenset[int](), 0), (frozenset({4}), 1)):
        required = Required([[4]], continuing=frozenset({5}), copied=copied)
        progress = required.advance(required.advance(required.begin, 4), 5)
        assert required.met(progress) == met
