from pathlib import Path

import pytest

from nmt.config import load_settings
from nmt.corpus.reading import Line
from nmt.errors import DataError
from nmt.prepared.inputs import TextInputs
from nmt.prepared.text import TextCorpus
from nmt.subword import JOINT_MODEL


def corpus(*overrides: str, train: tuple[Path, ...] = (), valid: Path | None = None) -> TextCorpus:
    return TextCorpus(TextInputs(train, valid), load_settings(None, overrides))


def test_lines_are_read_in_the_order_of_the_files_and_normalised(tmp_path: Path) -> None:
    paths = tmp_path / "b", tmp_path / "a"
    paths[0].write_text(" cafe\u0301\n\n")
    paths[1].write_text("x\r\n")
    lines = [Line("caf\u00e9", str(paths[0]), 1), Line("", str(paths[0]), 2), Line("x", str(paths[1]), 1)]
    assert list(corpus(train=paths).read_train()) == lines
    valid = corpus(valid=paths[1]).read_valid()
    assert valid is not None
    assert list(valid) == lines[2:]
    assert corpus().read_valid() is None


def test_bytes_that_are_not_utf8_are_read_as_the_settings_say(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a\xe9\n")
    with pytest.raises(DataError, match=r"a, line 1: byte 2 \(0xe9\) is not UTF-8"):
        list(corpus(train=(tmp_path / "a",)).read_train())
    lenient = corpus("data.on_bad_utf8=replace", train=(tmp_path / "a",), valid=tmp_path / "a")
    valid = lenient.read_valid()
    assert valid is not None
    assert [line.text for line in (*lenient.read_train(), *valid)] == ["a\ufffd"] * 2


def test_only_blank_lines_are_rejected_whatever_pairs_have_to_be() -> None:
    judge = corpus("data.max_characters=3").make_judge()
    assert [judge(Line(text, "f", 1)) for text in ("abcd", "abcd", "", "a" * 5000)] == [None, None, "empty", None]


def test_the_last_lines_are_held_out() -> None:
    assert corpus().hold_out(5, 2).tolist() == [False, False, False, True, True]


def test_lines_are_masked_in_training_and_validation_alike() -> None:
    own, line = corpus("tokenizer.placeholders=['number']"), Line("7 a", "f", 1)
    assert own.mask_train(line) == own.mask_valid(line) == ("[NUM] a",)
    assert corpus().mask_train(line) == own.texts(line) == ("7 a",)


def test_the_only_tokenizer_is_the_joint_one_also_with_settings_of_pairs() -> None:
    texts = corpus("tokenizer.joint=false").tokenizer_texts(lambda: iter([("a",), ("b",)]))
    assert {name: list(lines()) for name, lines in texts.items()} == {JOINT_MODEL: ["a", "b"]}
