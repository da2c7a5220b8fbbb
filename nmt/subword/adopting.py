"""SentencePiece models that were trained elsewhere, given the special ids of `nmt.vocab`."""

from pathlib import Path
from typing import Final

from nmt.errors import ModelError
from nmt.subword.making import AS_BYTES, SPECIAL_PIECES, SPECIAL_SETTINGS
from nmt.subword.proto import Model, Type
from nmt.subword.tokenizer import Tokenizer, load_processor, special_ids
from nmt.surfaces import UNKNOWN
from nmt.vocab import BOS, EOS, PAD, UNK

_MOST_SYMBOLS: Final = 2048
"""Those that a model of characters may have; see `nmt.subword.units.Characters`."""


def load_any(path: Path) -> bytes:
    """Read a model file of any origin; return it with the special ids of `nmt.vocab`, as it is if it has them.

    Raises:
        ModelError: The file cannot be read, or holds no model that could be used.
    """
    try:
        return adopt_model(path.read_bytes())
    except OSError as error:
        raise ModelError(f"cannot read tokenizer {path}: {error.strerror}") from error
    except ModelError as error:
        raise ModelError(f"{path} cannot be used as a tokenizer: {error}") from error


def adopt_model(model: bytes) -> bytes:
    """Give a model the special pieces and ids of `nmt.vocab`, in front of its other pieces, whose order stays.

    It cuts text into the same pieces as before, and makes the same text of them.

    Raises:
        ModelError: It is none, or one that nothing here could use.
    """
    processor = load_processor(model)
    read = Model(model)
    _check(read)
    ids = list(special_ids(processor))
    names = [piece.text for piece in SPECIAL_PIECES]
    if ids == [PAD, UNK, BOS, EOS] and [piece.text for piece in read.pieces[: len(names)]] == names:
        return model
    for special, name in enumerate(names):
        for index, piece in enumerate(read.pieces):
            if piece.text == name and index not in ids:
                if piece.type != Type.CONTROL or ids[special] >= 0:
                    raise ModelError(f"its piece {name}, number {index}, is another than the special one of this name")
                ids[special] = index  # it was trained without, but has the piece all the same
    others = [piece for index, piece in enumerate(read.pieces) if index not in ids]
    adopted = read.with_pieces([*SPECIAL_PIECES, *others], {**SPECIAL_SETTINGS, "unk_surface": f" {UNKNOWN} "})
    Tokenizer(adopted)
    return adopted


def _check(model: Model) -> None:
    """Refuse models whose pieces mean something else than everything here expects."""
    types = {piece.type for piece in model.pieces}
    if model.trainer.treat_whitespace_as_suffix:
        raise ModelError("it marks the ends of words (treat_whitespace_as_suffix), expected marks at their starts")
    if model.kind == "byte":
        if model.normalizer != AS_BYTES:
            raise ModelError("it is a model of bytes, but does to spaces what no such model here does")
    elif not model.normalizer.escape_whitespaces:
        raise ModelError("it leaves spaces as they are (escape_whitespaces), expected marks in their place")
    if model.kind == "word" and Type.BYTE in types:
        raise ModelError("it cuts words that it does not know into bytes, expected one unknown word")
    symbols = sum(piece.type == Type.USER_DEFINED for piece in model.pieces)
    if model.kind in ("char", "byte") and symbols > _MOST_SYMBOLS:
        raise ModelError(f"it has {symbols:,} symbols, expected at most {_MOST_SYMBOLS:,} in a model of characters")
    found = [piece.text for piece in model.pieces if piece.type == Type.BYTE]
    if found and found != [f"<0x{byte:02X}>" for byte in range(256)]:
        raise ModelError("its pieces of bytes are not those of all 256 in order")
