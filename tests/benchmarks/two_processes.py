"""How much faster two processes train than one, each on a core of its own, with the same global batches.

    python tests/benchmarks/two_processes.py DATA_DIR [--set SECTION.KEY=VALUE]..

The runs take turns. A line of the output is one JSON object: measure, value, unit, notes. The losses are those of the
last record of each run, without dropout, so that they can be compared.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from nmt.training.observers import read_metrics

ROUNDS = 3
SETTINGS = [
    "model.dropout=0",
    "training.batch_tokens=4096",
    "training.accumulate=2",
    "training.max_steps=18",
    "training.log_every=3",
    "training.validate_every=1000000",
    "training.checkpoint_every=1000000",
    "training.threads=1",
    "training.tensorboard=false",
]


def train(data: Path, settings: list[str], *, processes: int) -> tuple[float, float]:
    """Train, then return target pieces a second after the first window, and the last loss."""
    with TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        options = [part for setting in [*SETTINGS, *settings] for part in ("--set", setting)]
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        command += ["-m", "nmt_cli", "train", str(data), str(model), *options]
        cores = {"preexec_fn": lambda: os.sched_setaffinity(0, range(processes))}
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, **cores)  # type: ignore[call-overload]
        _, stderr = process.communicate()
        if process.returncode:
            raise SystemExit(stderr)
        records = [record for record in read_metrics(model / "metrics.jsonl") if record.kind == "train"]
    totals = [(record.values["tokens"], record.values["seconds"]) for record in records]
    pieces, seconds = (last - first for first, last in zip(totals[0], totals[-1], strict=True))
    return pieces / seconds, records[-1].values["loss"]


def emit(measure: str, value: float, unit: str, notes: str) -> None:
    print(json.dumps({"measure": measure, "value": round(value, 4), "unit": unit, "notes": notes}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="SECTION.KEY=VALUE")
    arguments = parser.parse_args()
    rates: dict[int, list[float]] = {1: [], 2: []}
    losses = dict[int, float]()
    for _ in range(ROUNDS):
        for processes, found in rates.items():
            rate, losses[processes] = train(arguments.data, arguments.settings, processes=processes)
            found.append(rate)
    for processes, found in rates.items():
        notes = f"median of rounds {[round(rate) for rate in found]}; last loss {losses[processes]:.5f}"
        emit(f"{processes} x 1 thread", statistics.median(found), "target tokens/s", notes)
    ratios = [two / one for one, two in zip(rates[1], rates[2], strict=True)]
    emit("two processes against one", statistics.median(ratios), "ratio", f"rounds {[round(r, 3) for r in ratios]}")
    emit("difference of the losses", losses[2] / losses[1] - 1, "relative", "last record, no dropout")


if __name__ == "__main__":
    main()
