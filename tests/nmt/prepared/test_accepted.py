from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nmt.config import load_settings
from nmt.corpus.overlap import Overlap
from nmt.corpus.reading import Pair
from nmt.prepared.accepted import Accepted
from nmt.prepared.pairs import PairCorpus
from nmt.prepared.sifting import Raw, Sifter

from .conftest import BlockOf


def accept(folder: Path, blocks: Sequence[str], duplicates: Sequence[int] | None) -> Accepted[Pair]:
    """Accept pairs, one for each letter of a block; a dot is rejected."""
    corpus = PairCorpus(load_settings(None))
    sifter = Sifter(corpus, corpus.make_judge(Overlap({})))
    sifted = [
        sifter(Raw(folder / str(part), part, BlockOf([Pair(src.strip("."), "x", block, 1) for src in block])))
        for part, block in enumerate(blocks)
    ]
    return Accepted(Pair, sifted, None if duplicates is None else np.packbits(duplicates))


def read(accepted: Accepted[Pair], chosen: Sequence[int], heldout: Sequence[int]) -> list[str]:
    blocks = accepted.read(np.array(chosen, dtype=np.int64), heldout=np.array(heldout, dtype=np.int64))
    return [f"{part}: {''.join(pair.src for pair in block)}" for part, block in blocks]


def test_records_are_counted_through_all_blocks_without_duplicates(tmp_path: Path) -> None:
    accepted = accept(tmp_path, ["a.bc", "..", "def"], [0, 1, 0, 0, 0, 1])
    assert accepted.total == 4  # a, c, d, e
    assert read(accepted, [0, 1, 2, 3], []) == ["0: ac", "2: de"]
    assert read(accepted, [1, 2], []) == ["0: c", "2: d"]
    assert read(accepted, [3], []) == ["2: e"]


def test_what_is_held_out_is_not_counted(tmp_path: Path) -> None:
    accepted = accept(tmp_path, ["abc", "def"], None)
    assert accepted.total == 6
    assert read(accepted, [0, 1, 3], [1, 3]) == ["0: ac", "1: f"]


def test_each_block_is_told_what_it_needs_to_know(tmp_path: Path) -> None:
    accepted = accept(tmp_path, ["abc", "def"], [0, 0, 1, 0, 0, 0])
    one, two = accepted.select(np.array([1, 2]), folder=tmp_path / "to", tags=[None, "<b>"])
    assert (one.folder, two.folder) == (tmp_path / "to" / "000000", tmp_path / "to" / "000001")
    assert (one.first, one.heldout.tolist(), one.tag) == (0, [1], None)
    assert (two.first, two.heldout.tolist(), two.tag) == (3, [0], "<b>")
    assert (one.training(accepted.duplicates).tolist(), two.training(accepted.duplicates).tolist()) == ([0], [1, 2])
    assert one.fresh(accepted.duplicates).tolist() == [0, 1]
