"""What a SentencePiece model file says of itself and its processor does not tell: the kind of the model."""

from collections.abc import Iterator
from typing import Final, Literal

Kind = Literal["unigram", "bpe", "word", "char"]

_TRAINER_SPEC: Final = 2
_MODEL_TYPE: Final = 3
_KINDS: Final[dict[int | bytes, Kind]] = {1: "unigram", 2: "bpe", 3: "word", 4: "char"}
_FIXED_SIZES: Final = {1: 8, 5: 4}
"""The bytes that a value of these wire types takes."""


def kind_of(model: bytes) -> Kind:
    """Return what a serialized model was trained as."""
    spec = dict(_fields(model)).get(_TRAINER_SPEC, b"")
    assert isinstance(spec, bytes)
    return _KINDS[dict(_fields(spec)).get(_MODEL_TYPE, 1)]


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Read the fields of a protocol buffer: their numbers and values."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        value: int | bytes
        if key & 7 == 0:
            value, place = _varint(message, place)
        else:
            size = _FIXED_SIZES.get(key & 7)
            if size is None:
                size, place = _varint(message, place)
            value, place = message[place : place + size], place + size
        yield key >> 3, value


def _varint(message: bytes, place: int) -> tuple[int, int]:
    """Read a number in groups of seven bits, the low ones first; return it and the place behind it."""
    number, shift = 0, 0
    while True:
        byte = message[place]
        number |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return number, place
