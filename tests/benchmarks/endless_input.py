"""Whether `nmt translate` gives a line for each of a million, in order, in memory that does not grow.

    python tests/benchmarks/endless_input.py MODEL_DIR SRC [--lines 1000000] [--workers N]

The lines of SRC are repeated, with blank ones among them, lines of 20,000 characters, and lines of strange characters.
All go through a pipe, greedily and in int8. As many have to come out; a blank line comes out empty; a line that comes
again has the same translation as before, which also tells when the order is wrong; and each line that is too long for
the model has its warning. Resident memory is that of `nmt translate` and its worker processes, every second; pages that
they share count in each. The first lines are then translated once more, as a file.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Final

from nmt.io.lines import read_lines

FILE_LINES: Final = 50_000
"""Lines that are translated as a file as well, at most."""
HUGE: Final = 20_000  # characters
HUGE_EVERY: Final = 2_500
ODD_EVERY: Final = 10
FLAT: Final = 1.05
"""How much more memory at the end than at a quarter of the lines is still flat."""
SHARES: Final = (0.05, 0.25, 0.5, 0.75, 1.0)

ODD: Final = (
    "",
    "🐕 runs 👩‍👩‍👧‍👦 🏃🏽‍♀️ 🇩🇪!",
    "A dog\0runs\0.",
    " \t ",
    "A собака läuft 在公园里 يجري الكلب κύων.",
    "A dog runs.\u2028A cat\u2029sleeps.\u0085Both\x0brest\x0c.",
    "",
    "Z̸̢̛͇a̷͔͝l̴̡̐g̵̙̈o̷̥͐ \u200f\u202ereversed\u202c \ufeff \ufffd",
    "the the the the the the the the the the the the",
    "\u3000",
    "A man rides a bike.\r",
    "% $ # {0} <b>bold</b> &amp; \\n \x1b[31m \x7f",
)
"""Two are empty, two are nothing but white space; the others have something to translate."""


class Lines:
    """The lines that go in, each a function of its number."""

    def __init__(self, src: Sequence[str], count: int) -> None:
        self.src, self.count = src, count
        text = " ".join(src)
        text *= HUGE // len(text) + 1
        self.huge = (text[:HUGE], "ab" * (HUGE // 2))

    def __iter__(self) -> Iterator[str]:
        return (self.line(number) for number in range(self.count))

    def line(self, number: int) -> str:
        if number % HUGE_EVERY == HUGE_EVERY - 1:
            return self.huge[number // HUGE_EVERY % len(self.huge)]
        if number % ODD_EVERY == ODD_EVERY - 1:
            return ODD[number // ODD_EVERY % len(ODD)]
        return self.src[number % len(self.src)]


class Memory:
    """Watches each second the resident memory of a process and its children, and how many lines are done."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.done = 0
        self.samples: list[tuple[int, int]] = []  # lines done, kilobytes
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def at(self, done: int) -> float:
        """Return the memory when so many lines were done, in MiB."""
        return min(self.samples, key=lambda sample: abs(sample[0] - done))[1] / 1024

    def _watch(self) -> None:
        while not self._stop.wait(1):
            if size := sum(resident(pid) for pid in (self.pid, *children(self.pid))):
                self.samples.append((self.done, size))


def children(pid: int) -> list[int]:
    """Find the processes that this one has started."""
    found: list[int] = []
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text(encoding="utf-8").split())
    return found


