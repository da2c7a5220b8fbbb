"""Folders from strangers: every file of a model, a run and prepared data is mutated, with the hashes computed anew.

The models are a translation model with a lexicon, one of other cells without attention, and a language model; the data
are pairs and text. Whatever reads such a folder is to load it, or to refuse it by an expected error: nothing else is
raised, nothing hangs, no memory runs out. The mutations are made and read in a process of its own, which a crash of a
library ends.
"""

import faulthandler
import hashlib
import json
import math
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
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
Way = Callable[[Path, random.Random], str | None]


def mutate(folder: Path, rng: random.Random) -> str:
    """Change one file of a folder; return what was done."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    path = rng.choice([*files, *(path for path in files if path.suffix in MORE_OFTEN)])
    ways: list[Way] = [replace_by_something_else, cut_off, flip_bytes, flip_bytes, empty]
    ways += WAYS.get(path.suffix, []) * 6
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
    node, key = rng.choice(places or [({"": 0}, "")])
    if rng.random() < 0.15 and isinstance(node, dict):
        del node[key]
        return f" without {key}"
    node[key] = rng.choice(ODD)
    return f" {key} = {node[key]!r}"


def change_record(path: Path, rng: random.Random) -> str:
    lines = path.read_text().splitlines() or ["{}"]
    number = rng.randrange(len(lines))
    record = json.loads(lines[number])
    done = change_in(record, rng)
    lines[number] = json.dumps(record)
    path.write_text("\n".join(lines))
    return done


def change_tensor(path: Path, rng: random.Random) -> str:
    """Leave the file sound, but let one of its tensors have another form, type, name or content."""
    import torch
    from safetensors import safe_open
    from safetensors.torch import save_file

    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    name = rng.choice(sorted(tensors))
    tensor = tensors.pop(name)
    forms: dict[str, Callable[[], torch.Tensor]] = {
        "nan": lambda: tensor * math.nan,
        "huge": lambda: torch.full_like(tensor, 2**31 - 1 if tensor.dtype == torch.int32 else 1e30),
        "flat": lambda: tensor.reshape(-1),
        "nothing": lambda: tensor.new_empty(0),
        "number": lambda: tensor.new_zeros(()),
        "longer": lambda: torch.stack([tensor, tensor]),
        "float64": lambda: tensor.double(),
        "bool": lambda: tensor.bool(),
    }
    form = rng.choice([*forms, "gone", "renamed"])
    if form in forms:
        tensors[name] = forms[form]().contiguous()
    elif form == "renamed":
        tensors[name + rng.choice(["0", "/x", "/../x"])] = tensor
    save_file(tensors, path, metadata)
    return f" {name}: {form}"


def change_tokenizer(path: Path, rng: random.Random) -> str:
    """Put one in its place that cuts into more or fewer pieces."""
    from nmt.text.tokenizer_training import train_tokenizer

    kind: Any = rng.choice(["unigram", "bpe", "word", "char", "byte"])
    words = " ".join(f"{word} {word}o" for word in ("bat", "cow", "den", "fig", "gum", "hat", "jam", "kit", "log"))
    path.write_bytes(train_tokenizer([words] * 20, kind=kind, vocab_size=rng.choice([24, 30])))
    return f" {kind}"


WAYS: Final[dict[str, list[Way]]] = {
    ".json": [change_value],
    ".jsonl": [change_record],
    ".toml": [change_setting],
    ".safetensors": [change_header, change_tensor],
    ".model": [change_tokenizer],
}
"""What else is done to files of a kind."""
MORE_OFTEN: Final = (".json", ".toml", ".safetensors")


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
    if (folder / "memory.json").is_file() and (folder / "pairs.arrow").is_file():
        digest = hashlib.sha256((folder / "pairs.arrow").read_bytes()).hexdigest()
        card = (folder / "memory.json").read_bytes()
        (folder / "memory.json").write_bytes(re.sub(rb'"sha256": "\w*"', f'"sha256": "{digest}"'.encode(), card))


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


def read_model(base: Path, folder: Path, done: str) -> None:
    """Do what `nmt translate`, `lm score`, `vectors`, `shortlist`, `tune`, `plot`, `average` and `train` do."""
    from nmt.lm import LanguageScorer
    from nmt.models.folder import export_vectors
    from nmt.prepared import PreparedData
    from nmt.shortlist.learn import add_lexicon
    from nmt.translate import Options, Translator
    from nmt.tuning import Point, Validation

    line = "bat \U0001f600 cow"
    data = PreparedData.open(base / "pairs")
    attempt(lambda: Translator.load(folder, precision="fp32").translate([line]))
    attempt(lambda: Translator.load(folder, precision="fp32").translate([line], Options(shortlist=16)))
    text = Validation([line], ["bato cowo"])
    attempt(lambda: text.translate(Translator.load(folder), Options(), Point(lm_weight=0.0, length_penalty=0.5)))
    attempt(lambda: LanguageScorer.load(folder))
    attempt(lambda: list(export_vectors(folder)))
    attempt(lambda: add_lexicon(folder, data, size=4, max_pairs=8, on_progress=lambda done, total: None))
    read_run(data, folder, done)


def read_language_model(base: Path, folder: Path, done: str) -> None:
    """Do what `nmt lm`, `translate --lm`, `vectors`, `plot`, `average` and `train` do."""
    from nmt.lm import Generation, Generator, LanguageScorer
    from nmt.lm.filtering import Difference
    from nmt.models.folder import export_vectors
    from nmt.prepared import PreparedText
    from nmt.search.sampling import Sampling
    from nmt.translate import Translator

    attempt(lambda: LanguageScorer.load(folder).score(["bat \U0001f600 cow"]))
    attempt(lambda: LanguageScorer.load(folder).score_text(["bat", "cow"]))
    attempt(lambda: list(Generator.load(folder).lines(Generation(Sampling(), 5, "bat"), count=2)))
    attempt(lambda: Difference.load(folder, base / "language").of(["bat cow"]))
    attempt(lambda: Translator.load(base / "pair", language_model=folder).translate(["bat cow"]))
    attempt(lambda: list(export_vectors(folder)))
    read_run(PreparedText.open(base / "text"), folder, done)


def read_run(data: Any, folder: Path, done: str) -> None:
    from nmt.report.curves import draw_curves, read_curves
    from nmt.training.averaging import average_run

    if done.startswith("metrics.jsonl"):  # a picture takes half a second
        attempt(lambda: draw_curves(folder))
    attempt(lambda: read_curves(folder))
    attempt(lambda: average_run(folder, folder.with_name("average"), last=None, data=data))
    attempt(lambda: go_on(data, folder, "training.max_steps=304"))


def read_data(base: Path, folder: Path, done: str) -> None:
    """Do what `nmt inspect`, `train` and `shortlist` do."""
    from nmt.prepared import open_data
    from nmt.report.inspection import inspect
    from nmt.report.page import inspection_tree, to_page
    from nmt.shortlist.learn import add_lexicon

    attempt(lambda: (to_page(found := inspect(folder)), inspection_tree(found)))
    small = ["model.embedding_size=8", "model.hidden_size=8", "model.encoder_layers=1"]
    attempt(lambda: go_on(open_data(folder), folder.with_name("new"), *small, "training.max_steps=2"))
    if folder.name == "pairs":
        attempt(
            lambda: add_lexicon(
                base / "pair", open_pairs(folder), size=4, max_pairs=8, on_progress=lambda done, total: None
            )
        )


def read_memory(base: Path, folder: Path, done: str) -> None:
    """Do what `nmt translate --memory` does."""
    from nmt.translate import Options, Translator

    near, lines = Options(memory_least=0.1), ["bat", "bat cow", "den fig gum"]
    attempt(lambda: Translator.load(base / "pair", precision="fp32", memory=folder).translate(lines, near))


def open_pairs(folder: Path) -> Any:
    from nmt.prepared import PreparedData

    return PreparedData.open(folder)


def go_on(data: Any, folder: Path, *wishes: str, steps: int = 2) -> None:
    """Begin a run, or go on with it, and stop it after some steps."""
    from nmt.training.observers import Silence
    from nmt.training.resolve import resolve_settings
    from nmt.training.trainer import train

    settings, _ = resolve_settings(data.settings, folder, recipe=None, overrides=[*wishes, "training.threads=1"])
    train(data, folder, settings, observer=Silence(), stop=StopsAfter(steps))


class StopsAfter:
    """Asks a run to stop."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def is_set(self) -> bool:
        self.left -= 1
        return self.left < 0


