import subprocess
import sys
from collections.abc import Iterator

import pytest

from nmt.errors import ConfigError, DataError
from nmt.text.tokenizer import Kind, Tokenizer
from nmt.text.tokenizer_training import VocabularyTooLargeError, train_tokenizer

KINDS: tuple[Kind, ...] = ("unigram", "bpe")
EVERY_KIND: tuple[Kind, ...] = (*KINDS, "word", "char", "byte")
LINES = ["the cat sat on the mat", "a dog ran to the cat", "le chat dort", "un chien court vers le chat"] * 5


def trained(kind: Kind = "unigram", vocab_size: int = 24, symbols: tuple[str, ...] = ()) -> bytes:
    return train_tokenizer(LINES, kind=kind, vocab_size=vocab_size, symbols=symbols)


def largest(kind: Kind) -> int:
    with pytest.raises(VocabularyTooLargeError) as caught:
        trained(kind, 5000)
    return caught.value.largest


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_two_processes_train_the_same_bytes(kind: Kind) -> None:
    code = (
        "import sys; from nmt.text.tokenizer_training import train_tokenizer; "
        "lines = sys.stdin.buffer.read().decode().split('\\n');"
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


@pytest.mark.parametrize(("kind", "most"), [("word", 4 + 16), ("char", 4 + 1 + 16)])
def test_words_and_characters_are_as_many_as_there_are_or_the_most_frequent(kind: Kind, most: int) -> None:
    every = Tokenizer(trained(kind, 5000)).pieces
    assert len(every) == most
    few = Tokenizer(trained(kind, 16)).pieces
    assert few == every[:16]


def test_the_mark_of_unknown_words_and_marks_of_spaces_are_no_words() -> None:
    tokenizer = Tokenizer(train_tokenizer(["a <unk> a \u2581 b\u2581a <unk>"], kind="word", vocab_size=99))
    assert tokenizer.pieces[4:] == ["\u2581a", "\u2581b"]


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_bytes_are_pieces_behind_the_symbols(kind: Kind) -> None:
    model = train_tokenizer(LINES, kind=kind, vocab_size=285, byte_fallback=True, symbols=("<b>",))
    tokenizer = Tokenizer(model)
    assert tokenizer.pieces[4:6] == ["<b>", "<0x00>"]
    assert tokenizer.pieces[260] == "<0xFF>"
    assert tokenizer.encode(["é<b>"])[0][1:] == [5 + 0xC3, 5 + 0xA9, 4]


def test_a_vocabulary_too_small_for_bytes_names_the_smallest_possible() -> None:
    with pytest.raises(
        ConfigError, match=r"^tokenizer\.vocab_size = 100 is too small for tokenizer\.byte_fallback: 256 .*"
    ):
        train_tokenizer(LINES, kind="char", vocab_size=100, byte_fallback=True, symbols=["<b>"])
    with pytest.raises(ConfigError, match=r"4 special pieces, 1 symbols and a character are 262 pieces$"):
        train_tokenizer(LINES, kind="char", vocab_size=261, byte_fallback=True, symbols=["<b>"])
    model = train_tokenizer(LINES, kind="char", vocab_size=262, byte_fallback=True, symbols=["<b>"])
    assert Tokenizer(model).pieces[260:] == ["<0xFF>", "\u2581"]


def test_bytes_need_no_text() -> None:
    assert len(Tokenizer(train_tokenizer([], kind="byte", vocab_size=16))) == 260


@pytest.mark.parametrize("kind", ["unigram", "bpe", "char", "byte"])
def test_symbols_are_never_cut_and_never_merged(kind: Kind) -> None:
    lines = [f"<news> {line}<b>" for line in LINES]
    tokenizer = Tokenizer(train_tokenizer(lines, kind=kind, vocab_size=26, symbols=["<news>", "<b>"]))
    assert tokenizer.pieces[4:6] == ["<news>", "<b>"]
    assert tokenizer.symbols == {"<news>", "<b>"}
    for text in ("<news> the cat<b>", "a<news>b", "<news><b> ", "<new>"):
        [ids] = tokenizer.encode([text])
        assert (ids.count(4), ids.count(5)) == (text.count("<news>"), text.count("<b>"))
    assert tokenizer.decode(tokenizer.encode(["<news> the cat<b>"])) == ["<news> the cat<b>"]
