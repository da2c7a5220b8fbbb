"""Text for a language model goes through the pipeline of pairs."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nmt.config import Settings, load_settings
from nmt.errors import ConfigError, DataError
from nmt.prepare.pipeline import prepare
from nmt.prepare.stages import StageProgress
from nmt.prepared import PreparedText
from nmt.prepared.manifest import TextCounts

LINES = [f"{a} {b} ." for a in ("cat", "dog", "cow", "pig") for b in ("sleeps", "eats", "runs", "sees", "is")]
MakeSettings = Callable[..., Settings]


@pytest.fixture
def settings(tmp_path: Path) -> MakeSettings:
    """A function that makes settings for 20 lines of text in train.txt: whole words."""
    (tmp_path / "train.txt").write_text("".join(f"{line}\n" for line in LINES))

    def make(*overrides: str) -> Settings:
        named = [f"data.root={tmp_path}", "data.train_text=['train.txt']", "tokenizer.kind=word"]
        return load_settings(None, [*named, *overrides])

    return make


def train_texts(folder: Path) -> list[str]:
    text = PreparedText.open(folder)
    return text.tokenizer.decode([text.train.row(row) for row in range(len(text.train))])


def test_lines_keep_their_order_and_the_last_tenth_is_held_out(tmp_path: Path, settings: MakeSettings) -> None:
    report = prepare(tmp_path / "data", settings())
    # The vocabulary: four animals, five verbs, the full stop, four specials.
    assert report.counts == TextCounts(
        read=20, rejected={"empty": 0, "too_long": 0}, heldout=2, train=18, valid=2, valid_dropped=0,
        pieces=54, vocabulary=14, valid_pieces=6, valid_unknown=0,
    )  # fmt: skip
    assert (report.noun, report.joint, report.warnings) == ("lines", True, ())
    assert train_texts(tmp_path / "data") == LINES[:18]
    assert PreparedText.open(tmp_path / "data").valid_texts == LINES[18:]


def test_nothing_is_left_out_but_blank_lines(tmp_path: Path, settings: MakeSettings) -> None:
    odd = ["cat", "cat", "", "x" * 2000, " \t", "cat " * 500]
    (tmp_path / "odd.txt").write_text("".join(f"{line}\n" for line in odd))
    (tmp_path / "valid.txt").write_text("cat cat\n\nzebra lion cat\n")
    wanted = settings("data.train_text=['odd.txt', 'train.txt']", "data.valid_text=valid.txt", "data.max_pieces=3")
    report = prepare(tmp_path / "data", wanted)
    assert isinstance(report.counts, TextCounts)
    assert (report.counts.read, report.counts.rejected, report.counts.train) == (26, {"empty": 2, "too_long": 0}, 24)
    assert (report.counts.valid, report.counts.valid_dropped) == (2, 1)
    assert (report.counts.valid_pieces, report.counts.valid_unknown) == (5, 2)
    assert [json.loads(line) for line in report.rejected.read_text().splitlines()] == [
        {"file": str(tmp_path / "odd.txt"), "line": line, "reason": "empty"} for line in (3, 5)
    ]
    assert train_texts(tmp_path / "data") == ["cat", "cat", "x" * 2000, ("cat " * 500).strip(), *LINES]


def test_a_line_of_marks_alone_is_empty_too(tmp_path: Path, settings: MakeSettings) -> None:
    (tmp_path / "marks.txt").write_text("\u2581\n")
    report = prepare(tmp_path / "data", settings("data.train_text=['marks.txt', 'train.txt']"))
    assert (report.counts.rejected, report.counts.read, report.counts.train) == ({"empty": 1, "too_long": 0}, 21, 18)


def test_compression_does_not_change_the_data(tmp_path: Path, settings: MakeSettings) -> None:
    (tmp_path / "train.txt.gz").write_bytes(gzip.compress("".join(f"{line}\n" for line in LINES).encode()))
    prepare(tmp_path / "plain", settings())
    prepare(tmp_path / "packed", settings("data.train_text=['train.txt.gz']"))
    for name in ("train.arrow", "valid.arrow", "joint.spm.model", "vocab.tsv"):
        assert (tmp_path / "plain" / name).read_bytes() == (tmp_path / "packed" / name).read_bytes()


def test_data_that_are_up_to_date_are_left_alone_wherever_the_text_lies(tmp_path: Path, settings: MakeSettings) -> None:
    prepare(tmp_path / "data", settings())
    (tmp_path / "train.txt").rename(tmp_path / "moved.txt")
    moved = settings("data.train_text=['moved.txt']", "data.test_text=test.txt", "model.kind=lm")
    assert prepare(tmp_path / "data", moved).up_to_date
    (tmp_path / "moved.txt").write_text("edited\n" * 20)
    with pytest.raises(DataError, match="data holds data prepared from other text or settings"):
        prepare(tmp_path / "data", moved)
    assert not prepare(tmp_path / "data", moved, force=True).up_to_date


def test_progress_names_every_stage(tmp_path: Path, settings: MakeSettings) -> None:
    seen: list[StageProgress] = []
    prepare(tmp_path / "data", settings(), seen.append)
    assert seen == [
        StageProgress("reading", 0),
        StageProgress("reading", 20, 20),
        StageProgress("training the tokenizer", 0),
        StageProgress("encoding", 0, 20),
        StageProgress("encoding", 20, 20),
        StageProgress("writing", 0, 18),
        StageProgress("writing", 18, 18),
    ]


def test_a_tokenizer_that_exists_is_used_and_none_trained(tmp_path: Path, settings: MakeSettings) -> None:
    prepare(tmp_path / "one", settings("tokenizer.vocab_size=16"))
    (tmp_path / "other.txt").write_text("cat zebra dog .\n" * 20)
    taking = settings("data.train_text=['other.txt']", "tokenizer.file=one")
    seen: list[StageProgress] = []
    report = prepare(tmp_path / "two", taking, seen.append)
    assert list(dict.fromkeys(progress.stage for progress in seen)) == ["reading", "encoding", "writing"]
    one, two = (PreparedText.open(tmp_path / name).tokenizer for name in ("one", "two"))
    assert one.pieces == two.pieces
    assert train_texts(tmp_path / "two")[0] == "cat <unk> dog ."
    assert report.manifest.inputs[-1].setting == "tokenizer.file"
    assert prepare(tmp_path / "two", taking).up_to_date


def test_another_tokenizer_is_noticed_and_where_it_lies_does_not_matter(tmp_path: Path, settings: MakeSettings) -> None:
    prepare(tmp_path / "one", settings())
    prepare(tmp_path / "two", settings("tokenizer.file=one"))
    assert prepare(tmp_path / "two", settings("tokenizer.file=two/joint.spm.model")).up_to_date
    (tmp_path / "other.txt").write_text("cat zebra dog .\n" * 20)
    prepare(tmp_path / "other", settings("data.train_text=['other.txt']"))
    with pytest.raises(DataError, match="two holds data prepared from other text or settings"):
        prepare(tmp_path / "two", settings("tokenizer.file=other"))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.train_text=['blank.txt']"], "^no training lines are left after cleaning: rejected were 2 as empty$"),
        (["data.train_text=['nine.txt']"], "^9 training lines are too few to hold out a tenth .* with --valid-text$"),
        (["data.valid_text=blank.txt"], "^the validation text holds no line that is not blank$"),
        (
            ["data.train_text=['marks.txt']", "tokenizer.file=ready"],
            "no training lines are left after encoding: rejected were 18 as emp",
        ),
        (["data.train_src=['train.txt']"], "data.train_text and data.train_src are both set"),
    ],
)
def test_a_failure_leaves_nothing_behind(
    tmp_path: Path, settings: MakeSettings, overrides: list[str], message: str
) -> None:
    prepare(tmp_path / "ready", settings())
    texts = {"blank.txt": "\n \n", "nine.txt": "a b\n" * 9, "marks.txt": "\u2581\n" * 20}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    before = sorted(tmp_path.iterdir())
    with pytest.raises((ConfigError, DataError), match=message):
        prepare(tmp_path / "data", settings(*overrides))
    assert sorted(tmp_path.iterdir()) == before


def test_many_lines_are_counted_as_they_are_stored(tmp_path: Path, settings: MakeSettings) -> None:
    (tmp_path / "train.txt").write_text("a b\n" * 12_000)
    prepare(tmp_path / "data", settings())
    text = PreparedText.open(tmp_path / "data")
    assert (len(text.train), text.train.lengths.sum(), len(text.valid)) == (11_000, 22_000, 1000)
    assert text.counts.tolist() == [0, 0, 0, 11_000, 11_000, 11_000]
    assert text.train.take(np.array([0, 10_999])).lengths.tolist() == [2, 2]
