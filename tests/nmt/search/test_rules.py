import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from nmt.search.rules import AtMost, NoRepeatNgram, Prefix, Rule, Scoring
from nmt.text.vocab import EOS

A, B, C, D = 4, 5, 6, 7
VOCAB = 8


def scores(batch: int, beams: int, vocab_size: int = VOCAB) -> Tensor:
    return torch.full((batch, beams, vocab_size), -1.0)


def hypotheses(*sentences: Sequence[Sequence[int]]) -> Tensor:
    """Lay out hypotheses with two places more than the longest needs."""
    size = 2 + max(len(pieces) for beams in sentences for pieces in beams)
    return torch.tensor([[[*pieces, *[0] * (size - len(pieces))] for pieces in beams] for beams in sentences])


def impossible(rule: Rule, *sentences: Sequence[Sequence[int]], pieces: Tensor | None = None) -> list[list[list[int]]]:
    """Name the pieces that may follow no more, but for PAD."""
    written = hypotheses(*sentences)
    log_probs = scores(*written.shape[:2], VOCAB if pieces is None else pieces.shape[1])
    lengths = torch.tensor([len(beams[0]) for beams in sentences])
    rule.apply(log_probs, pieces=pieces, written=written, lengths=lengths)
    found = (log_probs[:, :, 1:] == -math.inf).tolist()
    names = torch.arange(VOCAB).expand(len(written), -1) if pieces is None else pieces
    return [
        [[int(name) for name, gone in zip(row[1:], beam, strict=True) if gone] for beam in beams]
        for row, beams in zip(names, found, strict=True)
    ]


def test_a_piece_that_would_make_an_ngram_come_twice_is_impossible() -> None:
    assert impossible(NoRepeatNgram(2), [[A, B, A], [A, B, C]]) == [[[B], []]]
    assert impossible(NoRepeatNgram(3), [[A, B, C, A, B], [A, B, A, B, A]]) == [[[C], [B]]]
    assert impossible(NoRepeatNgram(2), [[A, B, A, C, A]]) == [[[B, C]]]


def test_of_overlapping_ngrams_the_second_is_a_repetition() -> None:
    assert impossible(NoRepeatNgram(2), [[A, A]]) == [[[A]]]


def test_no_piece_may_come_twice_where_the_ngrams_are_pieces() -> None:
    assert impossible(NoRepeatNgram(1), [[A, C, A]]) == [[[A, C]]]


def test_what_is_shorter_than_an_ngram_repeats_nothing() -> None:
    assert impossible(NoRepeatNgram(3), [[A, A]], [[]]) == [[[]], [[]]]
    assert impossible(NoRepeatNgram(2), [[]]) == [[[]]]
    assert impossible(NoRepeatNgram(9), [[A, A]]) == [[[]]]


def test_sentences_of_different_lengths_repeat_nothing_of_each_other() -> None:
    assert impossible(NoRepeatNgram(2), [[A, B, A]], [[B]], [[C, D, C, D]]) == [[[B]], [[]], [[C]]]


def test_pieces_repeat_under_the_numbers_of_a_shortlist() -> None:
    pieces = torch.tensor([[0, 1, 2, EOS, A, C], [0, 1, 2, EOS, B, D]])
    found = impossible(NoRepeatNgram(2), [[A, C, A]], [[B, D, B]], pieces=pieces)
    assert found == [[[C]], [[D]]]


def test_a_repeated_piece_that_the_shortlist_lacks_changes_nothing() -> None:
    pieces = torch.tensor([[0, 1, 2, EOS, A, C]])
    assert impossible(NoRepeatNgram(2), [[A, B, A]], [[A, D, A]], pieces=pieces.expand(2, -1)) == [[[]], [[]]]


def forced(lengths: Sequence[int], pieces: Tensor | None = None) -> Tensor:
    """Apply the prefixes A B, C and none to three sentences that have so many pieces."""
    prefix = Prefix(torch.tensor([[A, B], [C, 0], [0, 0]]), torch.tensor([2, 1, 0]))
    log_probs = -torch.arange(3 * 2 * (VOCAB if pieces is None else pieces.shape[1])).float().view(3, 2, -1)
    prefix.apply(log_probs, pieces=pieces, written=torch.zeros(3, 2, 4).long(), lengths=torch.tensor(lengths))
    return log_probs


def test_the_next_piece_of_a_prefix_keeps_its_log_probability_and_no_other_is_possible() -> None:
    log_probs = forced([0, 0, 0])
    assert (log_probs[:2] > -math.inf).nonzero().tolist() == [[0, 0, A], [0, 1, A], [1, 0, C], [1, 1, C]]
    assert log_probs[0, :, A].tolist() == [-4.0, -12.0]
    assert log_probs[2].flatten().tolist() == [-float(n) for n in range(32, 48)]


def test_behind_its_prefix_a_sentence_goes_on_as_it_likes() -> None:
    log_probs = forced([1, 1, 1])
    assert (log_probs[0] > -math.inf).nonzero().tolist() == [[0, B], [1, B]]
    assert bool((log_probs[1:] > -math.inf).all())
    assert forced([2, 3, 9]).flatten().tolist() == [-float(n) for n in range(48)]


