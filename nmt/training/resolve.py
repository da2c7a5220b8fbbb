"""The settings of a run: from the prepared data, a run already begun, the recipe and the command line."""

from collections.abc import Sequence
from pathlib import Path

from nmt.config import Settings, load_settings, parse_settings
from nmt.config.load import to_tree
from nmt.errors import ConfigError
from nmt.models.folder import CONFIG
from nmt.training.checkpoint import list_checkpoints
from nmt.training.fitting import fit_settings

_DATA = "the prepared data were made with it"
_SHAPE = "the weights depend on it"
_FIXED = {
    "training.seed": "the order of the batches and all random numbers depend on it",
    "training.subword_sampling": "the batches of a pass depend on it",
    "training.segment_rows": "the text is cut into so many parts",
    "training.optimizer": "the state of the optimiser is that of the old one",
    "training.bleu_tokenizer": "the best score so far counts the words of the old one",
    "training.best_by": "the best score so far is one of the old kind",
}
_FREE = "dropout"
"""Settings of the model whose name ends so may change."""


def resolve_settings(
    prepared: Settings, model_dir: Path, *, recipe: Path | None, overrides: Sequence[str]
) -> tuple[Settings, list[str]]:
    """Merge what the data was prepared with, the run in `model_dir` if there is one, the recipe and the overrides.

    Returns:
        The settings, and a line for each setting that differs from those the run was begun with.

    Raises:
        ConfigError: A tokenizer setting differs from the prepared data's, one changes that a begun run depends on, or
            one does not fit the kind of model.
    """
    begun = _begun(model_dir)
    settings = load_settings(recipe, overrides, base=begun or prepared)
    if begun:
        settings = _with_vectors_of(begun, settings)
    for name, (old, new) in _differences(prepared, settings, "tokenizer").items():
        raise ConfigError(f"{name} is {new!r}, but the data was prepared with {old!r}; prepare it again, or leave it")
    settings = fit_settings(settings.model_copy(update={"data": prepared.data}), prepared=prepared)
    return settings, _changes(begun, settings) if begun else []


def _begun(model_dir: Path) -> Settings | None:
    path = model_dir / CONFIG
    if not list_checkpoints(model_dir):
        return None
    if not path.exists():
        raise ConfigError(f"{model_dir} holds checkpoints, but not the settings of their run: {path} does not exist")
    return parse_settings(path.read_text(encoding="utf-8"), where=str(path))


def _changes(begun: Settings, settings: Settings) -> list[str]:
    lines = []
    for name, (old, new) in _differences(begun, settings).items():
        if reason := _why_fixed(name):
            raise ConfigError(
                f"{name} cannot change from {old!r} to {new!r} in a run already begun: {reason}; use a new folder"
            )
        lines.append(f"{name}: {old!r} -> {new!r}")
    return lines


def _with_vectors_of(begun: Settings, settings: Settings) -> Settings:
    """Take files of word vectors for those that the run began from, where they have the same names: only a run that
    begins reads them, so in which folder they are does not matter any more."""
    same = {}
    for side in ("src_vectors", "tgt_vectors"):
        old, new = getattr(begun.model, side), getattr(settings.model, side)
        if old and new and old.name == new.name:
            same[side] = old
    return settings.model_copy(update={"model": settings.model.model_copy(update=same)})


def _why_fixed(name: str) -> str | None:
    section = name.partition(".")[0]
    if section in ("data", "tokenizer"):
        return _DATA
    if section == "model" and not name.endswith(_FREE):
        return _SHAPE
    return _FIXED.get(name)


def _differences(old: Settings, new: Settings, *sections: str) -> dict[str, tuple[object, object]]:
    before, after = to_tree(old, only_set=False), to_tree(new, only_set=False)
    return {
        f"{section}.{key}": (before[section].get(key), after[section].get(key))
        for section in sections or before
        for key in before[section].keys() | after[section].keys()
        if before[section].get(key) != after[section].get(key)
    }
