import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmt.text.placeholders import Kind, fill, mask, mask_pair, place, spaced, unmask, usual_zero, written_for

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
        ("at 12:30, pay 1,000.50 or 3.5%", "at [NUM], pay [NUM] or [NUM]", ["12:30", "1,000.50", "3.5%"]),
        ("12/05/2020 2024-05-15 10–20", "[NUM] [NUM] [NUM]", ["12/05/2020", "2024-05-15", "10–20"]),  # noqa: RUF001
        ("MP3, B2B, 2nd, 1990s, x1.5", "MP3, B2B, 2nd, 1990s, x1.5", []),
        ("1.5km, 20 °C, BE0768880101", "[NUM], [NUM], [NUM]", ["1.5km", "20 °C", "BE0768880101"]),
        ("1 234 euros, 1\u202f234,5 €", "[NUM] euros, [NUM]", ["1 234", "1\u202f234,5 €"]),
        (
            "€25, US$5, 5 $10, -5, a-5",
            "[NUM], [NUM], [NUM] [NUM], [NUM], a-[NUM]",
            ["€25", "US$5", "5", "$10", "-5", "5"],
        ),
        ("+32 475-12-34-56 now", "[NUM] now", ["+32 475-12-34-56"]),
        ("(555) 123-4567, 06 12 34 56 78", "[NUM], [NUM]", ["(555) 123-4567", "06 12 34 56 78"]),
        ("(2019) 5 cars on day 5 12", "([NUM]) [NUM] cars on day [NUM] [NUM]", ["2019", "5", "5", "12"]),
        ("2024-05-15T12:30Z, 12h30", "[NUM], [NUM]", ["2024-05-15T12:30Z", "12h30"]),
        ("٥٪ و١٬٢٣٤٫٥", "[NUM] و[NUM]", ["٥٪", "١٬٢٣٤٫٥"]),  # noqa: RUF001
        ("५ किताबें", "[NUM] किताबें", ["५"]),
        ("我有７本书，1.5万", "我有[NUM]本书，[NUM]万", ["７", "1.5"]),  # noqa: RUF001
        ("100 %s", "[NUM] %s", ["100"]),
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
        ("(https://a.b/c(d)?e=[x])", "([URL])", ["https://a.b/c(d)?e=[x]"]),
        ("看https://a.b/c。", "看[URL]。", ["https://a.b/c"]),
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
    assert mask_pair("from 1 to 2", "de 2 à 1", BOTH) == ("from 1 to 2", "de 2 à 1")


@pytest.mark.parametrize(("src", "tgt"), [("€1,234.50", "1.234,50 €"), ("12:30", "12.30"), ("5%", "5 %"), ("٥", "5")])  # noqa: RUF001
def test_numbers_of_the_same_value_are_the_same(src: str, tgt: str) -> None:
    assert mask_pair(src, tgt, BOTH) == ("[NUM]", "[NUM]")


@pytest.mark.parametrize(("src", "tgt"), [("5 5", "5"), ("at 12:30", "à 12 h 30"), ("5%", "5 percent"), ("5", "6")])
def test_a_pair_stays_literal_when_the_numbers_differ(src: str, tgt: str) -> None:
    assert mask_pair(src, tgt, BOTH) == (src, tgt)


def test_one_kind_is_masked_while_another_stays_literal() -> None:
    pair = mask_pair("5 on www.a.b", "5 sur www.a.b et 6", BOTH)
    assert pair == ("5 on [URL]", "5 sur [URL] et 6")


def test_a_kind_left_literal_may_make_another_differ() -> None:
    # Without URLs as a kind, the 7 within one of them is a number that the other side does not have.
    pair = mask_pair("5 on http://a.b/7", "5", BOTH)
    assert pair == ("5 on http://a.b/7", "5")


def test_originals_go_where_their_placeholders_were_read() -> None:
    originals: dict[Kind, list[str]] = {"number": ["1", "2", "3"], "url": []}
    src, tgt = ["[NUM]", "a", "[NUM]", "[NUM]"], ["[NUM]", "[NUM]", "b", "[NUM]"]
    read = np.array([[0.3, 0.1, 0.5, 0.1], [0, 0, 0.3, 0.7], [0, 1, 0, 0], [0.4, 0.2, 0.4, 0]], dtype=np.float32)
    placed = place(originals, src, tgt, read)
    assert (placed.filling, placed.lost) == ({"number": ["2", "3", "1"], "url": []}, ())


