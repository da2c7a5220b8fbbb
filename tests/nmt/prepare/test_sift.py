import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nmt.config import load_settings
from nmt.corpus.hashes import Overlap
from nmt.io.lines import Line, Pair
from nmt.prepare.blocks import Rejection, Rows
from nmt.prepare.kinds import LineKind, PairKind
from nmt.prepare.sift import Raw, Sifted, Sifter

from .conftest import BlockOf

PAIRS = [Pair("a", "b", "f", 1), Pair("", "b", "f", 2), Pair("c", "c", "f", 3), Pair("a", "b", "f", 4)]


def sift(folder: Path, pairs: Sequence[Pair]) -> Sifted:
    kind = PairKind(load_settings(None))
    return Sifter(kind, kind.make_judge(Overlap({})))(Raw(folder, 1, BlockOf(pairs)))


def test_accepted_pairs_are_written_and_rejected_ones_listed(tmp_path: Path) -> None:
    sifted = sift(tmp_path / "block", PAIRS)
    assert sifted == Sifted(tmp_path / "block", 4, {"empty": 1, "copy": 1}, accepted=2, corpus=1)
    assert sifted.records(Pair) == [PAIRS[0], PAIRS[3]]
    assert sifted.records(Pair, Rows(np.array([1]))) == [PAIRS[3]]
    assert sifted.texts(Pair, Rows(np.array([0]))) == (["a"], ["b"])
    assert sifted.places().tolist() == [0, 3]
    assert sifted.rejections() == [Rejection(1, "f", 2, "empty"), Rejection(2, "f", 3, "copy")]
    assert {reason: len(examples) for reason, examples in sifted.statistics().rejected.items()} == {
        "empty": 1,
        "copy": 1,
    }


def test_equal_pairs_have_equal_hashes_and_are_kept_here(tmp_path: Path) -> None:
    sifted = sift(tmp_path / "block", PAIRS)
    first, second = sifted.hashes().tolist()
    assert first == second
    keys = sifted.keys(Rows(np.array([0, 1])))
    assert (len(set(keys.source.tolist())), len(set(keys.target.tolist()))) == (1, 1)


def test_a_block_is_found_again(tmp_path: Path) -> None:
    assert Sifted.find(tmp_path / "block") is None
    sifted = sift(tmp_path / "block", PAIRS)
    assert Sifted.find(tmp_path / "block") == sifted


def test_a_block_of_which_nothing_is_accepted_is_one_too(tmp_path: Path) -> None:
    sifted = sift(tmp_path / "block", PAIRS[1:3])
    assert (sifted.read, sifted.accepted, sifted.records(Pair)) == (2, 0, [])
    assert sifted.hashes().tolist() == []


def test_lines_have_neither_hashes_nor_keys(tmp_path: Path) -> None:
    kind = LineKind(load_settings(None))
    lines = [Line("a", "f", 1), Line("", "f", 2)]
    sifted = Sifter(kind, kind.make_judge(Overlap({})))(Raw(tmp_path / "block", 0, BlockOf(lines)))
    assert sifted.records(Line) == lines[:1]
    assert json.loads((tmp_path / "block" / "summary.json").read_bytes())["rejected"] == {"empty": 1}
    assert not list((tmp_path / "block").glob("*.npy"))
