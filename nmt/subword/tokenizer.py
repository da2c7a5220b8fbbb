"""A trained SentencePiece model, and where it lies."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from sentencepiece import SentencePieceProcessor

from nmt.errors import ModelError
from nmt.subword.proto import Kind, kind_of
from nmt.subword.units import character_units, word_units
from nmt.vocab import BOS, EOS, PAD, UNK

JOINT_MODEL: Final = "joint.spm.model"
SRC_MODEL: Final = "src.spm.model"
TGT_MODEL: Final = "tgt.spm.model"


class _Cutter(Protocol):
    def encode(self, texts: Sequence[str]) -> list[list[int]]: ...

    def split(self, text: str) -> list[str]: ...

    def decode(self, row: Sequence[int]) -> str: ...


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
        self.kind: Kind = kind_of(model)
        """What it was trained as."""
        self._cutter = _make_cutter(self.kind, processor, self.pieces)

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
        return self._cutter.encode(texts)

    def split(self, text: str) -> list[str]:
        """Cut a text into as many pieces as `encode` does, as they stand in it: unknown characters too."""
        return self._cutter.split(text)

    def decode(self, rows: Sequence[Sequence[int]]) -> list[str]:
        """Join pieces to text; special ids other than `<unk>` leave no trace."""
        return [self._cutter.decode(row) for row in rows]


@dataclass(frozen=True)
class Tokenizers:
    """The tokenizers of the two languages: one and the same object when they are joint."""

    src: Tokenizer
    tgt: Tokenizer

    @property
    def joint(self) -> bool:
        """Whether both languages share one vocabulary."""
        return self.src is self.tgt


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


def find_tokenizer(path: Path) -> Path:
    """Return a tokenizer model: the file itself, or that of a data or model folder, the target's where it has two.

    Raises:
        ModelError: The folder holds no tokenizer.
    """
    return tokenizer_files(path)[-1] if path.is_dir() else path


class _Subwords:
    """Cuts text as SentencePiece does."""

    def __init__(self, processor: SentencePieceProcessor) -> None:
        self._processor = processor

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        ids: list[list[int]] = self._processor.encode(list(texts))
        return ids

    def split(self, text: str) -> list[str]:
        pieces: list[str] = self._processor.encode(text, out_type=str)
        return pieces

    def decode(self, row: Sequence[int]) -> str:
        return str(self._processor.decode(list(row)))


def _make_cutter(kind: Kind, processor: SentencePieceProcessor, pieces: Sequence[str]) -> _Cutter:
    if kind == "word":
        return word_units(pieces)
    if kind == "char":
        return character_units(pieces)
    return _Subwords(processor)
