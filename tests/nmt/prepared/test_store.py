import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nmt.config import Settings
from nmt.errors import DataError
from nmt.prepare.pipeline import prepare
from nmt.prepared import PreparedData, PreparedText, open_data
from nmt.prepared.manifest import Counts, ValidationCount, read_manifest, write_manifest

Pairs = list[tuple[str, str]]


@pytest.fixture
def folder(tmp_path: Path, corpus: Pairs, make_settings: Callable[..., Settings]) -> Path:
    prepare(tmp_path / "data", make_settings("tokenizer.kind=bpe"))
    return tmp_path / "data"


def test_the_training_text_comes_back_from_its_ids(folder: Path, corpus: Pairs) -> None:
    data = PreparedData.open(folder)
    src = data.tokenizers.src.decode([data.train_src.row(row) for row in range(len(data.train_src))])
    tgt = data.tokenizers.tgt.decode([data.train_tgt.row(row) for row in range(len(data.train_tgt))])
    heldout = set(zip(data.valid.src_texts, data.valid.tgt_texts, strict=True))
    assert len(heldout) == 21
    assert list(zip(src, tgt, strict=True)) == [pair for pair in corpus if pair not in heldout]


def test_validation_ids_are_those_of_the_validation_text(folder: Path) -> None:
    data = PreparedData.open(folder)
    assert [data.valid.src.row(row) for row in range(21)] == data.tokenizers.src.encode(data.valid.src_texts)
    assert [data.valid.tgt.row(row) for row in range(21)] == data.tokenizers.tgt.encode(data.valid.tgt_texts)


@pytest.mark.parametrize(("tgt_pieces", "expected"), [(90, None), (100, None), (345, 6.9), (9000, 100.0)])
def test_targets_of_more_pieces_than_their_sources_may_be_translated_to_as_many(
    folder: Path, tgt_pieces: int, expected: float | None
) -> None:
    manifest = read_manifest(folder)
    counts = manifest.counts.model_copy(update={"src_pieces": 100, "tgt_pieces": tgt_pieces})
    write_manifest(folder, manifest.model_copy(update={"counts": counts}))
    search = PreparedData.open(folder).settings.search
    assert (search.max_length_ratio if search.model_fields_set else None) == expected


@pytest.mark.usefixtures("corpus")
def test_masked_numbers_are_written_in_the_digits_of_the_target_text(
    tmp_path: Path, make_settings: Callable[..., Settings]
) -> None:
    valid = tmp_path / "valid.src", tmp_path / "valid.tgt"
    valid[0].write_text("7 books\n12 books\n", encoding="utf-8")
    valid[1].write_text("٧ كتب\n١٢ كتابا, 5\n", encoding="utf-8")  # noqa: RUF001 (Arabic)
    sides = (f"data.valid_src={valid[0]}", f"data.valid_tgt={valid[1]}", "tokenizer.kind=byte")
    for folder, placeholders, expected in (("a", '["number"]', "٠"), ("b", "[]", None)):  # noqa: RUF001
        prepare(tmp_path / folder, make_settings(*sides, f"tokenizer.placeholders={placeholders}"))
        assert PreparedData.open(tmp_path / folder).settings.search.zero_digit == expected


def write_sets(folder: Path, *sets: tuple[str, int]) -> None:
    """Say that the validation pairs are sets of such names and sizes."""
    manifest = read_manifest(folder)
    assert isinstance(manifest.counts, Counts)
    validation = tuple(ValidationCount(name=name, pairs=pairs, dropped=0) for name, pairs in sets)
    counts = manifest.counts.model_copy(update={"validation": validation})
    write_manifest(folder, manifest.model_copy(update={"counts": counts}))


def test_validation_sets_lie_end_to_end(folder: Path) -> None:
    (whole,) = PreparedData.open(folder).valid_sets
    write_sets(folder, ("news", 5), ("news", 0), ("talks", 9), ("news", 7))
    data = PreparedData.open(folder)
    assert [pairs.name for pairs in data.valid_sets] == ["news", "news (2)", "talks", "news (3)"]
    assert data.valid is data.valid_sets[0]
    talks = data.valid_sets[2]
    assert (talks.src_texts, talks.tgt_texts) == (whole.src_texts[5:14], whole.tgt_texts[5:14])
    assert [talks.src.row(row) for row in range(9)] == [whole.src.row(row) for row in range(5, 14)]
    assert [talks.tgt.row(row) for row in range(9)] == [whole.tgt.row(row) for row in range(5, 14)]
    assert len(data.valid_sets[1].src) == 0


