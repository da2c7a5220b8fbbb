import io
from math import exp
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sentencepiece import SentencePieceTrainer

from nmt.errors import ModelError
from nmt.text.tokenizer import (
    JOINT_MODEL,
    SRC_MODEL,
    TGT_MODEL,
    Characters,
    Kind,
    Model,
    Piece,
    Tokenizer,
    Type,
    Words,
    find_tokenizer,
    load_tokenizers,
    tokenizer_files,
)
from nmt.text.tokenizer_training import BYTE_PIECES, TokenizerPlan, train_tokenizer, with_pieces
from nmt.text.vocab import BOS, EOS, PAD, UNK

KINDS: tuple[Kind, ...] = ("unigram", "bpe")
EVERY_KIND: tuple[Kind, ...] = (*KINDS, "word", "char", "byte")
LINES = ["the cat sat on the mat", "a dog ran to the cat", "le chat dort", "un chien court vers le chat"] * 5


def trained(kind: Kind = "unigram", vocab_size: int = 24, symbols: tuple[str, ...] = ()) -> bytes:
    return train_tokenizer(LINES, TokenizerPlan(kind, vocab_size, symbols=symbols))


@pytest.mark.parametrize("kind", KINDS)
def test_the_special_ids_come_first(kind: Kind) -> None:
    tokenizer = Tokenizer(trained(kind, symbols=("[NUM]",)))
    assert len(tokenizer) == 24
    assert tokenizer.pieces[:5] == ["<pad>", "<unk>", "<s>", "</s>", "[NUM]"]


def test_scores_are_log_probabilities_of_a_unigram_model() -> None:
    scores = Tokenizer(trained("unigram")).scores
    assert len(scores) == 24
    assert scores[:4] == [0.0] * 4
    assert scores[4:] == sorted(scores[4:], reverse=True)
    assert 0.8 < sum(exp(score) for score in scores[4:]) < 1.2


def test_scores_of_bpe_count_down() -> None:
    scores = Tokenizer(trained("bpe", symbols=("[NUM]",))).scores
    assert scores == [0, 0, 0, 0, 0, *range(0, -19, -1)]


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_decoding_gives_the_text_back(kind: Kind) -> None:
    tokenizer = Tokenizer(trained(kind))
    assert tokenizer.decode(tokenizer.encode([*LINES[:4], ""])) == [*LINES[:4], ""]
    assert tokenizer.encode([]) == []
    assert tokenizer.decode([]) == []


@pytest.mark.parametrize("kind", KINDS)
def test_split_gives_the_pieces_as_they_stand_in_the_text(kind: Kind) -> None:
    tokenizer = Tokenizer(trained(kind, symbols=("[NUM]",)))
    for text in (*LINES[:4], "the [NUM] cat", "the 走東 cat", "<s> \u2047 the", "", "\u2581", "  the\0 cat "):
        pieces, [ids] = tokenizer.split(text), tokenizer.encode([text])
        assert len(pieces) == len(ids)
        for piece, index in zip(pieces, ids, strict=True):
            assert index == UNK or piece == tokenizer.pieces[index]
    assert tokenizer.split("the 走東") == [*tokenizer.split("the"), "\u2581", "走東"]
    assert "".join(tokenizer.split(LINES[0])).replace("\u2581", " ") == f" {LINES[0]}"


def test_words_that_look_like_special_pieces_are_text() -> None:
    tokenizer = Tokenizer(train_tokenizer([*LINES, "a < b > / p"], TokenizerPlan("bpe", 40)))
    ids = tokenizer.encode(["<s> the </s> <pad>"])
    assert min(ids[0]) > 3
    assert tokenizer.decode(ids) == ["<s> the </s> <pad>"]


def test_special_ids_leave_no_trace_in_text() -> None:
    tokenizer = Tokenizer(trained())
    assert tokenizer.decode([[2, *tokenizer.encode(["the cat"])[0], 3, 0]]) == ["the cat"]


def test_a_placeholder_is_one_piece_wherever_it_stands() -> None:
    tokenizer = Tokenizer(trained(symbols=("[NUM]",)))
    ids = tokenizer.encode(["the [NUM]cat[NUM]"])[0]
    assert ids.count(4) == 2
    assert tokenizer.decode([ids]) == ["the [NUM]cat[NUM]"]


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_flat_ids_are_those_of_the_texts_end_to_end(kind: Kind) -> None:
    tokenizer = Tokenizer(trained(kind))
    texts = [*LINES[:4], "", "走 the", "  the\t\0 "]
    flat = tokenizer.encode_flat(texts)
    assert [flat.row(index) for index in range(len(flat))] == tokenizer.encode(texts)
    assert flat.values.dtype == flat.lengths.dtype == "int32"
    assert len(tokenizer.encode_flat([])) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_byte_is_a_lone_one_where_it_stands_in_text_and_has_a_name(kind: Kind) -> None:
    tokenizer = Tokenizer(train_tokenizer(LINES, TokenizerPlan(kind, 284, byte_fallback=True)))
    [ids] = tokenizer.encode(["the é"])
    assert tokenizer.split("the é")[-3:] == ["\u2581", "\udcc3", "\udca9"]
    assert [tokenizer.surfaces[index] for index in ids] == tokenizer.split("the é")
    assert [tokenizer.pieces[index] for index in ids[-2:]] == ["<0xC3>", "<0xA9>"]
    assert tokenizer.decode([ids]) == ["the é"]
    assert tokenizer.has_bytes
    assert not Tokenizer(trained(kind)).has_bytes


