import re
from typing import Any, Literal

import pytest
from pydantic import ValidationError

from nmt.config import CorpusSettings, DataSettings, TokenizerSettings, TrainingCorpusSettings, load_settings


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[2J", "\x00", "a\x85", "a\u2028b", "\ud800"])
@pytest.mark.parametrize("kind", [CorpusSettings, TrainingCorpusSettings])
def test_a_name_that_breaks_a_line_is_refused(kind: type[CorpusSettings], name: str) -> None:
    with pytest.raises(ValidationError) as caught:
        kind.model_validate({"path": ["a.tsv"], "name": name})
    [error] = caught.value.errors()
    assert error["msg"] == f"Value error, found the name {name!r}, expected no control characters and no line ends"


@pytest.mark.parametrize("name", ["news 2024", "m\u00e9t\u00e9o", "\u0646\u200c\u0627", "\U0001f600", None])
def test_any_other_name_is_taken(name: str | None) -> None:
    assert CorpusSettings(path=("a.tsv",), name=name).name == name


def test_corpora_validation_sets_and_the_test_text_have_tags_of_the_same_form() -> None:
    def data(tag: str) -> dict[str, object]:
        one = [{"path": ["a.tsv"], "tag": tag}]
        return {"corpora": one, "validation": one, "test_tag": tag}

    found = DataSettings.model_validate(data("<a>"))
    assert (found.corpora[0].tag, found.validation[0].tag, found.test_tag) == ("<a>", "<a>", "<a>")
    for wrong in ("news", "<a b>", "<>", "<<a>>", "<a>\n"):
        with pytest.raises(ValidationError) as caught:
            DataSettings.model_validate(data(wrong))
        assert {error["type"] for error in caught.value.errors()} == {"string_pattern_mismatch"}
        assert len(caught.value.errors()) == 3


@pytest.mark.parametrize("tag", ["<s>", "</s>", "<pad>", "<unk>", "<0x0A>", "<a\u2581b>", "<a\x1b>"])
def test_a_tag_that_no_piece_can_be_is_refused(tag: str) -> None:
    with pytest.raises(ValidationError) as caught:
        CorpusSettings(path=("a.tsv",), tag=tag)
    [error] = caught.value.errors()
    assert error["msg"] == (
        f"Value error, found the tag {tag!r}, which no piece of a tokenizer can be; choose another name"
    )


@pytest.mark.parametrize("table", ["corpora", "validation"])
def test_one_file_of_a_corpus_needs_no_list(table: str) -> None:
    settings = load_settings(overrides=[f'data.{table}=[{{src = "a.en", tgt = "a.fr"}}, {{path = "b.tsv"}}]'])
    first, second = getattr(settings.data, table)
    assert (first.src, first.tgt, second.path) == (("a.en",), ("a.fr",), ("b.tsv",))


def refused(**settings: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        TokenizerSettings.model_validate(settings)
    [error] = caught.value.errors()
    return re.sub("^Value error, ", "", error["msg"])


def test_one_tokenizer_for_each_side_means_two_files_and_two_vocabularies() -> None:
    assert refused(src_file="a", joint=False) == (
        "tokenizer.src_file is the tokenizer of one side: name the other with tokenizer.tgt_file"
    )
    assert refused(tgt_file="a", joint=False) == (
        "tokenizer.tgt_file is the tokenizer of one side: name the other with tokenizer.src_file"
    )
    assert refused(src_file="a", tgt_file="b") == (
        "tokenizer.src_file and tgt_file are two tokenizers: they need tokenizer.joint = false"
    )
    assert refused(file="c", src_file="a", tgt_file="b", joint=False) == (
        "tokenizer.file is for both sides: leave it out, or tokenizer.src_file and tgt_file"
    )
    assert TokenizerSettings.model_validate({"src_file": "a", "tgt_file": "b", "joint": False}).file is None


@pytest.mark.parametrize("kind", ["word", "byte"])
def test_words_and_bytes_have_no_bytes_to_fall_back_to(kind: Literal["word", "byte"]) -> None:
    assert refused(kind=kind, byte_fallback=True) == (
        "tokenizer.byte_fallback cuts characters without a piece into bytes: it needs a tokenizer of the kind unigram, "
        f'bpe or char, found tokenizer.kind = "{kind}"'
    )
    assert TokenizerSettings(kind="char", byte_fallback=True).byte_fallback


@pytest.mark.parametrize("kind", ["unigram", "bpe", "byte"])
def test_only_words_and_characters_have_a_least_frequency(kind: Literal["unigram", "bpe", "byte"]) -> None:
    assert refused(kind=kind, min_frequency=2) == (
        "tokenizer.min_frequency leaves out rare words or characters: it needs a tokenizer of the kind word or char, "
        f'found tokenizer.kind = "{kind}"'
    )
    assert TokenizerSettings(kind=kind, min_frequency=1).min_frequency == 1


@pytest.mark.parametrize("symbol", ["", "a", "<b >", "<\t>", "\u2581b"])
def test_a_symbol_has_two_characters_and_no_space(symbol: str) -> None:
    assert refused(symbols=["<b>", symbol]) == (
        f"found the symbol {symbol!r}, expected two characters or more and no space in them"
    )


@pytest.mark.parametrize("symbol", ["<pad>", "<unk>", "<s>", "</s>", "<0x0A>"])
def test_a_symbol_is_no_special_piece(symbol: str) -> None:
    assert (
        refused(symbols=[symbol]) == f"found the symbol {symbol!r}, which is the name of a special piece or of a byte"
    )


def test_a_symbol_counts_once() -> None:
    assert TokenizerSettings(symbols=("<b>", "<i>", "<b>")).symbols == ("<b>", "<i>")


def test_the_share_of_characters_is_one_that_can_be_trained_for() -> None:
    assert refused(character_coverage=0.97) == "Input should be greater than or equal to 0.98"
    assert refused(character_coverage=1.1) == "Input should be less than or equal to 1"
    assert TokenizerSettings(character_coverage=0.98).character_coverage == 0.98
