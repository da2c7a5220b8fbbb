"""How many cores there are for this process."""

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

_CGROUPS: Final = Path("/sys/fs/cgroup")
_MINE: Final = Path("/proc/self/cgroup")


def usable_cores() -> int:
    """Count the cores that this process may use: those it is bound to, and no more than a container has time for."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(bound, math.ceil(min(_quotas(_CGROUPS, _MINE), default=bound))))


def _quotas(cgroups: Path, mine: Path) -> Iterator[float]:
    """Yield the quotas of processor time, in cores, of the groups that this process is in, of either version."""
    with suppress(OSError, ValueError):
        for line in mine.read_text(encoding="ascii").splitlines():
            _, controllers, name = line.split(":", 2)
            if controllers and "cpu" not in controllers.split(","):
                continue
            root = cgroups / controllers if controllers else cgroups
            own = root / name.lstrip("/")
            for group in (own, *(parent for parent in own.parents if parent.is_relative_to(root))):
                yield from _quota(group)


def _quota(group: Path) -> Iterator[float]:
    with suppress(OSError, ValueError):  # it has none, or "max"
        quota, period = (group / "cpu.max").read_text(encoding="ascii").split()
        yield int(quota) / int(period)
    with suppress(OSError, ValueError):
        quota, period = ((group / f"cpu.cfs_{name}_us").read_text(encoding="ascii") for name in ("quota", "period"))
        if int(quota) > 0:
            yield int(quota) / int(period)