def test_symbols_are_what_users_defined_and_whole_pieces_all_that_are_not_normal() -> None:
    tokenizer = Tokenizer(trained(symbols=("[NUM]", "<b>")))
    assert tokenizer.symbols == {"[NUM]", "<b>"}
    assert tokenizer.whole == {"<pad>", "<unk>", "<s>", "</s>", "[NUM]", "<b>"}
    assert {"the", "cat"} <= Tokenizer(trained("word", 99)).symbols


def test_joint_and_separate_tokenizers_are_found_in_their_folder(tmp_path: Path) -> None:
    (tmp_path / SRC_MODEL).write_bytes(trained(vocab_size=24))
    (tmp_path / TGT_MODEL).write_bytes(trained(vocab_size=25))
    separate = load_tokenizers(tmp_path)
    assert (len(separate.src), len(separate.tgt), separate.joint) == (24, 25, False)
    assert tokenizer_files(tmp_path) == [tmp_path / SRC_MODEL, tmp_path / TGT_MODEL]

    (tmp_path / JOINT_MODEL).write_bytes(trained(vocab_size=26))
    joint = load_tokenizers(tmp_path)
    assert (len(joint.src), joint.joint) == (26, True)
    assert tokenizer_files(tmp_path) == [tmp_path / JOINT_MODEL]


def test_a_folder_without_tokenizer_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"holds no tokenizer: expected joint\.spm\.model, or src\.spm\.model and tgt"):
        load_tokenizers(tmp_path)


def test_a_missing_model_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"^cannot read tokenizer .*none: No such file"):
        Tokenizer.load(tmp_path / "none")


def test_a_damaged_model_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "bad").write_bytes(b"no model")
    with pytest.raises(ModelError, match=r"bad cannot be used as a tokenizer: not a SentencePiece model"):
        Tokenizer.load(tmp_path / "bad")


def test_a_model_with_other_special_ids_is_an_error(tmp_path: Path) -> None:
    with (tmp_path / "foreign").open("wb") as file:
        SentencePieceTrainer.train(sentence_iterator=iter(LINES), model_writer=file, vocab_size=24, minloglevel=2)
    with pytest.raises(ModelError, match=r"ids \(-1, 0, 1, 2\), expected \(0, 1, 2, 3\)"):
        Tokenizer.load(tmp_path / "foreign")


def test_a_tokenizer_is_found_in_its_folder_or_is_the_file_itself(tmp_path: Path) -> None:
    (tmp_path / SRC_MODEL).touch()
    (tmp_path / TGT_MODEL).touch()
    assert find_tokenizer(tmp_path) == tmp_path / TGT_MODEL
    (tmp_path / JOINT_MODEL).touch()
    assert find_tokenizer(tmp_path) == tmp_path / JOINT_MODEL
    assert find_tokenizer(tmp_path / "any.model") == tmp_path / "any.model"


@pytest.mark.parametrize("kind", ["word", "char"])
def test_unknown_words_and_characters_in_a_row_are_one_each(kind: Kind) -> None:
    tokenizer = Tokenizer(trained(kind, 100))
    assert tokenizer.encode(["qq ZZ"]) == [{"word": [UNK] * 2, "char": [4, UNK, UNK, 4, UNK, UNK]}[kind]]


SPECIALS = ["<pad>", "<unk>", "<s>", "</s>"]
BYTE_NAMES = [piece.text for piece in BYTE_PIECES]
WORDS = Words([*SPECIALS, "\u2581the", "\u2581cat", "\u2581[NUM]"])
CHARACTERS = Characters([*SPECIALS, "\u2581", "a", "b", "[NUM]"])
WITH_BYTES = Characters([*SPECIALS, "[NUM]", *BYTE_NAMES, "\u2581", "a", "é"], first_byte=5)


def test_text_is_cut_at_spaces_and_each_unknown_word_counts() -> None:
    assert WORDS.encode(["the cat", "a zebra the", "The cat.", "the [NUM] [NUM]."]) == [
        [4, 5],
        [UNK, UNK, 4],
        [UNK, UNK],
        [4, 6, UNK],
    ]
    assert WORDS.split("a zebra the") == ["\u2581a", "\u2581zebra", "\u2581the"]


def test_the_word_unk_is_an_unknown_word_and_other_special_pieces_are_words_of_no_place() -> None:
    assert WORDS.encode(["<unk> cat <s> </s> <pad>"]) == [[UNK, 5, UNK, UNK, UNK]]
    assert WORDS.decode([4, UNK, 5]) == "the <unk> cat"


