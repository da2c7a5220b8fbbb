"""The tokenizers of prepared data: trained on the text that was chosen for it, or taken from elsewhere."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path

from nmt.config import Settings, TokenizerSettings
from nmt.errors import ConfigError, memory_limit
from nmt.text.placeholders import PLACEHOLDERS
from nmt.text.spm import Kind
from nmt.text.tokenizer import (
    JOINT_MODEL,
    SRC_MODEL,
    TGT_MODEL,
    Tokenizer,
    Tokenizers,
    find_tokenizer,
    load_tokenizers,
    tokenizer_files,
)
from nmt.text.tokenizer_training import VocabularyTooLargeError, load_any, train_apart, train_tokenizer

Lines = Callable[[], Iterator[str]]
"""Reads lines of text anew."""


def resolve_tokenizer(settings: Settings) -> tuple[Settings, tuple[Path, ...]]:
    """Find the tokenizers that the settings name, and take over their kind, that of the target where there are two.

    Returns:
        The settings, and the files: none if tokenizers are to be trained, the one of `tokenizer.file`, or those of
        `tokenizer.src_file` and `tokenizer.tgt_file`.

    Raises:
        ConfigError: The settings ask for another kind, or for pieces that a tokenizer lacks; or they name two for a
            text that has one.
        ModelError: There is no tokenizer that can be used.
    """
    tokenizer, root = settings.tokenizer, settings.data.root
    if tokenizer.file is not None:
        paths = {"tokenizer.file": find_tokenizer(root / tokenizer.file)}
    elif tokenizer.src_file is not None and tokenizer.tgt_file is not None:
        if settings.data.train_text:
            raise ConfigError("tokenizer.src_file and tgt_file are for pairs: name that of a text with tokenizer.file")
        paths = {
            "tokenizer.src_file": find_tokenizer(root / tokenizer.src_file),
            "tokenizer.tgt_file": find_tokenizer(root / tokenizer.tgt_file),
        }
    else:
        return settings, ()
    kinds = [_check(name, path, settings) for name, path in paths.items()]
    changed = tokenizer.model_copy(update={"kind": kinds[-1]})
    return settings.model_copy(update={"tokenizer": changed}), tuple(paths.values())


def _check(name: str, path: Path, settings: Settings) -> Kind:
    """Make sure that a tokenizer is what the settings ask for; return its kind."""
    wanted, found = settings.tokenizer, Tokenizer(load_any(path))
    if "kind" in wanted.model_fields_set and wanted.kind != found.kind:
        raise ConfigError(
            f'tokenizer.kind = "{wanted.kind}", but {path} ({name}) is of the kind {found.kind}; '
            "leave one of the two settings out"
        )
    for kind in wanted.placeholders:
        if found.kind != "word" and PLACEHOLDERS[kind] not in found.symbols:
            raise ConfigError(
                f'tokenizer.placeholders has "{kind}", but {path} ({name}) has no piece {PLACEHOLDERS[kind]}; '
                "leave one of the two out"
            )
    for symbol in wanted.symbols:
        if symbol not in found.symbols:
            raise ConfigError(f"tokenizer.symbols has {symbol}, but {path} ({name}) has no such piece that stays whole")
    for tag in tags_of(settings):
        if tag not in found.symbols and name != "tokenizer.tgt_file":
            raise ConfigError(f"a corpus has the tag {tag}, but {path} ({name}) has no such piece that stays whole")
    return found.kind


def tags_of(settings: Settings) -> tuple[str, ...]:
    """Name the tags of the corpora and of the validation sets, each once."""
    tagged = chain(settings.data.corpora, settings.data.validation)
    return tuple(dict.fromkeys(one.tag for one in tagged if one.tag))


def require_joint(settings: Settings) -> None:
    """Make sure that the tokenizers that are named can serve both languages of pairs.

    Raises:
        ConfigError: `tokenizer.file` is to serve both, but each language is to have a tokenizer of its own, or has one
            in the folder that was named.
    """
    if settings.tokenizer.file is None:
        return
    if not settings.tokenizer.joint:
        raise ConfigError("tokenizer.file is one tokenizer for both sides of pairs: it needs tokenizer.joint = true")
    path = settings.data.root / settings.tokenizer.file
    if path.is_dir() and len(tokenizer_files(path)) > 1:
        raise ConfigError(f"{path} (tokenizer.file) has a tokenizer for each language, expected one for both")


def take_tokenizer(folder: Path, settings: TokenizerSettings, paths: Sequence[Path]) -> tuple[Tokenizers, list[str]]:
    """Copy tokenizers to `folder`: the joint one, or that of the source and that of the target.

    They get the special ids of `nmt.text.vocab` if they have others; all else stays as it is.

    Args:
        folder: Where they go.
        settings: What `resolve_tokenizer` found to be right.
        paths: The files that it found.

    Returns:
        As `train_tokenizers`.
    """
    names = [JOINT_MODEL] if len(paths) == 1 else [SRC_MODEL, TGT_MODEL]
    for name, path in zip(names, paths, strict=True):
        (folder / name).write_bytes(load_any(path))
    tokenizers, warnings = load_tokenizers(folder), list[str]()
    for path, tokenizer in zip(paths, (tokenizers.src, tokenizers.tgt), strict=False):
        warnings += _find_unused(settings, path, tokenizer)
    return tokenizers, warnings


def _find_unused(settings: TokenizerSettings, path: Path, tokenizer: Tokenizer) -> Iterator[str]:
    for kind, symbol in PLACEHOLDERS.items():
        if kind not in settings.placeholders and symbol in tokenizer.symbols:
            yield f'{path} has a piece {symbol}, but tokenizer.placeholders has no "{kind}": nothing becomes it'
    if "vocab_size" in settings.model_fields_set and settings.vocab_size != len(tokenizer):
        yield f"tokenizer.vocab_size = {settings.vocab_size} is not used: {path} has {len(tokenizer)} pieces"
    if settings.byte_fallback and not tokenizer.has_bytes:
        yield f"tokenizer.byte_fallback = true is not used: {path} has no pieces of bytes"
    if settings.min_frequency > 1:
        yield f"tokenizer.min_frequency = {settings.min_frequency} is not used: {path} has been trained"


def train_tokenizers(
    folder: Path, settings: TokenizerSettings, texts: Mapping[str, Lines], *, tags: Sequence[str] = ()
) -> tuple[Tokenizers, list[str]]:
    """Train a model for each file that `texts` names: the joint one, or one for each language.

    Args:
        folder: Where they go.
        settings: What they are to be.
        texts: What each is trained on.
        tags: Those of the corpora, see `tags_of`: pieces of the vocabulary of the source.

    Returns:
        The tokenizers, whose files are in `folder`, and warnings for the user.
    """
    warnings = []
    for name, lines in texts.items():
        symbols = [*settings.symbols, *(tags if name != TGT_MODEL else ())]
        if settings.kind != "word":  # there placeholders are words like others
            symbols = [symbol for kind, symbol in PLACEHOLDERS.items() if kind in settings.placeholders] + symbols
        sample = folder / f"{name}.sample" if memory_limit() is not None else None
        model, warning = _train(name, settings, lines, tuple(dict.fromkeys(symbols)), sample)
        (folder / name).write_bytes(model)
        warnings.extend(warning)
    return load_tokenizers(folder), warnings


def _train(
    name: str, settings: TokenizerSettings, lines: Lines, symbols: Sequence[str], sample: Path | None
) -> tuple[bytes, list[str]]:
    """Train a model; where `sample` is a file to use, in a process of its own."""
    train_it = train_tokenizer if sample is None else partial(train_apart, sample=sample)

    def train(vocab_size: int) -> bytes:
        return train_it(
            lines(),
            kind=settings.kind,
            vocab_size=vocab_size,
            character_coverage=settings.character_coverage,
            byte_fallback=settings.byte_fallback,
            min_frequency=settings.min_frequency,
            symbols=symbols,
        )

    side = {JOINT_MODEL: "", SRC_MODEL: "source text: ", TGT_MODEL: "target text: "}[name]
    try:
        model = train(settings.vocab_size)
    except VocabularyTooLargeError as error:
        if "vocab_size" in settings.model_fields_set:
            raise ConfigError(f"{side}{error}") from error
        warning = f"{side}the corpus gives at most {error.largest} pieces, not the default {error.asked}: using these"
        return train(error.largest), [warning]
    except ConfigError as error:
        raise ConfigError(f"{side}{error}") from error
    found = len(Tokenizer(model))
    if found == settings.vocab_size or "vocab_size" not in settings.model_fields_set:
        return model, []
    return model, [f"{side}the corpus gives {found} pieces, not tokenizer.vocab_size = {settings.vocab_size}"]
