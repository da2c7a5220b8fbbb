import io
from pathlib import Path

import pytest
import torch
from sentencepiece import SentencePieceTrainer

from nmt.errors import ConfigError
from nmt.io.lines import normalise
from nmt.markup.spans import compile_pattern
from nmt.search.forbidden import ForbiddenWords
from nmt.text.tokenizer import Kind, Tokenizer, Tokenizers
from nmt.text.tokenizer_training import TokenizerPlan, train_tokenizer
from nmt.text.vocab import EOS, UNK
from nmt.translate import Options, Translator
from nmt.translate.options import Terminology
from nmt.translate.words import check_tag, check_words, continuing, forbid, opening, spell, spell_within

from .conftest import EchoWith

CPU = torch.device("cpu")


def test_words_are_spelled_as_text_is(tokenizers: Tokenizers) -> None:
    assert spell(tokenizers.tgt, ["dog", " the  cat"], normalise) == tuple(
        map(tuple, tokenizers.tgt.encode(["dog", "the cat"]))
    )
    assert spell(tokenizers.tgt, ["e\u0301"], normalise) == spell(tokenizers.tgt, ["\u00e9"], normalise)
    assert spell(tokenizers.tgt, [], normalise) == ()


def test_letters_and_digits_without_a_space_before_them_continue_a_word() -> None:
    text = ["a dog runs , a cat - 77 [NUM] e\u0301 東京 ねこ ที่"] * 3
    tokenizer = Tokenizer(train_tokenizer(text, TokenizerPlan("bpe", 56, symbols=["[NUM]"])))
    found = {tokenizer.pieces[index] for index in continuing(tokenizer)}
    assert {"d", "og", "7", "\u0301", "\u0e48"} <= found
    assert not found & {"<s>", "[NUM]", "▁", "▁d", ",", "-", "東", "ね"}


@pytest.mark.parametrize("kind", ["bpe", "unigram", "char", "byte", "word"])
def test_no_space_is_required_before_words_of_scripts_without_spaces(kind: Kind) -> None:
    text = ["他卖苹果", "苹果很好", "我吃苹果", "我吃 苹果", "a fig"] * 9
    tokenizer = Tokenizer(train_tokenizer(text, TokenizerPlan(kind, 20 if kind in ("bpe", "unigram") else 500)))
    fruit, fig = spell_within(tokenizer, ["苹果", "fig"], normalise)
    assert tokenizer.decode([(*tokenizer.encode(["我吃"])[0], *fruit)]) == [
        "我吃 苹果" if kind == "word" else "我吃苹果"
    ]
    assert (fig,) == spell(tokenizer, ["fig"], normalise)


def test_pieces_that_open_a_text_are_the_same_without_their_mark() -> None:
    text = ["苹果很好", "他卖苹果", "苹果很贵", "a fig", "fig a"] * 9
    tokenizer = Tokenizer(train_tokenizer(text, TokenizerPlan("bpe", 26)))
    pieces = tokenizer.pieces
    assert {(pieces[opened], pieces[index]) for opened, index in opening(tokenizer).items()} == {
        ("▁他", "他"),
        ("▁苹果", "苹果"),
    }


@pytest.mark.parametrize("blank", ["", " \t", "\u2581"])
def test_blank_words_are_refused(tokenizers: Tokenizers, blank: str) -> None:
    for options, which in (
        (Options(required=("dog", blank)), "must contain"),
        (Options(forbidden=("dog", blank)), "must not contain"),
    ):
        with pytest.raises(ConfigError) as caught:
            check_words(tokenizers.tgt, options, normalise)
        assert str(caught.value) == f"found the blank word {blank!r} among those that translations {which}"


