"""Prepared data with two pairs of letters, made by hand, so that every number is known."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nmt.config import Settings
from nmt.corpus.cleaning import Reason
from nmt.io.lines import Pair
from nmt.prepared.manifest import (
    FORMAT_VERSION,
    SRC,
    TGT,
    CorpusCount,
    Counts,
    InputRecord,
    Manifest,
    OverlapCount,
    ValidationCount,
    prepared_sections,
    record_files,
    write_manifest,
)
from nmt.prepared.statistics import Statistics, write_statistics
from nmt.text.tokenizer import JOINT_MODEL, SRC_MODEL, TGT_MODEL, Tokenizer
from nmt.text.tokenizer_training import TokenizerPlan, train_tokenizer

Pairs = Sequence[tuple[str, str]]
Rejected = Sequence[tuple[str, str, Reason]]
MakeFolder = Callable[..., Path]
"""Takes what `make_folder` takes."""

TRAIN: Pairs = [("ab ba", "ab"), ("axx", "b\u0301aa")]
REJECTED: Rejected = [("<script>alert(1)</script> & co", "x" * 1000, "length_ratio"), ("same", "same", "copy")]


@pytest.fixture(scope="session")
def letters() -> bytes:
    """A model of the characters a and b, and the space: their ids are 4, 5, 6 in some order."""
    return train_tokenizer(["a b", "ab a"], TokenizerPlan("char", 16))


@pytest.fixture
def make_folder(letters: bytes, tmp_path: Path) -> MakeFolder:
    """Write a folder of prepared pairs."""
    tokenizer = Tokenizer(letters)

    def make(
        name: str = "data",
        *,
        train: Pairs = TRAIN,
        rejected: Rejected = REJECTED,
        joint: bool = True,
        sections: dict[str, dict[str, Any]] | None = None,
        **counts: Any,
    ) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for model in (JOINT_MODEL,) if joint else (SRC_MODEL, TGT_MODEL):
            (folder / model).write_bytes(letters)
        statistics = Statistics.empty(("src", "tgt"))
        for line, (src, tgt, reason) in enumerate(rejected, start=1):
            statistics.reject(Pair(src, tgt, "a&b.en", line), reason, seed=1)
        columns = dict(zip(("src", "tgt"), map(list, zip(*train, strict=True)), strict=True))
        ids = {side: tokenizer.encode_flat(texts) for side, texts in columns.items()}
        statistics.train.add(columns, ids, dict.fromkeys(columns, tokenizer))
        valid = {"src": ["a"], "tgt": ["bz"]}
        encoded = {side: tokenizer.encode_flat(texts) for side, texts in valid.items()}
        statistics.valid_set("news").add(valid, encoded, dict.fromkeys(valid, tokenizer))
        for side, file in (("src", SRC.vocabulary), ("tgt", TGT.vocabulary)):
            found = np.bincount(ids[side].values, minlength=len(tokenizer))
            found[3] = len(train)
            lines = [f"{piece}\t{count}\n" for piece, count in zip(tokenizer.pieces, found, strict=True)]
            (folder / file).write_text("".join(lines), encoding="utf-8")
        write_statistics(folder, statistics)
        write_manifest(folder, _manifest(folder, len(train), rejected, sections or {}, counts))
        return folder

    return make


def _manifest(
    folder: Path, train: int, rejected: Rejected, sections: dict[str, dict[str, Any]], counts: dict[str, Any]
) -> Manifest:
    by_reason: dict[str, int] = {"empty": 0, "length_ratio": 0, "copy": 0}
    for _, _, reason in rejected:
        by_reason[reason] += 1
    read = train + len(rejected)
    corpus = CorpusCount(name="train.en", weight=1, tag=None, read=read, rejected=by_reason, heldout=0, train=train)
    usual = {
        "read": read,
        "rejected": by_reason,
        "heldout": 0,
        "train": train,
        "valid": 1,
        "valid_dropped": 0,
        "corpora": (corpus,),
        "validation": (ValidationCount(name="news", pairs=1, dropped=0),),
        "overlap": {"validation": OverlapCount(source=1, target=2, pair=0)},
        "src_pieces": 10,
        "tgt_pieces": 8,
        "src_vocabulary": 7,
        "tgt_vocabulary": 7,
    }
    return Manifest(
        format_version=FORMAT_VERSION,
        counts=Counts.model_validate({**usual, **counts}),
        files=record_files(folder),
        inputs=(InputRecord(setting="data.train_src", path="a&b.en", sha256="0" * 64),),
        settings=prepared_sections(Settings.model_validate({"tokenizer": {"kind": "char"}, **sections})),
    )