def test_other_numbers_of_pairs_than_those_counted_are_refused(folder: Path) -> None:
    write_sets(folder, ("news", 5), ("talks", 15))
    with pytest.raises(DataError, match=r"valid\.arrow is damaged: it has 21 pairs, but manifest\.json counts 20$"):
        PreparedData.open(folder)
    tree = json.loads((folder / "manifest.json").read_text())
    tree["counts"]["validation"][1]["pairs"] = 16
    tree["counts"]["corpora"][0]["train"] += 1
    (folder / "manifest.json").write_text(json.dumps(tree))
    with pytest.raises(DataError, match=r"train\.arrow is damaged: it has 189 pairs, but manifest\.json counts 190$"):
        PreparedData.open(folder)


def test_corpora_are_those_of_the_manifest(folder: Path) -> None:
    (corpus,) = PreparedData.open(folder).corpora
    assert (corpus.train, corpus.weight) == (189, 1.0)


def test_the_counts_are_those_of_the_ids(folder: Path) -> None:
    data = PreparedData.open(folder)
    for counts, rows in ((data.source_counts, data.train_src), (data.target_counts, data.train_tgt)):
        expected = np.bincount([token for row in range(len(rows)) for token in rows.row(row)], minlength=60)
        expected[3] = 189  # </s>, once for every sentence
        assert counts.dtype == np.int64
        assert counts.tolist() == expected.tolist()


def test_the_settings_come_back(folder: Path, make_settings: Callable[..., Settings]) -> None:
    settings = PreparedData.open(folder).settings
    expected = make_settings("tokenizer.kind=bpe")
    assert (settings.data, settings.tokenizer) == (expected.data, expected.tokenizer)
    assert settings.model_fields_set - {"search"} == {"data", "tokenizer"}


def test_data_of_before_hold_what_nobody_sees(folder: Path) -> None:
    assert PreparedData.open(folder).settings.data.clean_invisible
    tree = json.loads((folder / "manifest.json").read_text())
    del tree["settings"]["data"]["clean_invisible"]
    (folder / "manifest.json").write_text(json.dumps(tree))
    assert not PreparedData.open(folder).settings.data.clean_invisible


def test_an_altered_file_is_refused(folder: Path) -> None:
    model = folder / "joint.spm.model"
    model.write_bytes(model.read_bytes()[::-1])
    with pytest.raises(DataError, match=r"joint\.spm\.model was altered"):
        PreparedData.open(folder)


def test_unknown_settings_are_refused(folder: Path) -> None:
    tree = json.loads((folder / "manifest.json").read_text())
    tree["settings"]["data"]["novelty"] = 1
    (folder / "manifest.json").write_text(json.dumps(tree))
    with pytest.raises(
        DataError, match=r"prepared with settings that are unknown here: data\.novelty = 1: extra inputs"
    ):
        PreparedData.open(folder)


def test_a_text_comes_back_line_by_line(toy_text_data: PreparedText) -> None:
    text = PreparedText.open(toy_text_data.folder)
    lines = text.tokenizer.decode([text.train.row(row) for row in range(len(text.train))])
    source = (text.folder.parent / "train.txt").read_text().splitlines()
    assert lines == source
    assert not text.train.values.flags.owndata
    assert text.valid_texts == (text.folder.parent / "valid.txt").read_text().splitlines()
    assert [text.valid.row(row) for row in range(len(text.valid))] == text.tokenizer.encode(text.valid_texts)


def test_the_counts_of_a_text_are_those_of_its_ids(toy_text_data: PreparedText) -> None:
    rows = toy_text_data.train
    expected = np.bincount([token for row in range(len(rows)) for token in rows.row(row)], minlength=14)
    expected[3] = 300  # </s>, once for every line
    assert toy_text_data.counts.dtype == np.int64
    assert toy_text_data.counts.tolist() == expected.tolist()


def test_the_settings_of_a_text_ask_for_a_language_model(toy_text_data: PreparedText) -> None:
    settings = toy_text_data.settings
    assert (settings.model.kind, settings.tokenizer.kind) == ("lm", "word")
    assert settings.model_fields_set == {"data", "tokenizer", "model"}
    assert settings.model.model_fields_set == {"kind"}


def test_pairs_and_text_are_told_apart(folder: Path, toy_text_data: PreparedText) -> None:
    found = open_data(folder), open_data(toy_text_data.folder)
    assert (type(found[0]), type(found[1])) == (PreparedData, PreparedText)
    with pytest.raises(DataError, match=r"data holds pairs for translation, expected text for a language model$"):
        PreparedText.open(folder)
    with pytest.raises(DataError, match=r"data holds text for a language model, expected pairs for translation$"):
        PreparedData.open(toy_text_data.folder)


def test_an_altered_text_is_refused(toy_text_data: PreparedText, tmp_path: Path) -> None:
    altered = shutil.copytree(toy_text_data.folder, tmp_path / "altered")
    (altered / "train.arrow").write_bytes(b"cut")
    with pytest.raises(DataError, match=r"train\.arrow was altered"):
        PreparedText.open(altered)
