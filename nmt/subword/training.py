"""SentencePiece models are trained here, all with the same special ids."""

import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from sentencepiece import SentencePieceTrainer

from nmt.errors import ConfigError, DataError, NmtError
from nmt.subword.making import keep_frequent, keep_words, make_byte_model
from nmt.subword.proto import Kind
from nmt.surfaces import SPACE_MARK
from nmt.vocab import BOS, BOS_PIECE, EOS, EOS_PIECE, PAD, PAD_PIECE, UNK, UNK_PIECE

_FIXED_OPTIONS: Final[dict[str, Any]] = {
    "normalization_rule_name": "identity",  # text is NFC already; NFKC would change what users wrote
    "max_sentence_length": 1 << 30,  # longer lines would be skipped
    "num_threads": 4,  # the model depends on it, so it is the same on every machine
    "minloglevel": 2,
    "pad_id": PAD,
    "unk_id": UNK,
    "bos_id": BOS,
    "eos_id": EOS,
    "pad_piece": PAD_PIECE,
    "unk_piece": UNK_PIECE,
    "bos_piece": BOS_PIECE,
    "eos_piece": EOS_PIECE,
}
_SPECIALS: Final = 4
# SentencePiece learns nothing from a line that holds its own mark for unknown characters.
_RESERVED: Final = "\u2585"


class VocabularyTooLargeError(ConfigError):
    """More pieces were asked for than the text can give."""

    def __init__(self, *, asked: int, largest: int) -> None:
        super().__init__(
            f"tokenizer.vocab_size = {asked} is too large for this corpus: at most {largest} pieces; "
            "lower it, or leave it unset to get as many as there are"
        )
        self.asked = asked
        self.largest = largest


def train_tokenizer(
    lines: Iterable[str],
    *,
    kind: Kind,
    vocab_size: int,
    character_coverage: float = 1.0,
    byte_fallback: bool = False,
    min_frequency: int = 1,
    symbols: Sequence[str] = (),
) -> bytes:
    """Train a SentencePiece model, and return its bytes, which depend on nothing but the arguments.

    Args:
        lines: The text, already normalised; for bytes none is read.
        kind: Unigram language model, byte-pair encoding, words, characters or bytes.
        vocab_size: Pieces, specials included; at most so many where the kind is "word" or "char", the most frequent. Of
            bytes there are 256, whatever this says.
        character_coverage: Share of the characters of the text that get a piece.
        byte_fallback: Give pieces to bytes too, into which characters without a piece are cut; for no kind but those of
            subwords and characters.
        min_frequency: How often a word or character has to occur, for the kinds "word" and "char".
        symbols: Pieces that are never cut and never merged, or words that have pieces, however rare.

    Raises:
        VocabularyTooLargeError: The text has fewer subword pieces than asked for.
        ConfigError: The characters of the text alone are more than `vocab_size`, and the kind is one of subwords; or
            there is no room for bytes.
        DataError: There is no text.
    """
    if kind == "byte":
        return make_byte_model(symbols)
    least = _SPECIALS + 256 + len(symbols) + 1
    if byte_fallback and vocab_size < least:
        raise ConfigError(
            f"tokenizer.vocab_size = {vocab_size} is too small for tokenizer.byte_fallback: 256 bytes, "
            f"{_SPECIALS} special pieces, {len(symbols)} symbols and a character are {least} pieces"
        )
    source = _Lines(lines, kind, counting=min_frequency > 1)
    options = _FIXED_OPTIONS if kind in ("unigram", "bpe") else _FIXED_OPTIONS | {"hard_vocab_limit": False}
    options = options | {"vocab_size": vocab_size, "character_coverage": character_coverage}
    if kind == "word":
        model = _train(source, model_type=kind, **options)
        return keep_words(model, source.counts, min_frequency=min_frequency, symbols=symbols, vocab_size=vocab_size)
    if byte_fallback:
        options["byte_fallback"] = True
    model = _train(source, model_type=kind, user_defined_symbols=list(symbols), **options)
    return keep_frequent(model, source.counts, min_frequency) if min_frequency > 1 else model


def _train(source: "_Lines", **options: Any) -> bytes:
    model = io.BytesIO()
    try:
        SentencePieceTrainer.train(sentence_iterator=iter(source), model_writer=model, **options)
    except RuntimeError as error:
        if source.failure is not None:
            raise source.failure from None
        raise _explain(str(error), options["vocab_size"]) from error
    return model.getvalue()


class _Lines:
    """Lines for SentencePiece, which would hide an exception of the iterator (a Ctrl-C, say) behind its own."""

    def __init__(self, lines: Iterable[str], kind: Kind, *, counting: bool) -> None:
        self._lines = lines
        self._words = kind == "word"
        self._counting = counting
        self.counts = Counter[str]()
        """How often each word or character occurred, if that is counted."""
        self.failure: BaseException | None = None

    def __iter__(self) -> Iterator[str]:
        try:
            for line in self._lines:
                text = line.replace(_RESERVED, " ")
                if self._words:  # marks of spaces, and those of unknown words that a text came with, are none
                    words = text.replace(SPACE_MARK, " ").split(" ")
                    text = " ".join(word for word in words if word != UNK_PIECE)
                if self._counting:
                    self.counts.update(text.split(" ") if self._words else text)
                yield text
        except BaseException as error:
            self.failure = error
            raise


def _explain(message: str, vocab_size: int) -> NmtError:
    if "!sentences_.empty()" in message:
        return DataError("there is no text to train a tokenizer on")
    if found := re.search(r"size too high .* value <= (\d+)", message):
        return VocabularyTooLargeError(asked=vocab_size, largest=int(found[1]))
    if found := re.search(r"smaller than required_chars\. \d+ vs (\d+)", message):
        return ConfigError(
            f"tokenizer.vocab_size = {vocab_size} is too small for this corpus: its characters alone need {found[1]} "
            "pieces; raise it, or lower tokenizer.character_coverage"
        )
    return DataError(f"SentencePiece cannot train on this text: {message}")
