"""What a machine with one NVIDIA GPU makes of nmt: checks, then measures, in eight minutes at most.

    make gpu                                                # with python3; another Python: make gpu PYTHON=...
    python tests/benchmarks/gpu.py --only waits large       # some parts
    python tests/benchmarks/gpu.py --tiny --device cpu      # to see that it works

It needs a torch with CUDA and what nmt imports: no network, no installation, no data. The parts run in the order of
worth, each in a process of its own and within a time of its own, so a part that crashes, hangs or takes all memory ends
alone. Every figure is printed once it is known, and appended as a line of JSON; at the end, what is not as it should
be, once more. The exit status is 1 if a bound was not
kept or a part failed, 2 if there is no GPU.
"""

import argparse
import json
import multiprocessing
import os
import re
import signal
import sys
import time
import tomllib
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, distribution
from multiprocessing.connection import Connection
from pathlib import Path

ROOT = Path(__file__).parents[2]
BUDGETS = {
    "machine": 15,
    "types": 40,
    "waits": 20,
    "equal": 40,
    "peak": 15,
    "large": 75,
    "tests": 60,
    "losses": 30,
    "decoding": 60,
    "usual": 30,
    "sampled": 40,
    "cells": 60,
    "checkpoints": 25,
    "resume": 60,
    "split": 20,
}
"""The parts and the seconds that each may take, in their order; what one does not use, the later ones have."""
NO_GPU = "no GPU"
LEAST = 3.0
"""Seconds that are worth starting a part for."""


def missing() -> list[str]:
    """Name what nmt needs and this Python lacks."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lacking = []
    for requirement in project["dependencies"]:
        (name,) = re.findall(r"^[A-Za-z0-9_-]+", requirement)
        try:
            distribution(name)
        except PackageNotFoundError:
            lacking.append(name)
    return lacking


def run_part(name: str, device: str, is_tiny: bool, told: Connection) -> None:
    """Run a part in a process of its own, and tell of each of its records."""
    os.setpgid(0, 0)  # what it starts ends with it
    try:
        import torch
        from gpu_work import FULL, TINY, Bench

        if device != "cpu" and not torch.cuda.is_available():
            told.send(f"{NO_GPU} with torch {torch.__version__} of {sys.executable}")
            return
        for found in part_of(name)(Bench(torch.device(device), TINY if is_tiny else FULL)):
            told.send(found)
        told.send("done")
    except ModuleNotFoundError as error:
        told.send(f"left out: {error}")
    except BaseException as error:
        traceback.print_exc()
        told.send(f"failed: {type(error).__name__}: {' '.join(str(error).split())[:200]}")


def part_of(name: str) -> "Callable[..., Iterator[dict[str, object]]]":
    """Find the function of a part."""
    import gpu_checks
    import gpu_speed

    return getattr(gpu_checks, name, None) or getattr(gpu_speed, name)


def watch(name: str, seconds: float, *, device: str, is_tiny: bool) -> Iterator[dict[str, object]]:
    """Run a part for so long at most; yield its records, and one that says how it ended."""
    from records import record

    with suppress(ModuleNotFoundError):  # the part will say so
        part_of(name)  # loaded before the process forks, and so once for all parts
    context, before = multiprocessing.get_context("fork"), time.monotonic()  # nothing here has touched the GPU
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=run_part, args=(name, device, is_tiny, theirs))
    process.start()
    theirs.close()
    end = ""
    try:
        while not end:
            if not ours.poll(max(0.0, before + seconds - time.monotonic())):
                end = f"cut off after {seconds:.0f} s"
            elif isinstance(found := ours.recv(), str):
                end = found
            else:
                yield found
    except EOFError:
        process.join()
        end = f"failed: it ended with exit status {process.exitcode}"
    finally:  # at Ctrl-C, too
        kill(process)
    yield record("nmt", f"part {name}", time.monotonic() - before, "s", notes=end)


def kill(process: multiprocessing.process.BaseProcess) -> None:
    """End a process and all that it has started."""
    assert process.pid is not None
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()  # it may have had no time yet to found a group
    process.join()


def line(found: dict[str, object]) -> str:
    """Write a record for people."""
    about = "; ".join(str(found[key]) for key in ("params", "notes") if found[key])
    return f"{found['measure']:<55} {found['value']:>14,.6g} {found['unit']:<16} {about}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only", nargs="+", choices=BUDGETS, default=list(BUDGETS), metavar="PART", help=", ".join(BUDGETS)
    )
    parser.add_argument("--seconds", type=float, default=480.0, help="for all parts together (480)")
    parser.add_argument("--json", type=Path, default=Path("gpu.jsonl"), help="what records are appended to (gpu.jsonl)")
    parser.add_argument("--tiny", action="store_true", help="a few seconds of tiny models, with ten times the time")
    parser.add_argument("--device", choices=["cuda:0", "cpu"], default="cuda:0")
    arguments = parser.parse_args()
    sys.path[:0] = [str(ROOT), *(str(ROOT / folder) for folder in ("cli", "data", "recipes"))]
    if lacking := missing():
        print(f"{sys.executable} lacks {', '.join(lacking)}: parts that need them are left out", flush=True)
    if "torch" in lacking:
        raise SystemExit(2)
    end, broken = time.monotonic() + arguments.seconds, list[str]()
    with arguments.json.open("a", encoding="utf-8") as file:
        for name in (name for name in BUDGETS if name in arguments.only):
            seconds = min(BUDGETS[name] * (10 if arguments.tiny else 1), end - time.monotonic())
            if seconds < LEAST:
                print(f"part {name} is left out: no time is left", flush=True)
                continue
            for found in watch(name, seconds, device=arguments.device, is_tiny=arguments.tiny):
                print(line(found), flush=True)
                file.write(json.dumps(found) + "\n")
                file.flush()
                notes = str(found["notes"])
                if notes.startswith(("NOT KEPT", "failed", "cut off")):
                    broken.append(line(found))
                if notes.startswith(NO_GPU):
                    raise SystemExit(2)
    print("\n".join(["not as it should be:", *broken]) if broken else "every bound was kept, and no part failed")
    print(f"all figures are in {arguments.json.resolve()}", flush=True)
    if broken:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
