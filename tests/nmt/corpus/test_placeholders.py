import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmt.corpus.placeholders import Kind, mask, mask_pair, unmask

BOTH: tuple[Kind, ...] = ("number", "url")
KINDS = st.sampled_from([(), ("number",), ("url",), BOTH])
FRAGMENTS = st.sampled_from(
    ["[NUM]", "[URL]", "http://a.b/7", "www.x.org", "12:30", "1,5", "7", "[", "]", ".", ",", ")", "x", " ", "é", "h"]
)
TEXTS = st.text() | st.lists(FRAGMENTS).map("".join)


@pytest.mark.parametrize(
    ("text", "masked", "numbers"),
    [
        ("It is 7.", "It is [NUM].", ["7"]),
        ("at 12:30, pay 1,000.50 or 3.5%", "at [NUM], pay [NUM] or [NUM]%", ["12:30", "1,000.50", "3.5"]),
        ("12/05/2020", "[NUM]/[NUM]/[NUM]", ["12", "05", "2020"]),
        ("MP3, B2B, 2nd, 1.5km and x1.5 are words", "MP3, B2B, 2nd, 1.5km and x1.5 are words", []),
        ("the mark [NUM] and 5", "the mark [NUM] and [NUM]", ["[NUM]", "5"]),
        ("", "", []),
    ],
)
def test_numbers_become_placeholders(text: str, masked: str, numbers: list[str]) -> None:
    assert mask(text, ["number"]) == (masked, {"number": numbers})


@pytest.mark.parametrize(
    ("text", "masked", "urls"),
    [
        ("see https://a.b/c?d=1.", "see [URL].", ["https://a.b/c?d=1"]),
        ("(www.a.org), HTTP://A.ORG!", "([URL]), [URL]!", ["www.a.org", "HTTP://A.ORG"]),
        ("http:// alone", "http:// alone", []),
        ("[URL]", "[URL]", ["[URL]"]),
    ],
)
def test_urls_become_placeholders(text: str, masked: str, urls: list[str]) -> None:
    assert mask(text, ["url"]) == (masked, {"url": urls})


def test_a_number_within_a_masked_url_belongs_to_the_url() -> None:
    text = "http://a.b/7 has 7"
    assert mask(text, BOTH) == ("[URL] has [NUM]", {"number": ["7"], "url": ["http://a.b/7"]})
    assert mask(text, ["number"]) == ("http://a.b/[NUM] has [NUM]", {"number": ["7", "7"]})


def test_without_kinds_nothing_changes() -> None:
    assert mask("7 [NUM]", ()) == ("7 [NUM]", {})
    assert unmask("7 [NUM]", {}) == "7 [NUM]"


@given(text=TEXTS, kinds=KINDS)
def test_unmasking_what_was_masked_gives_the_text_back(text: str, kinds: tuple[Kind, ...]) -> None:
    assert unmask(*mask(text, kinds)) == text


def test_originals_fill_placeholders_in_order_for_each_kind() -> None:
    originals: dict[Kind, list[str]] = {"number": ["1", "2"], "url": ["www.a.b"]}
    assert unmask("[NUM] [URL] x [NUM]", originals) == "1 www.a.b x 2"


def test_placeholders_beyond_the_last_original_are_removed_with_their_space() -> None:
    assert unmask("a [NUM] b [NUM] c", {"number": ["1"]}) == "a 1 b c"
    assert unmask("[NUM] a [NUM]", {"number": []}) == "a"


def test_a_kind_that_is_not_masked_is_text() -> None:
    assert unmask("[URL] [NUM]", {"number": ["1"]}) == "[URL] 1"


def test_an_original_that_looks_like_a_placeholder_is_not_filled_again() -> None:
    assert unmask("[NUM] [NUM]", {"number": ["[NUM]", "5"]}) == "[NUM] 5"


def test_a_pair_is_masked_when_both_sides_hold_the_same_in_the_same_order() -> None:
    assert mask_pair("from 1 to 2", "de 1 à 2", BOTH) == ("from [NUM] to [NUM]", "de [NUM] à [NUM]")


def test_a_pair_stays_literal_when_the_order_or_the_numbers_differ() -> None:
    assert mask_pair("from 1 to 2", "de 2 à 1", BOTH) == ("from 1 to 2", "de 2 à 1")
    assert mask_pair("at 12:30", "à 12 h 30", BOTH) == ("at 12:30", "à 12 h 30")


def test_one_kind_is_masked_while_another_stays_literal() -> None:
    pair = mask_pair("5 on www.a.b", "5 sur www.a.b et 6", BOTH)
    assert pair == ("5 on [URL]", "5 sur [URL] et 6")


def test_a_kind_left_literal_may_make_another_differ() -> None:
    # Without URLs as a kind, the 7 within one of them is a number that the other side does not have.
    pair = mask_pair("5 on http://a.b/7", "5", BOTH)
    assert pair == ("5 on http://a.b/7", "5")
