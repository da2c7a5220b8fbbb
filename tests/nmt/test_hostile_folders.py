"""Folders from strangers: every file of a model, a run and prepared data is mutated, with the hashes computed anew.

Each is to load, or to be refused by an expected error: nothing else is raised, nothing hangs, no memory runs out. The
mutations are made and read in a process of its own, which a crash of a library ends.
"""

import faulthandler
import hashlib
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, Final

import pytest

SECONDS: Final = 30
MOST_MEMORY: Final = 3 << 30
ODD: Final = (None, -1, 0, 10**9, 10**30, 1e308, "x", "../../etc/passwd", "/dev/zero", [], {}, [[]], True)
"""What takes the place of a value."""


def mutate(folder: Path, rng: random.Random) -> str:
    """Change one file of a folder; return what was done."""
    path = rng.choice(sorted(path for path in folder.rglob("*") if path.is_file() and "tfevents" not in path.name))
    ways = [replace_by_something_else, cut_off, flip_bytes, flip_bytes, empty]
    if path.suffix == ".json":
        ways += [change_value] * 6
    elif path.suffix == ".safetensors":
        ways += [change_header] * 6
    elif path.suffix == ".toml":
        ways += [change_setting] * 6
    way = rng.choice(ways)
    return f"{path.relative_to(folder)}: {way.__name__}{way(path, rng) or ''}"


def replace_by_something_else(path: Path, rng: random.Random) -> None:
    path.unlink()
    rng.choice([lambda: os.mkfifo(path), path.mkdir, lambda: path.symlink_to("/dev/zero"), lambda: None])()


def cut_off(path: Path, rng: random.Random) -> None:
    os.truncate(path, rng.randrange(path.stat().st_size + 1))


def empty(path: Path, rng: random.Random) -> None:
    path.write_bytes(b"")


def flip_bytes(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(rng.choice([1, 3, 50])):
        if content:
            content[rng.randrange(len(content))] = rng.randrange(256)
    path.write_bytes(content)


def change_value(path: Path, rng: random.Random) -> str:
    tree = json.loads(path.read_bytes())
    done = change_in(tree, rng)
    path.write_text(json.dumps(tree))
    return done


def change_header(path: Path, rng: random.Random) -> str:
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    tree = json.loads(content[8 : 8 + size])
    state = tree.get("__metadata__", {}).get("state")
    if state and rng.random() < 0.6:
        counters = json.loads(state)
        done = change_in(counters, rng)
        tree["__metadata__"]["state"] = json.dumps(counters)
    else:
        done = change_in(tree, rng)
    header = json.dumps(tree).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + content[8 + size :])
    return done


def change_setting(path: Path, rng: random.Random) -> str:
    lines = path.read_text().split("\n")
    number = rng.choice([number for number, line in enumerate(lines) if " = " in line])
    value = rng.choice(["-1", "0", "1000000000", "true", '"x"', "[]", "{}", "[" * 5000, "inf", "1e300", '"/dev/zero"'])
    lines[number] = f"{lines[number].split(' = ')[0]} = {value}"
    path.write_text("\n".join(lines))
    return f" {lines[number][:60]}"


def change_in(tree: Any, rng: random.Random) -> str:
    """Change, remove or add a value somewhere in a tree."""
    places: list[tuple[Any, Any]] = []
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        keys = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
        places += [(node, key) for key in keys]
        waiting += [node[key] for key in keys]
    node, key = rng.choice(places)
    if rng.random() < 0.15 and isinstance(node, dict):
        del node[key]
        return f" without {key}"
    node[key] = rng.choice(ODD)
    return f" {key} = {node[key]!r}"


def hash_anew(folder: Path) -> None:
    """Let cards, manifests and checkpoints vouch for what stands there now."""
    for name in ("model.json", "manifest.json"):
        try:
            card = json.loads((folder / name).read_bytes()) if (folder / name).is_file() else None
            for file in [path for path in folder.iterdir() if path.is_file() and path.name != name]:
                digest = hashlib.sha256(file.read_bytes()).hexdigest()
                if name == "model.json" and file.name in card["sha256"]:
                    card["sha256"][file.name] = [digest]
                elif name == "manifest.json" and file.name in card["files"]:
                    card["files"][file.name] = {"bytes": file.stat().st_size, "sha256": digest}
            if card is not None:
                (folder / name).write_text(json.dumps(card))
        except (ValueError, KeyError, TypeError, AttributeError):
            pass  # the card itself was mutated
    for path in folder.glob("checkpoints/*.safetensors"):
        if path.is_file():
            vouch(path)


def vouch(path: Path) -> None:
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import save_file

    from nmt.training.checkpoint import _digest

    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        save_file(tensors, path, {**metadata, "sha256": _digest(tensors, metadata["state"])})
    except (SafetensorError, OSError, ValueError, KeyError, TypeError):
        pass  # nothing that could be vouched for


