"""A format of corpora is one file and one line of `FORMATS`: all else finds it there."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from nmt.config import load_settings
from nmt.corpus import FORMATS
from nmt.corpus.base import Block, PairFiles, Unit, cut_strings
from nmt.errors import ConfigError, DataError
from nmt.io.lines import Pair, read_lines
from nmt.prepare.inputs import open_corpus
from nmt.prepare.pipeline import prepare


class Couples(PairFiles):
    """Lines that are by turns a source and its translation."""

    can_be_compressed = False

    def _read(self, path: Path, size: int) -> Iterator[Block[Pair]]:
        lines = list(read_lines(path))
        units = (Unit(*sides, 2 * row + 1) for row, sides in enumerate(zip(lines[::2], lines[1::2], strict=True)))
        return cut_strings(units, size, file=str(path), noun="line", on_bad_utf8=self._on_bad_utf8)


@pytest.fixture(autouse=True)
def a_new_format(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FORMATS, ".couples", f"{__name__}:Couples")


def test_a_new_format_is_prepared_and_counted(tmp_path: Path) -> None:
    lines = [f"{word} {number}\n" for number in range(40) for word in ("one word", "un mot")]
    (tmp_path / "a.couples").write_text("".join([*lines, "\n", "sans source\n"]))
    settings = [f"data.root={tmp_path}", "data.corpora=[{path = 'a.couples', name = 'mine'}]", "tokenizer.kind=char"]
    report = prepare(tmp_path / "data", load_settings(None, settings))
    assert (report.counts.read, report.counts.rejected["empty"]) == (41, 1)
    assert [(one.name, one.read) for one in report.counts.corpora] == [("mine", 41)]
    assert f'"file": "{tmp_path / "a.couples"}", "line": 81' in report.rejected.read_text()


def test_a_new_format_is_named_where_one_is_not_known_and_refused_as_plain_text(tmp_path: Path) -> None:
    for name in ("a.doc", "a.couples.gz"):
        data = load_settings(None, [f"data.root={tmp_path}", f"data.corpora=[{{path = '{name}'}}]"]).data
        with pytest.raises(ConfigError, match=r"expected \.tsv .* these also .*, \.parquet \.couples,"):
            open_corpus(data.corpora[0], data, split="train", setting="data.corpora.0")
    data = load_settings(None, [f"data.root={tmp_path}", "data.corpora=[{src = 'a.couples', tgt = 'b'}]"]).data
    with pytest.raises(DataError, match=r"a\.couples is not plain text, by its name: as a corpus, nmt prepare"):
        next(open_corpus(data.corpora[0], data, split="train", setting="data.corpora.0").blocks(1))
