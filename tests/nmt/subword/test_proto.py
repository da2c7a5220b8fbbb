import io
from typing import get_args

import pytest
from sentencepiece import SentencePieceTrainer

from nmt.subword.proto import Kind, Model, Piece, Spec, Type, write_spec
from nmt.subword.training import train_tokenizer


@pytest.mark.parametrize("kind", get_args(Kind))
def test_a_model_says_what_it_was_trained_as_and_is_written_as_it_was(kind: Kind) -> None:
    model = train_tokenizer(["a b c"] * 9, kind=kind, vocab_size=8)
    assert Model.read(model).kind == kind
    assert Model.read(model).write() == model


def test_a_model_with_every_type_of_piece_is_written_as_it_was() -> None:
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
    read = Model.read(model.getvalue())
    assert read.write() == model.getvalue()
    assert read.pieces[:6] == (
        Piece("<unk>", type=Type.UNKNOWN),
        Piece("<s>", type=Type.CONTROL),
        Piece("</s>", type=Type.CONTROL),
        Piece("<c>", type=Type.CONTROL),
        Piece("<b>", type=Type.USER_DEFINED),
        Piece("<0x00>", type=Type.BYTE),
    )
    assert read.pieces[261] == Piece("at", -0.0, Type.NORMAL)
    assert Spec(read.trainer)[4] == 273


def test_fields_of_every_wire_type_are_passed_over_and_kept() -> None:
    # Field 2 is the message that holds field 3, the kind; around them a number of two bytes, 8 bytes, 4 bytes, a text.
    spec = bytes([0x08, 0xAC, 0x02, 0x11, *range(8), 0x18, 4, 0x25, *range(4)])
    model = bytes([0x12, len(spec), *spec, 0x1A, 0, 0x4A, 2, 0x61, 0x62])
    assert Model.read(model).kind == "char"
    assert Model.read(model).write() == model


def test_the_kind_that_is_not_written_is_unigram() -> None:
    assert Model.read(bytes([0x12, 0])).kind == Model.read(b"").kind == "unigram"


def test_changed_settings_replace_those_of_the_same_number() -> None:
    spec = write_spec({3: 4, 40: 300, 45: "<unk>"})
    assert spec == bytes([0x18, 4, 0xC0, 0x02, 0xAC, 0x02, 0xEA, 0x02, 5]) + b"<unk>"
    assert dict(Spec(spec)) == {3: 4, 40: 300, 45: b"<unk>"}
    assert dict(Spec(Spec(spec).changed({40: 1, 48: "p"}))) == {3: 4, 45: b"<unk>", 40: 1, 48: b"p"}
    assert len(Spec(spec)) == 3


def test_settings_that_come_again_and_again_stay() -> None:
    twice = write_spec({30: "<a>"}) + write_spec({30: "<b>"})
    assert Spec(twice).changed({40: 1}) == twice + write_spec({40: 1})
    assert Spec(twice)[30] == b"<b>"
