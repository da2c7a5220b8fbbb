"""What this process may use: cores, and the memory that its container has."""

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Final

_CGROUPS: Final = Path("/sys/fs/cgroup")
_MINE: Final = Path("/proc/self/cgroup")


def usable_cores() -> int:
    """Count the cores that this process may use: those it is bound to, and no more than a container has time for."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(bound, math.ceil(min(_quotas(_CGROUPS, _MINE), default=bound))))


def share_cores(parts: int) -> list[list[int]]:
    """Deal the cores that this process may use to so many parts of it, each at least one; parts share them where there
    are more parts than cores."""
    bound = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(usable_cores())
    cores = bound[: usable_cores()]
    cuts = [len(cores) * part // parts for part in range(parts + 1)]
    return [list(cores[first:last]) or [cores[part % len(cores)]] for part, (first, last) in enumerate(pairwise(cuts))]


def container_memory() -> int | None:
    """Return the bytes of memory that the container of this process has in all; None: it has no limit."""
    return min(_memory_limits(_CGROUPS, _MINE), default=None)


def _groups(controller: str, cgroups: Path, mine: Path) -> Iterator[Path]:
    """Yield the groups of a controller that this process is in, of either version, from the inside out."""
    with suppress(OSError, ValueError):
        for line in mine.read_text(encoding="ascii").splitlines():
            _, controllers, name = line.split(":", 2)
            if controllers and controller not in controllers.split(","):
                continue
            root = cgroups / controllers if controllers else cgroups
            own = root / name.lstrip("/")
            yield from (group for group in (own, *own.parents) if group.is_relative_to(root))


def _quotas(cgroups: Path, mine: Path) -> Iterator[float]:
    """Yield the quotas of processor time, in cores, of the groups around this process."""
    for group in _groups("cpu", cgroups, mine):
        with suppress(OSError, ValueError):  # it has none, or "max"
            quota, period = (group / "cpu.max").read_text(encoding="ascii").split()
            yield int(quota) / int(period)
        with suppress(OSError, ValueError):
            quota, period = ((group / f"cpu.cfs_{name}_us").read_text(encoding="ascii") for name in ("quota", "period"))
            if int(quota) > 0:
                yield int(quota) / int(period)


def _memory_limits(cgroups: Path, mine: Path) -> Iterator[int]:
    """Yield the limits of memory, in bytes, of the groups around this process."""
    for group in _groups("memory", cgroups, mine):
        for name in ("memory.max", "memory.limit_in_bytes"):
            with suppress(OSError, ValueError):
                yield int((group / name).read_text(encoding="ascii"))
