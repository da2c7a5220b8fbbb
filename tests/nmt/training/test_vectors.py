import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zstandard

from nmt.errors import ConfigError, DataError
from nmt.training.word_vectors import find_vectors

SPECIALS = ["<pad>", "<unk>", "<s>", "</s>"]
PIECES = [*SPECIALS, "▁", "▁the", "▁House", "ing", "▁é", "[NUM]"]


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8", newline="")
    return path


def found(path: Path, pieces: list[str] = PIECES, *, size: int = 2) -> dict[str, list[float]]:
    vectors = find_vectors(path, pieces, size=size)
    assert list(vectors) == sorted(vectors)
    assert all(vector.dtype == np.float32 for vector in vectors.values())
    return {pieces[i]: vector.tolist() for i, vector in vectors.items()}


def test_a_word_serves_the_piece_that_is_the_whole_of_it(tmp_path: Path) -> None:
    path = written(tmp_path / "v.txt", "the 1 2\ning 3 4\nhouses 5 6\n</s> 7 8\n[NUM] 1 1\n")
    assert found(path) == {"▁the": [1, 2]}


@pytest.mark.parametrize("heading", ["", "2 2\n"])
def test_a_line_of_two_counts_may_come_first(tmp_path: Path, heading: str) -> None:
    assert found(written(tmp_path / "v.vec", f"{heading}the 0.5 -1e-1\n")) == {"▁the": pytest.approx([0.5, -0.1])}


def test_spaces_and_carriage_returns_at_the_end_of_a_line_are_no_fields(tmp_path: Path) -> None:
    assert found(written(tmp_path / "v.vec", "2 2 \r\nthe 1 2 \r\nhouse 3 4 \r\n")) == {
        "▁the": [1, 2],
        "▁House": [3, 4],
    }


def test_words_may_hold_spaces(tmp_path: Path) -> None:
    path = written(tmp_path / "v.txt", ". . 9 9\nat the house 8 8\nthe\u00a01 7 7\nthe 1 2\n")
    assert found(path) == {"▁the": [1, 2]}


def test_a_word_may_look_like_a_number(tmp_path: Path) -> None:
    path = written(tmp_path / "v.txt", "1.5 1 2\nnan 3 4\n7 5 6\n")
    assert found(path, [*SPECIALS, "▁7", "▁nan", "▁1.5"]) == {"▁7": [5, 6], "▁nan": [3, 4], "▁1.5": [1, 2]}


def test_a_word_as_it_is_written_comes_before_its_lower_case(tmp_path: Path) -> None:
    assert found(written(tmp_path / "a.txt", "house 1 2\nHouse 3 4\n")) == {"▁House": [3, 4]}
    assert found(written(tmp_path / "b.txt", "house 1 2\nHOUSE 3 4\n")) == {"▁House": [1, 2]}
    assert found(written(tmp_path / "c.txt", "The 1 2\nhouse 3 4\n")) == {"▁House": [3, 4]}


def test_the_small_letters_of_turkish_are_looked_for_too(tmp_path: Path) -> None:
    path = written(tmp_path / "v.txt", "istanbul 1 2\nısı 3 4\n")  # noqa: RUF001 (Turkish)
    istanbul, heat = "▁\u0130stanbul", "▁Is\u0131"
    assert found(path, [*SPECIALS, istanbul, heat]) == {istanbul: [1, 2], heat: [3, 4]}


def test_of_several_vectors_of_a_word_the_first_counts(tmp_path: Path) -> None:
    assert found(written(tmp_path / "v.txt", "the 1 2\nthe 3 4\n")) == {"▁the": [1, 2]}


def test_words_are_compared_in_nfc(tmp_path: Path) -> None:
    assert found(written(tmp_path / "v.txt", "e\u0301 1 2\n")) == {"▁é": [1, 2]}


def test_a_file_of_pieces_serves_every_piece(tmp_path: Path) -> None:
    path = written(tmp_path / "v.txt", "▁the 1 2\nthe 9 9\ning 3 4\n</s> 5 6\n▁ 7 8\n")
    assert found(path) == {"▁the": [1, 2], "ing": [3, 4], "▁": [7, 8]}


def test_a_lone_mark_makes_no_file_of_pieces(tmp_path: Path) -> None:
    path = written(tmp_path / "v.txt", "the 1 2\nhouse 3 4\ning 5 6\n▁ 7 8\n")
    assert found(path) == {"▁the": [1, 2], "▁House": [3, 4]}


def test_a_vocabulary_of_characters_takes_them_as_they_are(tmp_path: Path) -> None:
    path = written(tmp_path / "v.txt", "a 1 2\nb 3 4\nab 5 6\n")
    assert found(path, [*SPECIALS, "▁", "a", "B"]) == {"a": [1, 2], "B": [3, 4]}
    assert found(path, [*SPECIALS, "▁", "a", "B", "▁ab"]) == {"▁ab": [5, 6]}


def test_a_vector_of_zeros_is_none(tmp_path: Path) -> None:
    assert found(written(tmp_path / "v.txt", "the 0 0\nhouse 0 1\n")) == {"▁House": [0, 1]}


def test_no_piece_with_a_vector_is_none(tmp_path: Path) -> None:
    assert find_vectors(written(tmp_path / "v.txt", "maison 1 2\n"), PIECES, size=2) == {}


