"""How long `nmt translate` takes to load, and then to answer a line: one pinned core, the settings of the model.

    python tests/benchmarks/decoding_latency.py MODEL_DIR SRC [--old COMMAND]

Prints sentences for a report. COMMAND is another nmt, whose first translation is waited for in turns with that of this.
"""

import argparse
import os
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Final

from nmt.io.lines import read_lines

LINES: Final = 1000
ASKED: Final = 30
"""Lines that are written one by one."""
PAUSE: Final = 0.1
"""Seconds before each of them, so that stdin is idle."""
PROCESSES: Final = 3
STARTS: Final = 5
NMT: Final = (sys.executable, "-m", "nmt_cli")

LOAD: Final = """
import sys, time
from pathlib import Path
from nmt.translate import Translator
imported = time.perf_counter()
Translator.load(Path(sys.argv[1]))
print(time.perf_counter() - imported, flush=True)
"""


def show_loading(folder: Path) -> None:
    loads, wholes = [], []
    for _ in range(PROCESSES):
        before = time.perf_counter()
        with subprocess.Popen([sys.executable, "-c", LOAD, str(folder)], stdout=subprocess.PIPE, text=True) as child:
            loads.append(float(answer(child.stdout)))
            wholes.append(time.perf_counter() - before)
    print(f"`Translator.load`: {statistics.median(loads):.2f} s after imports, median of {PROCESSES} fresh processes;")
    print(f"{statistics.median(wholes):.2f} s from the start of the process to the loaded model.\n", flush=True)


def show_first_lines(folder: Path, old: Sequence[str]) -> None:
    waits: dict[str, list[float]] = {"this": [], "old": []}
    for _ in range(STARTS):
        for name, program in (("this", NMT), ("old", old)):
            before = time.perf_counter()
            command = [*program, "translate", str(folder)]
            with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
                ask(child, ["A warm-up line."])
                waits[name].append(time.perf_counter() - before)
    new, before = (statistics.median(waits[name]) for name in ("this", "old"))
    print(f"From the start to the first translation: {new:.2f} s, the old program {before:.2f} s, ratio")
    print(f"{new / before:.2f}, medians of {STARTS} starts in turns.\n", flush=True)


def show_latency(folder: Path, src: list[str]) -> None:
    command = [*NMT, "translate", str(folder)]
    before = time.perf_counter()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        ask(child, ["A warm-up line."])
        ready = time.perf_counter() - before
        waits = []
        for line in src[:ASKED]:
            time.sleep(PAUSE)
            waits.append(ask(child, [line]))
        rate = len(src) / ask(child, src)
        status = Path(f"/proc/{child.pid}/status").read_text(encoding="utf-8")
        [kilobytes] = [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")]
    print(
        f"`nmt translate` with an open pipe: {ready:.2f} s from its start to its first translation; then a line takes"
    )
    print(f"{1e3 * statistics.median(waits):.0f} ms, at worst {1e3 * max(waits):.0f} ms, of {len(waits)} lines.")
    print(f"The whole text at once through the pipe: {rate:.0f} sentences/s. Peak memory {kilobytes / 1024:.0f} MiB.")


def ask(child: "subprocess.Popen[str]", lines: Sequence[str]) -> float:
    """Write lines and read as many; return the seconds until the last."""
    before = time.perf_counter()
    if child.stdin is not None:
        child.stdin.write("".join(f"{line}\n" for line in lines))
        child.stdin.flush()
    for _ in lines:
        answer(child.stdout)
    return time.perf_counter() - before


def answer(stream: IO[str] | None) -> str:
    line = stream.readline() if stream is not None else ""
    if not line:
        raise SystemExit("a process ended early")
    return line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("src", type=Path)
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--old", metavar="COMMAND", type=shlex.split, default=[])
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {arguments.core})
    show_loading(arguments.model)
    if arguments.old:
        show_first_lines(arguments.model, arguments.old)
    show_latency(arguments.model, list(islice(read_lines(arguments.src), LINES)))


if __name__ == "__main__":
    main()
