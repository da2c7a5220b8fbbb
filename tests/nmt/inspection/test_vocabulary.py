from pathlib import Path

import numpy as np
import pytest

from nmt.errors import DataError
from nmt.inspection.vocabulary import Vocabulary, read_vocabulary

PIECES = ("<pad>", "<unk>", "<s>", "</s>", "a", "b", "c", "d")


def vocabulary(*counts: int) -> Vocabulary:
    """Counts of <unk>, </s>, a, b, c, d."""
    unknown, ends, *others = counts
    return Vocabulary("joint", PIECES, np.array([0, unknown, 0, ends, *others]))


def test_ends_of_sentences_are_no_running_pieces() -> None:
    one = vocabulary(2, 100, 5, 1, 0, 2)
    assert one.running == 10
    assert one.unknown_share == 0.2


def test_coverage_counts_the_most_frequent_pieces_against_all_running_ones() -> None:
    one = vocabulary(2, 100, 1, 5, 0, 2)
    assert one.by_frequency.tolist() == [5, 7, 4, 6]
    assert one.coverage == pytest.approx([0.5, 0.7, 0.8, 0.8])


@pytest.mark.parametrize(("share", "needed"), [(0.5, 1), (0.51, 2), (0.7, 2), (0.8, 3), (0.81, None)])
def test_a_share_needs_so_many_pieces_or_cannot_be_covered(share: float, needed: int | None) -> None:
    assert vocabulary(2, 100, 1, 5, 0, 2).needed(share) == needed


def test_pieces_that_never_occur_are_told_from_rare_ones() -> None:
    one = vocabulary(0, 0, 3, 0, 4, 1)
    assert one.unused == ["b"]
    assert one.rare(3) == ["a", "d"]


def test_counts_of_two_texts_are_added() -> None:
    both = vocabulary(1, 1, 1, 0, 0, 0).with_counts_of(vocabulary(0, 1, 2, 3, 0, 0), "joint")
    assert both.counts.tolist() == [0, 1, 0, 2, 3, 3, 0, 0]


def test_special_pieces_do_not_count_as_occurring() -> None:
    assert [vocabulary(5, 2, *others).occurs for others in ((0, 0, 0, 0), (0, 1, 0, 0))] == [False, True]


def test_a_text_of_nothing_is_covered_by_nothing() -> None:
    assert (vocabulary(0, 0, 0, 0, 0, 0).unknown_share, vocabulary(0, 0, 0, 0, 0, 0).needed(0.5)) == (0.0, None)


def test_a_file_has_a_piece_and_a_count_in_each_line_and_pieces_may_be_anything(tmp_path: Path) -> None:
    path = tmp_path / "vocab.tsv"
    path.write_bytes("a\t3\n\t\t1\n\u2028\r\t2\n".encode())
    one = read_vocabulary(path, "text")
    assert (one.pieces, one.counts.tolist(), len(one)) == (("a", "\t", "\u2028\r"), [3, 1, 2], 3)


@pytest.mark.parametrize("content", [b"a\t3\nb\n", b"a\tmany\n", b"\xff\t1\n"])
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "vocab.tsv"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_vocabulary(path, "text")
    assert str(caught.value) == f"{path} is damaged: expected a piece, a tab and a count in every line"


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^cannot read .*: Is a directory$"):
        read_vocabulary(tmp_path, "text")
