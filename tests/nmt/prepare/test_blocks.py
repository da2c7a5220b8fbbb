from functools import partial
from pathlib import Path

import numpy as np

from nmt.io.lines import Line, Pair
from nmt.prepare.blocks import Places, Rows, Sifted, as_npy, write_records

SIFTED = partial(Sifted, read=0, rejected={}, accepted=0, corpus=0)
PAIRS = [Pair("a\u2028\t\0", "é", "one", 1), Pair("b", "f", "one", 3), Pair("c", "g", "two", 2)]


def test_pairs_come_back_with_their_places(tmp_path: Path) -> None:
    write_records(tmp_path, Pair, PAIRS, Places(np.array([0, 2, 5])))
    assert SIFTED(tmp_path).records(Pair) == PAIRS
    assert SIFTED(tmp_path).records(Pair, Rows(np.array([2, 0]))) == [PAIRS[2], PAIRS[0]]
    assert SIFTED(tmp_path).places().tolist() == [0, 2, 5]


def test_lines_come_back_as_lines(tmp_path: Path) -> None:
    lines = [Line("a\u2028", "one", 1), Line("", "two", 7)]
    write_records(tmp_path, Line, lines, Places(np.array([0, 1])))
    assert SIFTED(tmp_path).records(Line) == lines


def test_no_pairs_come_back_as_none(tmp_path: Path) -> None:
    write_records(tmp_path, Pair, [], Places(np.zeros(0, dtype=np.int64)))
    assert SIFTED(tmp_path).records(Pair) == []
    assert SIFTED(tmp_path).places().tolist() == []


def test_an_array_is_written_as_numpy_reads_it(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(as_npy(np.array([[1, 2], [3, 4]], dtype=np.uint64)))
    assert np.load(tmp_path / "a.npy", mmap_mode="r").tolist() == [[1, 2], [3, 4]]