def test_a_prefix_is_looked_up_in_the_shortlist() -> None:
    pieces = torch.tensor([[0, 1, 2, EOS, A, B], [0, 1, 2, EOS, A, C], [0, 1, 2, EOS, B, C]])
    log_probs = forced([1, 0, 0], pieces)
    assert (log_probs[:2] > -math.inf).nonzero().tolist() == [[0, 0, 5], [0, 1, 5], [1, 0, 5], [1, 1, 5]]
    assert log_probs[0, :, 5].tolist() == [-5.0, -11.0]


def test_a_prefix_piece_that_is_impossible_costs_nothing() -> None:
    log_probs = scores(2, 1)
    log_probs[:, :, A] = -math.inf
    Prefix(torch.tensor([[A], [0]]), torch.tensor([1, 0])).apply(
        log_probs, pieces=None, written=torch.zeros(2, 1, 4).long(), lengths=torch.tensor([0, 0])
    )
    assert log_probs[0, 0, A] == 0.0
    assert log_probs[1, 0].tolist() == [-1.0] * 4 + [-math.inf] + [-1.0] * 3


def test_prefixes_of_different_sizes_are_joined_and_taken() -> None:
    joined = Prefix(torch.tensor([[A, B]]), torch.tensor([2])).join(Prefix(torch.zeros(1, 0).long(), torch.tensor([0])))
    joined = joined.join(Prefix(torch.tensor([[C]]), torch.tensor([1])))
    taken = joined.take(torch.tensor([2, 0]))
    assert taken.pieces.tolist() == [[C, 0], [A, B]]
    assert taken.lengths.tolist() == [1, 2]


def test_no_prefix_at_all_changes_nothing() -> None:
    assert impossible(Prefix(torch.zeros(1, 0).long(), torch.tensor([0])), [[A]]) == [[[]]]


def test_a_rule_of_all_sentences_is_its_own_part() -> None:
    repeat = NoRepeatNgram(2)
    assert repeat.take(torch.tensor([1])) == repeat.join(NoRepeatNgram(2)) == repeat


def test_some_pieces_come_at_most_so_many_times() -> None:
    rule = AtMost(torch.tensor([4, 5]), torch.tensor([[1, 0], [2, 1]]))
    written = torch.tensor([[[4, 6, 0], [6, 6, 0]], [[4, 5, 0], [4, 4, 0]]])
    log_probs = torch.zeros(2, 2, 7)
    rule.apply(log_probs, pieces=None, written=written, lengths=torch.tensor([2, 2]))
    assert (log_probs[:, :, 4:6] == -math.inf).tolist() == [
        [[True, True], [False, True]],
        [[False, True], [True, False]],
    ]
    both = rule.take(torch.tensor([1])).join(rule.take(torch.tensor([0])))
    assert both.counts.tolist() == [[2, 1], [1, 0]]


def test_the_length_penalty_is_that_of_gnmt() -> None:
    divisors = Scoring(length_penalty=2.0).divisors(torch.tensor([1, 7, 13]))
    assert divisors.tolist() == pytest.approx([1.0, 4.0, 9.0])
    assert divisors.dtype == torch.float64


def test_without_penalties_the_score_is_the_log_probability() -> None:
    assert Scoring().score(torch.tensor([[-3.0]]), torch.tensor([[9]]), None).tolist() == [[-3.0]]


def test_what_was_read_less_than_once_costs_the_log_of_it() -> None:
    coverage = torch.tensor([[[0.5, 2.0, 0.25, -1.0]]])  # the last position is padding
    score = Scoring(length_penalty=1.0, coverage_penalty=0.2).score(
        torch.tensor([[-4.0]]), torch.tensor([[7]]), coverage
    )
    assert score.item() == pytest.approx(-4.0 / 2 + 0.2 * (math.log(0.5) + math.log(0.25)))


def test_what_was_never_read_costs_much_but_not_all() -> None:
    score = Scoring(coverage_penalty=1.0).score(torch.tensor([[-1.0]]), torch.tensor([[1]]), torch.tensor([[[0.0]]]))
    assert score.item() == pytest.approx(-1.0 + math.log(1e-6))


@pytest.mark.parametrize("alpha", [0.2, 0.6, 1.0, 2.2])
def test_the_length_penalty_does_not_depend_on_what_is_computed_beside_it(alpha: float) -> None:
    lengths, scoring = torch.arange(1, 400), Scoring(alpha)
    together = scoring.divisors(lengths)
    assert torch.equal(together, torch.cat([scoring.divisors(length[None]) for length in lengths]))
    assert (together.diff() > 0).all()
    assert together.tolist() == pytest.approx([math.pow((5 + n) / 6, alpha) for n in range(1, 400)], rel=1e-14)


def test_the_coverage_penalty_does_not_depend_on_padding() -> None:
    scoring = Scoring(coverage_penalty=0.3)
    log_probs, lengths = torch.zeros(50, 1), torch.ones(50, 1, dtype=torch.int64)
    coverage = 1.2 * torch.rand(50, 1, 45, generator=torch.Generator().manual_seed(0))
    expected = scoring.score(log_probs, lengths, coverage)
    for size in (46, 64, 71, 128, 300):
        wide = torch.nn.functional.pad(coverage, (0, size - 45), value=-1.0)
        assert torch.equal(scoring.score(log_probs, lengths, wide), expected)
        alone = [scoring.score(log_probs[:1], lengths[:1], row[None]) for row in wide]
        assert torch.equal(torch.cat(alone), expected)
