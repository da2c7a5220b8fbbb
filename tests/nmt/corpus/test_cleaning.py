import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmt.config.data import DataSettings
from nmt.corpus.cleaning import REASONS, Cleaner, Reason, make_cleaner
from nmt.corpus.hashes import Overlap
from nmt.errors import ConfigError
from nmt.io.lines import Pair

HELDOUT = Overlap.from_sets({"validation": [Pair("held out", "zurückgehalten", "f", 1)], "test": []})
STRICT = {"max_symbol_share": 0.5, "min_script_share": 0.5, "src_lang": "en", "tgt_lang": "ru"}


def judge(*sides: tuple[str, str], **settings: Any) -> list[Reason | None]:
    """Say what a cleaner with these settings, and else the default ones, says of pairs."""
    pairs = [Pair(src, tgt, "f", number) for number, (src, tgt) in enumerate(sides, start=1)]
    return make_cleaner(DataSettings(**settings), HELDOUT).reasons(pairs)


def test_a_pair_with_an_empty_side_is_empty() -> None:
    assert judge(("", "b"), ("a", ""), ("", "")) == ["empty"] * 3


def test_the_longest_side_may_have_as_many_characters_as_allowed() -> None:
    sides = (("a" * 10, "b" * 10), ("a" * 10, "b" * 11), ("a" * 11, "b" * 10))
    assert judge(*sides, max_characters=10) == [None, "too_long", "too_long"]


def test_the_length_ratio_holds_both_ways() -> None:
    sides = (("a" * 3, "b" * 9), ("a" * 3, "b" * 10), ("a" * 10, "b" * 3))
    assert judge(*sides, max_length_ratio=3.0) == [None, "length_ratio", "length_ratio"]


def test_a_copy_is_rejected_unless_copies_are_wanted() -> None:
    assert judge(("same", "same"), ("same", "Same")) == ["copy", None]
    assert judge(("same", "same"), drop_copies=False) == [None]


def test_a_phrase_may_stand_as_often_in_a_row_as_allowed_in_one_side_only() -> None:
    sides = (
        ("a dog " * 3 + "runs", "un chien court"),
        ("a dog " * 4 + "runs", "un chien court"),
        ("a dog runs", "Court court, COURT court"),
        ("no, no, no, no, no", "non, non, non, non !"),
        ("a dog a cat a dog a cat a dog", "un chien"),
    )
    assert judge(*sides, max_repeats=3) == [None, "repetition", "repetition", None, None]


def test_characters_of_scripts_without_spaces_are_words_that_may_be_repeated() -> None:
    assert judge(("a dog", "狗狗狗"), ("a dog", "狗狗狗狗"), max_repeats=3) == [None, "repetition"]


def test_numbers_may_have_as_many_zeros_as_they_like() -> None:
    assert judge(("1 000 000 000 000 000", "a billiard"), max_repeats=2) == [None]


def test_by_default_a_pair_is_judged_by_its_lengths_alone() -> None:
    assert (
        judge(("123 !?", "456 !?"), ("где", "中文"), ("held out", "zurückgehalten"), ("a", "b"), ("a", "b"))
        == [None] * 5
    )


def test_a_side_may_have_as_large_a_share_of_symbols_as_allowed() -> None:
    sides = (("ab12", "abcd"), ("ab123", "abcde"), ("abcde", "ab123"), ("42", "42."), ("a 1 b 2", "ab 12"))
    assert judge(*sides, max_symbol_share=0.5) == [None, "symbols", "symbols", "symbols", None]


def test_without_any_symbols_allowed_letters_stay() -> None:
    assert judge(("ab", "cd"), ("ab.", "cd"), max_symbol_share=0.0) == [None, "symbols"]


def test_each_side_needs_letters_of_its_own_script() -> None:
    sides = (
        ("where", "где"),
        ("где", "where"),
        ("where", "where?"),
        ("где?", "где"),
        ("ab где", "где"),
        ("a где", "где"),
    )
    settings = {"min_script_share": 0.4, "src_lang": "en", "tgt_lang": "ru"}
    assert judge(*sides, **settings) == [None, "script", "script", "script", None, "script"]


def test_a_side_without_letters_has_no_wrong_script() -> None:
    assert judge(("42", "где"), min_script_share=1.0, src_lang="en", tgt_lang="ru") == [None]