def test_only_spaces_and_their_marks_part_words() -> None:
    assert WORDS.split("a\tb\u00a0c\u2028d\r\0 \u2581 e\u2581f") == [
        "\u2581a\tb\u00a0c\u2028d\r\0",
        "\u2581e",
        "\u2581f",
    ]


def test_a_piece_without_a_mark_is_no_word() -> None:
    assert Words([*SPECIALS, "the", "\u2581cat"]).encode(["the cat"]) == [[UNK, 5]]


def test_text_is_cut_into_characters_and_each_unknown_one_counts() -> None:
    assert CHARACTERS.encode(["a b", "azyb"]) == [[4, 5, 4, 6], [4, 5, UNK, UNK, 6]]
    assert CHARACTERS.split("a b") == ["\u2581", "a", "\u2581", "b"]
    assert CHARACTERS.decode([4, 5, UNK, UNK, 6]) == "a\u2047\u2047b"


def test_a_symbol_is_one_character_and_the_longest_wins() -> None:
    assert CHARACTERS.encode(["a[NUM]b[N"]) == [[4, 5, 7, 6, UNK, UNK]]
    nested = Characters([*SPECIALS, "\u2581", "<b>", "<b>x", "x"])
    assert nested.encode(["<b>x<b><b"]) == [[4, 6, 5, UNK, UNK]]
    assert nested.split("<b>x<b>") == ["\u2581", "<b>x", "<b>"]


def test_a_character_without_a_piece_is_cut_into_its_bytes() -> None:
    mark, a, e_acute = 261, 262, 263
    assert WITH_BYTES.encode(["aé", "b走[NUM]", "", "\U0001f600"]) == [
        [mark, a, e_acute],
        [mark, 5 + 0x62, 5 + 0xE8, 5 + 0xB5, 5 + 0xB0, 4],
        [],
        [mark, *(5 + byte for byte in b"\xf0\x9f\x98\x80")],
    ]
    assert WITH_BYTES.split("ab走") == ["\u2581", "a", "b", "\udce8", "\udcb5", "\udcb0"]
    assert WITH_BYTES.decode([mark, a, 5 + 0xE8, 5 + 0xB5, mark, 5 + 0x20]) == "a\ufffd\ufffd  "


def test_odd_characters_are_characters() -> None:
    assert CHARACTERS.split("\n\r\u2028\0\U0001f600") == ["\u2581", "\n", "\r", "\u2028", "\0", "\U0001f600"]
    assert CHARACTERS.encode(["\n\r\u2028\0\U0001f600"]) == [[4, *[UNK] * 5]]


@pytest.mark.parametrize("units", [WORDS, CHARACTERS])
def test_special_ids_of_words_and_characters_leave_no_trace_in_text(units: Words | Characters) -> None:
    assert units.decode([BOS, 4, PAD, 5, EOS]) == units.decode([4, 5])
    assert units.decode([]) == ""
    assert units.encode(["", "   ", "\u2581"]) == [[], [], []]


@pytest.mark.parametrize("units", [WORDS, CHARACTERS, WITH_BYTES])
@given(st.lists(st.text(st.one_of(st.sampled_from("ab é"), st.characters(blacklist_categories=("Cs",)))), max_size=4))
def test_flat_ids_are_the_same_and_as_many_as_the_parts_of_the_text(
    units: Words | Characters, texts: list[str]
) -> None:
    flat, lists = units.encode_flat(texts), units.encode(texts)
    assert [flat.row(index) for index in range(len(flat))] == lists
    assert [len(units.split(text)) for text in texts] == list(map(len, lists))
    assert flat.values.dtype == flat.lengths.dtype == "int32"


@given(
    st.lists(
        st.text(st.characters(blacklist_characters=" \u2581", blacklist_categories=("Cs",)), min_size=1), max_size=5
    )
)
def test_text_of_words_comes_back(words: list[str]) -> None:
    text = " ".join(words)
    units = Words([*SPECIALS, *{f"\u2581{word}": None for word in words}])
    assert units.decode(units.encode([text])[0]) == text
    letters = Characters([*SPECIALS, "\u2581", *dict.fromkeys("".join(words))])
    assert letters.decode(letters.encode([text])[0]) == text


@given(st.lists(st.text(st.characters(blacklist_characters=" \u2581", blacklist_categories=("Cs",)), min_size=1)))
def test_with_bytes_nothing_is_unknown_and_text_comes_back(words: list[str]) -> None:
    text = " ".join(words)
    [ids] = WITH_BYTES.encode([text])
    assert UNK not in ids
    assert WITH_BYTES.decode(ids) == text


def with_the_same_pieces(model: bytes) -> bytes:
    read = Model(model)
    return with_pieces(read, read.pieces, {})


@pytest.mark.parametrize("kind", get_args(Kind))
def test_a_model_says_what_it_was_trained_as(kind: Kind) -> None:
    assert Model(train_tokenizer(["a b c"] * 9, TokenizerPlan(kind, 8))).kind == kind


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
