"""The settings: one frozen, typed tree; read from TOML, written as such, and fitted to the data.

The string under each field is its documentation.
"""

import difflib
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any, Final, Self

import tomli_w
from pydantic import Field, ValidationError, model_validator

from nmt.config.data import OF_PAIRS, DataSettings, TokenizerSettings
from nmt.config.model import ModelSettings
from nmt.config.search import SearchSettings
from nmt.config.section import Section
from nmt.config.training import TrainingSettings
from nmt.errors import ConfigError, UsageError


class Settings(Section):
    """Everything a run depends on; stored in every model as config.toml."""

    data: DataSettings = Field(default_factory=DataSettings)
    tokenizer: TokenizerSettings = Field(default_factory=TokenizerSettings)
    model: ModelSettings = Field(default_factory=ModelSettings)
    training: TrainingSettings = Field(default_factory=TrainingSettings)
    search: SearchSettings = Field(default_factory=SearchSettings)

    @model_validator(mode="after")
    def _sections_must_agree(self) -> Self:
        for fault in chain(self._faults(), self._faults_of_vectors()):
            raise ValueError(fault)
        return self

    def _faults(self) -> Iterator[str]:
        if self.model.tied_embeddings == "all" and not self.tokenizer.joint:
            yield 'model.tied_embeddings = "all" needs tokenizer.joint = true; with two vocabularies use "target"'
        if self.model.attention == "none" and self.search.coverage_penalty:
            yield (
                "search.coverage_penalty asks how much was read of each source position, but model.attention = "
                f'"none" reads none: set search.coverage_penalty = 0, found {self.search.coverage_penalty}'
            )
        if self.training.r_drop and self.training.objective != "full":
            yield 'training.r_drop compares whole distributions: it needs training.objective = "full"'
        if self.training.placement and self.training.precision == "fp16":
            yield (
                "training.placement spreads gradients over devices, but the scale of the loss is on one: set "
                'training.precision = "auto", "bf16" or "fp32", found "fp16"'
            )
        if self.training.subword_sampling and self.tokenizer.kind in ("word", "char", "byte"):
            yield (
                "training.subword_sampling segments text anew: it needs a tokenizer of the kind unigram or bpe, found "
                f'tokenizer.kind = "{self.tokenizer.kind}"'
            )

    def _faults_of_vectors(self) -> Iterator[str]:
        model, tying = self.model, self.model.tying(joint=self.tokenizer.joint)
        if model.freeze_tgt_vectors and tying != "none":
            yield (
                "model.freeze_tgt_vectors = true needs a table that is not the output layer's, which has to learn: set "
                f'model.tied_embeddings = "none", found "{model.tied_embeddings}"'
            )
        if model.freeze_src_vectors and tying == "all":
            yield (
                "model.freeze_src_vectors = true needs a table that is not the output layer's, which has to learn: set "
                f'model.tied_embeddings = "target" or "none", found "{model.tied_embeddings}"'
            )
        if tying == "all" and model.src_vectors and model.tgt_vectors and model.src_vectors != model.tgt_vectors:
            yield (
                f"source and target share one table, but model.src_vectors is {model.src_vectors} and "
                f'model.tgt_vectors {model.tgt_vectors}: name one file, or set model.tied_embeddings = "target"'
            )


_SECTIONS: Final[dict[str, Any]] = {name: field.annotation for name, field in Settings.model_fields.items()}
_STAGES: Final = "stages"
_NEAR, _VERY_NEAR = 0.6, 0.8
"""How alike a name has to be to be suggested, one of the same section and one of another."""
_LONGEST = 500
"""Characters of a value that an error shows."""
_BESIDE_THE_RECIPE = (("data", "root"), ("model", "src_vectors"), ("model", "tgt_vectors"), ("training", "parent"))
"""Paths that count from the folder of the recipe that sets them."""


def load_settings(
    recipe: Path | str | None = None, overrides: Sequence[str] = (), *, base: Settings | None = None
) -> Settings:
    """Merge defaults, `base`, the recipe and `section.key=value` overrides, later ones winning.

    `data.root` and the files of word vectors count from the recipe's own folder when the recipe sets them, and from the
    working folder when an override does. What is unreadable, unknown or does not fit is a ConfigError.
    """
    tree: dict[str, Any] = to_tree(base) if base is not None else {}
    if recipe is not None:
        recipe = Path(recipe)
        _merge(tree, _beside(recipe, read_recipe(recipe)))
    for override in overrides:
        _merge(tree, parse_override(override))
    return _validate(tree, where=str(recipe) if recipe is not None else "settings")


