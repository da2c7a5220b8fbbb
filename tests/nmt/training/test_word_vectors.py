import gzip
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch
import zstandard

from nmt.config import Settings
from nmt.errors import ConfigError, DataError
from nmt.models.build import build_language_model, build_model
from nmt.models.folder import load_model, model_tensors
from nmt.models.language_model import LanguageModel
from nmt.models.seq2seq import Seq2Seq
from nmt.prepared import PreparedData
from nmt.training.observers import Silence, StepReport, ValidationReport
from nmt.training.trainer import train
from nmt.training.translation import start_from_vectors
from nmt.training.word_vectors import CountedPieces, find_vectors, give_vectors

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
        ("a 1 2\nthe 1\n", "line 2: found 1 numbers after the word, expected 2"),
        ("a 1 2\nthe 1 2 3\n", "line 2: found 3 numbers after the word, expected 2"),
        ("a 1 2\n\nthe 1 2\n", "line 2: found 0 numbers after the word, expected 2"),
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
        (b"2 2\na \0\0\0\0\0\0\0\0the", ", word 2 of 2: expected a word and a space after it"),
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


SRC = [*SPECIALS, "▁the", "▁dog", "▁runs", "s"]
TGT = [*SPECIALS, "▁le", "▁chien", "▁court", "s"]
SRC_COUNTS = np.array([0, 1, 0, 0, 10, 4, 3, 2], dtype=np.int64)  # 20 pieces of text
TGT_COUNTS = np.array([0, 0, 0, 9, 8, 4, 2, 6], dtype=np.int64)  # 20 pieces of text, and 9 ends


def data_of(src: list[str] = SRC, tgt: list[str] = TGT) -> PreparedData:
    joint = SimpleNamespace(pieces=src)
    tokenizers = SimpleNamespace(src=joint, tgt=joint if src == tgt else SimpleNamespace(pieces=tgt))
    counts = {"source_counts": SRC_COUNTS, "target_counts": TGT_COUNTS}
    return cast(PreparedData, SimpleNamespace(tokenizers=tokenizers, **counts))


def settings_of(*, joint: bool = False, on_bad_utf8: str = "error", **model: object) -> Settings:
    small = {"embedding_size": 2, "hidden_size": 4, "encoder_layers": 1, "dropout": 0.0}
    tree = {"data": {"on_bad_utf8": on_bad_utf8}, "tokenizer": {"joint": joint}, "model": {**small, **model}}
    return Settings.model_validate(tree)


def model_of(settings: Settings) -> Seq2Seq:
    joint = settings.tokenizer.joint
    return build_model(settings.model, src_vocab_size=8, tgt_vocab_size=8, joint=joint, seed=1)


def started(settings: Settings, data: PreparedData) -> tuple[Seq2Seq, list[str]]:
    model, messages = model_of(settings), list[str]()
    start_from_vectors(model, data, settings, on_message=messages.append)
    return model, messages


def changed(model: Seq2Seq, settings: Settings) -> dict[str, list[int]]:
    """Name the rows of the tables that are others than those of a model without vectors."""
    fresh, now = model_tensors(model_of(settings)), model_tensors(model)
    rows = {name: (now[name] != weight).any(-1).nonzero().flatten().tolist() for name, weight in fresh.items()}
    return {name: row for name, row in rows.items() if row}


@pytest.fixture
def english(tmp_path: Path) -> Path:
    path = tmp_path / "english.vec"
    path.write_text("the 1 2\nruns 3 4\nchien 1 1\n", encoding="utf-8")
    return path


@pytest.fixture
def french(tmp_path: Path) -> Path:
    path = tmp_path / "french.vec"
    path.write_text("3 2\nchien 1 2\ncourt 3 4\nchat 5 6\n", encoding="utf-8")
    return path


def test_without_files_nothing_happens() -> None:
    model, messages = started(settings_of(), data_of())
    assert changed(model, settings_of()) == {}
    assert messages == []


def test_each_side_starts_from_its_file(english: Path, french: Path) -> None:
    settings = settings_of(src_vectors=english, tgt_vectors=french)
    model, messages = started(settings, data_of())
    assert messages == [
        f"source vectors: 2 of 8 pieces (65.0% of the running text) from {english}",  # 10 + 3 of 20
        f"target vectors: 2 of 8 pieces (30.0% of the running text) from {french}",  # 4 + 2 of 20
    ]
    tables = {"src_embedding.table.weight": [4, 6], "tgt_embedding.table.weight": [5, 6]}
    assert changed(model, settings) == tables
    the, runs = model.src_embedding.table.weight[[4, 6]].tolist()
    assert the[1] / the[0] == pytest.approx(2)
    assert runs[0] / the[0] == pytest.approx(3)


@pytest.mark.parametrize(("side", "rows"), [("src", [4, 6]), ("tgt", [5])])
def test_one_side_alone_starts_from_a_file(english: Path, side: str, rows: list[int]) -> None:
    settings = settings_of(**{f"{side}_vectors": english})
    model, messages = started(settings, data_of())
    assert changed(model, settings) == {f"{side}_embedding.table.weight": rows}
    assert len(messages) == 1


def test_vectors_of_a_tied_target_are_those_of_the_output_layer(french: Path) -> None:
    model, _ = started(settings_of(tgt_vectors=french, tied_embeddings="target"), data_of())
    assert model.output.weight is model.tgt_embedding.table.weight


