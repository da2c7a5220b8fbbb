"""How fast `nmt` and other toolkits train and translate on this machine: one pinned core each, in turns, one table.

    python tests/benchmarks/peers.py DATA_DIR MODEL_DIR SRC [--peers FILE] [--rounds N] [--records FILE]
        [--only PATTERN].. [--hide-avx512]

DATA_DIR is from `nmt prepare`, with 8,000 joint pieces for the usual comparison; MODEL_DIR is a trained model, SRC is
a text. FILE lists what to run of other toolkits, in TOML:

    [[peer]]
    name = "Toolkit 1.0, int8"                # a row of the table
    work = "beam 5"                           # its table, or "greedy", "training" or "training, default model"
    command = "toolkit/python speed.py int8"  # for the shell, started where this benchmark is
    not_limited = "its fp32 products"         # optional: what --hide-avx512 does not reach

A command prints JSON lines with the keys peer, measure, value, unit, params and notes. Its speed is the first value in
"target tokens/s" (pieces, where a piece is a token), in search beside that in "sentences/s". It finds the core that it
shall use in the variable CORE, and is pinned to it in any case.

Prints Markdown with medians of the rounds, each round, and how many times as fast as each other row the first row of a
table is, by target pieces. --records appends all to a file, and puts what earlier runs wrote there into the tables too:
so a long comparison can be run in parts, with --only for rows whose table and name ("beam 5: nmt, fp32, lines to
lines") match a pattern. --hide-avx512 runs everything as on a processor that has nothing newer than AVX2, as far as
libraries let themselves be told.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from records import Record, parse

HERE: Final = Path(__file__).parent
WORKS: Final = ("training", "training, default model", "greedy", "beam 5")
PIECES: Final = 15
"""Target pieces of every sentence where the length is forced, for peers whose weights are random."""
LIMIT: Final = 600
"""Seconds after which a command is given up."""
HIDING: Final = {
    "ATEN_CPU_CAPABILITY": "avx2",  # torch's own kernels, and what nmt asks torch
    "DNNL_MAX_CPU_ISA": "AVX2",  # oneDNN, in torch
    "ONEDNN_MAX_CPU_ISA": "AVX2",  # oneDNN, in CTranslate2
    "FBGEMM_ENABLE_INSTRUCTIONS": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",
    "CT2_FORCE_CPU_ISA": "AVX2",
    "INTGEMM_CPUID": "AVX2",  # Marian's 8-bit products
}
INSTRUCTIONS: Final = {
    "avx2": "AVX2",
    "avx_vnni": "AVX-VNNI",
    "avx512f": "AVX-512",
    "avx512_vnni": "AVX-512 VNNI",
    "avx512_bf16": "AVX-512 BF16",
    "amx_tile": "AMX",
    "asimd": "NEON",
}


@dataclass(frozen=True)
class Row:
    """A row of a table, and the command that fills it."""

    work: str
    name: str
    command: str | list[str]
    not_limited: str = ""


def own_rows(data: Path, model: Path, src: Path, *, precisions: list[str], steps: int) -> Iterator[Row]:
    """Yield the rows of `nmt`; the first of each work is the one that others are compared with."""
    default_model = ("model.encoder_layers=2", "model.tied_embeddings=auto", "training.batch_tokens=800")
    for work, more in ((WORKS[0], ()), (WORKS[1], default_model)):
        shape = [part for setting in more for part in ("--set", setting)]
        command = [sys.executable, str(HERE / "training_speed.py"), str(data), "--steps", str(steps), *shape]
        for objective, title in (("full", ""), ("sampled", ", sampled softmax")):
            for precision in ("auto", "fp32"):
                how = ["--precision", precision, "--objective", objective]
                yield Row(work, f"nmt, {precision}{title}", [*command, *how])
    command = [sys.executable, str(HERE / "translation_speed.py"), str(model), str(src)]
    for work, beam in ((WORKS[2], "1"), (WORKS[3], "5")):
        for pieces, title in ((PIECES, f", {PIECES} pieces a sentence"), (0, ", lines to lines")):
            for precision in ("auto", *precisions):
                how = ["--precision", precision, "--beam", beam, "--pieces", str(pieces)]
                yield Row(work, f"nmt, {precision}{title}", [*command, *how])


def peer_rows(path: Path) -> list[Row]:
    """Read the list of other toolkits."""
    try:
        listed = [Row(**entry) for entry in tomllib.loads(path.read_text(encoding="utf-8"))["peer"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SystemExit(f"{path}: expected a list of [[peer]], each with a name, work and command: {error}") from error
    if unknown := sorted({row.work for row in listed} - set(WORKS)):
        raise SystemExit(f"{path}: no such work: {', '.join(unknown)}; expected one of {', '.join(WORKS)}")
    return listed


def run(command: str | list[str], environment: dict[str, str]) -> list[Record]:
    """Run a command on the core that this process is pinned to; return what it printed, or nothing if it failed."""
    try:
        done = subprocess.run(
            command,
            shell=isinstance(command, str),
            capture_output=True,
            text=True,
            env={**os.environ, **environment},
            timeout=LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        print(f"given up after {LIMIT} s: {command}", file=sys.stderr)
        return []
    records = [record for record in parse(done.stdout) if not isinstance(record["value"], str)]
    if done.returncode or not records:
        print(f"failed: {command}\n{done.stdout[-500:]}{done.stderr[-1000:]}", file=sys.stderr)
    return [] if done.returncode else records


def values(records: list[Record], row: Row, unit: str) -> list[float]:
    """Return what was measured for a row in a unit: the first such value of each round."""
    rounds = {record["round"]: record for record in reversed(records) if record["unit"] == unit and of(record, row)}
    return [float(rounds[number]["value"]) for number in sorted(rounds)]


def of(record: Record, row: Row) -> bool:
    return bool(record["work"] == row.work and record["row"] == row.name)


def label(records: list[Record], row: Row) -> str:
    """Name a row; one of "auto" says what that was."""
    chosen = [record["notes"].split(",")[0] for record in records if of(record, row) and record["peer"] == "nmt"]
    return row.name.replace("auto", f"auto ({chosen[0]})", 1) if chosen else row.name


def show(records: list[Record], rows: list[Row], work: str) -> None:
    """Print the table of a work."""
    shown = [row for row in rows if row.work == work and values(records, row, "target tokens/s")]
    if not shown:
        return
    searching = work not in WORKS[:2]
    fastest = statistics.median(values(records, shown[0], "target tokens/s"))
    print(f"\n**{work.capitalize()}**\n")
    titles = ["", "parameters", *(["sentences/s"] if searching else []), "target pieces/s", "rounds", "of peak"]
    print("|", " | ".join([*titles, "the first row is faster by a factor of"]), "|")
    print("|---" * (len(titles) + 1) + "|")
    for row in shown:
        pieces = values(records, row, "target tokens/s")
        params = next((record["params"] for record in records if of(record, row)), "")
        cells = [label(records, row), params if params.endswith("M") else ""]
        if searching:
            cells.append(median(values(records, row, "sentences/s"), ",.0f"))
        cells += [median(pieces, ",.0f"), ", ".join(f"{value:,.0f}" for value in pieces)]
        cells.append(median(values(records, row, "%"), ".1f", " %"))
        cells.append("" if row is shown[0] else f"{fastest / statistics.median(pieces):.2f}")
        print("|", " | ".join(cells), "|")


def median(found: list[float], form: str, unit: str = "") -> str:
    return f"{statistics.median(found):{form}}{unit}" if found else ""


def processor() -> str:
    """Name the kind of processor, and its instructions for matrix products."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n", 1)[0].splitlines()
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    kind = fields.get("model name", "unnamed processor")
    if "cpu family" in fields:
        kind += f" (family {fields['cpu family']}, model {fields['model']})"
    flags = fields.get("flags", fields.get("Features", "")).split()
    return f"{kind}: {', '.join(name for flag, name in INSTRUCTIONS.items() if flag in flags)}"


