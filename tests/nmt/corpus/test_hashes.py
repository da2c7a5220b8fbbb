import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmt.corpus.hashes import SIDES, Keys, Overlap, Side, find_duplicates, hash_pairs, read_bits
from nmt.io.lines import Pair

TEXT = st.text(max_size=5)


def pair(src: str, tgt: str) -> Pair:
    return Pair(src, tgt, "f", 1)


def overlap(*validation: tuple[str, str], test: tuple[tuple[str, str], ...] = ()) -> Overlap:
    return Overlap.from_sets({"validation": [pair(*sides) for sides in validation], "test": [pair(*s) for s in test]})


def found(held: Overlap, pairs: list[Pair]) -> dict[str, dict[str, int]]:
    return held.count(Keys.of(pairs))


def flags(held: Overlap, pairs: list[Pair], sides: list[Side]) -> list[bool]:
    found: list[bool] = held.flag(Keys.of(pairs), sides).tolist()
    return found


def test_pairs_have_the_same_hash_when_both_sides_are_the_same() -> None:
    one, two = hash_pairs([pair("a", "b"), Pair("a", "b", "other file", 7)]).tolist()
    assert one == two


def test_pairs_that_differ_have_different_hashes() -> None:
    others = [("ab", "c"), ("a", "bc"), ("", "abc"), ("abc", ""), ("c", "ab"), ("A", "bc"), ("a\n", "c"), ("a", "\nc")]
    assert len(set(hash_pairs([pair(*sides) for sides in others]).tolist())) == len(others)


def test_hashes_are_the_same_on_every_machine() -> None:
    hashes = hash_pairs([pair("ein Satz", "a sentence")])
    assert hashes.dtype == np.uint64
    assert hashes.tolist() == [4520121967186285824]


def test_hashes_fill_their_64_bits_evenly() -> None:
    hashes = hash_pairs([pair(str(number), "x") for number in range(4096)])
    for bit in range(64):
        ones = int(((hashes >> np.uint64(bit)) & np.uint64(1)).sum())
        assert abs(ones - 2048) < 5 * 32  # five standard deviations


def test_no_pairs_have_no_hashes() -> None:
    assert hash_pairs([]).shape == (0,)
    assert found(overlap(("a", "b")), []) == {
        name: {"source": 0, "target": 0, "pair": 0} for name in ("validation", "test")
    }


@given(st.lists(st.tuples(TEXT, TEXT), max_size=5))
def test_the_hash_of_a_pair_does_not_depend_on_the_others(sides: list[tuple[str, str]]) -> None:
    pairs = [pair(*both) for both in sides]
    assert hash_pairs(pairs).tolist() == [hash_pairs([one]).item() for one in pairs]


def test_each_set_counts_sources_targets_and_pairs() -> None:
    held = overlap(("a", "b"), ("c", "d"), test=(("e", "b"),))
    train = [pair(*sides) for sides in (("a", "b"), ("a", "d"), ("a", "x"), ("x", "b"), ("x", "y"), ("b", "a"))]
    assert found(held, train) == {
        "validation": {"source": 3, "target": 3, "pair": 1},
        "test": {"source": 0, "target": 2, "pair": 0},
    }


def test_both_sides_have_to_be_of_one_pair_to_be_that_pair() -> None:
    assert flags(overlap(("a", "b"), ("c", "d")), [pair("a", "d"), pair("c", "d")], ["pair"]) == [False, True]


def test_the_sides_asked_for_are_the_ones_looked_at() -> None:
    held = overlap(("a", "b"), test=(("c", "d"),))
    train = [pair("a", "x"), pair("x", "b"), pair("c", "d"), pair("x", "y")]
    assert flags(held, train, ["source"]) == [True, False, True, False]
    assert flags(held, train, ["target"]) == [False, True, True, False]
    assert flags(held, train, ["pair"]) == [False, False, True, False]
    assert flags(held, train, ["source", "target"]) == [True, True, True, False]
    assert flags(held, train, []) == [False] * 4


