import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sentencepiece import SentencePieceProcessor

from nmt.errors import ConfigError, DataError
from nmt.text.tokenizer import Kind, Tokenizer
from nmt.text.tokenizer_training import (
    TokenizerPlan,
    VocabularyTooLargeError,
    make_byte_model,
    train_apart,
    train_tokenizer,
)

KINDS: tuple[Kind, ...] = ("unigram", "bpe")
EVERY_KIND: tuple[Kind, ...] = (*KINDS, "word", "char", "byte")
LINES = ["the cat sat on the mat", "a dog ran to the cat", "le chat dort", "un chien court vers le chat"] * 5


def trained(kind: Kind = "unigram", vocab_size: int = 24, symbols: tuple[str, ...] = ()) -> bytes:
    return train_tokenizer(LINES, TokenizerPlan(kind, vocab_size, symbols=symbols))


def largest(kind: Kind) -> int:
    with pytest.raises(VocabularyTooLargeError) as caught:
        trained(kind, 5000)
    return caught.value.largest


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_two_processes_train_the_same_bytes(kind: Kind) -> None:
    code = (
        "import sys; from nmt.text.tokenizer_training import TokenizerPlan, train_tokenizer; "
        "lines = sys.stdin.buffer.read().decode().split('\\n');"
        f"sys.stdout.buffer.write(train_tokenizer(lines, TokenizerPlan('{kind}', 24)))"
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
        train_tokenizer(lines, TokenizerPlan("unigram", 20))


@pytest.mark.parametrize("odd", ["\0", "\u2585", "\u2581", "\t", "\u2028", "\r"])
def test_a_line_with_an_odd_character_still_teaches_its_other_characters(odd: str) -> None:
    tokenizer = Tokenizer(train_tokenizer([*LINES, f"xyz {odd} zyx"], TokenizerPlan("bpe", 40)))
    assert {"x", "y", "z"} <= set(tokenizer.pieces)


def test_a_very_long_line_is_not_skipped() -> None:
    tokenizer = Tokenizer(train_tokenizer([*LINES, "xyz " * 20_000], TokenizerPlan("bpe", 40)))
    assert {"x", "y", "z"} <= set(tokenizer.pieces)


def test_an_interruption_while_lines_are_read_comes_through() -> None:
    def lines() -> Iterator[str]:
        yield "a line"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_tokenizer(lines(), TokenizerPlan("unigram", 20))


@pytest.mark.parametrize(("kind", "most"), [("word", 4 + 16), ("char", 4 + 1 + 16)])
def test_words_and_characters_are_as_many_as_there_are_or_the_most_frequent(kind: Kind, most: int) -> None:
    every = Tokenizer(trained(kind, 5000)).pieces
    assert len(every) == most
    few = Tokenizer(trained(kind, 16)).pieces
    assert few == every[:16]


def test_the_mark_of_unknown_words_and_marks_of_spaces_are_no_words() -> None:
    tokenizer = Tokenizer(train_tokenizer(["a <unk> a \u2581 b\u2581a <unk>"], TokenizerPlan("word", 99)))
    assert tokenizer.pieces[4:] == ["\u2581a", "\u2581b"]


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_bytes_are_pieces_behind_the_symbols(kind: Kind) -> None:
    model = train_tokenizer(LINES, TokenizerPlan(kind, 285, byte_fallback=True, symbols=("<b>",)))
    tokenizer = Tokenizer(model)
    assert tokenizer.pieces[4:6] == ["<b>", "<0x00>"]
    assert tokenizer.pieces[260] == "<0xFF>"
    assert tokenizer.encode(["é<b>"])[0][1:] == [5 + 0xC3, 5 + 0xA9, 4]


def test_a_vocabulary_too_small_for_bytes_names_the_smallest_possible() -> None:
    with pytest.raises(
        ConfigError, match=r"^tokenizer\.vocab_size = 100 is too small for tokenizer\.byte_fallback: 256 .*"
    ):
        train_tokenizer(LINES, TokenizerPlan("char", 100, byte_fallback=True, symbols=["<b>"]))
    with pytest.raises(ConfigError, match=r"4 special pieces, 1 symbols and a character are 262 pieces$"):
        train_tokenizer(LINES, TokenizerPlan("char", 261, byte_fallback=True, symbols=["<b>"]))
    model = train_tokenizer(LINES, TokenizerPlan("char", 262, byte_fallback=True, symbols=["<b>"]))
    assert Tokenizer(model).pieces[260:] == ["<0xFF>", "\u2581"]


def test_bytes_need_no_text() -> None:
    assert len(Tokenizer(train_tokenizer([], TokenizerPlan("byte", 16)))) == 260


@pytest.mark.parametrize("kind", ["unigram", "bpe", "char", "byte"])
def test_symbols_are_never_cut_and_never_merged(kind: Kind) -> None:
    lines = [f"<news> {line}<b>" for line in LINES]
    tokenizer = Tokenizer(train_tokenizer(lines, TokenizerPlan(kind, 26, symbols=["<news>", "<b>"])))
    assert tokenizer.pieces[4:6] == ["<news>", "<b>"]
    assert tokenizer.symbols == {"<news>", "<b>"}
    for text in ("<news> the cat<b>", "a<news>b", "<news><b> ", "<new>"):
        [ids] = tokenizer.encode([text])
        assert (ids.count(4), ids.count(5)) == (text.count("<news>"), text.count("<b>"))
    assert tokenizer.decode(tokenizer.encode(["<news> the cat<b>"])) == ["<news> the cat<b>"]


AWKWARD = ["the dog runs", "", "the cat sleeps\r", "a\u2028b", "the dog sleeps"] * 3


def test_a_tokenizer_that_is_trained_apart_is_the_same(tmp_path: Path) -> None:
    apart = train_apart(AWKWARD, TokenizerPlan("bpe", 40, symbols=("<a>",)), tmp_path / "sample")
    assert apart == train_tokenizer(AWKWARD, TokenizerPlan("bpe", 40, symbols=("<a>",)))
    assert list(tmp_path.iterdir()) == []


def test_errors_come_through(tmp_path: Path) -> None:
    with pytest.raises(VocabularyTooLargeError) as caught:
        train_apart(AWKWARD, TokenizerPlan("unigram", 4000), tmp_path / "sample")
    assert caught.value.asked == 4000 > caught.value.largest
    with pytest.raises(ConfigError, match="is too small for this corpus"):
        train_apart(AWKWARD, TokenizerPlan("bpe", 16), tmp_path / "sample")
    with pytest.raises(DataError, match="there is no text to train a tokenizer on"):
        train_apart([], TokenizerPlan("bpe", 16), tmp_path / "sample")
    assert list(tmp_path.iterdir()) == []


BYTES = Tokenizer(make_byte_model(("<news>",)))
SENTENCEPIECE = SentencePieceProcessor(model_proto=make_byte_model(("<news>",)))
TEXTS = st.text(st.characters(blacklist_categories=("Cs",)))


def test_a_model_of_bytes_has_specials_symbols_and_256_bytes() -> None:
    assert (BYTES.kind, len(BYTES), BYTES.has_bytes, BYTES.symbols) == ("byte", 261, True, {"<news>"})
    assert BYTES.pieces[:6] == ["<pad>", "<unk>", "<s>", "</s>", "<news>", "<0x00>"]
    assert BYTES.pieces[-1] == "<0xFF>"


def test_text_becomes_its_bytes_behind_a_space() -> None:
    assert BYTES.encode(["aé", "a<news> b", ""]) == [
        [5 + byte for byte in b" a\xc3\xa9"],
        [5 + 0x20, 5 + 0x61, 4, 5 + 0x20, 5 + 0x62],
        [],
    ]
    assert BYTES.split("aé <news>") == ["\u2581", "a", "\udcc3", "\udca9", "\u2581", "<news>"]


@given(TEXTS)
def test_any_text_comes_back_from_its_bytes_and_has_nothing_unknown(text: str) -> None:
    [ids] = BYTES.encode([text])
    assert BYTES.decode([ids]) == [text]
    assert min(ids, default=4) >= 4
    assert len(BYTES.split(text)) == len(ids)


@given(TEXTS)
def test_sentencepiece_cuts_a_model_of_bytes_in_the_same_way(text: str) -> None:
    assert BYTES.encode([text]) == [SENTENCEPIECE.encode(text)]


def test_bytes_that_are_no_character_are_decoded_with_a_mark() -> None:
    assert BYTES.decode([[5 + 0x61, 5 + 0xC3, 5 + 0x62, 2, 3, 0], [5 + 0xE4, 5 + 0xB8]]) == ["a\ufffdb", "\ufffd\ufffd"]


def test_words_below_the_frequency_have_no_piece_and_the_most_frequent_comes_first() -> None:
    lines = ["the cat", "the dog", "the cat", "a bird"]
    model = train_tokenizer(lines, TokenizerPlan("word", 99, min_frequency=2))
    assert Tokenizer(model).pieces[4:] == ["\u2581the", "\u2581cat"]
    model = train_tokenizer(lines, TokenizerPlan("word", 99, min_frequency=4))
    assert Tokenizer(model).pieces[4:] == []


def test_characters_below_the_frequency_have_no_piece_but_the_mark_of_a_space_has() -> None:
    model = train_tokenizer(["aab", "acb", "d"], TokenizerPlan("char", 99, min_frequency=2))
    assert Tokenizer(model).pieces[4:] == ["a", "\u2581", "b"]
    model = train_tokenizer(["aab", "acb"], TokenizerPlan("char", 99, min_frequency=3, symbols=["<b>"]))
    assert Tokenizer(model).pieces[4:] == ["<b>", "a", "\u2581"]


def test_a_frequency_leaves_the_pieces_of_bytes() -> None:
    model = train_tokenizer(["aab", "acb"], TokenizerPlan("char", 999, min_frequency=3, byte_fallback=True))
    tokenizer = Tokenizer(model)
    assert tokenizer.pieces[4 + 256 :] == ["a", "\u2581"]
    assert tokenizer.encode(["ab"]) == [[261, 260, 4 + ord("b")]]


@pytest.mark.parametrize("min_frequency", [1, 2])
def test_symbols_are_words_of_the_vocabulary_however_rare(min_frequency: int) -> None:
    lines = ["the cat", "the cat", "<b> the dog"]
    options = {"kind": "word", "min_frequency": min_frequency, "symbols": ["<news>", "<b>"]}
    tokenizer = Tokenizer(train_tokenizer(lines, TokenizerPlan(vocab_size=8, **options)))  # type: ignore[arg-type]
    assert tokenizer.pieces[4:] == ["\u2581<news>", "\u2581<b>", "\u2581the", "\u2581cat"]
    assert tokenizer.encode(["<news> the<b>"]) == [[4, 1]]
    assert {"<news>", "<b>", "the"} <= tokenizer.symbols
