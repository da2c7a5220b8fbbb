import subprocess
import sys
from collections.abc import Iterator
from math import exp
from pathlib import Path
from typing import Literal

import pytest
from sentencepiece import SentencePieceTrainer

from nmt.errors import ConfigError, DataError, ModelError
from nmt.subword import (
    JOINT_MODEL,
    SRC_MODEL,
    TGT_MODEL,
    Tokenizer,
    VocabularyTooLargeError,
    load_tokenizers,
    tokenizer_files,
    train_tokenizer,
)
from nmt.vocab import UNK

Kind = Literal["unigram", "bpe"]
KINDS: tuple[Kind, ...] = ("unigram", "bpe")
LINES = ["the cat sat on the mat", "a dog ran to the cat", "le chat dort", "un chien court vers le chat"] * 5


def trained(kind: Kind = "unigram", vocab_size: int = 24, symbols: tuple[str, ...] = ()) -> bytes:
    return train_tokenizer(LINES, kind=kind, vocab_size=vocab_size, symbols=symbols)


def largest(kind: Kind) -> int:
    with pytest.raises(VocabularyTooLargeError) as caught:
        trained(kind, 5000)
    return caught.value.largest


@pytest.mark.parametrize("kind", KINDS)
def test_the_special_ids_come_first(kind: Kind) -> None:
    tokenizer = Tokenizer(trained(kind, symbols=("[NUM]",)))
    assert len(tokenizer) == 24
    assert tokenizer.pieces[:5] == ["<pad>", "<unk>", "<s>", "</s>", "[NUM]"]


def test_scores_are_log_probabilities_of_a_unigram_model() -> None:
    scores = Tokenizer(trained("unigram")).scores
    assert len(scores) == 24
    assert scores[:4] == [0.0] * 4
    assert scores[4:] == sorted(scores[4:], reverse=True)
    assert 0.8 < sum(exp(score) for score in scores[4:]) < 1.2


def test_scores_of_bpe_count_down() -> None:
    scores = Tokenizer(trained("bpe", symbols=("[NUM]",))).scores
    assert scores == [0, 0, 0, 0, 0, *range(0, -19, -1)]


@pytest.mark.parametrize("kind", KINDS)
def test_decoding_gives_the_text_back(kind: Kind) -> None:
    tokenizer = Tokenizer(trained(kind))
    assert tokenizer.decode(tokenizer.encode([*LINES[:4], ""])) == [*LINES[:4], ""]
    assert tokenizer.encode([]) == []
    assert tokenizer.decode([]) == []


@pytest.mark.parametrize("kind", KINDS)
def test_split_gives_the_pieces_as_they_stand_in_the_text(kind: Kind) -> None:
    tokenizer = Tokenizer(trained(kind, symbols=("[NUM]",)))
    for text in (*LINES[:4], "the [NUM] cat", "the 走東 cat", "<s> \u2047 the", "", "\u2581", "  the\0 cat "):
        pieces, [ids] = tokenizer.split(text), tokenizer.encode([text])
        assert len(pieces) == len(ids)
        for piece, index in zip(pieces, ids, strict=True):
            assert index == UNK or piece == tokenizer.pieces[index]
    assert tokenizer.split("the 走東") == [*tokenizer.split("the"), "\u2581", "走東"]
    assert "".join(tokenizer.split(LINES[0])).replace("\u2581", " ") == f" {LINES[0]}"


def test_words_that_look_like_special_pieces_are_text() -> None:
    tokenizer = Tokenizer(train_tokenizer([*LINES, "a < b > / p"], kind="bpe", vocab_size=40))
    ids = tokenizer.encode(["<s> the </s> <pad>"])
    assert min(ids[0]) > 3
    assert tokenizer.decode(ids) == ["<s> the </s> <pad>"]


def test_special_ids_leave_no_trace_in_text() -> None:
    tokenizer = Tokenizer(trained())
    assert tokenizer.decode([[2, *tokenizer.encode(["the cat"])[0], 3, 0]]) == ["the cat"]


def test_a_placeholder_is_one_piece_wherever_it_stands() -> None:
    tokenizer = Tokenizer(trained(symbols=("[NUM]",)))
    ids = tokenizer.encode(["the [NUM]cat[NUM]"])[0]
    assert ids.count(4) == 2
    assert tokenizer.decode([ids]) == ["the [NUM]cat[NUM]"]


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_train_the_same_bytes(kind: Kind) -> None:
    code = (
        "import sys; from nmt.subword import train_tokenizer; lines = sys.stdin.buffer.read().decode().split('\\n');"
        f"sys.stdout.buffer.write(train_tokenizer(lines, kind='{kind}', vocab_size=24))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input="\n".join(LINES).encode(), capture_output=True, check=True
    )
    assert done.stdout == trained(kind) == trained(kind)
    assert done.stderr == b""


