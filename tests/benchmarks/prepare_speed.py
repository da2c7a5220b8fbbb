"""How long `nmt prepare` takes on a large corpus, stage by stage, and what memory and disk it needs.

    python tests/benchmarks/prepare_speed.py [--pairs 20000000] [--workers 2] [--work DIR] [--set SECTION.KEY=VALUE]..

A corpus is made up: words drawn by Zipf's law, some pairs that occur again, copies, empty lines and lines that are too
long. It is prepared in a process of its own, whose memory and that of its workers is looked at while they run. Then a
small model is trained for one step, and the encoding is compared with a bare loop of SentencePiece's own `encode`, in
as many processes, on the same text. A line of the output is one JSON object: measure, value, unit, notes.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

WORDS = 60_000
MEAN_LENGTH = 12
BLOCK = 20_000
OFTEN = 2000
"""Pairs of the first block that come again and again."""
STEP = ["training.max_steps=1", "model.hidden_size=64", "model.embedding_size=64", "training.device=cpu"]
BARE = 200_000
"""Pairs that each process of the bare loop encodes."""


def report(measure: str, value: float, unit: str, notes: str = "") -> None:
    """Print a line of the output."""
    print(json.dumps({"measure": measure, "value": round(value, 3), "unit": unit, "notes": notes}), flush=True)


def make_words(rng: np.random.Generator) -> list[str]:
    """Make up words of one to three syllables, the short ones first."""
    syllables = [first + second for first in "bdfgklmnprstvz" for second in ("a", "e", "i", "o", "u", "an", "er", "ö")]
    words: dict[str, None] = {}
    while len(words) < WORDS:
        count = 1 if len(words) < 100 else 2 if len(words) < 5000 else 3
        words["".join(syllables[number] for number in rng.integers(0, len(syllables), count))] = None
    return list(words)


def make_blocks(pairs: int) -> Iterator[tuple[str, str]]:
    """Make sources and targets, each as lines of text, `BLOCK` pairs at a time."""
    rng = np.random.default_rng(1)
    sides = make_words(rng), make_words(rng)
    # Each word twice: within a line and at the end of one.
    tables = [[word + " " for word in words] + [word + ".\n" for word in words] for words in sides]
    share = np.cumsum(1 / np.arange(1, WORDS + 1))
    drawn = np.searchsorted(share / share[-1], rng.random(1 << 22))
    often: list[list[str]] = []
    for first in range(0, pairs, BLOCK):
        size = min(BLOCK, pairs - first)
        lengths = 1 + rng.poisson(MEAN_LENGTH - 1, size)
        ends = np.cumsum(lengths) - 1
        words = drawn[rng.integers(0, len(drawn), ends[-1] + 1)]
        other = rng.permutation(WORDS)[words] if first == 0 else words  # a first block that resembles no other
        words[ends] += WORDS
        other = np.where(words >= WORDS, other % WORDS + WORDS, other % WORDS)
        lines = [
            "".join(map(table.__getitem__, side.tolist())).splitlines(keepends=True)
            for table, side in zip(tables, (words, other), strict=True)
        ]
        often = often or [side[:OFTEN] for side in lines]
        spoil(rng, lines, often)
        yield "".join(lines[0]), "".join(lines[1])


def spoil(rng: np.random.Generator, lines: list[list[str]], often: list[list[str]]) -> None:
    """Put what cleaning takes out among the lines: 3 % repeated, and of 1,000 each a copy, an empty and a long one."""
    size = len(lines[0])
    for row in rng.integers(0, size, size * 3 // 100).tolist():
        again = int(rng.integers(0, len(often[0])))
        lines[0][row], lines[1][row] = often[0][again], often[1][again]
    for row in rng.integers(0, size, size // 1000).tolist():
        lines[1][row] = lines[0][row]
    for row in rng.integers(0, size, size // 1000).tolist():
        lines[0][row] = "\n"
    for row in rng.integers(0, size, size // 1000).tolist():
        lines[0][row] = lines[0][row].rstrip("\n") * 20 + "\n"


def write_corpus(folder: Path, pairs: int) -> None:
    """Write src and tgt."""
    with (folder / "src").open("w", encoding="utf-8") as src, (folder / "tgt").open("w", encoding="utf-8") as tgt:
        for sources, targets in make_blocks(pairs):
            src.write(sources)
            tgt.write(targets)


def child(folder: Path, workers: int, overrides: list[str]) -> None:
    """Prepare the corpus; print the time of each stage: of the clock, and of all processes together."""
    from nmt.config import load_settings
    from nmt.prepare.pipeline import prepare
    from nmt.prepare.stages import StageProgress

    marks: list[tuple[str, float, float]] = [("looking at the files", time.monotonic(), 0.0)]

    def mark(stage: str) -> None:
        used = sum(
            usage.ru_utime + usage.ru_stime
            for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        )
        marks.append((stage, time.monotonic(), used))

    def note(progress: StageProgress) -> None:
        if progress.stage != marks[-1][0]:
            mark(progress.stage)

    settings = load_settings(
        None, [f"data.root={folder}", "data.train_src=['src']", "data.train_tgt=['tgt']", *overrides]
    )
    counts = prepare(folder / "data", settings, note, workers=workers).counts
    mark("end")
    stages = [(one[0], two[1] - one[1], two[2] - one[2]) for one, two in pairwise(marks)]
    print(json.dumps({"stages": stages, "read": counts.read, "train": counts.train}))


@dataclass
class Watched:
    """What was seen of a process and its children while they ran."""

    seconds: float
    output: str
    peaks: dict[int, int] = field(default_factory=dict)
    """KB of memory by process id, in the order in which they started."""
    disk: int = 0
    """Most bytes in the folder."""


def watch(command: list[str], folder: Path) -> Watched:
    """Run a command to its end."""
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    watched = Watched(0.0, "")
    looked = 0.0
    while process.poll() is None:
        for one in [process.pid, *children(process.pid)]:
            watched.peaks[one] = max(watched.peaks.get(one, 0), peak(one))
        if time.monotonic() - looked > 5:
            looked = time.monotonic()
            watched.disk = max(watched.disk, size(folder))
        time.sleep(0.1)
    assert process.stdout is not None
    watched.output, watched.seconds = process.stdout.read(), time.monotonic() - start
    if process.returncode:
        raise SystemExit(f"{command} ended with {process.returncode}")
    return watched


def children(pid: int) -> list[int]:
    """List the processes that one has started."""
    try:
        tasks = [(task / "children").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:
        return []
    return [int(one) for text in tasks for one in text.split()]


def peak(pid: int) -> int:
    """Return the most KB of memory that a process has had."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)