def resident(pid: int) -> int:
    """Return the resident memory of a process in kilobytes, 0 if it has ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1])
    return 0


class Check:
    """Compares what comes out with what went in."""

    def __init__(self, lines: Lines) -> None:
        self.lines = lines
        self.first: dict[str, bytes] = {}
        """Of each line that went in, the translation when it came first."""
        self.not_empty = self.changed = 0

    def line(self, number: int, translation: bytes) -> None:
        src = self.lines.line(number)
        if not src.strip():
            self.not_empty += translation != b"\n"
        self.changed += self.first.setdefault(src, translation) != translation


def start(
    folder: Path, more: Sequence[str], *, workers: int, core: int, errors: IO[bytes]
) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "nmt_cli", "translate", str(folder), "--beam", "1", "--precision", "int8", *more]
    return subprocess.Popen(
        [*command, "--workers", str(workers)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        preexec_fn=lambda: os.sched_setaffinity(0, range(core, core + workers)),
    )


def feed(lines: Lines, stream: IO[bytes]) -> None:
    with suppress(BrokenPipeError), stream:
        stream.writelines(f"{line}\n".encode() for line in lines)


def show_pipe(lines: Lines, child: "subprocess.Popen[bytes]", part: int) -> tuple[float, str]:
    """Send all lines through a pipe; return lines/s of the first `part`, and the checksum of their translations."""
    if child.stdin is None or child.stdout is None:
        raise SystemExit("no pipe")
    before = time.perf_counter()
    threading.Thread(target=feed, args=(lines, child.stdin), daemon=True).start()
    memory, check, checksum, rate = Memory(child.pid), Check(lines), hashlib.sha256(), 0.0
    for number, translation in enumerate(child.stdout):
        memory.done = number + 1
        if memory.done <= part:
            checksum.update(translation)
            rate = memory.done / (time.perf_counter() - before)
        if memory.done <= lines.count:
            check.line(number, translation)
        if memory.done % 10_000 == 0:
            print(f"{memory.done:,} lines", file=sys.stderr, flush=True)
    seconds = time.perf_counter() - before
    memory.stop()
    print(f"{lines.count:,} lines in, {memory.done:,} out, exit {child.wait()}, {memory.done / seconds:.0f} lines/s;")
    print(f"{check.not_empty} blank lines not empty, {check.changed} lines with another translation than before.\n")
    show_memory(memory, lines.count)
    return rate, checksum.hexdigest()


def show_memory(memory: Memory, count: int) -> None:
    sizes = {share: memory.at(round(share * count)) for share in SHARES}
    print("| lines done | " + " | ".join(f"{share:.0%}" for share in sizes) + " | peak |")
    print("|---" * (len(sizes) + 2) + "|")
    peak = max(size for _, size in memory.samples) / 1024
    print("| resident memory, MiB | " + " | ".join(f"{size:.0f}" for size in sizes.values()) + f" | {peak:.0f} |\n")
    growth = sizes[1.0] / sizes[0.25]
    print(f"From a quarter of the lines to the end: times {growth:.3f}, {'flat' if growth <= FLAT else 'NOT FLAT'}.\n")


def show_file(lines: Lines, folder: Path, part: int, pipe: tuple[float, str], *, workers: int, core: int) -> None:
    with TemporaryDirectory() as temporary, (Path(temporary) / "errors").open("wb") as errors:
        path = Path(temporary) / "lines"
        path.write_bytes(b"".join(f"{line}\n".encode() for line in islice(lines, part)))
        before = time.perf_counter()
        with start(folder, [str(path)], workers=workers, core=core, errors=errors) as child:
            out = child.communicate()[0]
        rate = part / (time.perf_counter() - before)
    same = "the same" if hashlib.sha256(out).hexdigest() == pipe[1] else "OTHER"
    print(
        f"The first {part:,} lines, loading included: {pipe[0]:.0f} lines/s through the pipe, {rate:.0f} from a file,"
    )
    print(f"{same} translations.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("src", type=Path)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--core", type=int, default=0, help="the first of as many as there are workers")
    arguments = parser.parse_args()
    lines = Lines(list(read_lines(arguments.src)), arguments.lines)
    part = min(FILE_LINES, arguments.lines)
    shared = {"workers": arguments.workers, "core": arguments.core}
    with TemporaryDirectory() as temporary:
        log = Path(temporary) / "errors"
        with log.open("wb") as errors, start(arguments.model, [], **shared, errors=errors) as child:
            pipe = show_pipe(lines, child, part)
        warnings = log.read_text(encoding="utf-8").splitlines()
    huge, found = arguments.lines // HUGE_EVERY, sum("too long for the model" in line for line in warnings)
    print(
        f"{huge} lines of {HUGE:,} characters, {found} warnings that a line was cut, {len(warnings)} lines on stderr.\n"
    )
    show_file(lines, arguments.model, part, pipe, **shared)


if __name__ == "__main__":
    main()
