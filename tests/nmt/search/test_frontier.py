import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from nmt.models.tensors import tensors_of
from nmt.search.frontier import Candidates, Limits, Written, best_candidates, best_pieces, forbidding, piece_ids
from nmt.search.greedy import Greedy
from nmt.search.protocol import Hypothesis
from nmt.search.rules import Scoring
from nmt.text.vocab import BOS, EOS, PAD, UNK
from tests.nmt.search.alone import run

RandomDecoder = Callable[..., Any]


@dataclass(frozen=True)
class OnlyPieces:
    """A state of which only the shortlist is looked at."""

    pieces: Tensor | None


@dataclass(frozen=True)
class Never:
    """A rule for each of B sentences: its piece may not come once so many are written."""

    piece: Tensor
    after: Tensor

    def apply(self, log_probs: Tensor, *, pieces: Tensor | None, written: Tensor, lengths: Tensor) -> None:
        assert pieces is None or pieces.shape == (len(log_probs), log_probs.shape[2])
        assert written.shape[:2] == log_probs.shape[:2]
        for row, (piece, after) in enumerate(zip(self.piece.tolist(), self.after.tolist(), strict=True)):
            if lengths[row] >= after:
                log_probs[row, :, piece] = -math.inf

    def take(self, sentences: Tensor) -> "Never":
        return Never(self.piece[sentences], self.after[sentences])

    def join(self, other: "Never") -> "Never":
        return Never(torch.cat([self.piece, other.piece]), torch.cat([self.after, other.after]))


def limits_of(longest: list[int], shortest: list[int] | None = None, **more: Any) -> Limits:
    return Limits.start(torch.tensor(longest), None if shortest is None else torch.tensor(shortest), **more)


def possible(limits: Limits, *, vocab_size: int = 6, state: Any = OnlyPieces(None)) -> list[list[int]]:
    """List what may come next in each sentence."""
    batch = len(limits.longest)
    written = Written.start(limits.longest, with_attention=False)
    log_probs = limits.log_probs(torch.zeros(batch, 1, vocab_size), state, written)
    return [[piece for piece in range(vocab_size) if row[piece] > -math.inf] for row in log_probs[:, 0].tolist()]


def test_weighed_scores_stay_as_they_are_but_for_what_may_never_come() -> None:
    scores = torch.tensor([[[-1.0, -1.0, -1.0, -1.0, -2.5, -7.0]]])
    limits = limits_of([9], weighed=True)
    for one in (
        limits,
        limits.take(torch.tensor([0])),
        limits_of([4], weighed=True).join(limits).take(torch.tensor([1])),
    ):
        written = Written.start(one.longest, with_attention=False)
        found = one.log_probs(scores.clone(), OnlyPieces(None), written)
        assert found.tolist() == [[[-math.inf, -math.inf, -math.inf, -1.0, -2.5, -7.0]]]


def test_steps_are_counted_up_to_the_last_one_allowed() -> None:
    limits = limits_of([1, 3])
    counts = []
    for _ in range(4):
        limits = limits.step()
        counts.append(limits.lengths.tolist())
    assert counts == [[1, 1], [1, 2], [1, 3], [1, 3]]


def test_only_the_steps_of_sentences_that_go_on_are_counted() -> None:
    assert limits_of([3, 3]).step(torch.tensor([True, False])).lengths.tolist() == [1, 0]


def test_an_end_may_come_once_the_shortest_length_is_written() -> None:
    limits = limits_of([9, 9], [0, 2])
    found = [possible(limits), possible(limits.step()), possible(limits.step().step())]
    assert found == [[[EOS, 4, 5], [4, 5]], [[EOS, 4, 5], [4, 5]], [[EOS, 4, 5], [EOS, 4, 5]]]


def test_a_shortest_length_leaves_the_last_step_to_the_end() -> None:
    limits = limits_of([2], [7])
    assert limits.shortest.tolist() == [1]
    assert possible(limits.step()) == [[EOS, 4, 5]]


