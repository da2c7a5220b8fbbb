"""What is done: the record of each stage says what its result was made from, and results are exchanged whole."""

import json
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from shutil import rmtree
from typing import Any

from pydantic import TypeAdapter, ValidationError

from nmt.config import Settings
from nmt.config.load import to_recipe, to_tree
from nmt.errors import NmtError
from nmt.graph.order import RECORDS, StageNode
from nmt.graph.stage import Thing
from nmt.io.files import make_folder, read_regular, sha256, write_text
from nmt.io.work import alone, name_of, put_in_place, recover, work_folder
from nmt.models.folder import CONFIG, LEXICON, WEIGHTS
from nmt.prepare.inputs import record_inputs
from nmt.prepared.manifest import read_manifest
from nmt.text.tokenizer import tokenizer_files

_RESULT = "result"


@dataclass(frozen=True)
class MadeFrom:
    """What decides whether a stage is done: content, not times, and not where it lies."""

    does: str
    settings: dict[str, Any]
    """Those on which the result depends, where they are not the default, and those of the search, where they are set;
    and options of the stage."""
    digests: dict[str, str]
    """Of files and of the results of other stages, by what messages call them."""


@dataclass(frozen=True)
class StageRecord:
    """What is known about the result of a stage."""

    made_from: MadeFrom
    digest: str | None
    """Of the result; None: it has been begun."""
    seconds: float
    """How long the command took; where it was killed and went on, the last part."""


