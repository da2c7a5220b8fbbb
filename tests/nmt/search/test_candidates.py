import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from nmt.search.candidates import best_candidates, best_candidates_by_sorting, word_log_probs


def test_pad_unk_and_bos_are_impossible_and_keep_their_probability() -> None:
    log_probs = word_log_probs(torch.zeros(2, 5))
    assert log_probs[1, :3].tolist() == [-math.inf] * 3
    torch.testing.assert_close(log_probs[:, 3:].exp(), torch.full((2, 2), 0.2))


def test_low_precision_logits_are_normalised_in_float32() -> None:
    log_probs = word_log_probs(torch.zeros(1, 3000, dtype=torch.bfloat16))
    assert log_probs.dtype == torch.float32
    torch.testing.assert_close(log_probs[0, 3], torch.tensor(-math.log(3000)))


def test_candidates_come_best_first_with_parent_and_word() -> None:
    totals = torch.tensor([[[-3.0, -1.0, -9.0], [-2.0, -8.0, -7.0]]])
    candidates, unsure = best_candidates(totals, 3)
    assert candidates.log_probs.tolist() == [[-1.0, -2.0, -3.0]]
    assert candidates.parents.tolist() == [[0, 1, 0]]
    assert candidates.ids.tolist() == [[1, 0, 0]]
    assert unsure.tolist() == [False]


def test_equals_go_by_lower_beam_then_lower_word() -> None:
    totals = torch.tensor([[[-5.0, -1.0, -1.0], [-1.0, -5.0, -1.0]]])
    candidates, unsure = best_candidates(totals, 4)
    assert candidates.parents.tolist() == [[0, 0, 1, 1]]
    assert candidates.ids.tolist() == [[1, 2, 0, 2]]
    assert unsure.tolist() == [False]


def test_equals_at_the_edge_of_the_choice_raise_the_flag_of_their_sentence_only() -> None:
    totals = torch.tensor([[[-1.0, -2.0, -2.0]], [[-1.0, -2.0, -3.0]]])
    _, unsure = best_candidates(totals, 2)
    assert unsure.tolist() == [True, False]
    assert best_candidates_by_sorting(totals, 2).ids.tolist() == [[0, 1], [0, 1]]


def test_beyond_the_possible_ones_scores_are_infinitely_low() -> None:
    totals = torch.tensor([[[-math.inf, math.nan, -1.0, -math.inf]]])
    for candidates in (best_candidates(totals, 6)[0], best_candidates_by_sorting(totals, 6)):
        assert candidates.log_probs.sort(descending=True).values.tolist() == [[-1.0] + [-math.inf] * 5]
        assert not candidates.parents.any()


@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(1, 6), st.sampled_from([2, 5, 700]))
def test_fast_selection_is_that_of_sorting_unless_it_says_it_is_unsure(
    seed: int, beams: int, count: int, vocab_size: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    totals = -torch.randint(4 * count * vocab_size, (3, beams, vocab_size), generator=generator).float()
    fast, unsure = best_candidates(totals, count)
    exact = best_candidates_by_sorting(totals, count)
    for quick, slow in zip(fast, exact, strict=True):
        assert torch.equal(quick[~unsure], slow[~unsure])