@pytest.mark.parametrize("kind", KINDS)
def test_the_largest_size_named_is_the_largest_possible(kind: Kind) -> None:
    most = largest(kind)
    assert len(Tokenizer(trained(kind, most))) == most
    with pytest.raises(VocabularyTooLargeError) as caught:
        trained(kind, most + 1)
    assert caught.value.largest == most


def test_a_vocabulary_too_large_says_so() -> None:
    with pytest.raises(
        ConfigError, match=rf"vocab_size = 5000 is too large .*: at most {largest('bpe')} pieces; lower"
    ):
        trained("bpe", 5000)


@pytest.mark.parametrize("kind", KINDS)
def test_a_vocabulary_too_small_names_the_smallest_possible(kind: Kind) -> None:
    text = sorted({character for line in LINES for character in line if character != " "})
    smallest = 4 + 1 + len(text)  # the specials, the mark of a word's start, the characters
    with pytest.raises(ConfigError, match=rf"vocab_size = 10 is too small .* characters alone need {smallest} pieces"):
        trained(kind, 10)
    assert len(Tokenizer(trained(kind, smallest))) == smallest


@pytest.mark.parametrize("lines", [[], ["", ""]])
def test_no_text_is_an_error(lines: list[str]) -> None:
    with pytest.raises(DataError, match="there is no text to train a tokenizer on"):
        train_tokenizer(lines, kind="unigram", vocab_size=20)


@pytest.mark.parametrize("odd", ["\0", "\u2585", "\u2581", "\t", "\u2028", "\r"])
def test_a_line_with_an_odd_character_still_teaches_its_other_characters(odd: str) -> None:
    tokenizer = Tokenizer(train_tokenizer([*LINES, f"xyz {odd} zyx"], kind="bpe", vocab_size=40))
    assert {"x", "y", "z"} <= set(tokenizer.pieces)


def test_a_very_long_line_is_not_skipped() -> None:
    tokenizer = Tokenizer(train_tokenizer([*LINES, "xyz " * 20_000], kind="bpe", vocab_size=40))
    assert {"x", "y", "z"} <= set(tokenizer.pieces)


def test_an_interruption_while_lines_are_read_comes_through() -> None:
    def lines() -> Iterator[str]:
        yield "a line"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_tokenizer(lines(), kind="unigram", vocab_size=20)


def test_joint_and_separate_tokenizers_are_found_in_their_folder(tmp_path: Path) -> None:
    (tmp_path / SRC_MODEL).write_bytes(trained(vocab_size=24))
    (tmp_path / TGT_MODEL).write_bytes(trained(vocab_size=25))
    separate = load_tokenizers(tmp_path)
    assert (len(separate.src), len(separate.tgt), separate.joint) == (24, 25, False)
    assert tokenizer_files(tmp_path) == [tmp_path / SRC_MODEL, tmp_path / TGT_MODEL]

    (tmp_path / JOINT_MODEL).write_bytes(trained(vocab_size=26))
    joint = load_tokenizers(tmp_path)
    assert (len(joint.src), joint.joint) == (26, True)
    assert tokenizer_files(tmp_path) == [tmp_path / JOINT_MODEL]


def test_a_folder_without_tokenizer_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"holds no tokenizer: expected joint\.spm\.model, or src\.spm\.model and tgt"):
        load_tokenizers(tmp_path)


def test_a_missing_model_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"^cannot read tokenizer .*none: No such file"):
        Tokenizer.load(tmp_path / "none")


def test_a_damaged_model_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "bad").write_bytes(b"no model")
    with pytest.raises(ModelError, match=r"bad cannot be used as a tokenizer: not a SentencePiece model"):
        Tokenizer.load(tmp_path / "bad")


def test_a_model_with_other_special_ids_is_an_error(tmp_path: Path) -> None:
    with (tmp_path / "foreign").open("wb") as file:
        SentencePieceTrainer.train(sentence_iterator=iter(LINES), model_writer=file, vocab_size=24, minloglevel=2)
    with pytest.raises(ModelError, match=r"ids \(-1, 0, 1, 2\), expected \(0, 1, 2, 3\)"):
        Tokenizer.load(tmp_path / "foreign")
