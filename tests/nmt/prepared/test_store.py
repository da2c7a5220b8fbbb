import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nmt.config import Settings
from nmt.errors import DataError
from nmt.prepared import PreparedData
from nmt.prepared.pipeline import prepare

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
    assert settings.model_fields_set == {"data", "tokenizer"}


def test_an_altered_file_is_refused(folder: Path) -> None:
    model = folder / "joint.spm.model"
    model.write_bytes(model.read_bytes()[::-1])
    with pytest.raises(DataError, match=r"joint\.spm\.model was altered"):
        PreparedData.open(folder)


def test_unknown_settings_are_refused(folder: Path) -> None:
    tree = json.loads((folder / "manifest.json").read_text())
    tree["settings"]["data"]["novelty"] = 1
    (folder / "manifest.json").write_text(json.dumps(tree))
    with pytest.raises(DataError, match=r"prepared with settings that are unknown here: data\.novelty: Extra inputs"):
        PreparedData.open(folder)
