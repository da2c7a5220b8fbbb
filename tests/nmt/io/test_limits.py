import os
from pathlib import Path

import pytest

from nmt.io.limits import _memory_limits, _quotas, share_cores, usable_cores


def cgroup(root: Path, name: str, **files: str) -> None:
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in files.items():
        (folder / file.replace("__", ".")).write_text(text, encoding="ascii")


def mine(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "cgroup"
    path.write_text(text, encoding="ascii")
    return path


def test_cores_are_those_that_the_process_is_bound_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nmt.io.limits._quotas", lambda *_: iter(()))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 2, 5}, raising=False)
    assert usable_cores() == 3


@pytest.mark.parametrize(("quota", "cores"), [(0.5, 1), (1.0, 1), (1.5, 2), (2.0, 2), (16.0, 3)])
def test_a_container_with_time_for_fewer_cores_has_fewer(
    quota: float, cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nmt.io.limits._quotas", lambda *_: iter([quota, 4.0]))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 2, 5}, raising=False)
    assert usable_cores() == cores


def test_quotas_are_those_of_all_groups_around_the_process(tmp_path: Path) -> None:
    root = tmp_path / "groups"
    cgroup(root, "outer", cpu__max="150000 100000\n")
    cgroup(root, "outer/inner", cpu__max="max 100000\n")
    assert list(_quotas(root, mine(tmp_path, "0::/outer/inner\n"))) == [1.5]


def test_quotas_of_the_older_version_are_found_too(tmp_path: Path) -> None:
    root = tmp_path / "groups"
    cgroup(root, "cpu,cpuacct", cpu__cfs_quota_us="-1\n", cpu__cfs_period_us="100000\n")
    cgroup(root, "cpu,cpuacct/box", cpu__cfs_quota_us="50000\n", cpu__cfs_period_us="100000\n")
    assert list(_quotas(root, mine(tmp_path, "9:cpuset:/box\n4:cpu,cpuacct:/box\n"))) == [0.5]


def test_a_system_without_groups_has_no_quota(tmp_path: Path) -> None:
    assert list(_quotas(tmp_path, tmp_path / "missing")) == []


def test_a_container_has_the_memory_of_the_smallest_group_around_it(tmp_path: Path) -> None:
    root = tmp_path / "groups"
    cgroup(root, "outer", memory__max="2000000000\n")
    cgroup(root, "outer/inner", memory__max="max\n")
    assert list(_memory_limits(root, mine(tmp_path, "0::/outer/inner\n"))) == [2_000_000_000]
    cgroup(root, "memory", memory__limit_in_bytes="9223372036854771712\n")
    cgroup(root, "memory/box", memory__limit_in_bytes="1000000\n")
    assert min(_memory_limits(root, mine(tmp_path, "8:memory:/box\n"))) == 1_000_000
    assert list(_memory_limits(tmp_path, tmp_path / "missing")) == []


@pytest.mark.parametrize(
    ("cores", "parts", "expected"),
    [
        ({0, 1, 2, 3}, 2, [[0, 1], [2, 3]]),
        ({0, 1, 2, 5, 6}, 2, [[0, 1], [2, 5, 6]]),
        ({3, 4}, 3, [[3], [3], [4]]),
        ({0, 1}, 1, [[0, 1]]),
    ],
)
def test_cores_are_dealt_evenly_and_shared_where_there_are_too_few(
    monkeypatch: pytest.MonkeyPatch, cores: set[int], parts: int, expected: list[list[int]]
) -> None:
    monkeypatch.setattr("nmt.io.limits.usable_cores", lambda: len(cores))
    monkeypatch.setattr("os.sched_getaffinity", lambda process: cores, raising=False)
    assert share_cores(parts) == expected