def test_frozen_vectors_stand_in_tables_of_their_own(english: Path, french: Path) -> None:
    freeze = {"freeze_src_vectors": True, "freeze_tgt_vectors": True}
    settings = settings_of(src_vectors=english, tgt_vectors=french, tied_embeddings="none", **freeze)
    model, messages = started(settings, data_of())
    assert changed(model, settings) == {"src_embedding.given": [4, 6], "tgt_embedding.given": [5, 6]}
    assert messages[0] == f"source vectors, frozen: 2 of 8 pieces (65.0% of the running text) from {english}"


def test_a_shared_table_takes_one_file_for_both_sides(english: Path) -> None:
    settings = settings_of(joint=True, src_vectors=english, tgt_vectors=english)
    model, messages = started(settings, data_of(SRC, SRC))
    assert changed(model, settings) == {"src_embedding.table.weight": [4, 6]}
    # 10 + 3 of the source and 8 + 2 of the target, of 20 each
    assert messages == [f"source and target vectors: 2 of 8 pieces (57.5% of the running text) from {english}"]


def test_a_shared_table_takes_the_file_of_one_side(english: Path) -> None:
    settings = settings_of(joint=True, tgt_vectors=english)
    model, messages = started(settings, data_of(SRC, SRC))
    assert changed(model, settings) == {"src_embedding.table.weight": [4, 6]}
    assert messages == [f"target vectors: 2 of 8 pieces (50.0% of the running text) from {english}"]


def test_a_language_model_starts_from_the_vectors_of_the_target(french: Path) -> None:
    settings = settings_of(kind="lm", tgt_vectors=french, tied_embeddings="none", freeze_tgt_vectors=True)
    model, messages = language_model_of(settings), list[str]()
    words = CountedPieces("word", TGT, TGT_COUNTS)
    give_vectors(model.embedding, words, french, on_bad_utf8="error", on_message=messages.append)
    assert model.embedding.given is not None
    assert model.embedding.given.any(1).nonzero().flatten().tolist() == [5, 6]
    assert messages == [f"word vectors, frozen: 2 of 8 pieces (30.0% of the running text) from {french}"]


def language_model_of(settings: Settings) -> LanguageModel:
    return build_language_model(settings.model, vocab_size=8, seed=1)


def test_vectors_for_no_piece_at_all_are_refused(french: Path) -> None:
    settings = settings_of(src_vectors=french)
    with pytest.raises(ConfigError) as refused:
        started(settings, data_of())
    assert str(refused.value) == (
        f"none of the 8 pieces of the model has a vector in {french}: is it for another language or another tokenizer?"
    )


def test_a_run_refuses_vectors_of_another_size(english: Path) -> None:
    settings = settings_of(src_vectors=english, embedding_size=6)
    with pytest.raises(ConfigError, match=r"english\.vec have 2 numbers, but model\.embedding_size = 6"):
        started(settings, data_of())


def test_words_that_are_not_utf8_are_met_as_the_data_were(tmp_path: Path) -> None:
    path = tmp_path / "bad.vec"
    path.write_bytes(b"the 1 2\n\xff 3 4\n")
    with pytest.raises(DataError, match="line 2"):
        started(settings_of(src_vectors=path), data_of())
    _, messages = started(settings_of(src_vectors=path, on_bad_utf8="replace"), data_of())
    assert messages == [f"source vectors: 1 of 8 pieces (50.0% of the running text) from {path}"]


class Listener(Silence):
    """Keeps the messages of a run."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def on_step(self, report: StepReport) -> None:
        pass

    def on_validation(self, report: ValidationReport) -> None:
        pass

    def on_message(self, message: str) -> None:
        self.messages.append(message)

    def of_vectors(self) -> list[str]:
        return [message for message in self.messages if " vectors, frozen: " in message]


def test_frozen_vectors_outlast_training_and_the_file_that_they_came_from(
    tmp_path: Path, toy_data: PreparedData, toy_settings: Settings
) -> None:
    whole = [i for i, piece in enumerate(toy_data.tokenizers.src.pieces) if i > 3 and len(piece) > 2]
    words = [toy_data.tokenizers.src.pieces[i].removeprefix("\u2581") for i in whole]
    path, rng = tmp_path / "toy.vec", np.random.default_rng(1)
    path.write_text("".join(f"{word} {' '.join(map(str, rng.normal(size=32)))}\n" for word in words), encoding="utf-8")
    vectors = {"tgt_vectors": path, "freeze_tgt_vectors": True, "tied_embeddings": "none"}
    steps = {"optimizer": "adamw", "weight_decay": 0.1, "ema_decay": 0.5, "validate_every": 10, "checkpoint_every": 10}

    def run(max_steps: int) -> tuple[dict[str, torch.Tensor], list[str]]:
        tree = toy_settings.model_dump(exclude_unset=True)
        tree["model"] |= vectors
        tree["training"] |= {**steps, "schedule": "constant", "max_steps": max_steps}
        listener = Listener()
        settings = Settings.model_validate(tree)
        train(toy_data, tmp_path / "model", settings, observer=listener, stop=threading.Event())
        model, _ = load_model(tmp_path / "model", device=torch.device("cpu"))
        return model_tensors(model), listener.of_vectors()

    first, messages = run(10)
    assert len(messages) == 1
    assert messages[0].startswith(f"target vectors, frozen: {len(whole)} of 40 pieces (")
    path.unlink()
    second, messages = run(20)
    assert messages == []
    given = "tgt_embedding.given"
    assert first[given].any(1).nonzero().flatten().tolist() == whole
    assert torch.equal(first[given], second[given])
    assert not torch.equal(first["tgt_embedding.table.weight"], second["tgt_embedding.table.weight"])
