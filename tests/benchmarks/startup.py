"""How long `nmt train` takes from its start to the first step on a large corpus, and what it holds in memory then.

    python tests/benchmarks/startup.py --pairs 20000000 [--work DIR] [--set SECTION.KEY=VALUE]..

Prepared data of random ids are written straight to disk, with the tokenizer of a small corpus. Each training is a
process of its own; what it holds for a pair is the difference from a training on few pairs. Then the plan of an epoch.
A line of the output is one JSON object: measure, value, unit, notes.
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]

from nmt.batching import plan_epoch
from nmt.config import load_settings
from nmt.io.files import sha256
from nmt.phrasebook import read_phrasebook
from nmt.prepare.pipeline import prepare
from nmt.prepared import PreparedData
from nmt.prepared.manifest import SRC, TGT, TRAIN, Counts, FileRecord, read_manifest, write_manifest
from nmt.training.observers import METRICS

FEW = 1000
BLOCK = 10_000
MEAN_LENGTH = 12
SETTINGS = ["training.max_steps=1", "training.threads=1", "training.device=cpu", "training.tensorboard=true"]


@dataclass(frozen=True)
class Start:
    """What was seen of one training until its first step."""

    seconds: float
    private: int
    """Bytes of memory of its own, at the first step."""
    peak: int
    """The most it had of its own before."""


def make_small(folder: Path) -> Path:
    """Prepare the built-in corpus."""
    pairs = read_phrasebook("train")[:2000]
    for side, name in enumerate(("src", "tgt")):
        (folder / name).write_text("".join(f"{pair[side]}\n" for pair in pairs), encoding="utf-8")
    files = [f"data.root={folder}", "data.train_src=['src']", "data.train_tgt=['tgt']", "tokenizer.vocab_size=500"]
    prepare(folder / "small", load_settings(None, files))
    return folder / "small"


def blocks(pairs: int) -> Iterator[pa.RecordBatch]:
    """Make random ids, up to `BLOCK` pairs at a time; source and target are about equally long."""
    rng = np.random.default_rng(0)
    for first in range(0, pairs, BLOCK):
        src = 1 + rng.poisson(MEAN_LENGTH - 1, min(BLOCK, pairs - first))
        tgt = np.maximum(1, src + rng.integers(-3, 4, len(src)))
        columns = {}
        for name, lengths in ((SRC.ids, src), (TGT.ids, tgt)):
            offsets = np.append(0, np.cumsum(lengths)).astype(np.int32)
            values = rng.integers(4, 500, offsets[-1], dtype=np.int32)
            columns[name] = pa.ListArray.from_arrays(pa.array(offsets), pa.array(values))
        yield pa.record_batch(columns)


def enlarge(small: Path, folder: Path, pairs: int) -> Path:
    """Copy prepared data, with so many random training pairs instead of its own."""
    shutil.copytree(small, folder)
    ids = pa.list_(pa.int32())
    schema = pa.schema([(SRC.ids, ids), (TGT.ids, ids)])
    with pa.OSFile(str(folder / TRAIN), "wb") as file, pa.ipc.new_stream(file, schema) as writer:
        for block in blocks(pairs):
            writer.write_batch(block)
    manifest = read_manifest(small)
    assert isinstance(manifest.counts, Counts)
    (corpus,) = manifest.counts.corpora
    counts = manifest.counts.model_copy(
        update={"train": pairs, "corpora": (corpus.model_copy(update={"train": pairs}),)}
    )
    record = FileRecord(bytes=(folder / TRAIN).stat().st_size, sha256=sha256(folder / TRAIN))
    changes = {"counts": counts, "files": {**manifest.files, TRAIN: record}}
    write_manifest(folder, manifest.model_copy(update=changes))
    return folder


def start(data: Path, settings: list[str]) -> Start:
    """Start `nmt train` and wait for its first record."""
    with TemporaryDirectory(dir=data.parent) as folder:
        options = [part for setting in [*SETTINGS, *settings] for part in ("--set", setting)]
        command = [sys.executable, "-m", "nmt_cli", "train", str(data), str(Path(folder) / "model"), *options]
        records, peak, began = Path(folder) / "model" / METRICS, 0, time.perf_counter()
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        while not (records.exists() and records.stat().st_size):
            if process.poll() is not None:
                raise SystemExit(process.communicate()[1])
            peak = max(peak, private_memory(process.pid))
            time.sleep(0.01)
        found = Start(time.perf_counter() - began, private_memory(process.pid), peak)
        process.kill()
        process.communicate()
        return found


def private_memory(process: int) -> int:
    """Return the bytes of memory that are a process's own, no pages of mapped files."""
    status = Path(f"/proc/{process}/status").read_text()
    return sum(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("RssAnon"))


def time_plan(pairs: int, budget: int) -> float:
    """Return the processor time of one plan."""
    rng = np.random.default_rng(0)
    src = (1 + rng.poisson(MEAN_LENGTH - 1, pairs)).astype(np.uint16)
    tgt = np.maximum(1, src + rng.integers(-3, 4, pairs)).astype(np.uint16)
    began = time.process_time()
    plan_epoch(src, tgt, batch_tokens=budget, seed=1, epoch=0)
    return time.process_time() - began


def emit(measure: str, value: float, unit: str, notes: str = "") -> None:
    print(json.dumps({"measure": measure, "value": round(value, 3), "unit": unit, "notes": notes}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=20_000_000)
    parser.add_argument("--work", type=Path, help="where to write the data, which are deleted at the end")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="SECTION.KEY=VALUE")
    arguments = parser.parse_args()
    pairs = arguments.pairs
    with TemporaryDirectory(dir=arguments.work) as name:
        folder = Path(name)
        small = make_small(folder)
        few, many = enlarge(small, folder / "few", FEW), enlarge(small, folder / "many", pairs)
        emit(
            "size on disk",
            (many / TRAIN).stat().st_size / 2**30,
            "GiB",
            f"{len(PreparedData.open(many).train_src):,} pairs",
        )
        start(few, arguments.settings)  # a first start reads the libraries from disk
        for _ in range(arguments.rounds):
            base, found = start(few, arguments.settings), start(many, arguments.settings)
            emit("start to first step", found.seconds, "s", f"{pairs:,} pairs; {base.seconds:.2f} s on {FEW:,} pairs")
            emit("memory held", (found.private - base.private) / pairs, "bytes a pair", "private, at the first step")
            emit("memory at its peak", (found.peak - base.peak) / pairs, "bytes a pair", "private, of 10 ms samples")
        emit("plan of an epoch", time_plan(pairs, 4000), "s", "processor time")


if __name__ == "__main__":
    main()
