"""The tokenizers of prepared data, trained on the pairs that were chosen for it."""

from collections.abc import Callable, Iterator
from pathlib import Path

from nmt.config import TokenizerSettings
from nmt.corpus.placeholders import PLACEHOLDERS, mask_pair
from nmt.corpus.reading import Pair
from nmt.errors import ConfigError
from nmt.subword import (
    JOINT_MODEL,
    SRC_MODEL,
    TGT_MODEL,
    Tokenizers,
    VocabularyTooLargeError,
    load_tokenizers,
    train_tokenizer,
)


def train_tokenizers(
    folder: Path, settings: TokenizerSettings, pairs: Callable[[], Iterator[Pair]]
) -> tuple[Tokenizers, list[str]]:
    """Train one model for both languages, or one for each, on pairs that are read anew for each.

    Returns:
        The tokenizers, whose files are in `folder`, and warnings for the user.
    """

    def masked() -> Iterator[tuple[str, str]]:
        return (mask_pair(pair.src, pair.tgt, settings.placeholders) for pair in pairs())

    if settings.joint:
        texts = {JOINT_MODEL: lambda: (text for pair in masked() for text in pair)}
    else:
        texts = {SRC_MODEL: lambda: (src for src, _ in masked()), TGT_MODEL: lambda: (tgt for _, tgt in masked())}
    warnings = []
    for name, lines in texts.items():
        model, warning = _train(name, settings, lines)
        (folder / name).write_bytes(model)
        warnings.extend(warning)
    return load_tokenizers(folder), warnings


def _train(name: str, settings: TokenizerSettings, lines: Callable[[], Iterator[str]]) -> tuple[bytes, list[str]]:
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
        return train(settings.vocab_size), []
    except VocabularyTooLargeError as error:
        if "vocab_size" in settings.model_fields_set:
            raise ConfigError(f"{side}{error}") from error
        warning = f"{side}the corpus gives at most {error.largest} pieces, not the default {error.asked}: using these"
        return train(error.largest), [warning]
    except ConfigError as error:
        raise ConfigError(f"{side}{error}") from error
