"""Text to subword pieces and back: SentencePiece models (Kudo and Richardson, 2018), trained and loaded."""

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

from nmt.errors import ConfigError, DataError, ModelError, NmtError
from nmt.vocab import BOS, BOS_PIECE, EOS, EOS_PIECE, PAD, PAD_PIECE, UNK, UNK_PIECE

JOINT_MODEL: Final = "joint.spm.model"
SRC_MODEL: Final = "src.spm.model"
TGT_MODEL: Final = "tgt.spm.model"

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


class Tokenizer:
    """A trained SentencePiece model, whose special ids are those of `nmt.vocab`."""

    def __init__(self, model: bytes) -> None:
        """Load a serialized model.

        Raises:
            ModelError: The bytes are no SentencePiece model, or its special ids are others.
        """
        try:
            self._processor = SentencePieceProcessor(model_proto=model)
        except RuntimeError as error:
            raise ModelError("not a SentencePiece model") from error
        processor = self._processor
        found = (processor.pad_id(), processor.unk_id(), processor.bos_id(), processor.eos_id())
        if found != (PAD, UNK, BOS, EOS):
            raise ModelError(f"pad, unk, bos, eos have the ids {found}, expected {(PAD, UNK, BOS, EOS)}")

    @classmethod
    def load(cls, path: Path) -> "Tokenizer":
        """Load a model file.

        Raises:
            ModelError: The file is missing or is no model that `nmt prepare` could have trained.
        """
        try:
            return cls(path.read_bytes())
        except OSError as error:
            raise ModelError(f"cannot read tokenizer {path}: {error.strerror}") from error
        except ModelError as error:
            raise ModelError(f"{path} cannot be used as a tokenizer: {error}") from error

    def __len__(self) -> int:
        return int(self._processor.get_piece_size())

    @property
    def pieces(self) -> list[str]:
        """Every piece, in the order of the ids."""
        return [self._processor.id_to_piece(index) for index in range(len(self))]

    @property
    def scores(self) -> list[float]:
        """Every piece's score: its log probability in a unigram model, the higher, the earlier learnt, in BPE."""
        return [self._processor.get_score(index) for index in range(len(self))]

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Cut texts into pieces; no `<s>`, no `</s>`."""
        ids: list[list[int]] = self._processor.encode(list(texts))
        return ids

    def split(self, text: str) -> list[str]:
        """Cut a text into as many pieces as `encode` does, as they stand in it: unknown characters too."""
        pieces: list[str] = self._processor.encode(text, out_type=str)
        return pieces

    def decode(self, rows: Sequence[Sequence[int]]) -> list[str]:
        """Join pieces to text; special ids other than `<unk>` leave no trace."""
        return [self._processor.decode(list(row)) for row in rows]


@dataclass(frozen=True)
class Tokenizers:
    """The tokenizers of the two languages: one and the same object when they are joint."""

    src: Tokenizer
    tgt: Tokenizer

    @property
    def joint(self) -> bool:
        """Whether both languages share one vocabulary."""
        return self.src is self.tgt


def train_tokenizer(
    lines: Iterable[str],
    *,
    kind: Literal["unigram", "bpe"],
    vocab_size: int,
    character_coverage: float = 1.0,
    symbols: Sequence[str] = (),
) -> bytes:
    """Train a SentencePiece model, and return its bytes, which depend on nothing but the arguments.

    Args:
        lines: The text, already normalised.
        kind: Unigram language model or byte-pair encoding.
        vocab_size: Pieces, specials included.
        character_coverage: Share of the characters of the text that get a piece.
        symbols: Pieces that are never cut and never merged.

    Raises:
        VocabularyTooLargeError: The text has fewer pieces than asked for.
        ConfigError: The characters of the text alone are more than `vocab_size`.
        DataError: There is no text.
    """
    model = io.BytesIO()
    source = _Lines(lines)
    try:
        SentencePieceTrainer.train(
            sentence_iterator=iter(source),
            model_writer=model,
            model_type=kind,
            vocab_size=vocab_size,
            character_coverage=character_coverage,
            user_defined_symbols=list(symbols),
            **_FIXED_OPTIONS,
        )
    except RuntimeError as error:
        if source.failure is not None:
            raise source.failure from None
        raise _explain(str(error), vocab_size) from error
    return model.getvalue()


def load_tokenizers(folder: Path) -> Tokenizers:
    """Load the tokenizer of both languages, or one of each, from a data or model folder.

    Raises:
        ModelError: The folder holds no tokenizer, or one that cannot be used.
    """
    files = tokenizer_files(folder)
    if len(files) == 1:
        joint = Tokenizer.load(files[0])
        return Tokenizers(joint, joint)
    src, tgt = files
    return Tokenizers(Tokenizer.load(src), Tokenizer.load(tgt))


def tokenizer_files(folder: Path) -> list[Path]:
    """List the tokenizer models of a folder: the joint one, or source and target.

    Raises:
        ModelError: They are not there.
    """
    joint, src, tgt = folder / JOINT_MODEL, folder / SRC_MODEL, folder / TGT_MODEL
    if joint.is_file():
        return [joint]
    if src.is_file() and tgt.is_file():
        return [src, tgt]
    raise ModelError(f"{folder} holds no tokenizer: expected {JOINT_MODEL}, or {SRC_MODEL} and {TGT_MODEL}")


class _Lines:
    """Lines for SentencePiece, which would hide an exception of the iterator (a Ctrl-C, say) behind its own."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = lines
        self.failure: BaseException | None = None

    def __iter__(self) -> Iterator[str]:
        try:
            for line in self._lines:
                yield line.replace(_RESERVED, " ")
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
