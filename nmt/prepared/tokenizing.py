"""The tokenizers of prepared data: trained on the text that was chosen for it, or taken from elsewhere."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from nmt.config import Settings, TokenizerSettings
from nmt.corpus.placeholders import PLACEHOLDERS
from nmt.errors import ConfigError
from nmt.subword import (
    JOINT_MODEL,
    SRC_MODEL,
    TGT_MODEL,
    Tokenizer,
    Tokenizers,
    VocabularyTooLargeError,
    find_tokenizer,
    load_tokenizers,
    tokenizer_files,
    train_tokenizer,
)

Lines = Callable[[], Iterator[str]]
"""Reads lines of text anew."""


def resolve_tokenizer(settings: Settings) -> tuple[Settings, Path | None]:
    """Find the tokenizer that `tokenizer.file` names, if it names one, and take over its kind.

    Raises:
        ConfigError: The settings ask for another kind.
        ModelError: There is no tokenizer that can be used.
    """
    tokenizer = settings.tokenizer
    if tokenizer.file is None:
        return settings, None
    path = find_tokenizer(settings.data.root / tokenizer.file)
    kind = Tokenizer.load(path).kind
    if "kind" in tokenizer.model_fields_set and tokenizer.kind != kind:
        raise ConfigError(
            f'tokenizer.kind = "{tokenizer.kind}", but {path} (tokenizer.file) is of the kind {kind}; '
            "leave one of the two settings out"
        )
    return settings.model_copy(update={"tokenizer": tokenizer.model_copy(update={"kind": kind})}), path


def require_joint(settings: Settings) -> None:
    """Make sure that `tokenizer.file` can serve both languages of pairs.

    Raises:
        ConfigError: Each language is to have a tokenizer of its own, or has one in the folder that was named.
    """
    assert settings.tokenizer.file is not None
    if not settings.tokenizer.joint:
        raise ConfigError("tokenizer.file is one tokenizer for both sides of pairs: it needs tokenizer.joint = true")
    path = settings.data.root / settings.tokenizer.file
    if path.is_dir() and len(tokenizer_files(path)) > 1:
        raise ConfigError(f"{path} (tokenizer.file) has a tokenizer for each language, expected one for both")


def take_tokenizer(folder: Path, settings: TokenizerSettings, path: Path) -> tuple[Tokenizers, list[str]]:
    """Copy a tokenizer to `folder`, where it is the joint one.

    Returns:
        As `train_tokenizers`.

    Raises:
        ConfigError: It lacks a placeholder.
    """
    (folder / JOINT_MODEL).write_bytes(path.read_bytes())
    tokenizers = load_tokenizers(folder)
    pieces, warnings = set(tokenizers.src.pieces), []
    for kind, symbol in PLACEHOLDERS.items():
        if kind in settings.placeholders and settings.kind != "word" and symbol not in pieces:
            raise ConfigError(
                f'tokenizer.placeholders has "{kind}", but {path} (tokenizer.file) has no piece {symbol}; '
                "leave one of the two out"
            )
        if kind not in settings.placeholders and symbol in pieces:
            warnings.append(
                f'{path} has a piece {symbol}, but tokenizer.placeholders has no "{kind}": nothing becomes it'
            )
    if "vocab_size" in settings.model_fields_set and settings.vocab_size != len(tokenizers.src):
        warnings.append(f"tokenizer.vocab_size = {settings.vocab_size} is not used: {path} has {len(pieces)} pieces")
    return tokenizers, warnings


def train_tokenizers(
    folder: Path, settings: TokenizerSettings, texts: Mapping[str, Lines]
) -> tuple[Tokenizers, list[str]]:
    """Train a model for each file that `texts` names: the joint one, or one for each language.

    Returns:
        The tokenizers, whose files are in `folder`, and warnings for the user.
    """
    warnings = []
    for name, lines in texts.items():
        model, warning = _train(name, settings, lines)
        (folder / name).write_bytes(model)
        warnings.extend(warning)
    return load_tokenizers(folder), warnings


def _train(name: str, settings: TokenizerSettings, lines: Lines) -> tuple[bytes, list[str]]:
    def train(vocab_size: int) -> bytes:
        return train_tokenizer(
            lines(),
            kind=settings.kind,
            vocab_size=vocab_size,
            character_coverage=settings.character_coverage,
            symbols=[symbol for kind, symbol in PLACEHOLDERS.items() if kind in settings.placeholders],
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