def test_what_may_never_come_is_pad_unk_and_bos_unless_said_otherwise() -> None:
    assert possible(limits_of([5])) == [[EOS, 4, 5]]
    assert possible(limits_of([5], never=(PAD, BOS))) == [[UNK, EOS, 4, 5]]


def test_log_probabilities_are_those_of_all_pieces_whether_possible_or_not() -> None:
    limits = limits_of([5], [1])
    written = written_of(5, beams=2)
    log_probs = limits.log_probs(torch.zeros(1, 2, 8), OnlyPieces(None), written)
    assert log_probs[0, :, 4:].tolist() == [pytest.approx([math.log(1 / 8)] * 4)] * 2


def test_rules_hold_for_their_own_sentences_and_come_and_go_with_them() -> None:
    rule = Never(torch.tensor([4, 5]), torch.tensor([0, 1]))
    limits = limits_of([5, 5], rules=[rule])
    assert possible(limits) == [[EOS, 5], [EOS, 4, 5]]
    assert possible(limits.step()) == [[EOS, 5], [EOS, 4]]
    assert possible(limits.step().take(torch.tensor([1]))) == [[EOS, 4]]
    others = limits_of([5], rules=[Never(torch.tensor([4]), torch.tensor([0]))])
    assert possible(limits.step().join(others)) == [[EOS, 5], [EOS, 4], [EOS, 5]]


def test_rules_are_told_the_shortlist() -> None:
    rule = Never(torch.tensor([4]), torch.tensor([0]))
    assert possible(limits_of([5], rules=[rule]), state=OnlyPieces(torch.arange(6)[None])) == [[EOS, 5]]


def test_limits_leave_and_join_with_their_sentences() -> None:
    limits = limits_of([3, 4, 5], [0, 1, 2], never=(PAD,)).step(torch.tensor([False, True, True]))
    kept = limits.take(torch.tensor([2, 0]))
    assert [part.tolist() for part in tensors_of(kept)] == [[1, 0], [2, 0], [5, 3]]
    both = kept.join(limits_of([7], [0], never=(PAD,)))
    assert [part.tolist() for part in tensors_of(both)] == [[1, 0, 0], [2, 0, 0], [5, 3, 7]]
    assert kept.never == both.never == (PAD,)


def test_places_among_the_logits_become_pieces() -> None:
    chosen = torch.tensor([[0, 2], [2, 1]])
    assert piece_ids(chosen, OnlyPieces(None)) is chosen
    assert piece_ids(chosen, OnlyPieces(torch.tensor([[3, 9, 20], [3, 7, 8]]))).tolist() == [[3, 20], [8, 7]]


def test_a_search_goes_on_until_every_sentence_is_over_and_no_longer(random_decoder: RandomDecoder) -> None:
    decoder = random_decoder(1, vocab_size=9, sentences=3)
    decoder.table[:, :, EOS] = -99.0
    frontier = Greedy.start(limits_of([1, 4, 2]), scoring=Scoring())
    found = run(decoder, decoder.start([0, 1, 2]), frontier)
    assert [len(hypothesis.ids) for [hypothesis] in found] == [1, 4, 2]
    assert decoder.steps == [(3, 1)] * 4


def test_where_rules_leave_no_piece_the_end_may_come() -> None:
    nothing_but_end = tuple(Never(torch.tensor([piece, 0]), torch.tensor([0, 0])) for piece in (EOS, 4, 5))
    limits = limits_of([9, 9], [3, 3], rules=nothing_but_end)
    assert possible(limits) == [[EOS], [4, 5]]


def test_pad_unk_and_bos_are_impossible_and_keep_their_probability() -> None:
    log_probs = forbidding(torch.zeros(2, 5).log_softmax(dim=1))
    assert log_probs[1, :3].tolist() == [-math.inf] * 3
    torch.testing.assert_close(log_probs[:, 3:].exp(), torch.full((2, 2), 0.2))