@pytest.mark.parametrize(("ending", "compress"), [(".gz", gzip.compress), (".zst", zstandard.compress)])
def test_files_may_be_compressed(tmp_path: Path, ending: str, compress: Callable[[bytes], bytes]) -> None:
    path = tmp_path / f"v.vec{ending}"
    path.write_bytes(compress(b"the 1 2\n"))
    assert found(path) == {"▁the": [1, 2]}


@pytest.mark.parametrize("text", ["the 1 2 3\n", "5 3\nthe 1 2 3\n", "3 1 2 3\n"])
def test_vectors_of_another_size_are_refused(tmp_path: Path, text: str) -> None:
    path = written(tmp_path / "v.txt", text)
    with pytest.raises(ConfigError) as refused:
        find_vectors(path, PIECES, size=2)
    assert str(refused.value) == (
        f"the vectors in {path} have 3 numbers, but model.embedding_size = 2; set model.embedding_size=3, or take "
        "another file"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a 1 2\nthe 1\n", "line 2: found 1 numbers behind the word, expected 2"),
        ("a 1 2\nthe 1 2 3\n", "line 2: found 3 numbers behind the word, expected 2"),
        ("a 1 2\n\nthe 1 2\n", "line 2: found 0 numbers behind the word, expected 2"),
        ("a 1 2\nthe 1 two\n", "line 2: expected a finite number, found 'two'"),
        ("a 1 2\nthe 1 nan\n", "line 2: expected a finite number, found 'nan'"),
        (
            "Once upon a time\n",
            "line 1: expected a word and its numbers, separated by spaces, found 'Once upon a time'",
        ),
        ("", " is empty; expected a word and its numbers on each line"),
    ],
)
def test_a_line_that_is_no_vector_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = written(tmp_path / "v.txt", text)
    with pytest.raises(DataError) as refused:
        find_vectors(path, PIECES, size=2)
    assert str(refused.value) in (f"{path}, {message}", f"{path}{message}")


def test_bytes_that_are_not_utf8_are_an_error_or_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "v.txt"
    path.write_bytes(b"a 1 2\n\xff 1 2\nthe 3 4\n")
    with pytest.raises(DataError, match=r"v\.txt, line 2: byte 1 \(0xff\) is not UTF-8"):
        find_vectors(path, PIECES, size=2)
    vectors = find_vectors(path, PIECES, size=2, on_bad_utf8="replace")
    assert [vector.tolist() for vector in vectors.values()] == [[3, 4]]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for name in ("none.txt", "none.bin"):
        with pytest.raises(DataError, match=f"cannot read .*{name}: No such file or directory"):
            find_vectors(tmp_path / name, PIECES, size=2)


def binary(path: Path, words: dict[bytes, tuple[float, float]], *, behind: bytes = b"\n") -> Path:
    vectors = (word + b" " + struct.pack("<2f", *numbers) + behind for word, numbers in words.items())
    path.write_bytes(f"{len(words)} 2\n".encode() + b"".join(vectors))
    return path


@pytest.mark.parametrize("behind", [b"\n", b""])
def test_binary_files_of_word2vec_are_read(tmp_path: Path, behind: bytes) -> None:
    words = {b"</s>": (9.0, 9.0), b"the": (1.5, 2.0), b"e\xcc\x81": (0.0, -4.0), b"House": (0.0, 0.0)}
    assert found(binary(tmp_path / "v.bin", words, behind=behind)) == {"▁the": [1.5, 2.0], "▁é": [0, -4]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"\xba\x16\x4f\x2f\n",
            " is no binary file of word2vec, which begins with two counts; of fastText's files take",
        ),
        (b"1000 2\nthe \0\0\0\0\0", ", word 1 of 1,000: the file ends there"),
        (b"2 2\na \0\0\0\0\0\0\0\0the", ", word 2 of 2: expected a word and a space behind it"),
        (b"1 2\nthe \0\0\0\0\0\0\x80\x7f", ", word 1 of 1: expected finite numbers"),
        (
            b"1 2\n\xff \0\0\0\0\0\0\0\0",
            ', word 1 of 1: the word is not UTF-8; data.on_bad_utf8 = "replace" passes over',
        ),
    ],
)
def test_a_damaged_binary_file_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "v.bin"
    path.write_bytes(content)
    with pytest.raises(DataError) as refused:
        find_vectors(path, PIECES, size=2)
    assert str(refused.value).startswith(f"{path}{message}")


def test_a_binary_file_passes_over_words_that_are_not_utf8_if_asked_to(tmp_path: Path) -> None:
    path = binary(tmp_path / "v.bin", {b"\xff": (1.0, 1.0), b"the": (1.5, 2.0)})
    vectors = find_vectors(path, PIECES, size=2, on_bad_utf8="replace")
    assert [vector.tolist() for vector in vectors.values()] == [[1.5, 2.0]]


def test_a_binary_file_of_another_size_is_refused(tmp_path: Path) -> None:
    path = binary(tmp_path / "v.bin", {b"the": (1.5, 2.0)})
    with pytest.raises(ConfigError, match=r"v\.bin have 2 numbers, but model.embedding_size = 300; set"):
        find_vectors(path, PIECES, size=300)


def test_a_compressed_binary_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"v\.bin\.gz is a compressed binary file; unpack it first"):
        find_vectors(tmp_path / "v.bin.gz", PIECES, size=2)
