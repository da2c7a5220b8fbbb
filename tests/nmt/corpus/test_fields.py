from typing import Any

import pytest

from nmt.corpus.fields import Field, Wanted, describe, first_line, is_language, shown
from nmt.errors import DataError

LANGUAGES = Wanted(src_lang="en", tgt_lang="fr")


@pytest.mark.parametrize(
    ("tree", "wanted", "expected"),
    [
        ({"id": 1, "src": "", "tgt": ""}, Wanted(), (("src",), ("tgt",))),
        ({"target": "", "source": ""}, Wanted(), (("source",), ("target",))),
        ({"src": "", "tgt": "", "source": "", "target": ""}, Wanted(), (("src",), ("tgt",))),
        ({"row": {"src": "", "tgt": ""}}, Wanted(), (("row", "src"), ("row", "tgt"))),
        ({"fr": "", "en": "", "src": "", "tgt": ""}, LANGUAGES, (("en",), ("fr",))),
        ({"src": "", "tgt": ""}, LANGUAGES, (("src",), ("tgt",))),
        ({"translation": {"fr": "", "de": "", "en": ""}}, LANGUAGES, (("translation", "en"), ("translation", "fr"))),
        ({"en": "", "translation": {"en": "", "fr": ""}}, LANGUAGES, (("translation", "en"), ("translation", "fr"))),
        ({"EN_us": "", "fr": ""}, Wanted(src_lang="en-US", tgt_lang="fr"), (("EN_us",), ("fr",))),
        ({"a": "", "b": {"c": {"d": ""}}}, Wanted("a", "b.c.d", "en", "fr"), (("a",), ("b", "c", "d"))),
        ({"b.c": "", "b": {"c": "", "d.e": ""}}, Wanted("b.c", "b.d.e"), (("b.c",), ("b", "d.e"))),
    ],
)
def test_fields_are_named_or_guessed(tree: dict[str, Any], wanted: Wanted, expected: tuple[Field, Field]) -> None:
    assert wanted.find(tree, "here") == expected


@pytest.mark.parametrize(
    ("tree", "wanted", "message"),
    [
        (
            {"en": "", "translation": {"fr": "", "de": ""}},
            Wanted(),
            "a, line 1: found the fields en, translation.fr, translation.de; expected src and tgt, source and target, "
            "or languages that src_lang and tgt_lang name; src_field and tgt_field name any others",
        ),
        (
            {"en": ""},
            LANGUAGES,
            "a, line 1: found the fields en; expected en and fr, src and tgt, source and target; "
            "src_field and tgt_field name any others",
        ),
        ({"src": "", "tgt": ""}, Wanted("src", "t.gt"), "a, line 1: found the fields src, tgt; expected src and t.gt"),
        ({}, Wanted("src", "tgt"), "a, line 1: found no fields; expected src and tgt"),
    ],
)
def test_fields_that_are_not_there_are_an_error_with_those_that_are(
    tree: dict[str, Any], wanted: Wanted, message: str
) -> None:
    with pytest.raises(DataError) as caught:
        wanted.find(tree, "a, line 1")
    assert str(caught.value) == message


def test_names_from_a_file_are_shown_in_one_line_and_shortened() -> None:
    assert [shown(name) for name in ("a b", "a\nb", "\ud800", "", "x" * 50)] == [
        "a b",
        r"'a\nb'",
        r"'\ud800'",
        "''",
        "x" * 40 + "…",
    ]
    assert describe({str(number): "" for number in range(20)}).endswith("10, 11 and 8 more")


def test_an_error_of_a_library_is_its_first_line_or_its_name() -> None:
    assert first_line(ValueError("one\n\ntwo")) == "one"
    assert first_line(ValueError()) == "ValueError"
    assert first_line(ValueError("a\0\ud800\u00e9")) == r"a\x00\ud800" + "\u00e9"


def test_a_language_is_itself_and_its_varieties() -> None:
    assert [is_language(found, "en") for found in ("en", "EN-us", "en_GB", "eng", "fr")] == [True] * 3 + [False] * 2
    assert [is_language(found, "pt-BR") for found in ("pt_br", "pt", "pt-PT")] == [True, False, False]