def test_case_and_white_space_make_no_difference() -> None:
    held = overlap(("Guten  Tag, Welt!", "STRASSE"))
    train = [pair("guten tag,\u00a0WELT!", "x"), pair("y", "straße"), pair("Guten Tag Welt", "strase")]
    assert found(held, train)["validation"] == {"source": 1, "target": 1, "pair": 0}


def test_pairs_with_an_empty_side_are_no_text_to_keep_out() -> None:
    assert flags(overlap(("a", ""), ("", "b")), [pair("a", "b"), pair("a", "")], ["source", "target"]) == [False, False]


def test_without_any_set_nothing_is_found() -> None:
    held = Overlap.from_sets({})
    assert found(held, [pair("a", "b")]) == {}
    assert flags(held, [pair("a", "b")], ["source"]) == [False]


@given(st.lists(st.tuples(TEXT, TEXT), max_size=6), st.lists(st.tuples(TEXT, TEXT), max_size=6), st.integers(0, 6))
def test_parts_are_counted_as_the_whole_is(held: list[tuple[str, str]], train: list[tuple[str, str]], cut: int) -> None:
    known, pairs = overlap(*held), [pair(*sides) for sides in train]
    first, second = found(known, pairs[:cut]), found(known, pairs[cut:])
    both = {name: {side: first[name][side] + second[name][side] for side in SIDES} for name in first}
    assert both == found(known, pairs)


def test_it_goes_to_other_processes() -> None:
    again = pickle.loads(pickle.dumps(overlap(("a", "b"))))
    assert flags(again, [pair("a", "x"), pair("x", "x")], ["source"]) == [True, False]


@pytest.mark.parametrize("text", ["\ud800", "\U0010ffff", "\u0378", "\x00"])
def test_odd_characters_are_hashed_like_any(text: str) -> None:
    assert hash_pairs([pair(text, "b")]).tolist() != hash_pairs([pair("a", "b")]).tolist()
    assert flags(overlap((text, "b")), [pair(text, "c")], ["source"]) == [True]


def marked(hashes: list[list[int]], folder: Path, bucket: int) -> list[bool]:
    total = sum(map(len, hashes))
    bits = find_duplicates((np.array(some, dtype=np.uint64) for some in hashes), total, folder, bucket=bucket)
    assert len(bits) == (total + 7) // 8
    assert list(folder.iterdir()) == []
    return read_bits(bits, 0, total).tolist()


@pytest.mark.parametrize("bucket", [100, 3, 1])
def test_all_but_the_first_of_equal_hashes_are_marked(tmp_path: Path, bucket: int) -> None:
    high = 2**63
    hashes = [[high, 1, 2**64 - 1], [], [1, high, high], [0, 1]]
    assert marked(hashes, tmp_path, bucket) == [False, False, False, True, True, True, False, True]


def test_nothing_has_no_duplicates(tmp_path: Path) -> None:
    assert marked([], tmp_path, 10) == []


def test_buckets_find_what_a_set_finds(tmp_path: Path) -> None:
    hashes = np.random.default_rng(1).integers(0, 300, size=1000, dtype=np.uint64) << np.uint64(55)
    seen: set[int] = set()
    expected = [int(one) in seen or bool(seen.add(int(one))) for one in hashes]
    assert marked([part.tolist() for part in np.split(hashes, [10, 500])], tmp_path, bucket=64) == expected


def test_what_a_killed_run_has_left_is_not_counted(tmp_path: Path) -> None:
    (tmp_path / "bucket-0").write_bytes(b"left behind")
    assert marked([[1, 2], [3]], tmp_path, bucket=2) == [False] * 3


def test_bits_are_read_from_any_place() -> None:
    bits = np.packbits([0, 1, 1, 0, 0, 0, 0, 1, 1, 0])
    assert read_bits(bits, 0, 3).tolist() == [False, True, True]
    assert read_bits(bits, 6, 3).tolist() == [False, True, True]
    assert read_bits(bits, 8, 2).tolist() == [True, False]
    assert read_bits(bits, 4, 0).tolist() == []
