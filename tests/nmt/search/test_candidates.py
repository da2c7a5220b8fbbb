import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from nmt.search.frontier import Candidates, best_candidates, candidates_by_blocks, candidates_by_key, piece_log_probs


def test_pad_unk_and_bos_are_impossible_and_keep_their_probability() -> None:
    log_probs = piece_log_probs(torch.zeros(2, 5))
    assert log_probs[1, :3].tolist() == [-math.inf] * 3
    torch.testing.assert_close(log_probs[:, 3:].exp(), torch.full((2, 2), 0.2))


def test_low_precision_logits_are_normalised_in_float32() -> None:
    log_probs = piece_log_probs(torch.zeros(1, 3000, dtype=torch.bfloat16))
    assert log_probs.dtype == torch.float32
    torch.testing.assert_close(log_probs[0, 3], torch.tensor(-math.log(3000)))


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


def test_equals_at_the_edge_of_the_choice_raise_the_flag_of_their_sentence_only() -> None:
    log_probs = torch.tensor([[[-1.0, -2.0, -2.0]], [[-1.0, -2.0, -3.0]]])
    _, unsure = candidates_by_blocks(log_probs, torch.zeros(2, 1), 2)
    assert unsure.tolist() == [True, False]
    assert best_candidates(log_probs, torch.zeros(2, 1), 2).ids.tolist() == [[0, 1], [0, 1]]


@pytest.mark.parametrize("choose", [best_candidates, candidates_by_key])
def test_beyond_the_possible_ones_scores_are_infinitely_low(choose: Callable[..., Candidates]) -> None:
    candidates = choose(torch.tensor([[[-math.inf, math.nan, -1.0, -math.inf]]]), torch.zeros(1, 1), 6)
    assert candidates.log_probs.sort(descending=True).values.tolist() == [[-1.0] + [-math.inf] * 5]
    assert not candidates.parents.any()


@given(
    seed=st.integers(0, 2**32),
    beams=st.integers(1, 4),
    count=st.integers(1, 12),
    vocab_size=st.sampled_from([2, 5, 63, 64, 65, 300]),
    levels=st.sampled_from([2, 5, 10_000]),
)
def test_both_ways_of_choosing_give_what_sorting_gives(
    seed: int, beams: int, count: int, vocab_size: int, levels: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    log_probs = -torch.randint(levels, (3, beams, vocab_size), generator=generator).float() / 8
    totals = -torch.randint(levels, (3, beams), generator=generator).float() / 8
    log_probs[torch.rand(log_probs.shape, generator=generator) < 0.2] = -math.inf
    totals[1, 1:] = -math.inf
    expected = slow_candidates(log_probs, totals, count)
    assert listed(best_candidates(log_probs, totals, count)) == expected
    assert listed(candidates_by_key(log_probs, totals, count)) == expected
