import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest

from nmt.corpus import base
from nmt.corpus.base import Block, PairFiles, StringsBlock, Unit, cut_strings, to_lines
from nmt.errors import DataError
from nmt.io.lines import OnBadUtf8, Pair


def lines(*texts: str, on_bad_utf8: OnBadUtf8 = "error") -> list[str]:
    return to_lines(texts, lambda row: f"a, line {row + 1}", on_bad_utf8)


def test_line_ends_and_tabs_within_a_text_become_single_spaces() -> None:
    assert lines(" a\r\n\tb \n c\u2028d  e\n", "cafe\u0301", "") == ["a b c\u2028d  e", "caf\u00e9", ""]


def test_half_of_a_surrogate_pair_is_named_or_replaced() -> None:
    with pytest.raises(
        DataError,
        match=r"^a, line 2: U\+D800 is half of a surrogate pair, no character; --on-bad-utf8 replace puts U\+FFFD in ",
    ):
        lines("y", "x\ud800")
    assert lines("y", "x\ud800", on_bad_utf8="replace") == ["y", "x\ufffd"]


def test_halves_in_two_texts_are_no_pair() -> None:
    assert lines("\ud83d", "\ude00", on_bad_utf8="replace") == ["\ufffd", "\ufffd"]


def test_blocks_of_texts_can_be_pickled_and_name_where_a_text_is() -> None:
    units = [Unit("a", "b", 1), Unit("c\n", "d", 5), Unit("\udc00", "e", 7)]
    blocks = list(cut_strings(units, 2, file="f", noun="unit", on_bad_utf8="error"))
    assert [len(block) for block in blocks] == [2, 1]
    assert pickle.loads(pickle.dumps(blocks[0])).records() == [Pair("a", "b", "f", 1), Pair("c", "d", "f", 5)]
    with pytest.raises(DataError, match=r"^f, unit 7: U\+DC00"):
        blocks[1].records()


def test_few_long_texts_are_taken_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "BYTES_AT_ONCE", 6)
    units = [Unit("abcd", "e", 1), Unit("f", "g", 2), Unit("abcdefgh", "", 3), Unit("i", "j", 4)]
    blocks = cut_strings(units, 10, file="f", noun="unit", on_bad_utf8="error")
    assert [len(block) for block in blocks] == [2, 1, 1]


class Names(PairFiles):
    """A source whose only pair of each file is its name, twice."""

    def _read(self, path: Path, size: int) -> Iterator[Block[Pair]]:
        self._meter.bytes += path.stat().st_size
        yield StringsBlock((Unit(path.name, path.name, 1),), str(path), "line", self._on_bad_utf8)


def test_files_are_read_in_their_order_as_often_as_asked_for(tmp_path: Path) -> None:
    files = [tmp_path / "b", tmp_path / "a"]
    for size, path in enumerate(files, start=1):
        path.write_bytes(b"x" * size)
    source = Names(files, "error", name="names")
    assert (source.files, source.fingerprint, source.total_bytes, source.read_bytes) == (tuple(files), None, 3, 0)
    for _ in range(2):
        assert [(pair.src, source.read_bytes) for pair in source.records()] == [("b", 1), ("a", 3)]


def test_a_file_that_is_missing_has_no_size() -> None:
    assert Names([Path("none")], "error", name="names").total_bytes == 0
