"""SentencePiece models are trained here, all with the same special ids."""

import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from sentencepiece import SentencePieceTrainer

from nmt.errors import ConfigError, DataError, NmtError
from nmt.subword.proto import Kind
from nmt.subword.units import SPACE_MARK
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
    symbols: Sequence[str] = (),
) -> bytes:
    """Train a SentencePiece model, and return its bytes, which depend on nothing but the arguments.

    Args:
        lines: The text, already normalised.
        kind: Unigram language model, byte-pair encoding, words or characters.
        vocab_size: Pieces, specials included; at most so many where the kind is "word" or "char".
        character_coverage: Share of the characters of the text that get a piece.
        symbols: Pieces that are never cut and never merged; words never are.

    Raises:
        VocabularyTooLargeError: The text has fewer subword pieces than asked for.
        ConfigError: The characters of the text alone are more than `vocab_size`, and the kind is one of subwords.
        DataError: There is no text.
    """
    model = io.BytesIO()
    source = _Lines(lines, _leave_out_marks if kind == "word" else _leave_out_reserved)
    options = _FIXED_OPTIONS if kind in ("unigram", "bpe") else _FIXED_OPTIONS | {"hard_vocab_limit": False}
    try:
        SentencePieceTrainer.train(
            sentence_iterator=iter(source),
            model_writer=model,
            model_type=kind,
            vocab_size=vocab_size,
            character_coverage=character_coverage,
            user_defined_symbols=[] if kind == "word" else list(symbols),
            **options,
        )
    except RuntimeError as error:
        if source.failure is not None:
            raise source.failure from None
        raise _explain(str(error), vocab_size) from error
    return model.getvalue()


class _Lines:
    """Lines for SentencePiece, which would hide an exception of the iterator (a Ctrl-C, say) behind its own."""

    def __init__(self, lines: Iterable[str], clean: Callable[[str], str]) -> None:
        self._lines = lines
        self._clean = clean
        self.failure: BaseException | None = None

    def __iter__(self) -> Iterator[str]:
        try:
            for line in self._lines:
                yield self._clean(line)
        except BaseException as error:
            self.failure = error
            raise


def _leave_out_reserved(line: str) -> str:
    return line.replace(_RESERVED, " ")


def _leave_out_marks(line: str) -> str:
    """Leave out what is no word: marks of spaces, and those of unknown words that a text came with."""
    words = _leave_out_reserved(line).replace(SPACE_MARK, " ").split(" ")
    return " ".join(word for word in words if word != UNK_PIECE)


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
