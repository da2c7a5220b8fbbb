"""Model files made by hand, or from those that SentencePiece trained: of bytes, and without what is rare."""

from collections.abc import Mapping, Sequence
from typing import Final

from sentencepiece.sentencepiece_model_pb2 import (  # type: ignore[attr-defined]
    ModelProto,
    NormalizerSpec,
    TrainerSpec,
)

from nmt.subword.proto import Model, Piece, Type, byte_pieces
from nmt.surfaces import SPACE_MARK
from nmt.vocab import BOS, BOS_PIECE, EOS, EOS_PIECE, PAD, PAD_PIECE, UNK, UNK_PIECE

SPECIAL_PIECES: Final = (
    Piece(PAD_PIECE, type=Type.CONTROL),
    Piece(UNK_PIECE, type=Type.UNKNOWN),
    Piece(BOS_PIECE, type=Type.CONTROL),
    Piece(EOS_PIECE, type=Type.CONTROL),
)
"""In the order of the ids."""
SPECIAL_SETTINGS: Final[Mapping[str, int | str]] = {
    "unk_id": UNK,
    "bos_id": BOS,
    "eos_id": EOS,
    "pad_id": PAD,
    "unk_piece": UNK_PIECE,
    "bos_piece": BOS_PIECE,
    "eos_piece": EOS_PIECE,
    "pad_piece": PAD_PIECE,
}
"""What the settings of the training within a model file say of them."""
AS_BYTES: Final = NormalizerSpec(name="identity", remove_extra_whitespaces=False, escape_whitespaces=False)
"""What a model of bytes does to text: no space is taken away, and no mark is put in the place of any."""


def make_byte_model(symbols: Sequence[str]) -> bytes:
    """Make a model of the 256 bytes and of symbols, which SentencePiece can use too, with the same result.

    Its pieces are the special ones, the symbols and the bytes, as in ByT5 (Xue et al., 2022), but a space goes before
    a text, so that its first word is cut as all others are. No text has an `<unk>`.
    """
    pieces = (*SPECIAL_PIECES, *(Piece(symbol, type=Type.USER_DEFINED) for symbol in symbols), *byte_pieces())
    characters = {"model_type": TrainerSpec.CHAR, "byte_fallback": True, "vocab_size": len(pieces)}
    empty = Model(ModelProto(normalizer_spec=AS_BYTES).SerializeToString())
    return empty.with_pieces(pieces, {**characters, **SPECIAL_SETTINGS})


def keep_frequent(model: bytes, counts: Mapping[str, int], min_frequency: int) -> bytes:
    """Leave characters out of a model of them that occur less often; the mark of a space stays."""
    read = Model(model)
    kept = [
        piece
        for piece in read.pieces
        if piece.type != Type.NORMAL or piece.text == SPACE_MARK or counts[piece.text] >= min_frequency
    ]
    return read.with_pieces(kept)


def keep_words(
    model: bytes, counts: Mapping[str, int], *, min_frequency: int, symbols: Sequence[str], vocab_size: int
) -> bytes:
    """Leave words out of a model of them that occur less often, and put symbols in, before all other words.

    Args:
        model: As it was trained.
        counts: How often each word occurs; not looked at where `min_frequency` is 1.
        min_frequency: How often a word has to occur that is no symbol.
        symbols: Words that are in the vocabulary, however rare.
        vocab_size: At most so many pieces are left, the most frequent.
    """
    if min_frequency == 1 and not symbols:
        return model
    read = Model(model)
    marked = [SPACE_MARK + symbol for symbol in symbols]
    words = [
        piece
        for piece in read.pieces[len(SPECIAL_PIECES) :]
        if piece.text not in marked and (min_frequency == 1 or counts[piece.text[1:]] >= min_frequency)
    ]
    pieces = [*SPECIAL_PIECES, *(Piece(text, type=Type.USER_DEFINED) for text in marked)]
    return read.with_pieces([*pieces, *words[: max(0, vocab_size - len(pieces))]])
