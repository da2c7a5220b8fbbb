"""What strangers may do to the files of a folder, and how its card vouches for them all the same."""

import hashlib
import json
import math
import os
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

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
    from nmt.text.tokenizer_training import TokenizerPlan, train_tokenizer

    kind: Any = rng.choice(["unigram", "bpe", "word", "char", "byte"])
    words = " ".join(f"{word} {word}o" for word in ("bat", "cow", "den", "fig", "gum", "hat", "jam", "kit", "log"))
    path.write_bytes(train_tokenizer([words] * 20, TokenizerPlan(kind, rng.choice([24, 30]))))
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