def load_stage_settings(recipe: Path, changes: dict[str, Any], overrides: Sequence[str], *, where: str) -> Settings:
    """Merge as `load_settings` does what a stage of the recipe changes, tables of settings, before the overrides; where
    it names text for a language model, the recipe's pairs go.

    `where` is what a ConfigError calls the stage.
    """
    _refuse_unknown(changes, where=where)
    tree = _beside(recipe, read_recipe(recipe))
    if changes.get("data", {}).get("train_text"):
        tree["data"] = {key: value for key, value in tree.get("data", {}).items() if key not in OF_PAIRS}
    _merge(tree, _beside(recipe, changes))
    for override in overrides:
        _merge(tree, parse_override(override))
    return _validate(tree, where=where)


def change_settings(settings: Settings, section: str, values: Mapping[str, Any]) -> Settings:
    """Return settings of which some have other values; a ConfigError says which does not fit."""
    tree = to_tree(settings)
    _merge(tree, {section: values})
    return _validate(tree, where="settings")


def parse_settings(text: str, *, where: str) -> Settings:
    """Read a settings tree from TOML text, as stored in a model's config.toml."""
    return _validate(as_stored(_parse_toml(text, where)), where=where)


def as_stored(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Complete a stored tree with what settings that are newer than it stand for: that all is as it was before."""
    data = tree.get("data", {})
    if not isinstance(data, dict):  # it is refused for that
        return dict(tree)
    return {**tree, "data": {"clean_invisible": False, **data}}


def _beside(recipe: Path, table: dict[str, Any]) -> dict[str, Any]:
    """Return settings of a recipe with the paths that count from its folder."""
    found = {section: dict(values) for section, values in table.items()}
    for section, key in _BESIDE_THE_RECIPE:
        path = found.get(section, {}).get(key)
        if isinstance(path, str):
            found[section][key] = str(recipe.parent / path)
    return found


def read_recipe(path: Path) -> dict[str, Any]:
    """Read the settings of a TOML recipe into plain tables; every top-level value must be a section, but for the stages
    of `nmt run`, or there is a ConfigError."""
    table = _read_table(path)
    table.pop(_STAGES, None)
    _refuse_unknown(table, where=str(path))
    return table


def read_stages(path: Path) -> dict[str, Any]:
    """Read what a recipe has `nmt run` do, by the names of the stages; {}: it leaves that open."""
    stages = _read_table(path).get(_STAGES, {})
    if not isinstance(stages, dict):
        raise ConfigError(f"{path}: [{_STAGES}] must be a table of stages, found {stages!r}")
    return stages


def _read_table(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read recipe {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"recipe {path} is not UTF-8 text") from error
    return _parse_toml(text, str(path))


def parse_override(text: str) -> dict[str, Any]:
    """Turn `section.key=value`, TOML or else a plain string, into `{section: {key: value}}`; else a UsageError."""
    name, equals, value = text.partition("=")
    section, dot, key = name.strip().partition(".")
    if not (equals and dot and section and key):
        raise UsageError(f"--set {text}: expected section.key=value, for example training.seed=7")
    found: Any = value.strip()
    with suppress(tomllib.TOMLDecodeError):
        parsed = tomllib.loads(f"value = {found}")["value"]
        # a folder may be called 2024-01-01; no setting is a date
        found = parsed if isinstance(parsed, (str, int, float, list, dict)) else found
    tree = {section: {key: found}}
    _refuse_unknown(tree, where="--set")
    return tree


def to_tree(settings: Settings, *, only_set: bool = True) -> dict[str, Any]:
    """Turn settings into plain TOML tables; `only_set` leaves defaults out, so that they stay defaults."""
    return settings.model_dump(mode="json", exclude_unset=only_set, exclude_none=True)


def to_toml(settings: Settings) -> str:
    """Write the whole resolved tree as TOML, which has no word for what is not set: a comment names it."""
    tables = []
    for section, values in to_tree(settings, only_set=False).items():
        heading, _, body = tomli_w.dumps({section: values}).partition("\n")
        unset = "".join(f"# {key} is not set\n" for key in _SECTIONS[section].model_fields if key not in values)
        tables.append(f"{heading}\n{unset}{body}")
    return "\n".join(tables)


def to_recipe(settings: Settings, sections: Sequence[str]) -> str:
    """Write what is set in some sections as a recipe that may lie in any folder."""
    tree = {section: values for section, values in to_tree(settings).items() if section in sections}
    if "data" in sections:
        tree.setdefault("data", {})["root"] = str(settings.data.root)
    for section, key in _BESIDE_THE_RECIPE:
        if path := tree.get(section, {}).get(key):
            tree[section][key] = str(Path(path).absolute())
    return tomli_w.dumps(tree)


def setting_names() -> list[str]:
    """List every `section.key` there is."""
    return [f"{section}.{key}" for section, model in _SECTIONS.items() for key in model.model_fields]


def _parse_toml(text: str, where: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where} is not valid TOML: {error}") from error
    except RecursionError as error:
        raise ConfigError(f"{where} is not valid TOML: it is nested too deeply") from error


def _merge(tree: dict[str, Any], update: Mapping[str, Mapping[str, Any]]) -> None:
    for section, values in update.items():
        tree.setdefault(section, {}).update(values)


def _refuse_unknown(table: dict[str, Any], *, where: str) -> None:
    for section, values in table.items():
        if section not in _SECTIONS:
            raise ConfigError(
                f"{where}: unknown section [{section}]{did_you_mean(section, {name: name for name in _SECTIONS})}"
            )
        if not isinstance(values, dict):
            raise ConfigError(f"{where}: [{section}] must be a table of settings, found {values!r}")
        for key in values:
            if key not in _SECTIONS[section].model_fields:
                name = f"{section}.{key}"
                raise ConfigError(f"{where}: unknown setting {name}{_nearest_setting(section, key)}")


def _nearest_setting(section: str, key: str) -> str:
    names = setting_names()
    keys = {name.partition(".")[2]: name for name in reversed(names)}
    here = {name: f"{section}.{name}" for name in _SECTIONS[section].model_fields}
    words = {word: full for name, full in here.items() for word in name.split("_")}
    known = ((keys, 1.0), (here, _NEAR), (keys, _VERY_NEAR), (words, _VERY_NEAR))
    return next(filter(None, (did_you_mean(key, some, nearness=nearness) for some, nearness in known)), "")


def did_you_mean(name: str, known: Mapping[str, str], *, nearness: float = _NEAR) -> str:
    """Suggest what stands in `known` under the name that is most like this one; "" where none is like it."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=nearness)
    return f"; did you mean {known[close[0]]}?" if close else ""


def _validate(tree: dict[str, Any], *, where: str) -> Settings:
    _refuse_unknown(tree, where=where)
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(f"{where}: {describe_misfit(error)}") from error


def describe_misfit(error: ValidationError, section: str = "") -> str:
    """Say of the first value that does not fit which setting it was given to, and what was expected."""
    first = error.errors(include_url=False)[0]
    name = section + ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "expected":
        return f"{name}: {message}, found {first['input']!r}"
    if first["type"] == "value_error":
        return f"{name}: {message}" if name else message
    if first["type"] == "missing":
        return f"{name} is missing"
    if first["type"] == "tuple_type":
        message = 'input should be a list, such as ["one", "two"]'
    found = repr(first["input"])
    return (
        f"{name} = {found if len(found) <= _LONGEST else found[:_LONGEST] + '...'}: {message[0].lower()}{message[1:]}"
    )


def check_kind(settings: Settings) -> None:
    """Refuse a kind of model that cannot learn from the text that `data` names, before anything is done with that text.

    Text for a language model makes it one, so only a kind that was set can be wrong, a ConfigError.
    """
    data, model = settings.data, settings.model
    if model.kind == "lm" and not data.train_text:
        named = (name for name in ("train_src", "train_tgt", "train_tsv", "corpora") if getattr(data, name))
        pairs = next((f"data.{name} names pairs" for name in named), "it is not set")
        raise ConfigError(f'model.kind = "lm" learns from the text of data.train_text, but {pairs}')
    if data.train_text and model.kind == "translation" and "kind" in model.model_fields_set:
        raise ConfigError(
            'model.kind = "translation" learns from pairs, but data.train_text names text for a language model; '
            'set model.kind = "lm", or leave it unset'
        )


def fit_settings(settings: Settings, *, prepared: Settings) -> Settings:
    """Return what the user has set as the data, prepared with `prepared`, and the kind of model want it.

    A language model is chosen by its loss, and learns without label smoothing unless told otherwise: what it is asked
    for is a distribution over pieces, not the likeliest one. What makes no sense for the data is a ConfigError.
    """
    kind = settings.model.kind
    if kind != prepared.model.kind:
        found, wanted = ("pairs", "text with `nmt prepare --text`") if kind == "lm" else ("text", "pairs")
        raise ConfigError(f'model.kind = "{kind}", but the data hold {found}; prepare {wanted}, or leave it unset')
    if kind == "translation":
        return settings
    for section, name, why in (
        ("model", "input_feeding", "it has no attention"),
        ("training", "subword_sampling", "its text stays as it was prepared"),
        ("training", "noise", "its text stays as it was prepared"),
        ("training", "r_drop", "what it carries on is the state of one pass"),
    ):
        if value := getattr(getattr(settings, section), name):
            shown = str(value).lower()
            raise ConfigError(f"{section}.{name} = {shown} makes no sense for a language model: {why}; leave it unset")
    training = settings.training
    if training.best_by == "bleu" and "best_by" in training.model_fields_set:
        raise ConfigError('training.best_by = "bleu" needs translations; for a language model leave it unset')
    own = {"best_by": "loss", "label_smoothing": 0.0}
    unset = {name: value for name, value in own.items() if name not in training.model_fields_set}
    return settings.model_copy(update={"training": training.model_copy(update=unset)})
