import io
from typing import get_args

import pytest
from sentencepiece import SentencePieceTrainer

from nmt.errors import ModelError
from nmt.text.tokenizer import Kind, Model, Piece, Type
from nmt.text.tokenizer_training import train_tokenizer, with_pieces


def with_the_same_pieces(model: bytes) -> bytes:
    read = Model(model)
    return with_pieces(read, read.pieces, {})


@pytest.mark.parametrize("kind", get_args(Kind))
def test_a_model_says_what_it_was_trained_as(kind: Kind) -> None:
    assert Model(train_tokenizer(["a b c"] * 9, kind=kind, vocab_size=8)).kind == kind


def test_a_model_of_every_type_of_piece_is_read_and_written_again_but_for_the_place_of_its_size() -> None:
    model = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(["the cat"] * 9),
        model_writer=model,
        model_type="bpe",
        vocab_size=273,
        byte_fallback=True,
        user_defined_symbols=["<b>"],
        control_symbols=["<c>"],
        minloglevel=2,
    )
    read = Model(model.getvalue())
    assert read.pieces[:6] == (
        Piece("<unk>", type=Type.UNKNOWN),
        Piece("<s>", type=Type.CONTROL),
        Piece("</s>", type=Type.CONTROL),
        Piece("<c>", type=Type.CONTROL),
        Piece("<b>", type=Type.USER_DEFINED),
        Piece("<0x00>", type=Type.BYTE),
    )
    assert read.pieces[261] == Piece("at", -0.0, Type.NORMAL)
    written = with_the_same_pieces(model.getvalue())
    size = bytes([0x20, 0x91, 0x02])  # field 4, a number: 273
    assert len(written) == len(model.getvalue())
    assert written.replace(size, b"") == model.getvalue().replace(size, b"")


def test_settings_that_sentencepiece_does_not_know_are_kept() -> None:
    # Of the training: a size, a number 250 and a text 251 that mean nothing; behind all, a message 9 that does neither.
    trainer = bytes([0x20, 1, 0x18, 4, 0xD0, 0x0F, 7, 0xDA, 0x0F, 1, 0x78])
    [piece, normalizer, rest] = [b"\x0a\x08\x0a\x01a\x15" + bytes(4), b"\x1a\x03\x0a\x01n", b"\x4a\x02ab"]
    model = piece + bytes([0x12, len(trainer)]) + trainer + normalizer + rest
    assert Model(model).kind == "char"
    moved = bytes([0x18, 4, 0xD0, 0x0F, 7, 0xDA, 0x0F, 1, 0x78, 0x20, 1])
    assert with_the_same_pieces(model) == piece + bytes([0x12, len(moved)]) + moved + normalizer + rest


def test_changed_settings_stand_behind_the_others_in_the_order_given() -> None:
    written = with_pieces(Model(b""), [], {"unk_id": 300, "model_type": 4, "unk_piece": "<unk>"})
    settings = bytes([0xC0, 0x02, 0xAC, 0x02, 0x18, 4, 0xEA, 0x02, 5]) + b"<unk>" + bytes([0x20, 0])
    assert written == bytes([0x12, len(settings)]) + settings + bytes([0x1A, 0])
    assert Model(written).message.trainer_spec.unk_id == 300


def test_the_kind_that_is_not_written_is_unigram() -> None:
    assert Model(bytes([0x12, 0])).kind == Model(b"").kind == "unigram"


@pytest.mark.parametrize(
    "model",
    [
        b"no model",
        b"\x0a\x05ab",  # ends within a piece
        b"\x0a\xff\xff\xff\xff\x07",  # two gigabytes are promised
        b"\x0a" + b"\xff" * 11,  # a length without an end
        b"\x4b" * 10_000,  # groups within groups
        b"\x0a\x03\x0a\x01\xff",  # a piece that is no UTF-8
    ],
)
def test_what_cannot_be_read_to_its_end_is_refused(model: bytes) -> None:
    with pytest.raises(ModelError, match=r"^not a SentencePiece model that can be read to its end$"):
        Model(model)
