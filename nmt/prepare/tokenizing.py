"""The tokenizers of prepared data: trained on the text that was chosen for it, or taken from elsewhere."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Final

from nmt.config import Settings, TokenizerSettings
from nmt.config.choices import vocabulary_for
from nmt.errors import ConfigError, memory_limit
from nmt.prepared.statistics import Statistics
from nmt.text.placeholders import PLACEHOLDERS
from nmt.text.tokenizer import JOINT_MODEL, SRC_MODEL, TGT_MODEL, Tokenizer, Tokenizers, find_tokenizer, tokenizer_files
from nmt.text.tokenizer_training import TokenizerPlan, VocabularyTooLargeError, load_any, train_apart, train_tokenizer

Lines = Callable[[], Iterator[str]]
"""Reads lines of text anew."""

_MANY_UNKNOWN: Final = 0.01
"""Share of the pieces of a side from which on a tokenizer does not suit the text."""
_SIDES: Final = {"src": "source ", "tgt": "target ", "ids": ""}


def resolve_tokenizer(settings: Settings) -> tuple[Settings, dict[str, Path]]:
    """Find the tokenizers that the settings name, and take over their kind, that of the target where there are two.

    Returns:
        The settings, and the files by the settings that name them, that of the source first; none: tokenizers are to be
        trained.

    Raises:
        ConfigError: The settings ask for another kind, or for pieces that a tokenizer lacks; or they name two for a
            text that has one.
        ModelError: There is no tokenizer that can be used.
    """
    wanted = settings.tokenizer
    if wanted.src_file and settings.data.train_text:
        raise ConfigError("tokenizer.src_file and tgt_file are for pairs: name that of a text with tokenizer.file")
    named = {
        "tokenizer.file": wanted.file,
        "tokenizer.src_file": wanted.src_file,
        "tokenizer.tgt_file": wanted.tgt_file,
    }
    paths = {setting: find_tokenizer(settings.data.root / path) for setting, path in named.items() if path}
    for setting, path in paths.items():
        found, name = Tokenizer(load_any(path)), f"{path} ({setting})"
        if "kind" in wanted.model_fields_set and wanted.kind != found.kind:
            raise ConfigError(
                f'tokenizer.kind = "{wanted.kind}", but {name} is of the kind {found.kind}; '
                "leave one of the two settings out"
            )
        for kind in wanted.placeholders:
            if found.kind != "word" and PLACEHOLDERS[kind] not in found.symbols:
                raise ConfigError(
                    f'tokenizer.placeholders has "{kind}", but {name} has no piece {PLACEHOLDERS[kind]}; '
                    "leave one of the two out"
                )
        for symbol in wanted.symbols:
            if symbol not in found.symbols:
                raise ConfigError(f"tokenizer.symbols has {symbol}, but {name} has no such piece that stays whole")
        for tag in tags_of(settings):
            if setting != "tokenizer.tgt_file" and tag not in found.symbols:
                raise ConfigError(f"a corpus has the tag {tag}, but {name} has no such piece that stays whole")
        settings = settings.model_copy(update={"tokenizer": wanted.model_copy(update={"kind": found.kind})})
    return settings, paths


def tags_of(settings: Settings) -> tuple[str, ...]:
    """Name the tags of the corpora and of the validation sets, each once."""
    tagged = chain(settings.data.corpora, settings.data.validation)
    return tuple(dict.fromkeys(one.tag for one in tagged if one.tag))


def require_joint(settings: Settings) -> None:
    """Make sure that `tokenizer.file` can serve both languages of pairs, where it is set: else a ConfigError."""
    if settings.tokenizer.file is None:
        return
    if not settings.tokenizer.joint:
        raise ConfigError(
            "tokenizer.file is one tokenizer for both sides of pairs: it needs tokenizer.joint = true; name two with "
            "tokenizer.src_file and tgt_file"
        )
    path = settings.data.root / settings.tokenizer.file
    if path.is_dir() and len(tokenizer_files(path)) > 1:
        raise ConfigError(
            f"{path} (tokenizer.file) has a tokenizer for each language, expected one for both; name two with "
            "tokenizer.src_file and tgt_file"
        )


def take_tokenizers(folder: Path, settings: TokenizerSettings, paths: Sequence[Path]) -> list[str]:
    """Copy tokenizers to `folder`: the joint one, or that of the source and that of the target; return warnings.

    They get the special ids of `nmt.text.vocab` if they have others; all else stays as it is.
    """
    warnings = []
    for name, path in zip([JOINT_MODEL] if len(paths) == 1 else [SRC_MODEL, TGT_MODEL], paths, strict=True):
        model = load_any(path)
        (folder / name).write_bytes(model)
        tokenizer = Tokenizer(model)
        for kind, symbol in PLACEHOLDERS.items():
            if kind not in settings.placeholders and symbol in tokenizer.symbols:
                warnings.append(
                    f'{path} has a piece {symbol}, but tokenizer.placeholders has no "{kind}": nothing becomes it'
                )
        if "vocab_size" in settings.model_fields_set and settings.vocab_size != len(tokenizer):
            warnings.append(
                f"tokenizer.vocab_size = {settings.vocab_size} is not used: {path} has {len(tokenizer)} pieces"
            )
        if settings.byte_fallback and not tokenizer.has_bytes:
            warnings.append(f"tokenizer.byte_fallback = true is not used: {path} has no pieces of bytes")
        if settings.min_frequency > 1:
            warnings.append(f"tokenizer.min_frequency = {settings.min_frequency} is not used: {path} has been trained")
    return warnings


def describe_unknown(statistics: Statistics, tokenizers: Mapping[str, Tokenizer], *, lowercase: bool) -> list[str]:
    """Warn of the sides of the training text of which their tokenizer, by the column, does not know much; not of words,
    of which there is no end."""
    warnings = []
    for name, column in statistics.train.columns.items():
        characters, pieces = column.unknown_characters, column.pieces.total
        if not characters or column.unknown < _MANY_UNKNOWN * pieces:
            continue
        known = tokenizers[name].characters or frozenset()
        capitals = [one for one in characters if one.lower() != one and known.issuperset(one.lower())]
        of_case = not lowercase and 2 * sum(characters[one] for one in capitals) > characters.total()
        cure = "its own text seems to have been lower-cased, as data.lowercase = true makes this" if of_case else ""
        often = " ".join(one if one.isprintable() else f"U+{ord(one):04X}" for one, _ in characters.most_common(5))
        found = f"{column.unknown / pieces:.1%} of the {_SIDES[name]}pieces are unknown to the tokenizer"
        warnings.append(f"{found}, most often {often}: {cure or '`nmt inspect` shows more'}")
    return warnings


def vocabulary_size(settings: TokenizerSettings, pairs: int) -> int:
    """Say what `vocab_size` comes to for so many pairs, or lines."""
    return vocabulary_for(pairs)[0] if settings.vocab_size == "auto" else settings.vocab_size


def describe_choice(settings: TokenizerSettings, tokenizers: Tokenizers, *, pairs: int, noun: str) -> list[str]:
    """Say which size was chosen for so many pairs or lines, why, and what the text made of it; else nothing."""
    if settings.vocab_size != "auto":
        return []
    size, why = vocabulary_for(pairs)
    found = [len(tokenizers.src)]
    if not tokenizers.joint and settings.tgt_vocab_size is None:
        found.append(len(tokenizers.tgt))
    made = "" if set(found) == {size} else f"; {' and '.join(f'{one:,}' for one in found)} with this text"
    return [f"tokenizer.vocab_size = {size}, chosen for {pairs:,} {noun}: {why}{made}"]


def train_tokenizers(
    folder: Path, settings: TokenizerSettings, texts: Mapping[str, Lines], *, pairs: int, tags: Sequence[str] = ()
) -> list[str]:
    """Train a model for each file that `texts` names, the joint one or one for each language; return warnings.

    Args:
        pairs: How many there are, or lines.
        tags: Those of the corpora, see `tags_of`, which are pieces of the vocabulary of the source.
    """
    warnings = []
    for name, lines in texts.items():
        symbols = [*settings.symbols, *(tags if name != TGT_MODEL else ())]
        if settings.kind != "word":  # there placeholders are words like others
            symbols = [symbol for kind, symbol in PLACEHOLDERS.items() if kind in settings.placeholders] + symbols
        sample = folder / f"{name}.sample" if memory_limit() is not None else None
        model, warning = _train(name, settings, lines, tuple(dict.fromkeys(symbols)), sample, pairs)
        (folder / name).write_bytes(model)
        warnings += warning
    return warnings


def _train(
    name: str, settings: TokenizerSettings, lines: Lines, symbols: Sequence[str], sample: Path | None, pairs: int
) -> tuple[bytes, list[str]]:
    """Train a model; where `sample` is a file to use, in a process of its own."""
    side = {JOINT_MODEL: "", SRC_MODEL: "source text: ", TGT_MODEL: "target text: "}[name]
    own = settings.tgt_vocab_size if name == TGT_MODEL else None
    setting, size = ("vocab_size", vocabulary_size(settings, pairs)) if own is None else ("tgt_vocab_size", own)
    is_chosen = own is None and settings.vocab_size == "auto"
    is_wanted = setting in settings.model_fields_set and not is_chosen
    size, warnings = _with_characters(size, lines, side) if is_chosen else (size, [])
    options = settings.character_coverage, settings.byte_fallback, settings.min_frequency, symbols
    plan = TokenizerPlan(settings.kind, size, *options)
    train = train_tokenizer if sample is None else partial(train_apart, sample=sample)
    try:
        model = train(lines(), plan)
    except ConfigError as error:
        if isinstance(error, VocabularyTooLargeError) and not is_wanted:
            asked = f"the {'chosen' if is_chosen else 'default'} {error.asked}"
            warning = f"{side}the corpus gives at most {error.largest} pieces, not {asked}: using these"
            return train(lines(), replace(plan, vocab_size=error.largest)), [*warnings, warning]
        message = str(error).replace("tokenizer.vocab_size", f"tokenizer.{setting}")  # the trainer knows one size
        raise ConfigError(f"{side}{message}") from error
    found = len(Tokenizer(model))
    if found == size or not is_wanted:
        return model, warnings
    return model, [f"{side}the corpus gives {found} pieces, not tokenizer.{setting} = {size}"]


def _with_characters(size: int, lines: Lines, side: str) -> tuple[int, list[str]]:
    """Raise a chosen size where the text has so many characters, each of which needs a piece, that words would get
    few; and say so."""
    characters = len(set(chain.from_iterable(lines())))
    if 2 * characters <= size:
        return size, []
    larger = size + characters
    return larger, [f"{side}the text has {characters} different characters: {larger} pieces, not the chosen {size}"]