def size(folder: Path) -> int:
    """Count the bytes of all files below a folder; files that vanish meanwhile are not there."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += (Path(parent) / name).stat().st_size
    return total


def bare(folder: Path, number: int) -> tuple[int, float, float]:
    """Encode the text of pairs in a plain loop; return how many, and the seconds of clock and processor."""
    from sentencepiece import SentencePieceProcessor

    from nmt.text.tokenizer import JOINT_MODEL

    processor = SentencePieceProcessor(model_file=str(folder / "data" / JOINT_MODEL))
    texts = []
    for name in ("src", "tgt"):
        with (folder / name).open(encoding="utf-8") as file:
            texts.append([line.strip() for line, _ in zip(file, range((number + 1) * BARE), strict=False)][-BARE:])
    start, used = time.monotonic(), time.process_time()
    for side in texts:
        for text in side:
            processor.encode(text)
    return len(texts[0]), time.monotonic() - start, time.process_time() - used


def main() -> None:
    """Make the corpus, prepare it, train a step, and encode it in a bare loop."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=20_000_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--work", type=Path, help="keep all files here instead of a temporary folder")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.work, options.workers, options.set)
    elif options.work:
        options.work.mkdir(parents=True, exist_ok=True)
        measure(options.work, options.pairs, options.workers, options.set)
    else:
        with TemporaryDirectory() as folder:
            measure(Path(folder), options.pairs, options.workers, options.set)


def measure(folder: Path, pairs: int, workers: int, overrides: list[str]) -> None:
    """Run all parts, and print what was seen."""
    start = time.monotonic()
    if not (folder / "tgt").exists():
        write_corpus(folder, pairs)
    report("corpus written", time.monotonic() - start, "s", f"{pairs:,} pairs, {size(folder):,} bytes")
    settings = [part for one in overrides for part in ("--set", one)]
    mine = [sys.executable, __file__, "--child", "--work", str(folder), "--workers", str(workers), *settings]
    watched = watch(mine, folder)
    found = json.loads(watched.output)
    report("prepare", watched.seconds, "s", f"{found['read']:,} pairs read, {found['train']:,} kept, {workers} workers")
    for stage, seconds, used in found["stages"]:
        report(f"prepare: {stage}", seconds, "s", f"{used:.1f} s of processor time")
    for number, kilobytes in enumerate(watched.peaks.values()):
        report("peak memory", kilobytes / 1024, "MB", f"process {number}" if number else "the process itself")
    report("disk", size(folder / "data") / 1e6, "MB", f"at most {watched.disk / 1e6:,.0f} MB with text and work folder")
    train = [sys.executable, "-m", "nmt_cli", "train", str(folder / "data"), str(folder / "model")]
    trained = watch([*train, *(part for one in STEP for part in ("--set", one))], folder / "model")
    report("one training step", trained.seconds, "s", f"{max(trained.peaks.values()) / 1024:,.0f} MB")
    compare(folder, workers, next(stage for stage in found["stages"] if stage[0] == "encoding"), found["read"])


def compare(folder: Path, workers: int, encoding: tuple[str, float, float], pairs: int) -> None:
    """Run the bare loop in as many processes, and print how the encoding compares with it."""
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        done = list(pool.map(bare, [folder] * workers, range(workers)))
    alone = sum(count / seconds for count, seconds, _ in done), sum(d[0] for d in done) / sum(d[2] for d in done)
    ours = pairs / encoding[1], pairs / encoding[2]
    for name, one, two in zip(("of the clock", "of processor time"), ours, alone, strict=True):
        notes = f"{one:,.0f} of {two:,.0f} pairs a second {name}"
        report(f"encoding beside a bare loop, {name}", 100 * one / two, "%", notes)


if __name__ == "__main__":
    main()
