import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from nmt.models.tensors import tensors_of
from nmt.search.frontier import Limits, Written, piece_ids
from nmt.search.greedy import Greedy
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
    written = Written.start(limits.longest, 1, with_attention=False)
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
        written = Written.start(one.longest, 1, with_attention=False)
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
    written = Written.start(limits.longest, 2, with_attention=False)
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
    both = kept.join(limits_of([7], never=(PAD,)))
    assert [part.tolist() for part in tensors_of(both)] == [[1, 0, 0], [2, 0, 0], [5, 3, 7]]
    assert kept.never == both.never == (PAD,)


def test_a_sentence_without_a_single_step_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^every sentence needs at least one step, found a limit of -2$"):
        limits_of([3, -2])


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