@dataclass(frozen=True)
class State:
    """How things stand with a stage."""

    reasons: tuple[str, ...]
    """Why it has to be done; none: it is done."""
    record: StageRecord | None

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to do."""
        return not self.reasons


def look(node: StageNode, undone: Collection[str] = ()) -> State:
    """Find out whether a stage is done, by the content of what it is made from and of its result.

    Stages that are not done, of those that it needs, are among the `undone`.
    """
    record = read_record(node)
    if waiting := [need.name for need in node.needs if need.name in undone]:
        return State((f"waits for {', '.join(waiting)}",), record)
    if record is None:
        return State(("there is a result, but no record of it" if node.result.exists() else "not made yet",), None)
    reasons = tuple(_differences(record.made_from, made_from(node)))
    if not reasons and _is_reordered(record.made_from, node):
        reasons = ("the order of what it needs has changed",)
    if not reasons and record.digest is None:
        reasons = ("begun, and not finished",)
    if not reasons and _digest_now(node) != record.digest:
        reasons = ("its result is not there" if not node.result.exists() else "its result has been changed",)
    return State(reasons, record)


def made_from(node: StageNode) -> MadeFrom:
    """Tell what a stage is made from; what it needs has to be done."""
    defaults, stage, given = to_tree(Settings(), only_set=False), node.stage, node.given
    settings = {
        f"{section}.{key}": value
        for section, values in stage.deciding(given).items()
        for key, value in values.items()
        if section == "search" or value != defaults[section].get(key)  # what is not set of the search is the model's
    }
    options = stage.model_dump(mode="python", exclude={"needs", "set", "workers", "tag"}, exclude_defaults=True)
    settings |= {key: value for key, value in options.items() if not isinstance(value, Path)}
    digests, seen = dict[str, str](), Counter[str]()
    for one in record_inputs(stage.files(given), node.settings.data.root):
        seen[one.setting] += 1
        number = seen[one.setting]
        digests[one.setting if number == 1 else f"{one.setting}, file {number},"] = one.sha256
    digests |= {_name_of_result(need): digest_of(need.result, need.gives) for need in node.needs}
    return MadeFrom(node.does, json.loads(json.dumps(settings)), digests)


def digest_of(result: Path, thing: Thing) -> str:
    """Tell a result from others by its content."""
    if thing == "data":
        return name_of({name: record.sha256 for name, record in read_manifest(result).files.items()})
    files = _files_of(result, thing)
    return name_of({path.name: sha256(path) for path in files}) if result.is_dir() else sha256(result)


def size_of(result: Path, thing: Thing) -> int:
    """Return the bytes of a result, of a model without what its training has left."""
    return sum(path.stat().st_size for path in _files_of(result, thing) if path.name != CONFIG)


def _files_of(result: Path, thing: Thing) -> list[Path]:
    if thing == "model":
        named = [result / WEIGHTS, result / CONFIG, result / LEXICON, *tokenizer_files(result)]
        return [path for path in named if path.exists()]
    return list(result.iterdir()) if result.is_dir() else [result]


def carry_out(node: StageNode, run: Callable[[list[str], Path | None], None]) -> None:
    """Do a stage: `run` is given the arguments of `nmt`, and the file for what it prints, if that is the result.

    An old result stays until the new one is whole. A stage that is killed leaves what it has made, with which the next
    call goes on, if the settings and all that the stage is made from are the same. What `nmt run` made when it kept no
    records is given to the command, which knows whether there is anything left to do.
    """
    recover(node.result)
    source, begun = made_from(node), time.monotonic()

    def make(output: Path) -> StageRecord:
        run(node.stage.command(node.given, output, _write_recipe(node)), output if node.stage.printed else None)
        return StageRecord(source, digest_of(output, node.gives), time.monotonic() - begun)

    output = place_of(node, source)
    if output == node.result:
        _write_record(node, StageRecord(source, None, 0.0))
        _write_record(node, make(output))
        return
    with alone(node.result, asdict(source)):
        if not node.stage.resumes and output.is_dir():
            rmtree(output)
        record = make(output)
        # the record first: a kill in between leaves a whole result to the same call
        _write_record(node, record)
        put_in_place(output, node.result)


def place_of(node: StageNode, source: MadeFrom) -> Path:
    """Tell where a stage is made: beside an old result, if its command is not one that goes on there."""
    record = read_record(node)
    is_first = record is None or (record.digest is None and record.made_from == source)
    if node.stage.resumes and is_first:
        return node.result
    return work_folder(node.result) / name_of(asdict(source)) / (_RESULT + node.result.suffix)


def _digest_now(node: StageNode) -> str | None:
    with suppress(NmtError, OSError):
        return digest_of(node.result, node.gives)
    return None


def _write_recipe(node: StageNode) -> Path:
    """Write the settings of the stage, for its command and for whoever wants to give it by hand."""
    path = _folder(node) / f"{node.name}.toml"
    if node.stage.sections:
        write_text(path, to_recipe(node.settings, node.stage.sections))
    return path


def _differences(old: MadeFrom, new: MadeFrom) -> Iterator[str]:
    if old.does != new.does:
        yield f"it does {new.does}, and did {old.does}"
    for name in sorted(old.settings.keys() | new.settings.keys()):
        if old.settings.get(name) != new.settings.get(name):
            yield f"{name}: {_shown(old.settings, name)} -> {_shown(new.settings, name)}"
    for name in sorted(old.digests.keys() | new.digests.keys()):
        if name not in old.digests or name not in new.digests:
            yield f"{name} is {'new' if name in new.digests else 'no longer read'}"
        elif old.digests[name] != new.digests[name]:
            yield f"{name} has changed"


def _is_reordered(old: MadeFrom, node: StageNode) -> bool:
    """Whether results of one kind were in another order, as the models of an ensemble, of which the first decides."""
    places = {name: place for place, name in enumerate(old.digests)}
    return any(
        node.takes_for(one) == node.takes_for(other) and places[_name_of_result(one)] > places[_name_of_result(other)]
        for one, other in pairwise(sorted(node.needs, key=node.takes_for))
    )


def _name_of_result(need: StageNode) -> str:
    return f"the result of {need.name}"


def _shown(settings: Mapping[str, Any], name: str) -> str:
    return json.dumps(settings[name], ensure_ascii=False) if name in settings else "default"


def _folder(node: StageNode) -> Path:
    folder = node.result.parent / RECORDS
    make_folder(folder)
    return folder


def read_record(node: StageNode) -> StageRecord | None:
    """Read what is known about the result of a stage, if anything is."""
    with suppress(FileNotFoundError, ValidationError):  # a damaged record: the stage is done again
        content = read_regular(node.result.parent / RECORDS / f"{node.name}.json")
        return TypeAdapter(StageRecord).validate_json(content)
    return None


def _write_record(node: StageNode, record: StageRecord) -> None:
    write_text(_folder(node) / f"{node.name}.json", json.dumps(asdict(record), indent=2, ensure_ascii=False) + "\n")
