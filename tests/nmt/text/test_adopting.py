import io
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

from nmt.errors import ModelError
from nmt.text.tokenizer import Model, Piece, Tokenizer, Type
from nmt.text.tokenizer_training import (
    BYTE_PIECES,
    TokenizerPlan,
    adopt_model,
    load_any,
    make_byte_model,
    train_tokenizer,
    with_pieces,
)
from nmt.text.vocab import UNK

LINES = ["the cat sat on the mat", "a dog ran to the café", "le chat dort", "un chien court vers le chat"] * 5
SPECIALS = ["<pad>", "<unk>", "<s>", "</s>"]
ELSEWHERE: dict[str, dict[str, Any]] = {
    "unigram with defaults": {"model_type": "unigram", "vocab_size": 27},
    "bpe like T5": {"model_type": "bpe", "vocab_size": 40, "pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1},
    "bpe with bytes": {
        "model_type": "bpe",
        "vocab_size": 310,
        "byte_fallback": True,
        "user_defined_symbols": ["<b>", "[NUM]"],
        "control_symbols": ["<2fr>", "<pad>"],
    },
    "unigram with bytes": {"model_type": "unigram", "vocab_size": 285, "byte_fallback": True},
    "unigram with rules": {
        "model_type": "unigram",
        "vocab_size": 30,
        "pad_id": 3,
        "pad_piece": "[PAD]",
        "unk_piece": "[UNK]",
        "normalization_rule_name": "nmt_nfkc_cf",
        "user_defined_symbols": ["<b>"],
    },
    "bpe with spaces": {
        "model_type": "bpe",
        "vocab_size": 40,
        "remove_extra_whitespaces": False,
        "add_dummy_prefix": False,
        "normalization_rule_name": "identity",
    },
}
NAMES = tuple(ELSEWHERE)
TEXTS = ["the cat", "THE \ufb01at 走 <b>x [NUM]", "", "\u2581 a\tb", "<pad></s> <s><unk>", "  two  spaces "]


def trained(**options: Any) -> bytes:
    model = io.BytesIO()
    SentencePieceTrainer.train(sentence_iterator=iter(LINES), model_writer=model, minloglevel=2, **options)
    return model.getvalue()


@cache
def both(name: str) -> tuple[SentencePieceProcessor, SentencePieceProcessor, Tokenizer]:
    original = trained(**ELSEWHERE[name])
    adopted = adopt_model(original)
    return SentencePieceProcessor(model_proto=original), SentencePieceProcessor(model_proto=adopted), Tokenizer(adopted)


def check_same(name: str, text: str) -> None:
    old, new, tokenizer = both(name)
    pieces = old.encode(text, out_type=str)
    assert new.encode(text, out_type=str) == pieces
    [ids] = tokenizer.encode([text])
    assert [tokenizer.pieces[index] for index in ids if index != UNK] == [
        piece for piece, index in zip(pieces, old.encode(text), strict=True) if index != old.unk_id()
    ]
    assert tokenizer.decode([ids]) == [old.decode(old.encode(text))]
    assert len(tokenizer.split(text)) == len(ids)


@pytest.mark.parametrize("name", NAMES)
def test_the_special_pieces_come_first_and_the_others_keep_their_order(name: str) -> None:
    old, _, tokenizer = both(name)
    assert tokenizer.pieces[:4] == SPECIALS
    before = [old.id_to_piece(index) for index in range(len(old))]
    specials = {old.pad_id(), old.unk_id(), old.bos_id(), old.eos_id()}
    others = [piece for index, piece in enumerate(before) if index not in specials and piece != "<pad>"]
    assert tokenizer.pieces[4:] == others


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("text", TEXTS)
def test_text_is_cut_and_joined_as_by_the_model_itself(name: str, text: str) -> None:
    check_same(name, text)


@pytest.mark.parametrize("name", NAMES)
@hypothesis_settings(max_examples=50)
@given(text=st.text(st.one_of(st.sampled_from("the cat\u2581éA\t<b>"), st.characters(blacklist_categories=("Cs",)))))
def test_any_text_is_cut_and_joined_as_by_the_model_itself(name: str, text: str) -> None:
    check_same(name, text)


@pytest.mark.parametrize("name", ["bpe with bytes", "unigram with bytes"])
@hypothesis_settings(max_examples=50)
@given(text=st.text(st.characters(blacklist_categories=("Cs",))))
def test_with_bytes_nothing_is_unknown(name: str, text: str) -> None:
    _, _, tokenizer = both(name)
    assert tokenizer.has_bytes
    assert UNK not in tokenizer.encode([text])[0]


def test_rules_of_a_model_hold_for_words_and_characters_too() -> None:
    rules = {"vocab_size": 99, "hard_vocab_limit": False, "normalization_rule_name": "nmt_nfkc_cf"}
    words = Tokenizer(adopt_model(trained(model_type="word", **rules)))
    assert words.encode(["THE  cat", "\ufb01at"]) == [words.encode(["the cat"])[0], [UNK]]
    assert UNK not in words.encode(["THE"])[0]
    characters = Tokenizer(adopt_model(trained(model_type="char", **rules)))
    assert characters.split("THE \ufb01") == ["\u2581", "t", "h", "e", "\u2581", "f", "i"]
    assert UNK not in characters.encode(["THE"])[0]


@pytest.mark.parametrize("kind", ["unigram", "bpe", "word", "char", "byte"])
def test_a_model_of_ours_stays_as_it_is(kind: Any) -> None:
    model = train_tokenizer(LINES, TokenizerPlan(kind, 30))
    assert adopt_model(model) is model


def test_special_pieces_of_other_names_get_ours() -> None:
    model = trained(vocab_size=28, pad_id=0, unk_id=1, bos_id=2, eos_id=3, bos_piece="[BOS]", unk_surface="?")
    tokenizer = Tokenizer(adopt_model(model))
    assert tokenizer.pieces[:4] == SPECIALS
    assert tokenizer.decode([[UNK]]) == [" \u2047 "]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"treat_whitespace_as_suffix": True, "vocab_size": 27},
            "it marks the ends of words (treat_whitespace_as_suff",
        ),
        (
            {"model_type": "word", "byte_fallback": True, "hard_vocab_limit": False},
            "cuts words that it does not know in",
        ),
        ({"user_defined_symbols": "<pad>", "vocab_size": 28}, "its piece <pad>, number 3, is another than the special"),
        ({"bos_piece": "[B]", "control_symbols": "<s>", "vocab_size": 28}, "its piece <s>, number 3, is another than"),
    ],
)
def test_a_model_that_cannot_be_used_is_refused_with_the_reason(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    (tmp_path / "own.model").write_bytes(trained(**options))
    with pytest.raises(ModelError) as refused:
        load_any(tmp_path / "own.model")
    assert str(refused.value).startswith(f"{tmp_path}/own.model cannot be used as a tokenizer: ")
    assert message in str(refused.value)


def test_a_model_that_leaves_spaces_is_refused() -> None:
    model = Model(trained(vocab_size=27))
    model.message.normalizer_spec.escape_whitespaces = False
    with pytest.raises(
        ModelError, match=r"^it leaves spaces as they are \(escape_whitespaces\), expected marks in their"
    ):
        adopt_model(with_pieces(model, model.pieces, {}))


def test_models_of_characters_with_odd_pieces_are_refused() -> None:
    characters = Model(train_tokenizer(LINES, TokenizerPlan("char", 99)))
    symbols = [Piece(f"<{number}>", type=Type.USER_DEFINED) for number in range(2049)]
    with pytest.raises(ModelError, match=r"^it has 2,049 symbols, expected at most 2,048 in a model of characters$"):
        adopt_model(with_pieces(characters, [*characters.pieces, *symbols], {}))
    with pytest.raises(ModelError, match=r"^its pieces of bytes are not those of all 256 in order$"):
        adopt_model(with_pieces(characters, [*characters.pieces, *BYTE_PIECES[::-1]], {"byte_fallback": True}))
    specials = characters.pieces[:4]
    with pytest.raises(ModelError, match=r"^it is a model of bytes, but does to spaces what no such model here does$"):
        adopt_model(with_pieces(characters, [*specials, *BYTE_PIECES], {"byte_fallback": True}))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "^cannot read tokenizer .*own: No such file"),
        (
            make_byte_model(()).replace(b"<0x41>", b"<0x\xff1>"),
            "own cannot be used as a tokenizer: not a SentencePiece model$",
        ),
        (b"no model", "own cannot be used as a tokenizer: not a SentencePiece model$"),
        (b"", "own cannot be used as a tokenizer: not a SentencePiece model, but an empty file$"),
    ],
)
def test_what_is_no_model_is_an_error_that_names_it(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / "own").write_bytes(content)
    with pytest.raises(ModelError, match=message):
        load_any(tmp_path / "own")
