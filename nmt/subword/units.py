"""Text whose pieces are its words, its characters or its bytes: cut by a rule and looked up, with no model at work."""

import re
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nmt.sequences import FlatSequences
from nmt.surfaces import SPACE_MARK, UNKNOWN, decode_bytes, surface
from nmt.vocab import BOS, EOS, PAD, UNK, UNK_PIECE

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
            first_byte: The id of byte 0, behind which come the other 255; None: bytes have no pieces.
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
        ids: list[int] = flat.values.tolist()
        ends = (flat.starts + flat.lengths).tolist()
        return [ids[start:end] for start, end in zip(flat.starts.tolist(), ends, strict=True)]

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
