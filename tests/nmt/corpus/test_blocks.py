from collections.abc import Iterator
from pathlib import Path

from nmt.corpus.base import Block, PairFiles, StringsBlock, Unit
from nmt.io.lines import Pair


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