def test_low_precision_logits_are_normalised_in_float32() -> None:
    limits = Limits.start(torch.tensor([9]))
    written = Written.start(limits.longest, with_attention=False)
    log_probs = limits.log_probs(torch.zeros(1, 1, 3000, dtype=torch.bfloat16), OnlyPieces(None), written)
    assert log_probs.dtype == torch.float32
    torch.testing.assert_close(log_probs[0, 0, 3], torch.tensor(-math.log(3000)))


def slow_candidates(log_probs: Tensor, totals: Tensor, count: int) -> list[list[tuple[float, int, int]]]:
    """List the best continuations of each sentence as (log-probability, beam, piece), possible ones only."""
    found = []
    for sentence, total in zip((log_probs + totals[:, :, None]).tolist(), totals.tolist(), strict=True):
        rows = [(-value, beam, piece) for beam, row in enumerate(sentence) for piece, value in enumerate(row)]
        found.append([(-cost, beam, piece) for cost, beam, piece in sorted(r for r in rows if r[0] < math.inf)[:count]])
        assert len(total) == len(sentence)
    return found


def listed(candidates: Candidates) -> list[list[tuple[float, int, int]]]:
    rows = zip(*(part.tolist() for part in candidates), strict=True)
    return [[one for one in zip(*row, strict=True) if one[0] > -math.inf] for row in rows]


def test_candidates_come_best_first_with_parent_and_piece() -> None:
    log_probs = torch.tensor([[[-2.0, 0.0, -8.0], [0.0, -6.0, -5.0]]])
    totals = torch.tensor([[-1.0, -2.0]])
    candidates = best_candidates(log_probs, totals, 3)
    assert candidates.log_probs.tolist() == [[-1.0, -2.0, -3.0]]
    assert candidates.parents.tolist() == [[0, 1, 0]]
    assert candidates.ids.tolist() == [[1, 0, 0]]


def test_equals_go_by_lower_beam_then_lower_piece() -> None:
    log_probs = torch.tensor([[[-5.0, -1.0, -1.0], [-1.0, -5.0, -1.0]]])
    candidates = best_candidates(log_probs, torch.zeros(1, 2), 4)
    assert candidates.parents.tolist() == [[0, 0, 1, 1]]
    assert candidates.ids.tolist() == [[1, 2, 0, 2]]


def test_beyond_the_possible_ones_scores_are_infinitely_low() -> None:
    candidates = best_candidates(torch.tensor([[[-math.inf, math.nan, -1.0, -math.inf]]]), torch.zeros(1, 1), 6)
    assert candidates.log_probs.tolist() == [[-1.0] + [-math.inf] * 5]
    assert not candidates.parents.any()
    assert candidates.ids.tolist() == [[2, 0, 0, 0, 0, 0]]


