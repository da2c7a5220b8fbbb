"""A trained SentencePiece model, and where it lies."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from numpy.typing import NDArray
from sentencepiece import SentencePieceProcessor
from sentencepiece.sentencepiece_model_pb2 import ModelProto, TrainerSpec  # type: ignore[attr-defined]

from nmt.errors import ModelError
from nmt.io.files import read_regular
from nmt.text.sequences import FlatSequences
from nmt.text.vocab import BOS, EOS, PAD, SPACE_MARK, UNK, UNK_PIECE, UNKNOWN, decode_bytes, surface

Kind = Literal["unigram", "bpe", "word", "char", "byte"]
Type: Any = ModelProto.SentencePiece.Type
"""What a piece is."""

JOINT_MODEL: Final = "joint.spm.model"
SRC_MODEL: Final = "src.spm.model"
TGT_MODEL: Final = "tgt.spm.model"


class Tokenizer:
    """A trained SentencePiece model, whose special ids are those of `nmt.text.vocab`."""

    def __init__(self, model: bytes) -> None:
        """Load a serialized model; a ModelError if its special ids are not those of `nmt.text.vocab`."""
        self.serialized = model
        """The bytes that it was loaded from."""
        processor = load_processor(model)
        found = special_ids(processor)
        if found != (PAD, UNK, BOS, EOS):
            raise ModelError(f"pad, unk, bos, eos have the ids {found}, expected {(PAD, UNK, BOS, EOS)}")
        self._model = Model(model)
        self.kind: Kind = self._model.kind
        """What it was trained as."""
        byte_ids = [index for index, piece in enumerate(self._model.pieces) if piece.type == Type.BYTE]
        normalise = processor.normalize if self._model.message.normalizer_spec.precompiled_charsmap else str
        self._cutter: _Subwords | Words | Characters
        if self.kind in ("unigram", "bpe"):
            byte_surfaces = {index: surface(self._model.pieces[index].text, byte=True) for index in byte_ids}
            self._cutter = _Subwords(processor, byte_surfaces)
        elif self.kind == "word":
            self._cutter = Words(self.pieces, normalise=normalise)
        else:
            self._cutter = Characters(self.pieces, first_byte=min(byte_ids, default=None), normalise=normalise)

    @classmethod
    def load(cls, path: Path) -> "Tokenizer":
        """Load a model file; a ModelError if it cannot be read or used."""
        try:
            return cls(read_regular(path))
        except OSError as error:
            raise ModelError(f"cannot read tokenizer {path}: {error.strerror}") from error
        except ModelError as error:
            raise ModelError(f"{path} cannot be used as a tokenizer: {error}") from error

    def __len__(self) -> int:
        return len(self._model.pieces)

    @property
    def pieces(self) -> list[str]:
        """The name of every piece, in the order of the ids; that of a byte is "<0x41>", say."""
        return [piece.text for piece in self._model.pieces]

    @property
    def surfaces(self) -> list[str]:
        """What every piece stands for in text, in the order of the ids: its name, but where it is a byte the byte."""
        return [surface(piece.text, byte=piece.type == Type.BYTE) for piece in self._model.pieces]

    @property
    def symbols(self) -> frozenset[str]:
        """The pieces that are never cut and never merged: those that users defined, or every word."""
        if self.kind == "word":
            return frozenset(piece.removeprefix(SPACE_MARK) for piece in self.pieces if piece.startswith(SPACE_MARK))
        return frozenset(piece.text for piece in self._model.pieces if piece.type == Type.USER_DEFINED)

    @property
    def whole(self) -> frozenset[str]:
        """The pieces that never are cut in another way: all but the normal ones, special pieces and bytes too."""
        return frozenset(piece.text for piece in self._model.pieces if piece.type != Type.NORMAL)

    @property
    def has_bytes(self) -> bool:
        """Whether bytes have pieces, so that no text has an `<unk>`."""
        return any(piece.type == Type.BYTE for piece in self._model.pieces)

    @cached_property
    def characters(self) -> frozenset[str] | None:
        """The characters that can be read, a space too: those of pieces that text is cut into; None: all, as bytes."""
        if self.has_bytes:
            return None
        return frozenset(" ".join(piece.text for piece in self._model.pieces if piece.type == Type.NORMAL))

    @property
    def scores(self) -> list[float]:
        """Every piece's score: its log probability in a unigram model, the higher, the earlier learnt, in BPE."""
        return [piece.score for piece in self._model.pieces]

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Cut texts into pieces; no `<s>`, no `</s>`."""
        return self._cutter.encode(texts)

    def encode_flat(self, texts: Sequence[str]) -> FlatSequences:
        """Cut texts into pieces as `encode` does, laid end to end; one thread works, however many texts there are."""
        return self._cutter.encode_flat(texts)

    def split(self, text: str) -> list[str]:
        """Cut a text into as many pieces as `encode` does, as they stand in it: unknown characters too, and bytes."""
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

    @property
    def files(self) -> dict[str, bytes]:
        """The names and contents of the files that `load_tokenizers` reads them from."""
        if self.joint:
            return {JOINT_MODEL: self.tgt.serialized}
        return {SRC_MODEL: self.src.serialized, TGT_MODEL: self.tgt.serialized}


def load_tokenizers(folder: Path) -> Tokenizers:
    """Load the tokenizer of both languages, or one of each, from a data or model folder."""
    files = tokenizer_files(folder)
    if len(files) == 1:
        joint = Tokenizer.load(files[0])
        return Tokenizers(joint, joint)
    src, tgt = files
    return Tokenizers(Tokenizer.load(src), Tokenizer.load(tgt))


def tokenizer_files(folder: Path) -> list[Path]:
    """List the tokenizer models of a folder: the joint one, or source and target; a ModelError if it has neither."""
    joint, src, tgt = folder / JOINT_MODEL, folder / SRC_MODEL, folder / TGT_MODEL
    if joint.is_file():
        return [joint]
    if src.is_file() and tgt.is_file():
        return [src, tgt]
    raise ModelError(f"{folder} holds no tokenizer: expected {JOINT_MODEL}, or {SRC_MODEL} and {TGT_MODEL}")


def find_tokenizer(path: Path) -> Path:
    """Return a tokenizer model: the file itself, or that of a data or model folder, the target's where it has two."""
    return tokenizer_files(path)[-1] if path.is_dir() else path