def test_originals_go_in_order_where_no_attention_tells_another() -> None:
    originals: dict[Kind, list[str]] = {"number": ["1", "2"]}
    for attention in (None, np.zeros((2, 2), dtype=np.float32), np.full((2, 2), 0.5, dtype=np.float32)):
        placed = place(originals, ["[NUM]", "[NUM]"], ["[NUM]", "[NUM]"], attention)
        assert placed.filling == {"number": ["1", "2"]}


def test_what_has_no_placeholder_is_lost_and_what_has_no_original_is_empty() -> None:
    originals: dict[Kind, list[str]] = {"number": ["1", "2"]}
    read = np.array([[0.1, 0.9]], dtype=np.float32)
    fewer = place(originals, ["[NUM]", "[NUM]"], ["[NUM]"], read)
    assert (fewer.filling, fewer.lost) == ({"number": ["2"]}, ("1",))
    more = place({"number": ["1"]}, ["[NUM]"], ["[NUM],[NUM]"], np.ones((1, 1), dtype=np.float32))
    assert (more.filling, more.lost) == ({"number": ["1", None]}, ())


def test_placeholders_do_not_touch_words_of_scripts_with_spaces() -> None:
    assert spaced("a[NUM]b, [URL]c ([NUM]) x-[NUM]") == "a [NUM] b, [URL] c ([NUM]) x-[NUM]"
    assert spaced("有[NUM]本") == "有[NUM]本"


@pytest.mark.parametrize(
    ("text", "number", "written"),
    [
        ("[NUM] books", "٢٬٣٠٢٫٥", "2,302.5"),  # noqa: RUF001 (Arabic)
        ("[NUM] books", "५०٪", "50%"),
        ("Ευρώ: [NUM]", "๑๒", "12"),
        ("[NUM] books", "１２：３０", "12:30"),  # noqa: RUF001 (full-width ones are meant)
        ("有[NUM]本", "１２", "１２"),  # noqa: RUF001
        ("عنده [NUM] كتب", "۱۲", "۱۲"),
        ("के पास [NUM] किताबें", "१२", "१२"),
        ("के पास [NUM] किताबें", "12", "12"),
        ("[NUM]", "١٢", "١٢"),
    ],
)
def test_numbers_have_digits_of_a_script_that_the_translation_has(text: str, number: str, written: str) -> None:
    assert written_for(text, {"number": [number, None], "url": ["http://a/٣"]}) == {
        "number": [written, None],
        "url": ["http://a/٣"],
    }


def test_numbers_have_the_digits_that_are_asked_for() -> None:
    filling: dict[Kind, list[str | None]] = {"number": ["1,234.5", "٢", "5km", None]}
    written = {"number": ["१,२३४.५", "२", "5km", None]}
    assert written_for("[NUM] [NUM] [NUM]", filling, "०") == written  # noqa: RUF001 (Hindi)


def test_the_usual_digits_are_those_that_texts_have_most_of() -> None:
    assert usual_zero(["٧ ٨ 9", "x"]) == "٠"  # noqa: RUF001 (Arabic)
    assert usual_zero(["٧ 89"]) is usual_zero(["x"]) is usual_zero([]) is None  # noqa: RUF001


def test_what_a_translation_begins_with_needs_no_placeholder() -> None:
    placed = place({"number": ["1", "2"]}, ["[NUM]", "[NUM]"], ["2", "[NUM]"], None, written="so 2 x")
    assert (placed.filling, placed.lost) == ({"number": ["1"]}, ())


def test_numbers_side_by_side_stay_two_numbers() -> None:
    assert fill("in [NUM][NUM] rooms", {"number": ["14", "12"]}) == "in 14 12 rooms"
    assert fill("at [URL][NUM]", {"number": ["5"], "url": ["http://a.b"]}) == "at http://a.b 5"
