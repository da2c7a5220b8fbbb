import pytest
import torch

from nmt.search.rows import longest_of, rows_where


def test_longest_limit_is_found() -> None:
    assert longest_of(torch.tensor([3, 9, 1])) == 9


def test_a_sentence_without_a_step_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^every sentence needs at least one step, found a limit of 0$"):
        longest_of(torch.tensor([3, 0]))


def test_rows_are_those_whose_flag_is_set() -> None:
    assert rows_where([True, False, True], torch.device("cpu")).tolist() == [0, 2]
    assert rows_where([False], torch.device("cpu")).dtype == torch.int64