def load_processor(model: bytes) -> SentencePieceProcessor:
    """Load a serialized model, whatever its special ids are; a ModelError if it is none of SentencePiece."""
    try:
        processor = SentencePieceProcessor(model_proto=model)
    except (RuntimeError, UnicodeDecodeError) as error:  # the latter where its message quotes what is no UTF-8
        raise ModelError("not a SentencePiece model") from error
    if not model:
        raise ModelError("not a SentencePiece model, but an empty file")
    return processor


def special_ids(processor: SentencePieceProcessor) -> tuple[int, int, int, int]:
    """Return the ids of pad, unk, bos and eos; -1 where there is none."""
    return processor.pad_id(), processor.unk_id(), processor.bos_id(), processor.eos_id()


class Piece(NamedTuple):
    """A piece, its score and what it is."""

    text: str
    score: float = 0.0
    type: int = Type.NORMAL


class Model:
    """What a SentencePiece model file says, in SentencePiece's own description of it.

    https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto says what the settings are.
    """

    def __init__(self, serialized: bytes) -> None:
        """Read the bytes of a file that SentencePiece can load; a ModelError if they are cut off or damaged."""
        try:
            self.message: Any = ModelProto.FromString(serialized)
            if any(isinstance(one.piece, bytes) for one in self.message.pieces):
                raise DecodeError("protobuf leaves a text that is no UTF-8 as bytes")
        except DecodeError as error:
            raise ModelError("not a SentencePiece model that can be read to its end") from error
        self.pieces = tuple(Piece(one.piece, one.score, one.type) for one in self.message.pieces)
        """In the order of the ids."""
        self.kind: Kind = TrainerSpec.ModelType.Name(self.message.trainer_spec.model_type).lower()
        """What it was trained as; a model of characters that has none, but bytes, is one of bytes."""
        types = {piece.type for piece in self.pieces}
        if self.kind == "char" and Type.BYTE in types and Type.NORMAL not in types:
            self.kind = "byte"