def show_machine(records: list[Record], rows: list[Row], *, hidden: bool) -> None:
    """Print on what the measures were taken."""
    peaks = dict[str, float]()
    for record in records:
        if record["peer"] == "machine":
            peaks[record["measure"]] = max(record["value"], peaks.get(record["measure"], 0.0))
    listed = ", ".join(f"{name} {value:.0f}" for name, value in peaks.items())
    print(f"{processor()}{'; everything newer than AVX2 hidden' if hidden else ''}. One core, one thread each.")
    commits = ", ".join(dict.fromkeys(record["commit"] for record in records if record["peer"] == "nmt")) or commit()
    torch = next((record["notes"] for record in records if record["peer"] == "machine" and record["notes"]), "")
    print(f"{torch}; commit {commits}. The fastest products of 256 x 512 x 2,048 in Gop/s: {listed}.")
    for row in rows:
        if hidden and row.not_limited:
            print(f"Not limited to AVX2: {row.not_limited} of {row.name}.")


def commit() -> str:
    described = ["git", "-C", str(HERE), "describe", "--always", "--dirty", "--exclude=*"]
    return subprocess.run(described, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("src", type=Path)
    parser.add_argument("--peers", type=Path, metavar="FILE")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=40, help="training steps of nmt in a round")
    parser.add_argument("--records", type=Path, metavar="FILE")
    parser.add_argument("--only", action="append", default=[], metavar="PATTERN")
    parser.add_argument("--hide-avx512", action="store_true")
    arguments = parser.parse_args()
    core = min(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    environment = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "CORE": str(core)}
    if hidden := arguments.hide_avx512:
        environment |= HIDING
    others = peer_rows(arguments.peers) if arguments.peers else []
    records = list[Record]()
    if arguments.records and arguments.records.exists():
        earlier = parse(arguments.records.read_text(encoding="utf-8"))
        records = [record for record in earlier if record["hidden"] == hidden]
    start = max((record["round"] for record in records), default=0)

    def keep(found: list[Record], *, row: str, work: str, number: int) -> None:
        about = {"row": row, "work": work, "round": number, "hidden": hidden, "commit": commit()}
        records.extend(record | about for record in found)
        if arguments.records:
            with arguments.records.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(record) + "\n" for record in records[len(records) - len(found) :])

    if arguments.rounds:
        keep(run([sys.executable, str(HERE / "arithmetic.py")], environment), row="machine", work="", number=start + 1)
    precisions = list(dict.fromkeys(record["measure"] for record in records if record["row"] == "machine"))
    folders = (arguments.data, arguments.model, arguments.src)
    rows = [*own_rows(*folders, precisions=precisions, steps=arguments.steps), *others]
    only = re.compile("|".join(arguments.only))
    wanted = [row for row in rows if only.search(f"{row.work}: {row.name}")]
    for number in range(start + 1, start + arguments.rounds + 1):  # in turns, so that a slow minute is everybody's
        for row in wanted:
            print(f"round {number}: {row.work}: {row.name}", file=sys.stderr, flush=True)
            keep(run(row.command, environment), row=row.name, work=row.work, number=number)
    show_machine(records, rows, hidden=hidden)
    for work in WORKS:
        show(records, rows, work)


if __name__ == "__main__":
    main()