@given(
    seed=st.integers(0, 2**32),
    beams=st.integers(1, 4),
    count=st.integers(1, 12),
    vocab_size=st.sampled_from([2, 5, 63, 64, 65, 300, 1000]),
    levels=st.sampled_from([1, 2, 5, 10_000]),
)
def test_the_candidates_are_those_that_sorting_gives_whatever_stands_beside_them(
    seed: int, beams: int, count: int, vocab_size: int, levels: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    log_probs = -torch.randint(levels, (3, beams, vocab_size), generator=generator).float() / 8
    totals = -torch.randint(levels, (3, beams), generator=generator).float() / 8
    log_probs[torch.rand(log_probs.shape, generator=generator) < 0.2] = -math.inf
    totals[1, 1:] = -math.inf
    candidates = best_candidates(log_probs, totals, count)
    assert listed(candidates) == slow_candidates(log_probs, totals, count)
    alone = [best_candidates(log_probs[row : row + 1], totals[row : row + 1], count) for row in range(3)]
    for together, parts in zip(candidates, zip(*alone, strict=True), strict=True):
        assert torch.equal(together, torch.cat(parts))


def pieces(*rows: list[list[int]]) -> Tensor:
    return torch.tensor(rows)


def written_of(*limits: int, beams: int = 1, with_attention: bool = False) -> Written:
    written = Written.start(torch.tensor(limits), with_attention=with_attention)
    return written.select(torch.zeros(len(limits), beams, dtype=torch.int64))


def attention_of(value: float, *, batch: int, beams: int, size: int) -> Tensor:
    """Make the attention of a step: beam k of sentence b reads `value` + 10 b + k of every position."""
    per_beam = value + 10.0 * torch.arange(batch)[:, None] + torch.arange(beams)
    return per_beam[:, :, None].expand(-1, -1, size)


def written_as(rows: Tensor, attention: Tensor | None = None, room: tuple[int, ...] = ()) -> Written:
    """Make what has been written; each sentence needs all of its places unless `room` says how many."""
    return Written(rows, attention, torch.tensor(room or [rows.shape[2]] * len(rows)))


def test_it_begins_empty_with_room_for_the_longest_and_for_one_piece_too_many() -> None:
    written = written_of(2, 31, beams=2)
    assert written.pieces.tolist() == [[[PAD] * 32] * 2] * 2
    assert written.attention is None
    assert written_of(2, 32).pieces.shape == (2, 1, 64)


def test_when_a_long_sentence_has_left_its_places_are_gone() -> None:
    written = written_of(70, 9, 40, with_attention=True)
    assert written.pieces.shape == (3, 1, 96)
    kept = written.take(torch.tensor([1, 2]))
    assert kept.pieces.shape == (2, 1, 64)
    assert kept.attention is not None
    assert kept.attention.shape == (2, 1, 64, 1)
    assert kept.room.tolist() == [10, 41]
    assert kept.join(written_of(99, with_attention=True)).take(torch.tensor([0])).pieces.shape == (1, 1, 32)


def test_its_places_stay_whatever_is_done_with_hypotheses() -> None:
    written = written_of(3, 40, beams=2, with_attention=True)
    chosen = written.select(torch.tensor([[1], [0]]))
    changed = chosen.write(torch.tensor([0, 0]), torch.tensor([[4], [5]]), torch.zeros(2, 1, 1)).beside(written)
    plain = written_of(3, 40).write(torch.tensor([0, 0]), torch.tensor([[4], [5]]), torch.zeros(2, 1, 1))
    assert changed.room.tolist() == plain.room.tolist() == [4, 41]
    assert plain.take(torch.tensor([0])).pieces.shape == (1, 1, 32)


def test_nobody_is_left() -> None:
    assert written_of(3, 40).take(torch.tensor([], dtype=torch.int64)).pieces.shape == (0, 1, 0)


def test_pieces_go_to_their_places_and_what_was_there_before_stays_there() -> None:
    before = written_as(torch.zeros(2, 2, 4, dtype=torch.int64))
    after = before.write(torch.tensor([0, 2]), torch.tensor([[4, 5], [6, 7]]), torch.zeros(2, 2, 1))
    assert after.pieces.tolist() == [[[4, 0, 0, 0], [5, 0, 0, 0]], [[0, 0, 6, 0], [0, 0, 7, 0]]]
    assert not before.pieces.any()


def test_a_hypothesis_continues_its_parent() -> None:
    written = written_as(pieces([[4], [5]], [[6], [7]]), torch.arange(4.0).view(2, 2, 1, 1))
    chosen = written.select(torch.tensor([[1, 1, 0], [0, 1, 0]]))
    assert chosen.pieces.tolist() == [[[5], [5], [4]], [[6], [7], [6]]]
    assert chosen.attention is not None
    assert chosen.attention.flatten(1).tolist() == [[1.0, 1.0, 0.0], [2.0, 3.0, 2.0]]


def test_attention_stands_beside_the_piece_that_it_came_with_however_wide_it_is() -> None:
    written = written_as(torch.zeros(2, 2, 3, dtype=torch.int64), torch.zeros(2, 2, 3, 1))
    ids = torch.tensor([[4, 5], [6, 7]])
    written = written.write(torch.tensor([0, 0]), ids, attention_of(1, batch=2, beams=2, size=2))
    written = written.write(torch.tensor([1, 1]), ids, attention_of(2, batch=2, beams=2, size=3))
    written = written.write(torch.tensor([2, 1]), ids, attention_of(3, batch=2, beams=2, size=1))
    assert written.attention is not None
    assert written.attention[0, 1].tolist() == [[2.0, 2.0, 0.0], [3.0, 3.0, 3.0], [4.0, 0.0, 0.0]]
    assert written.attention[1, 0].tolist() == [[11.0, 11.0, 0.0], [13.0, 0.0, 0.0], [0.0] * 3]


def test_a_hypothesis_is_so_many_pieces_and_their_attention() -> None:
    written = written_as(pieces([[4, 5, 6]], [[7, 8, PAD]]), torch.arange(6.0).view(2, 1, 3, 1))
    scores = torch.tensor([[-math.inf], [-0.5]])
    nothing, [found] = written.hypotheses(torch.tensor([[3], [2]]), torch.tensor([[-1.0], [-1.5]]), scores)
    assert nothing == []
    assert found == Hypothesis((7, 8), -1.5, -0.5)
    assert found.attention is not None
    assert found.attention.tolist() == [[3.0], [4.0]]
    written.pieces.zero_()
    written.attention.zero_()
    assert found.attention.tolist() == [[3.0], [4.0]]
    zero = torch.zeros(1, 1)
    assert written_as(pieces([[4]])).hypotheses(zero.long(), zero, zero)[0][0].attention is None


def test_sentences_leave_and_join() -> None:
    first = written_as(pieces([[4, 5]], [[6, 7]]), torch.arange(8.0).view(2, 1, 2, 2))
    second = written_as(pieces([[8]]), torch.full((1, 1, 1, 3), 9.0))
    together = first.take(torch.tensor([1])).join(second)
    assert together.pieces.tolist() == [[[6, 7]], [[8, PAD]]]
    assert together.attention is not None
    assert together.attention[:, 0].tolist() == [[[4.0, 5.0, 0.0], [6.0, 7.0, 0.0]], [[9.0, 9.0, 9.0], [0.0, 0.0, 0.0]]]
    plain = written_as(first.pieces).join(written_as(second.pieces))
    assert plain.attention is None
    assert plain.room.tolist() == [2, 2, 1]
    assert written_as(first.pieces).take(torch.tensor([0])).pieces.tolist() == [[[4, 5]]]


def test_hypotheses_of_the_same_sentences_stand_side_by_side() -> None:
    first = written_as(pieces([[4, 5]], [[6, 7]]), torch.ones(2, 1, 2, 1))
    second = written_as(pieces([[8], [9]], [[10], [11]]), torch.full((2, 2, 1, 2), 2.0))
    both = first.beside(second)
    assert both.pieces.tolist() == [[[4, 5], [8, PAD], [9, PAD]], [[6, 7], [10, PAD], [11, PAD]]]
    assert both.attention is not None
    assert both.attention[1].tolist() == [[[1.0, 0.0]] * 2, [[2.0, 2.0], [0.0] * 2], [[2.0, 2.0], [0.0] * 2]]


@pytest.mark.parametrize("vocab_size", [5, 63, 64, 65, 128, 300])
def test_the_best_piece_is_the_lowest_of_equal_ones(vocab_size: int) -> None:
    rng = torch.Generator().manual_seed(vocab_size)
    log_probs = torch.randint(-3, 0, (200, vocab_size), generator=rng).float()
    log_probs[:50] = -math.inf
    log_probs[torch.arange(50), torch.randint(0, vocab_size, (50,), generator=rng)] = -1.0
    best, ids = best_pieces(log_probs)
    assert torch.equal(best, log_probs.amax(dim=1, keepdim=True))
    assert ids.tolist() == [[row.index(max(row))] for row in log_probs.tolist()]