def test_urls_have_no_script() -> None:
    sides = (("See https://a.example/page now.", "См. https://a.example/page."), ("See www.a.example", "www.a.example"))
    assert judge(*sides, min_script_share=0.9, src_lang="en", tgt_lang="ru") == [None, None]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, r"^data\.src_lang is not set, but data\.min_script_share needs it; expected"),
        ({"src_lang": "en"}, r"^data\.tgt_lang is not set, but data\.min_script_share needs it; expected"),
        (
            {"src_lang": "en", "tgt_lang": "xx"},
            r"^data\.tgt_lang is 'xx', whose script data\.min_script_share does not",
        ),
    ],
)
def test_a_script_needs_languages_that_are_known(settings: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        judge(min_script_share=0.1, **settings)


def test_languages_matter_only_where_a_rule_asks_for_them() -> None:
    assert judge(("a", "b"), src_lang="xx", tgt_lang=None) == [None]


def test_pairs_in_other_languages_are_rejected_where_that_is_asked_for() -> None:
    sides = (
        ("Two men are standing in the street.", "Deux hommes se tiennent debout dans la rue."),
        ("Deux hommes se tiennent debout dans la rue.", "Two men are standing in the street."),
        ("Two men are standing in the street.", "Zwei Männer stehen auf der Straße."),
    )
    settings = {"identify_languages": True, "src_lang": "en", "tgt_lang": "fr"}
    assert judge(*sides, **settings) == [None, "language", "language"]


def test_overlap_is_removed_on_request_only_and_only_where_asked() -> None:
    sides = (("Held  out", "x"), ("x", "zurückgehalten"), ("held out", "zurückgehalten"), ("x", "y"))
    assert judge(*sides, max_length_ratio=99) == [None] * 4
    assert judge(*sides, max_length_ratio=99, drop_overlap=("source",)) == ["overlap", None, "overlap", None]
    assert judge(*sides, max_length_ratio=99, drop_overlap=("target",)) == [None, "overlap", "overlap", None]
    assert judge(*sides, max_length_ratio=99, drop_overlap=("pair",)) == [None, None, "overlap", None]


def test_the_reasons_are_in_the_order_in_which_they_are_tried() -> None:
    assert " ".join(REASONS) == (
        "broken empty too_long length_ratio copy repetition symbols script language overlap duplicate too_many_pieces"
    )


def test_the_first_reason_that_holds_is_the_one_named() -> None:
    sides = (("", "b" * 20), ("a", "b" * 20), ("a", "b" * 9), ("12", "12"), ("12", "123"), ("held out", "bbb"))
    settings = {**STRICT, "max_characters": 10, "drop_overlap": ("source",)}
    assert judge(*sides, **settings) == ["empty", "too_long", "length_ratio", "copy", "symbols", "script"]
    assert judge(("held out", "где"), **settings) == ["overlap"]


@given(st.lists(st.tuples(*[st.text(st.sampled_from("aдя1! \u0301\ud800\u0378🙂"), max_size=8)] * 2), max_size=8))
def test_a_pair_is_judged_as_if_it_were_alone(sides: list[tuple[str, str]]) -> None:
    settings = {**STRICT, "drop_overlap": ("source", "pair"), "max_length_ratio": 3.0}
    assert judge(*sides, **settings) == [judge(both, **settings)[0] for both in sides]


def test_more_pairs_than_are_filtered_at_a_time_are_judged_alike() -> None:
    sides = [("ab", "cd"), ("12", "cd"), ("", "cd")] * 1000
    assert judge(*sides, max_symbol_share=0.5) == [None, "symbols", "empty"] * 1000


def test_a_cleaner_forgets_and_goes_to_other_processes() -> None:
    settings = DataSettings(**STRICT, drop_overlap=("pair",), identify_languages=True)
    cleaner: Cleaner = pickle.loads(pickle.dumps(make_cleaner(settings, HELDOUT)))
    pairs = [Pair("a word", "слово", "f", 1), Pair("12", "слово", "f", 2)]
    assert cleaner.reasons(pairs) == cleaner.reasons(pairs) == [None, "symbols"]
    assert cleaner.reasons([]) == []