READERS: Final[dict[str, Callable[[Path, Path, str], None]]] = {
    "pair": read_model,
    "odd": read_model,
    "language": read_language_model,
    "pairs": read_data,
    "text": read_data,
    "memory": read_memory,
}
"""The folders that are mutated, and what reads them."""


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
        kind = rng.choice([*READERS])
        shutil.rmtree(scratch, ignore_errors=True)
        shutil.copytree(base / kind, scratch / kind)
        done = mutate(scratch / kind, rng)
        hash_anew(scratch / kind)
        tell(number, "begun", f"{kind}/{done}")
        outcomes.clear()
        signal.alarm(SECONDS)
        faulthandler.dump_traceback_later(2 * SECONDS, exit=True)  # a library that waits does not hear signals
        try:
            READERS[kind](base, scratch / kind, done)
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


ODD_MODEL: Final = (
    "model.encoder_cell='cho_gru'",
    "model.decoder_cell='peephole_lstm'",
    "model.encoder_size=24",
    "model.decoder_size=40",
    "model.encoder_layers=2",
    "model.bidirectional='first'",
    "model.attention='none'",
    "model.init='he'",
    "model.forget_bias=0.5",
    "training.log_every='tenth'",
    "training.ema_decay=0.9",
)
"""What the toy model has not."""


@pytest.fixture(scope="module")
def base(
    toy_model: Path, toy_data: Any, toy_text: Path, toy_text_data: Any, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    from nmt.corpus.plain import ParallelFiles
    from nmt.shortlist.learn import add_lexicon
    from nmt.translation_memory import build_memory

    folder = tmp_path_factory.mktemp("base")
    shutil.copytree(toy_model, folder / "pair")
    shutil.copytree(toy_data.folder, folder / "pairs")
    shutil.copytree(toy_text_data.folder, folder / "text")
    add_lexicon(folder / "pair", toy_data, size=4, max_pairs=50, on_progress=lambda done, total: None)
    run = ["training.max_steps=12", "training.validate_every=6", "training.checkpoint_every=6"]
    go_on(toy_data, folder / "odd", *ODD_MODEL, *run, steps=100)
    small = ["model.embedding_size=16", "model.hidden_size=16", "training.segment_rows=2", "training.segment_steps=5"]
    go_on(toy_text_data, folder / "language", *small, *run, steps=100)
    corpus = ParallelFiles([toy_text / "train.src"], [toy_text / "train.tgt"], "error", name="toy")
    build_memory(folder / "pair", corpus, folder / "memory")
    return folder


@pytest.mark.parametrize("count", [16, pytest.param(1200, marks=pytest.mark.slow)])
def test_mutated_folders_load_or_are_refused(base: Path, tmp_path: Path, count: int) -> None:
    counts, faults = try_all(base, tmp_path / "scratch", count)
    assert (faults, counts["loaded"] > 0, counts["refused"] > 0) == ([], True, True), counts


if __name__ == "__main__":
    work(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
