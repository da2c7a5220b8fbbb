from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nmt.config import load_settings
from nmt.corpus.hashes import Overlap
from nmt.corpus.plain import ParallelFiles
from nmt.io.lines import Pair
from nmt.prepare.blocks import Fresh, Trained
from nmt.prepare.inputs import Corpus
from nmt.prepare.kinds import PairKind
from nmt.prepare.sift import Raw, Sifter
from nmt.prepare.stages import Accepted

from .conftest import BlockOf

CORPORA = [Corpus(name, ParallelFiles([], [], "error", name=name), f"<{name}>") for name in "012"]


def accept(folder: Path, blocks: Sequence[str], duplicates: Sequence[int] | None) -> Accepted[Pair]:
    """Accept pairs, one for each letter of a block; a dot is rejected."""
    kind = PairKind(load_settings(None))
    sifter = Sifter(kind, kind.make_judge(Overlap({})))
    sifted = [
        sifter(Raw(folder / str(part), part, BlockOf([Pair(src.strip("."), "x", block, 1) for src in block])))
        for part, block in enumerate(blocks)
    ]
    return Accepted(Pair, CORPORA, sifted, None if duplicates is None else np.packbits(duplicates))


def read(accepted: Accepted[Pair], chosen: Sequence[int], heldout: Sequence[int]) -> list[str]:
    blocks = accepted.read(Trained(np.array(chosen, dtype=np.int64)), heldout=Fresh(np.array(heldout, dtype=np.int64)))
    return [f"{corpus.name}: {''.join(pair.src for pair in block)}" for corpus, block in blocks]


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


def test_what_is_held_out_can_be_read(tmp_path: Path) -> None:
    accepted = accept(tmp_path, ["abc", "def"], [0, 0, 1, 0, 0, 0])
    found = accepted.read_heldout(Fresh(np.array([1, 2, 4])))
    assert [(corpus.name, [pair.src for pair in block]) for corpus, block in found] == [("0", ["b"]), ("1", ["d", "f"])]


def test_of_each_block_it_is_said_what_is_trained_on(tmp_path: Path) -> None:
    accepted = accept(tmp_path, ["abc", "def"], [0, 0, 1, 0, 0, 0])
    one, two = accepted.select(Fresh(np.array([1, 2])), folder=tmp_path / "to")
    assert (one.folder, two.folder) == (tmp_path / "to" / "000000", tmp_path / "to" / "000001")
    assert (one.rows.tolist(), one.duplicates.tolist(), one.tag) == ([0], [2], "<0>")
    assert (two.rows.tolist(), two.duplicates.tolist(), two.tag) == ([1, 2], [], "<1>")
