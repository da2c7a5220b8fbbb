"""The stages of a recipe in the order in which they can be done; whatever is wrong with them is told at once."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from nmt.config import Settings
from nmt.config.load import describe_misfit, did_you_mean, load_stage_settings, read_stages
from nmt.errors import ConfigError, DataError, NmtError, counted
from nmt.graph.stage import SUFFIXES, Ingredients, Stage, Thing
from nmt.graph.stage_kinds import KINDS
from nmt.synthesis.judging import direction_of, wrong_way

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_REFERENCE: Final = re.compile(r"\{([^{}]*)\}")
RECORDS: Final = "stages"
"""The folder, beside the results, of what is known about each."""


@dataclass(frozen=True)
class StageNode:
    """A stage of a recipe."""

    name: str
    does: str
    stage: Stage
    settings: Settings
    """Those of the recipe, with what the stage changes."""
    result: Path
    needs: tuple["StageNode", ...]
    """Those that it names as such, then those that other keys of it name."""

    @property
    def gives(self) -> Thing:
        """What it gives."""
        return self.stage.gives

    @property
    def is_language_model(self) -> bool:
        """Whether what it gives learns from text, and not from pairs, or is made of such a model."""
        of_text = any(need.gives == "data" and need.settings.data.train_text for need in self.needs)
        return self.gives == "model" and (of_text or any(need.is_language_model for need in self.needs))

    @property
    def writes_right_to_left(self) -> bool | None:
        """Whether the model that it gives does; None: that is the affair of a parent from elsewhere."""
        models = [need for need in self.needs if need.gives == "model"]
        is_said = "right_to_left" in self.settings.model.model_fields_set
        if self.does == "train" and (is_said or not models):
            from_elsewhere = self.settings.training.parent is not None and not is_said
            return None if from_elsewhere else self.settings.model.right_to_left
        return models[0].writes_right_to_left

    @property
    def direction(self) -> tuple[str, str] | None:
        """The languages that the model which it gives reads and writes; None: they are not known."""
        learnt_from = "data" if self.does == "train" else "model"
        for need in self.needs:
            if need.gives == learnt_from:
                return direction_of(need.settings.data) if learnt_from == "data" else need.direction
        return None

    def takes_for(self, need: "StageNode") -> Thing:
        """Say what it takes the result of another stage for: most kinds treat all models alike."""
        tells_apart = "language model" in self.stage.takes
        return "language model" if tells_apart and need.is_language_model else need.gives

    @property
    def given(self) -> Ingredients:
        """What it is made from."""
        found: dict[Thing, list[Path]] = {}
        for node in self.needs:
            if node.name in self.stage.needs:
                found.setdefault(self.takes_for(node), []).append(node.result)
        named = {key: [node.result for node in self.beside(key)] for key in self.stage.named}
        return Ingredients(self.settings, found, named)

    def beside(self, key: str) -> list["StageNode"]:
        """Return the stages that a key of it names."""
        nodes = {node.name: node for node in self.needs}
        return [nodes[name] for name in self.stage.named.get(key, ())]


def load_nodes(recipe: Path, overrides: Sequence[str], work: Path) -> list[StageNode]:
    """Read the stages of a recipe, whose results are to be in `work`, each after what it needs; [] if it has none.

    Raises:
        ConfigError: A stage does what nothing does, needs what is not there, in a circle, or of a kind that it cannot
            take, or its settings do not fit.
        DataError: A file that it reads does not exist.
    """
    stages = {name: _parse(name, table, recipe) for name, table in read_stages(recipe).items()}
    nodes = dict[str, StageNode]()
    results = {name: work / (name + SUFFIXES[stage.gives]) for name, (_, stage) in stages.items()}
    wanted = {name: _wanted(stage) for name, (_, stage) in stages.items()}
    for name in _in_order(wanted, recipe):
        does, stage = stages[name]
        where = f"{recipe}, stages.{name}"
        changes = _resolve(stage.set, {need: results[need].absolute() for need in stage.needs}, where)
        settings = load_stage_settings(recipe, changes, overrides, where=where)
        needs = (*stage.needs, *(need for need in wanted[name] if need not in stage.needs))
        node = StageNode(name, does, stage, settings, results[name], tuple(nodes[need] for need in needs))
        _check_inputs(node, where)
        nodes[name] = node
    return list(nodes.values())


def with_needs(nodes: Sequence[StageNode], name: str) -> list[StageNode]:
    """Return the stage of this name and all that it needs, and what these need, in their order."""
    wanted = {name}
    for node in reversed(nodes):
        if node.name in wanted:
            wanted |= {need.name for need in node.needs}
    return [node for node in nodes if node.name in wanted]


def time_side_by_side(nodes: Sequence[StageNode], seconds: Mapping[str, float], *, at_once: int) -> float:
    """Return how long stages take, so many of them at a time, each begun as soon as it can be, the first ones first.

    Stages without `seconds` take no time.
    """
    ends, waiting, running = dict[str, float](), list(nodes), dict[str, float]()
    now = 0.0
    while waiting or running:
        ready = [node for node in waiting if all(need.name in ends for need in node.needs)]
        for node in ready[: at_once - len(running)]:
            running[node.name] = now + seconds.get(node.name, 0.0)
            waiting.remove(node)
        first = min(running, key=lambda name: running[name])
        now = ends[first] = running.pop(first)
    return now


def _parse(name: str, table: Any, recipe: Path) -> tuple[str, Stage]:
    where = f"{recipe}, stages.{name}"
    if not _NAME.fullmatch(name) or name == RECORDS:
        raise ConfigError(f"{where}: a stage names a file, expected letters, digits, - and _, and not {RECORDS!r}")
    if not isinstance(table, dict):
        raise ConfigError(f"{where} must be a table, found {table!r}")
    does = table.get("do")
    if not isinstance(does, str) or does not in KINDS:
        kinds = did_you_mean(str(does), {kind: kind for kind in KINDS}) or f"; expected {', '.join(KINDS)}"
        found = f"{where}.do: found {does!r}" if "do" in table else f"{where} has no do"
        raise ConfigError(f"{found}{kinds}")
    values = {key: value for key, value in table.items() if key != "do"}
    known = KINDS[does].model_fields
    for key in values:
        if key not in known:
            raise ConfigError(f"{where}: {does} has no {key}{did_you_mean(key, {field: field for field in known})}")
    try:
        return does, KINDS[does].model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{where}: {describe_misfit(error)}") from error


def _wanted(stage: Stage) -> dict[str, str]:
    """Return the names of all stages that one needs, each with the key that says so first."""
    keys = {"needs": stage.needs, **stage.named}
    found = dict[str, str]()
    for key, names in keys.items():
        for name in names:
            found.setdefault(name, key)
    return found


def _in_order(needs: Mapping[str, Mapping[str, str]], recipe: Path) -> list[str]:
    """Put what is needed first, else as the recipe has it; which key says what a stage needs is for messages."""
    ordered = dict[str, None]()

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            circle = " needs ".join((*path[path.index(name) :], name))
            raise ConfigError(f"{recipe}: stages need each other in a circle: {circle}")
        for need, key in needs[name].items():
            if need not in needs:
                hint = did_you_mean(need, {other: other for other in needs})
                raise ConfigError(f"{recipe}, stages.{name}.{key}: there is no stage {need}{hint}")
            visit(need, (*path, name))
        ordered[name] = None

    for name in needs:
        visit(name, ())
    return list(ordered)


def _resolve(value: Any, results: Mapping[str, Path], where: str) -> Any:
    """Put the results of stages in the places of their names in braces."""
    if isinstance(value, dict):
        return {key: _resolve(entry, results, where) for key, entry in value.items()}
    if isinstance(value, list):
        return [_resolve(entry, results, where) for entry in value]
    if not (isinstance(value, str) and (found := _REFERENCE.fullmatch(value))):
        return value
    if found[1] not in results:
        raise ConfigError(f"{where}.set: {value} is the result of a stage, but its needs do not have {found[1]}")
    return str(results[found[1]])


def _check_inputs(node: StageNode, where: str) -> None:
    """Refuse what the stage cannot take, lacks, makes no use of, or does not find."""
    used = {*node.stage.sections, *node.stage.reads}
    for name in (f"{section}.{key}" for section, values in node.stage.set.items() for key in values):
        if not used & {name, name.partition(".")[0]}:
            raise ConfigError(f"{where}.set: {node.does} makes no use of {name}")
    needs = [need for need in node.needs if need.name in node.stage.needs]
    takes, given = node.stage.takes, Counter(map(node.takes_for, needs))
    for need in needs:
        if need.gives not in takes:
            raise ConfigError(
                f"{where}.needs: {node.does} takes {' and '.join(takes)}, but {need.name} gives {need.gives}"
            )
    for thing, (least, most) in takes.items():
        if not least <= given[thing] <= most:
            expected = counted(least, "stage") if given[thing] < least else f"{counted(most, 'stage')} at most"
            givers = f", found {given[thing]}" if given[thing] else ""
            raise ConfigError(f"{where}.needs: {node.does} takes {thing}, expected {expected} that gives it{givers}")
    models = [need for need in needs if node.takes_for(need) == "model"]
    for key in node.stage.named:
        _check_beside(node, key, f"{where}.{key}", models)
    if node.does == "backtranslate" and "data" not in node.stage.set:  # whose languages would count
        for forward in models[1:]:
            _check_direction(forward, models[0], f"{where}.needs")
    for need in needs:
        if need.gives == "weights":
            _check_weights(node, need, where)
    try:
        named = node.stage.expected(node.given)
    except NmtError as error:
        raise type(error)(f"{where}: {error}") from error
    for key, paths in named:
        for path in paths:
            if isinstance(path, Path) and not path.exists():
                raise DataError(f"{where}: {path} ({key}) does not exist")


def _check_beside(node: StageNode, key: str, where: str, models: Sequence[StageNode]) -> None:
    """Refuse stages that a key names, beside these models, whose result is none that can have a say."""
    for one in node.beside(key):
        if one.gives != "model" or one.is_language_model:
            found = "a language model" if one.is_language_model else one.gives
            raise ConfigError(f"{where}: expected a stage that gives a translation model, but {one.name} gives {found}")
        if one.name in node.stage.needs and len(models) > 1:
            raise ConfigError(f"{where}: {one.name} is one of the ensemble in needs; name it here alone, to rescore")
        if key == "right_to_left" and one.writes_right_to_left is False:
            raise ConfigError(
                f"{where}: {one.name} writes from left to right; expected a model that is trained with "
                "model.right_to_left = true"
            )
        if key == "reverse_model":
            _check_direction(one, models[0], where)


def _check_direction(back: StageNode, model: StageNode, where: str) -> None:
    """Refuse a model for the way back that goes the way of the other one, as far as that is known."""
    way = model.direction
    if way and back.direction == way:
        raise ConfigError(f"{where}: {wrong_way(back.name, *way)}")


def _check_weights(node: StageNode, tuned: StageNode, where: str) -> None:
    """Refuse weights that are not those of the models that rescore."""
    ours, theirs = node.stage.named, tuned.stage.named
    for key in [*ours, *theirs]:
        if key not in theirs:
            raise ConfigError(
                f"{where}.{key}: {tuned.name} finds no weight of such a model, as it names none; name it there too"
            )
        if key not in ours:
            raise ConfigError(
                f"{where}: {tuned.name} has found weights beside {key} = {theirs[key][0]!r}; name it here too"
            )
