from math import exp
from pathlib import Path

import pytest
from sentencepiece import SentencePieceTrainer

from nmt.errors import ModelError
from nmt.text.tokenizer import (
    JOINT_MODEL,
    SRC_MODEL,
    TGT_MODEL,
    Kind,
    Tokenizer,
    find_tokenizer,
    load_tokenizers,
    tokenizer_files,
)
from nmt.text.tokenizer_training import train_tokenizer
from nmt.text.vocab import UNK

KINDS: tuple[Kind, ...] = ("unigram", "bpe")
EVERY_KIND: tuple[Kind, ...] = (*KINDS, "word", "char", "byte")
LINES = ["the cat sat on the mat", "a dog ran to the cat", "le chat dort", "un chien court vers le chat"] * 5


def trained(kind: Kind = "unigram", vocab_size: int = 24, symbols: tuple[str, ...] = ()) -> bytes:
    return train_tokenizer(LINES, kind=kind, vocab_size=vocab_size, symbols=symbols)


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
    tokenizer = Tokenizer(train_tokenizer([*LINES, "a < b > / p"], kind="bpe", vocab_size=40))
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
    tokenizer = Tokenizer(train_tokenizer(LINES, kind=kind, vocab_size=284, byte_fallback=True))
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
