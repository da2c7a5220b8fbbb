"""The settings of a run: from the prepared data, a run already begun, the recipe and the command line."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import torch

from nmt.config import Settings, TrainingSettings, load_settings
from nmt.config.choices import CorpusSize, choose_settings
from nmt.config.load import fit_settings, to_tree
from nmt.errors import ConfigError, ModelError, counted
from nmt.models.folder import CONFIG, check_hashes, load_own_tokenizers, read_settings
from nmt.prepared.manifest import prepared_sections, without_paths
from nmt.text.tokenizer import Tokenizer, Tokenizers
from nmt.training.checkpoint import list_checkpoints

_SHAPE = "the weights depend on it"
_FIXED = {
    "training.parent": "only a run that begins reads it",
    "training.freeze": "the optimiser knows nothing of what did not learn",
    "training.seed": "the order of the batches and all random numbers depend on it",
    "training.subword_sampling": "the batches of an epoch depend on it",
    "training.noise": "the batches of an epoch depend on it",
    "training.noise_kinds": "the batches of an epoch depend on it",
    "training.segment_rows": "the text is cut into so many parts",
    "training.optimizer": "the state of the optimiser is that of the old one",
    "training.bleu_tokenizer": "the best score so far was computed with the old one",
    "training.best_by": "the best score so far is one of the old kind",
    "training.validation_weights": "the best score so far was weighed with the old ones",
}
_FREE = "dropout"
"""Settings of the model whose name ends so may change."""
_KEPT = (
    *("objective", "label_smoothing", "sampler", "samples", "r_drop", "subword_sampling", "noise", "noise_kinds"),
    *("ema_decay", "batch_tokens", "segment_rows", "segment_steps", "carry_state", "accumulate"),
    *("optimizer", "betas", "weight_decay", "momentum", "clip_norm", "clip_value", "best_by", "bleu_tokenizer"),
)
"""Settings of a training that one which begins with its model takes over."""
_OF_A_BATCH = {f"training.{name}" for name in ("batch_tokens", "segment_rows", "segment_steps", "accumulate")}
_LEAST, _MOST = 50, 500
"""Steps between validations of such a training."""
_SHARE_OF_RATE = 0.25
"""Where the pieces are the parent's, and none of its text is replayed: with other pieces there is more to learn than to
forget, and what is replayed is learnt again while the rate falls."""
_REASONS = {
    "training.learning_rate": "a quarter of the parent's peak: more would forget what the parent knows, "
    "unless its text is replayed",
    "training.schedule": "which ends at zero",
    "training.warmup_steps": "only until the moments of the optimiser are known",
    "training.patience": "few pairs are soon learnt",
    "training.validate_every": "{often}",
}
"""Why a run that begins with the weights of a parent does not do as the parent did."""
_VALIDATION = ("valid_src", "valid_tgt", "valid_text")
_FILES = ("tokenizer.file", "tokenizer.src_file", "tokenizer.tgt_file")
_OF_TRAINING = (
    *("vocab_size", "tgt_vocab_size", "character_coverage", "byte_fallback", "min_frequency", "max_training_lines"),
)
"""Settings of a tokenizer that mean nothing where one is taken from a file."""

OTHER_DATA = (
    "the run in {model_dir} was begun on other data{which}; a run cannot change its data: train on the new data in a "
    "new folder, or prepare old and new text together and train on both there"
)
"""What to do where the data of a run are to change."""


def resolve_settings(
    prepared: Settings,
    model_dir: Path,
    *,
    recipe: Path | None,
    overrides: Sequence[str],
    corpus: CorpusSize | None = None,
    tokenizers: Tokenizers | None = None,
    epochs_within: Callable[[Settings], float] | None = None,
) -> tuple[Settings, list[str]]:
    """Merge what the data was prepared with, the run in `model_dir` if there is one, the recipe and the overrides; and
    the settings of the parent whose weights a new run begins with. Of one that begins with nothing, and without a
    recipe, what is not set is chosen by the size of the corpus.

    Args:
        corpus: How much there is to learn from; None: nothing is chosen.
        tokenizers: Those of the data; None: those of the run, or where there is a parent, its own.
        epochs_within: Tells how many epochs of a model fit into `training.time`, which its size is chosen by.

    Returns:
        The settings, and a line for each setting that differs from those the run was begun with, or from the parent's,
        and says from which; or was chosen, and says why.

    Raises:
        ConfigError: The data are others than those the run was begun on, a tokenizer setting that was given differs
            from the prepared data's, one changes that a begun run depends on, or one does not fit the kind of model.
    """
    begun = _read_begun(model_dir, prepared, tokenizers) if list_checkpoints(model_dir) else None
    settings = load_settings(recipe, overrides, base=begun or prepared)
    reasons = list[str]()
    if not begun and settings.training.parent:
        parent = _read_parent(settings.training.parent, kind=prepared.model.kind)
        known = tokenizers is None or load_own_tokenizers(settings.training.parent).files == tokenizers.files
        share_of_rate = _SHARE_OF_RATE if known and not prepared.data.replay else 1.0
        suited = _after(parent, prepared, corpus.pieces if corpus else 0, share_of_rate=share_of_rate)
        settings = load_settings(recipe, overrides, base=suited)
        reasons = _reasons(parent, suited, settings)
    elif not begun and not recipe and corpus and settings.model.kind == prepared.model.kind == "translation":
        on_gpu = settings.training.device != "cpu" and torch.cuda.is_available()
        settings, chosen = choose_settings(corpus, settings, on_gpu=on_gpu, epochs_within=epochs_within)
        reasons = [f"chosen for {counted(corpus.pairs, 'pair')}, as there is no recipe; --set wins:", *chosen]
    if begun:
        settings = _with_beginnings_of(begun, settings)
    for name, (old, new) in _asked_of_the_tokenizer(prepared, settings).items():
        raise ConfigError(f"{name} is {new!r}, but the data was prepared with {old!r}; prepare it again, or leave it")
    settings = settings.model_copy(update={"tokenizer": prepared.tokenizer})
    settings = fit_settings(settings.model_copy(update={"data": prepared.data}), prepared=prepared)
    changes = changed_settings(begun, settings) if begun else {}
    for name, (old, new) in changes.items():
        shapes = name.startswith("model.") and not name.endswith(_FREE)
        if reason := _SHAPE if shapes else _FIXED.get(name):
            raise ConfigError(
                f"{name} cannot change from {old!r} to {new!r} in a run already begun: {reason}; use a new folder"
            )
    return settings, [
        *reasons,
        *(f"setting changed: {name}: {old!r} -> {new!r}" for name, (old, new) in changes.items()),
    ]


def _read_begun(model_dir: Path, prepared: Settings, tokenizers: Tokenizers | None) -> Settings:
    """Read the settings of a run that is to go on with data, which have to be its own."""
    if not (model_dir / CONFIG).exists():
        where = model_dir / CONFIG
        raise ConfigError(f"{model_dir} holds checkpoints, but not the settings of their run: {where} does not exist")
    begun = read_settings(model_dir)
    if _data_of(begun) != _data_of(prepared):
        raise ConfigError(OTHER_DATA.format(model_dir=model_dir, which=" than these"))
    for name, content in (tokenizers.files if tokenizers else {}).items():
        with suppress(ModelError):  # a run that goes on brings up to date what is damaged
            own, pieces = set(Tokenizer.load(model_dir / name).pieces), set(Tokenizer(content).pieces)
            if own != pieces:
                shared = (
                    f"of {len(own):,} pieces, {len(own & pieces):,} of which are among the {len(pieces):,} of theirs"
                )
                which = f" than these, with another tokenizer ({name}, {shared})"
                raise ConfigError(OTHER_DATA.format(model_dir=model_dir, which=which))
    return begun.model_copy(update={"data": prepared.data, "tokenizer": prepared.tokenizer})


def _read_parent(folder: Path, *, kind: str) -> Settings:
    """Read the settings of a parent for data of this kind of model."""
    check_hashes(folder, (CONFIG,))  # says what is no model, too
    parent = read_settings(folder)
    if parent.model.kind != kind:
        names = {"lm": ("a language model", "text"), "translation": ("a translation model", "pairs")}
        raise ConfigError(f"the parent {folder} is {names[parent.model.kind][0]}, but the data hold {names[kind][1]}")
    return parent


def _after(parent: Settings, prepared: Settings, pieces: int, *, share_of_rate: float) -> Settings:
    """Return the settings of a run on so many target pieces that begins with the weights of a parent, where nobody says
    otherwise."""
    training = {name: value for name, value in to_tree(parent)["training"].items() if name in _KEPT}
    old = parent.training
    batch = old.segment_rows * old.segment_steps if parent.model.kind == "lm" else old.batch_tokens
    steps = pieces // (batch * old.accumulate)
    training |= {
        "learning_rate": old.learning_rate * share_of_rate,
        "schedule": "cosine",
        "warmup_steps": min(100, max(1, steps)),
        "patience": 5,
        "validate_every": min(max(_LEAST, steps), _MOST),
    }
    fitted = TrainingSettings.model_validate(training)
    return prepared.model_copy(update={"model": parent.model, "search": parent.search, "training": fitted})


def _reasons(parent: Settings, suited: Settings, settings: Settings) -> list[str]:
    """Say where a run does otherwise than its parent, and why, unless it was told to."""
    told = changed_settings(suited, settings, "training")
    changes = {
        name: values for name, values in changed_settings(parent, suited, "training").items() if name not in told
    }
    often = "about once an epoch" + (" of the parent's batches" if told.keys() & _OF_A_BATCH else "")
    often += {_LEAST: f", but {_LEAST} steps at least", _MOST: f", but {_MOST} steps at most"}.get(
        suited.training.validate_every, ""
    )
    reasons = {name: why.format(often=often) for name, why in _REASONS.items()}
    if parent.data.lowercase != suited.data.lowercase:
        changes["data.lowercase"] = parent.data.lowercase, suited.data.lowercase
        reasons["data.lowercase"] = "as the data were prepared, other than those of the parent"
    return [
        f"unlike the parent: {name}: {changes[name][0]!r} -> {changes[name][1]!r}, {why}"
        for name, why in reasons.items()
        if name in changes
    ]


def _data_of(settings: Settings) -> tuple[object, ...]:
    """Return what tells data from others; where their files lie does not, and their content is compared later on."""
    valid = [getattr(settings.data, name) for name in _VALIDATION]
    return without_paths(prepared_sections(settings)), [path and path.name for path in valid]


def _asked_of_the_tokenizer(prepared: Settings, settings: Settings) -> dict[str, tuple[object, object]]:
    """Find what was asked of the tokenizer and is not so: paths are compared as paths, from where they count."""
    found = changed_settings(prepared, settings, "tokenizer")
    given = prepared.tokenizer.file or prepared.tokenizer.src_file
    roots = (prepared.data.root, settings.data.root)
    for name, paths in list(found.items()):
        if name in _FILES and all(paths):
            old, new = ((root / str(path)).resolve() for root, path in zip(roots, paths, strict=True))
            same = old == new
        else:
            same = given is not None and name.partition(".")[2] in _OF_TRAINING
            same |= name == "tokenizer.vocab_size" and settings.tokenizer.vocab_size == "auto"
        if same:
            del found[name]
    return found


def _with_beginnings_of(begun: Settings, settings: Settings) -> Settings:
    """Take word vectors and the parent that the run began with, where those asked for have the same names: only a run
    that begins reads them, so in which folder they are does not matter any more."""
    for section, name in (("model", "src_vectors"), ("model", "tgt_vectors"), ("training", "parent")):
        part = getattr(settings, section)
        old, new = getattr(getattr(begun, section), name), getattr(part, name)
        if old and new and old.name == new.name:
            settings = settings.model_copy(update={section: part.model_copy(update={name: old})})
    return settings


def changed_settings(old: Settings, new: Settings, *sections: str) -> dict[str, tuple[object, object]]:
    """Return the settings of some sections, or of all, that are not the same: their names, old and new values."""
    before, after = to_tree(old, only_set=False), to_tree(new, only_set=False)
    return {
        f"{section}.{key}": (before[section].get(key), after[section].get(key))
        for section in sections or before
        for key in before[section].keys() | after[section].keys()
        if before[section].get(key) != after[section].get(key)
    }