class Hung(BaseException):
    pass


def hang_up(number: int, frame: FrameType | None) -> None:
    raise Hung


def read_model(base: Path, folder: Path) -> None:
    from nmt.prepared import PreparedData
    from nmt.training.plot import read_curves
    from nmt.translate import Translator

    attempt(lambda: Translator.load(folder, precision="fp32").translate(["bat cow"]))
    attempt(lambda: read_curves(folder))
    data = PreparedData.open(base / "d")
    attempt(lambda: go_on(data, folder, max_steps=304))


def read_data(base: Path, folder: Path) -> None:
    from nmt.inspection import inspect
    from nmt.prepared import PreparedData

    attempt(lambda: inspect(folder))
    attempt(lambda: go_on(PreparedData.open(folder), folder.with_name("new"), max_steps=2))


def go_on(data: Any, folder: Path, *, max_steps: int) -> None:
    from nmt.training.logbook import Silence
    from nmt.training.resolve import resolve_settings
    from nmt.training.run import train

    wishes = [f"training.max_steps={max_steps}", f"training.validate_every={max_steps}", "training.threads=1"]
    wishes += ["training.precision=fp32", "model.embedding_size=32", "model.hidden_size=64", "model.encoder_layers=1"]
    settings, _ = resolve_settings(data.settings, folder, recipe=None, overrides=wishes)
    train(data, folder, settings, observer=Silence(), stop=threading.Event())


def attempt(read: Callable[[], object]) -> None:
    from nmt.errors import NmtError

    try:
        read()
        outcomes.append("loaded")
    except (NmtError, OSError):
        outcomes.append("refused")


outcomes: list[str] = []


def work(base: Path, scratch: Path, first: int, last: int) -> None:
    """Try mutations by number; write a line before and after each."""
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_MEMORY, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    signal.signal(signal.SIGALRM, hang_up)
    for number in range(first, last):
        rng = random.Random(number)
        kind = rng.choice(["m", "m", "d"])
        shutil.rmtree(scratch, ignore_errors=True)
        shutil.copytree(base / kind, scratch / kind)
        done = mutate(scratch / kind, rng)
        hash_anew(scratch / kind)
        tell(number, "begun", done)
        outcomes.clear()
        signal.alarm(SECONDS)
        faulthandler.dump_traceback_later(2 * SECONDS, exit=True)  # a library that waits does not hear signals
        try:
            (read_model if kind == "m" else read_data)(base, scratch / kind)
            found = " ".join(outcomes)
        except Hung:
            found = "hung"
        except BaseException as error:
            found = f"unexpected {type(error).__name__}: {str(error)[:200]!r}"
        signal.alarm(0)
        tell(number, found, done)
    tell("memory", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, "MiB")


def tell(*cells: object) -> None:
    sys.stdout.write("\t".join(map(str, cells)) + "\n")
    sys.stdout.flush()


def try_all(base: Path, scratch: Path, count: int) -> tuple[Counter[str], list[str]]:
    """Try mutations 0 to `count`; a process that dies is followed by another. Return what came out, and the faults."""
    counts, faults, first = Counter[str](), list[str](), 0
    while first < count:
        command = [sys.executable, __file__, str(base), str(scratch), str(first), str(count)]
        paths = os.pathsep.join(path for path in sys.path if path)
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": paths}
        )
        rows = [line.split("\t") for line in done.stdout.splitlines() if line.count("\t") == 2]
        ended = [row for row in rows if row[0].isdigit() and row[1] != "begun"]
        for number, found, what in ended:
            counts.update(found.split() if re.fullmatch(r"(loaded|refused| )+", found) else [found.split(":")[0]])
            if not re.fullmatch(r"(loaded|refused| )+", found):
                faults.append(f"{number}: {what}: {found}")
        counts.update({f"{row[1]} MiB": 1 for row in rows if row[0] == "memory"})
        begun = [row for row in rows if row[1] == "begun"]
        assert begun, done.stderr
        first = int(begun[-1][0]) + 1
        if len(begun) > len(ended):
            faults.append(f"{begun[-1][0]}: {begun[-1][2]}: the process died, {done.returncode}: {done.stderr[-300:]}")
    return counts, faults


@pytest.fixture(scope="module")
def base(toy_model: Path, toy_data: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    shutil.copytree(toy_model, folder / "m")
    shutil.copytree(toy_data.folder, folder / "d")
    return folder


@pytest.mark.parametrize("count", [16, pytest.param(1200, marks=pytest.mark.slow)])
def test_mutated_folders_load_or_are_refused(base: Path, tmp_path: Path, count: int) -> None:
    counts, faults = try_all(base, tmp_path / "scratch", count)
    assert (faults, counts["loaded"] > 0, counts["refused"] > 0) == ([], True, True), counts


if __name__ == "__main__":
    work(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
