from pathlib import Path

from nmt.corpus.reading import Line, Pair
from nmt.prepared.spool import Spool, blocks_of

PAIRS = [Pair("a\u2028\t\0", "é", "one", 1), Pair("b", "f", "one", 3), Pair("c", "g", "two", 2)]


def test_pairs_come_back_in_blocks_as_often_as_needed(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", Pair, block=2)
    assert spool.write(iter(PAIRS)) == 3
    assert list(spool.blocks()) == list(spool.blocks()) == [PAIRS[:2], PAIRS[2:]]


def test_lines_come_back_as_lines(tmp_path: Path) -> None:
    lines = [Line("a\u2028", "one", 1), Line("", "two", 7)]
    spool = Spool(tmp_path / "spool", Line, block=1)
    assert spool.write(lines) == 2
    assert list(spool.blocks()) == [[lines[0]], [lines[1]]]


def test_no_pairs_give_no_blocks(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", Pair, block=2)
    assert spool.write([]) == 0
    assert list(spool.blocks()) == []


def test_a_deleted_spool_leaves_no_file(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", Pair, block=2)
    spool.write(PAIRS)
    spool.delete()
    assert list(tmp_path.iterdir()) == []


def test_a_stream_is_cut_without_running_ahead() -> None:
    stream = iter(range(5))
    blocks = blocks_of(stream, 2)
    assert next(blocks) == [0, 1]
    assert next(stream) == 2
    assert list(blocks) == [[3, 4]]
