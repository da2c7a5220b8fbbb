from pathlib import Path

import numpy as np
import pytest

from nmt.corpus.hashes import find_duplicates, read_bits


def found(hashes: list[list[int]], folder: Path, bucket: int) -> list[bool]:
    total = sum(map(len, hashes))
    bits = find_duplicates((np.array(some, dtype=np.uint64) for some in hashes), total, folder, bucket=bucket)
    assert len(bits) == (total + 7) // 8
    assert list(folder.iterdir()) == []
    return read_bits(bits, 0, total).tolist()


@pytest.mark.parametrize("bucket", [100, 3, 1])
def test_all_but_the_first_of_equal_hashes_are_marked(tmp_path: Path, bucket: int) -> None:
    high = 2**63
    hashes = [[high, 1, 2**64 - 1], [], [1, high, high], [0, 1]]
    assert found(hashes, tmp_path, bucket) == [False, False, False, True, True, True, False, True]


def test_nothing_has_no_duplicates(tmp_path: Path) -> None:
    assert found([], tmp_path, 10) == []


def test_buckets_find_what_a_set_finds(tmp_path: Path) -> None:
    hashes = np.random.default_rng(1).integers(0, 300, size=1000, dtype=np.uint64) << np.uint64(55)
    seen: set[int] = set()
    expected = [int(one) in seen or bool(seen.add(int(one))) for one in hashes]
    assert found([part.tolist() for part in np.split(hashes, [10, 500])], tmp_path, bucket=64) == expected


def test_what_a_killed_run_has_left_is_not_counted(tmp_path: Path) -> None:
    (tmp_path / "bucket-0").write_bytes(b"left behind")
    assert found([[1, 2], [3]], tmp_path, bucket=2) == [False] * 3


def test_bits_are_read_from_any_place() -> None:
    bits = np.packbits([0, 1, 1, 0, 0, 0, 0, 1, 1, 0])
    assert read_bits(bits, 0, 3).tolist() == [False, True, True]
    assert read_bits(bits, 6, 3).tolist() == [False, True, True]
    assert read_bits(bits, 8, 2).tolist() == [True, False]
    assert read_bits(bits, 4, 0).tolist() == []
