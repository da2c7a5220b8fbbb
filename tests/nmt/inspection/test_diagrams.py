import re
from xml.etree import ElementTree

import pytest

from nmt.inspection.diagrams import Axis, Bar, Curve, bar_picture, curve_picture, legend, powers, share_bar


def heights(picture: str) -> list[float]:
    return [float(bar.get("height", "")) for bar in ElementTree.fromstring(picture).iter("rect") if is_bar(bar)]


def is_bar(rect: ElementTree.Element) -> bool:
    return (rect.get("class") or "").startswith("bar")


def texts(picture: str) -> list[str | None]:
    return [text.text for text in ElementTree.fromstring(picture).iter("text")]


def test_the_highest_bar_fills_the_picture_and_the_others_are_in_proportion() -> None:
    picture = bar_picture([Bar("1", 50), Bar("2", 200), Bar("3", 0)], label="L", unit="words", series=0)
    assert heights(picture) == [35.0, 140.0, 0.0]


def test_every_bar_says_what_it_is() -> None:
    picture = bar_picture([Bar("1", 3), Bar("2", 9_000)], label="L", unit="words", series=1)
    assert [title.text for title in ElementTree.fromstring(picture).iter("title")] == [
        "1 words: 3 (0.03%)",
        "2 words: 9,000 (99.97%)",
    ]


def test_a_picture_has_a_role_and_a_label() -> None:
    root = ElementTree.fromstring(bar_picture([Bar("1", 1)], label="a <b>", unit="words", series=0))
    assert (root.get("role"), root.get("aria-label")) == ("img", "a <b>")


def test_a_tail_looks_different() -> None:
    picture = bar_picture([Bar("1", 1), Bar("2-9", 1, tail=True)], label="L", unit="words", series=0)
    assert [rect.get("class") for rect in ElementTree.fromstring(picture).iter("rect") if is_bar(rect)] == [
        "bar s0",
        "bar s0 tail",
    ]


@pytest.mark.parametrize(
    ("most", "ticks"),
    [
        (1, ["0", "1"]),
        (3, ["0", "1", "2", "3"]),
        (7, ["0", "2", "4", "6"]),
        (100, ["0", "50", "100"]),
        (4_800, ["0", "2,000", "4,000"]),
        (20_000_000, ["0", "5,000,000", "10,000,000", "15,000,000", "20,000,000"]),
    ],
)
def test_counts_are_marked_with_round_numbers(most: int, ticks: list[str]) -> None:
    assert texts(bar_picture([Bar("x", most)], label="L", unit="words", series=0))[: len(ticks)] == ticks


@pytest.mark.parametrize(("bars", "named"), [(1, 1), (6, 6), (7, 3), (40, 6)])
def test_few_of_many_bars_are_named_below(bars: int, named: int) -> None:
    picture = bar_picture([Bar(f"b{place}", 1) for place in range(bars)], label="L", unit="words", series=0)
    found = [text for text in texts(picture) if text and re.fullmatch(r"b\d+", text)]
    assert (len(found), found[0]) == (named, "b0")


def test_a_histogram_of_nothing_is_an_empty_picture() -> None:
    assert heights(bar_picture([], label="L", unit="words", series=0)) == []


def test_curves_run_over_the_whole_picture() -> None:
    across = Axis("rank", 1, 100, powers(1, 100), "{:.0f}".format, log=True)
    up = Axis("", 0, 1, (0, 1), "{:.0%}".format)
    picture = curve_picture([Curve("a", [(1, 0), (10, 0.5), (100, 1)])], across=across, up=up, label="L")
    (line,) = ElementTree.fromstring(picture).iter("polyline")
    assert line.get("points") == "62.0,150.0 207.0,80.0 352.0,10.0"
    assert texts(picture) == ["0%", "100%", "1", "10", "100", "rank"]


def test_an_axis_of_one_value_has_no_length() -> None:
    assert Axis("", 1, 1, (1,), str, log=True).place(1) == 0.0


@pytest.mark.parametrize(
    ("low", "high", "found"),
    [(1, 1, [1]), (1, 9, [1]), (1, 1000, [1, 10, 100, 1000]), (1, 10**8, [1, 100, 10**4, 10**6, 10**8])],
)
def test_powers_of_ten_are_thinned_out(low: int, high: int, found: list[int]) -> None:
    assert powers(low, high) == found


def test_a_legend_names_the_curves_in_their_colours() -> None:
    first, second = '<span class="key s0"></span>a', '<span class="key s1"></span>&lt;b&gt;'
    assert legend(["a", "<b>"]) == f'<p class="legend"><span>{first}</span><span>{second}</span></p>'


def test_a_share_is_a_bar_of_a_hundred() -> None:
    (box,) = ElementTree.fromstring(share_bar(0.25)).iter("rect")
    assert box.get("width") == "25.00"