def test_words_that_cannot_be_written_are_refused(echo: Translator, tmp_path: Path) -> None:
    expected = "^translations cannot be made to contain '{}': the vocabulary of the model lacks a character of it$"
    with pytest.raises(ConfigError, match=expected.format("走 dog")):
        echo.translate([], Options(required=("dog", "走 dog")))
    terms = tmp_path / "terms.tsv"
    terms.write_text("cat\tdog\ndog\tWölfe\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=expected.format("Wölfe")):
        echo.translate([], Options(terms=Terminology.load(terms)))


def test_words_that_are_never_written_anyway_can_be_forbidden(echo: Translator) -> None:
    [[found]] = echo.translate(["a dog"], Options(forbidden=("走",)))
    assert found.text == "a dog"


def test_a_word_is_not_required_and_forbidden(tokenizers: Tokenizers) -> None:
    expected = "^translations must contain 'the dog runs', but must not contain 'dog'$"
    with pytest.raises(ConfigError, match=expected):
        check_words(tokenizers.tgt, Options(required=("the dog runs",), forbidden=("cat", "dog")), normalise)
    check_words(tokenizers.tgt, Options(required=("dog",), forbidden=("the dog", "dogs", "do", "Dog")), normalise)
    check_words(tokenizers.tgt, Options(required=("the dogs",), forbidden=("dog", "the dog")), normalise)


def masked(table: ForbiddenWords, row: list[int]) -> list[int]:
    """Return the ids that may not come behind those of a translation, special ones aside."""
    written, length, last = torch.tensor([[[*row, 0]]]), torch.tensor([len(row)]), torch.tensor([False])
    [[state]] = table.rows(written, length, None, last=last).tolist()
    return [index for index in table.masks[state].nonzero().squeeze(1).tolist() if index >= EOS]


def test_forbidden_words_end_before_placeholders(tokenizers: Tokenizers) -> None:
    tokenizer = tokenizers.tgt
    [dog], [number] = tokenizer.encode(["dog"]), tokenizer.encode(["[NUM]"])
    table = forbid(tokenizer, ["dog", "NUM"], placeholders=["number"], device=CPU)
    assert number[-1] == tokenizer.pieces.index("[NUM]")
    assert {EOS, UNK, number[-1]} <= {UNK, *masked(table, dog)}
    assert number[-1] not in masked(table, [])
    without = forbid(tokenizer, ["NUM"], placeholders=(), device=CPU)
    assert number[-1] in masked(without, [])


def test_pieces_for_bytes_are_bytes() -> None:
    model = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(["a Bär <0x41> a Bär <0x41>"] * 3),
        model_writer=model,
        model_type="bpe",
        vocab_size=273,
        byte_fallback=True,
        user_defined_symbols=["<0x4141>"],
        pad_id=0,
        unk_id=1,
        bos_id=2,
        eos_id=3,
        minloglevel=2,
    )
    tokenizer = Tokenizer(model.getvalue())
    ids = {piece: index for index, piece in enumerate(tokenizer.pieces)}
    table = forbid(tokenizer, ["Bär", "A"], placeholders=(), device=CPU)
    assert EOS in masked(table, [ids[piece] for piece in ("▁", "B", "<0xC3>", "<0xA4>", "r")])
    assert EOS not in masked(table, [ids[piece] for piece in ("▁", "B", "<0xC3>", "<0xB6>", "r")])
    assert EOS in masked(table, [ids[piece] for piece in ("▁", "<0x41>")])
    assert EOS not in masked(table, [ids[piece] for piece in ("▁", "<0x41>", "a")])


def test_a_tag_has_to_be_a_symbol_of_the_source(echo: Translator) -> None:
    [[found]] = echo.translate(["a dog"], Options(tag="[NUM]"))
    assert found.text == "[NUM] a dog"
    with pytest.raises(ConfigError, match=r"^the model knows no tag <news>$"):
        echo.translate(["a dog"], Options(tag="<news>"))
    bytewise = Tokenizer(train_tokenizer([], TokenizerPlan("byte", 16, symbols=["<web>", "<law>", "[NUM]"])))
    with pytest.raises(ConfigError, match=r"^the model knows no tag <news>; it has <law>, <web>$"):
        check_tag(bytewise, "<news>")
    check_tag(bytewise, "<web>")
    words = Tokenizer(train_tokenizer(["a dog"], TokenizerPlan("word", 16, symbols=["<web>"])))
    check_tag(words, "<web>")
    with pytest.raises(ConfigError, match=r"^the model knows no tag <news>$"):
        check_tag(words, "<news>")


BYTEWISE = Tokenizer(train_tokenizer([], TokenizerPlan("byte", 16, symbols=["<web>"])))


def test_bytes_are_translated_aligned_and_shown(echo_with: EchoWith) -> None:
    echo = echo_with(tokenizer=BYTEWISE)
    [[found]] = echo.translate(["un été 走"], Options(alignment=True, details=True))
    assert (found.text, found.alignment) == ("un été 走", ((0, 0), (1, 1), (2, 2)))
    assert found.details is not None
    assert found.details[0].src == (
        "▁",
        *"un",
        "▁",
        "<0xC3>",
        "<0xA9>",
        "t",
        "<0xC3>",
        "<0xA9>",
        "▁",
        "<0xE8>",
        "<0xB5>",
        "<0xB0>",
    )
    assert found.details[0].tgt == found.details[0].src


def test_bytes_bear_markup_tags_and_cuts(echo_with: EchoWith) -> None:
    echo = echo_with("data.max_pieces=20", tokenizer=BYTEWISE)
    [[found]] = echo.translate(["un <b>été</b> 走 " + "東京 " * 9], Options(tag="<web>", markup=True))
    parts = found.text.split("<web> ")
    assert "".join(parts).replace(" ", "") == "un<b>été</b>走" + "東京" * 9
    assert found.parts == len(parts) - 1 > 3
    assert found.cut


def test_words_are_required_and_forbidden_in_bytes(echo_with: EchoWith) -> None:
    echo = echo_with("search.beam_size=3", tokenizer=BYTEWISE)
    [[found]] = echo.translate(["eté"], Options(required=("été",)))
    assert "été" in found.text.split()
    [[found]] = echo.translate(["un été"], Options(forbidden=("été",)))
    assert "été" not in found.text.split()


def test_a_tag_goes_together_with_terms_and_markup(echo_with: EchoWith, tmp_path: Path) -> None:
    (tmp_path / "terms.tsv").write_text("dog\tcat\n", encoding="utf-8")
    terms = Terminology.load(tmp_path / "terms.tsv")
    options = Options(tag="[URL]", markup=True, keep=compile_pattern("@[a-z]"), terms=terms)
    [[found], [other]] = echo_with("search.beam_size=4").translate(["a <b>dog</b> @x runs .", "a <b>dog</b>"], options)
    assert "cat" in found.text.replace("<b>", " ").replace("</b>", " ").split()
    assert all(found.text.count(span) == 1 for span in ("<b>", "</b>", "@x"))
    assert other.text.count("<b>") == 1