class _Subwords:
    """Cuts text as SentencePiece does."""

    def __init__(self, processor: SentencePieceProcessor, byte_surfaces: Mapping[int, str]) -> None:
        self._processor = processor
        self._bytes = byte_surfaces

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        ids: list[list[int]] = self._processor.encode(list(texts))
        return ids

    def encode_flat(self, texts: Sequence[str]) -> FlatSequences:
        # Lists are faster than the arrays that SentencePiece can make of each text.
        return FlatSequences.from_lists(self._processor.encode(list(texts), num_threads=1))

    def split(self, text: str) -> list[str]:
        pieces: list[str] = self._processor.encode(text, out_type=str)
        if not self._bytes:
            return pieces
        ids = self._processor.encode(text)
        return [self._bytes.get(index, piece) for index, piece in zip(ids, pieces, strict=True)]

    def decode(self, row: Sequence[int]) -> str:
        return str(self._processor.decode(list(row)))


_SPECIALS: Final = (PAD, UNK, BOS, EOS)
_FIRST_CODE: Final = 0xD800
"""Symbols are counted from here while they are characters: surrogates, which no text has."""


class Words:
    """Cuts text at spaces.

    Every word without a piece is an `<unk>` of its own. SentencePiece makes one of several in a row, and then a model
    would be spared words of the text whose probability it is asked for.
    """

    def __init__(self, pieces: Sequence[str], *, normalise: Callable[[str], str] = str) -> None:
        """Take the pieces of a vocabulary, in the order of the ids, and what is to be done to a text first."""
        self._ids = {piece[1:]: index for index, piece in _free(pieces) if piece.startswith(SPACE_MARK)}
        self._texts = ["" if index in _SPECIALS else piece for index, piece in enumerate(pieces)]
        self._texts[UNK] = SPACE_MARK + UNK_PIECE
        self._normalise = normalise

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Cut texts into the ids of their words."""
        return [[self._ids.get(word, UNK) for word in self._words(text)] for text in texts]

    def encode_flat(self, texts: Sequence[str]) -> FlatSequences:
        """Do the same, and lay the ids end to end."""
        return FlatSequences.from_lists(self.encode(texts))

    def split(self, text: str) -> list[str]:
        """Cut a text into its words, a mark before each."""
        return [SPACE_MARK + word for word in self._words(text)]

    def decode(self, row: Sequence[int]) -> str:
        """Join words to text; an unknown one is written `<unk>`, as in the Penn Treebank."""
        return "".join([self._texts[index] for index in row]).replace(SPACE_MARK, " ").removeprefix(" ")

    def _words(self, text: str) -> list[str]:
        return [word for word in self._normalise(text).replace(SPACE_MARK, " ").split(" ") if word]


class Characters:
    """Cuts text into characters, spaces too, but leaves symbols whole, such as placeholders.

    Every character without a piece is an `<unk>` of its own, as for words, or the bytes of its UTF-8 where bytes have
    pieces. Where nothing but these has pieces every space of a text counts, and one more is put before it.
    """

    def __init__(
        self, pieces: Sequence[str], *, first_byte: int | None = None, normalise: Callable[[str], str] = str
    ) -> None:
        """Take the pieces of a vocabulary.

        Args:
            pieces: In the order of the ids. What is longer than a character and no byte is a symbol.
            first_byte: The id of byte 0, after which come the other 255; None: bytes have no pieces.
            normalise: What is to be done to a text first.
        """
        self._bytes = range(0) if first_byte is None else range(first_byte, first_byte + 256)
        self._ids = {piece: index for index, piece in _free(pieces) if index not in self._bytes}
        self._spaces_count = not any(len(piece) == 1 for piece in self._ids)
        self._texts = [surface(piece, byte=index in self._bytes) for index, piece in enumerate(pieces)]
        for index in _SPECIALS:
            self._texts[index] = UNKNOWN if index == UNK else ""
        symbols = sorted((piece for piece in self._ids if len(piece) > 1), key=len, reverse=True)
        self._codes = {symbol: chr(_FIRST_CODE + number) for number, symbol in enumerate(symbols)}
        self._symbols = re.compile("|".join(map(re.escape, symbols)) or "(?!)")
        self._units = re.compile("|".join([*map(re.escape, symbols), "."]), re.DOTALL)
        self._table = np.full(0x110000, UNK, dtype=np.int32)  # from every character to its id
        for piece, index in self._ids.items():
            self._table[ord(self._codes.get(piece, piece))] = index
        self._normalise = normalise

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Cut texts into the ids of their characters."""
        flat = self.encode_flat(texts)
        return [flat.row(index) for index in range(len(flat))]

    def encode_flat(self, texts: Sequence[str]) -> FlatSequences:
        """Do the same, and lay the ids end to end."""
        coded = [self._symbols.sub(lambda match: self._codes[match[0]], self._spaced(text)) for text in texts]
        codes = np.frombuffer("".join(coded).encode("utf-32-le", errors="surrogatepass"), dtype=np.uint32)
        lengths = np.fromiter(map(len, coded), dtype=np.int64, count=len(coded))
        ids = self._table[codes]
        if self._bytes:
            ids, lengths = self._in_bytes(ids, codes, lengths)
        return FlatSequences.end_to_end(ids, lengths.astype(np.int32))

    def split(self, text: str) -> list[str]:
        """Cut a text into its characters, or bytes as `surface` writes them."""
        found: list[str] = []
        for unit in self._units.findall(self._spaced(text)):
            known = unit in self._ids or not self._bytes
            found += [unit] if known else [self._texts[self._bytes[byte]] for byte in unit.encode()]
        return found

    def decode(self, row: Sequence[int]) -> str:
        """Join characters to text."""
        text = "".join([self._texts[index] for index in row]).replace(SPACE_MARK, " ").removeprefix(" ")
        return decode_bytes(text)

    def _spaced(self, text: str) -> str:
        """Put a mark before each word, and nothing else between words; or a space before the text."""
        text = self._normalise(text)
        if self._spaces_count:
            return " " + text if text else ""
        words = text.replace(SPACE_MARK, " ").split(" ")
        return "".join([SPACE_MARK + word for word in words if word])

    def _in_bytes(
        self, ids: NDArray[np.int32], codes: NDArray[np.uint32], lengths: NDArray[np.int64]
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Put the bytes of characters in the place of each `<unk>`, and count those of each text in."""
        unknown = ids == UNK
        strange = codes[unknown]
        sizes = np.ones(len(ids), dtype=np.int64)
        sizes[unknown] += (strange > 0x7F).astype(np.int64) + (strange > 0x7FF) + (strange > 0xFFFF)
        spelled = np.repeat(ids, sizes)
        spelling = strange.tobytes().decode("utf-32-le").encode()
        spelled[np.repeat(unknown, sizes)] = np.frombuffer(spelling, dtype=np.uint8).astype(np.int32) + self._bytes[0]
        ends = np.cumsum(lengths)
        behind = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(sizes)])
        return spelled, behind[ends] - behind[ends - lengths]


def _free(pieces: Sequence[str]) -> list[tuple[int, str]]:
    return [(index, piece) for index, piece in enumerate(pieces) if index not in _SPECIALS]
