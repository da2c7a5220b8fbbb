import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from nmt.prepared import PreparedText
from nmt.prepared.manifest import CorpusCount, OverlapCount, ValidationCount
from nmt.report.inspection import Bar, Inspection, Vocabulary, inspect, visible
from nmt.report.page import PlotAxis, count_axis, powers, to_page

MakeFolder = Callable[..., Path]
VOID = {"meta", "br", "rect", "line", "polyline", "circle", "path"}


class Checker(HTMLParser):
    """Reads a page, and sees to it that every element ends where it should."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}
        values = dict(attrs)
        self.ids += [values["id"] or ""] if "id" in values else []
        self.links += [values["href"] or ""] if "href" in values else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def check(page: str) -> Checker:
    checker = Checker()
    checker.feed(page)
    checker.close()
    assert checker.open == []
    return checker


def section(name: str, inspection: Inspection) -> str:
    """Return a part of the page in one line."""
    page = to_page(inspection)
    found = re.search(r"<header>.*</header>" if name == "header" else f'<section id="{name}">.*?</section>', page, re.S)
    assert found is not None
    return re.sub("\n+(?=<)", "", found.group()).replace("\n", " ")


@pytest.fixture
def page(make_folder: MakeFolder) -> str:
    return to_page(inspect(make_folder("data <i>")))


def test_every_element_ends_and_every_link_leads_to_a_part(page: str) -> None:
    checker = check(page)
    assert [link.removeprefix("#") for link in checker.links] == [one for one in checker.ids if "-title" not in one]
    assert len(set(checker.ids)) == len(checker.ids)


def test_the_page_needs_nothing_from_elsewhere(page: str) -> None:
    checker = check(page)
    assert not checker.names & {"script", "link", "img", "iframe", "object", "embed", "image", "use", "base", "form"}
    assert not checker.attributes & {"src", "srcset", "style", "xlink:href", "action", "background", "data"}
    assert not [name for name in checker.attributes if name.startswith("on")]
    assert not re.search(r"https?:|url\(|@import|//", page)
    assert "default-src 'none'; style-src 'unsafe-inline'" in page


def test_no_text_of_the_corpus_becomes_part_of_the_page(page: str) -> None:
    assert "<script" not in page
    assert "alert(1)</script>" not in page
    assert "<i>" not in page
    text = check(page).text
    assert "<script>alert(1)</script> & co" in text
    assert "a&b.en:1" in text


def test_it_is_made_for_phones_and_dark_rooms(page: str) -> None:
    assert page.startswith('<!DOCTYPE html>\n<html lang="en">')
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in page
    assert "prefers-color-scheme: dark" in page


def test_every_picture_says_what_it_shows(page: str) -> None:
    pictures = re.findall(r"<svg ([^>]*)>", page)
    assert len(pictures) >= 9
    assert all('aria-label="' in one or 'aria-hidden="true"' in one for one in pictures)


def test_the_same_data_give_the_same_page(make_folder: MakeFolder) -> None:
    folder = make_folder()
    assert to_page(inspect(folder)) == to_page(inspect(folder))


def test_a_text_has_neither_ratios_nor_overlap(toy_text_data: PreparedText) -> None:
    checker = check(to_page(inspect(toy_text_data.folder)))
    assert "#lengths" in checker.links
    assert not {"#ratios", "#overlap"} & set(checker.links)


def test_very_little_text_has_a_page_as_well(make_folder: MakeFolder) -> None:
    check(to_page(inspect(make_folder(train=[("x", "a")], rejected=[], overlap={}))))


def row(part: str, name: str) -> list[str | None]:
    """Return the cells of the table row of that name."""
    (found,) = (line for line in part.split("<tr>") if line.startswith(f'<th scope="row">{name}</th>'))
    cells = ElementTree.fromstring(f"<tr>{found.partition('</tr>')[0]}</tr>")
    return [cell.text for cell in cells][1:]


def test_the_first_numbers_are_those_of_the_text(make_folder: MakeFolder) -> None:
    part = section("header", inspect(make_folder(read=29_000)))
    assert "<li><b>29,000</b> pairs read</li><li><b>2</b> left out</li><li><b>2</b> to train on</li>" in part
    assert "<li><b>7</b> pieces, joint</li><li><b>3</b> running words, source</li>" in part


def test_corpora_are_shown_with_their_weights_tags_and_share(make_folder: MakeFolder) -> None:
    corpora = (
        CorpusCount(name="a&b", weight=1, tag=None, read=120, rejected={"copy": 20}, heldout=40, train=60),
        CorpusCount(name="news", weight=0.5, tag="<news>", read=40, rejected={}, heldout=0, train=40),
    )
    part = section("sources", inspect(make_folder(corpora=corpora)))
    cells = "".join(f'<td class="number">{cell}</td>' for cell in (120, 20, 40, 60, 1, "75.0%"))
    assert f'<th scope="row">a&amp;b</th>{cells}<td></td>' in part
    assert '<td class="number">0.5</td><td class="number">25.0%</td><td>&lt;news&gt;</td>' in part


def test_files_are_shown_with_the_settings_that_named_them(make_folder: MakeFolder) -> None:
    part = section("sources", inspect(make_folder()))
    assert f'<th scope="row">data.train_src</th><td>a&amp;b.en</td><td>{"0" * 64}</td>' in part


def test_every_reason_has_its_number_share_and_meaning(make_folder: MakeFolder) -> None:
    part = section("left-out", inspect(make_folder()))
    assert "2 of 4 pairs: 50.0%." in part
    assert '<th scope="row">copy</th><td class="number">1</td><td class="number">25.0%</td>' in part
    assert '<th scope="row">empty</th><td class="number">0</td><td class="number">0.00%</td>' in part
    assert '<td><span class="note">the target is the source (data.drop_copies)</span></td>' in part


def test_examples_are_escaped_cut_and_say_where_they_stand(make_folder: MakeFolder) -> None:
    part = section("examples", inspect(make_folder()))
    assert '<span dir="auto" class="text">&lt;script&gt;alert(1)&lt;/script&gt; &amp; co</span>' in part
    assert f"{'x' * 300} \u2026 (1,000 characters)</span>" in part
    assert "<code>a&amp;b.en:1</code>" in part
    assert part.index("<summary>length_ratio (1)</summary>") < part.index("<summary>copy (1)</summary>")


def test_nothing_left_out_has_no_examples(make_folder: MakeFolder) -> None:
    inspection = inspect(make_folder(rejected=[]))
    assert "<p>Nothing was left out.</p></section>" in section("examples", inspection)
    assert "0 of 2 pairs: 0.00%." in section("left-out", inspection)


def test_overlap_is_counted_by_side(make_folder: MakeFolder) -> None:
    counts = {"validation": OverlapCount(source=1, target=2, pair=0)}
    part = section("overlap", inspect(make_folder(overlap=counts)))
    cells = "".join(f'<td class="number">{cell}</td>' for cell in ("1 (50.0%)", "2 (100.0%)", "0 (0.00%)"))
    assert f'<th scope="row">validation</th>{cells}' in part
    assert "No pair is left out for it (data.drop_overlap)." in part


def test_overlap_that_is_left_out_is_named(make_folder: MakeFolder) -> None:
    part = section("overlap", inspect(make_folder(sections={"data": {"drop_overlap": ["source", "pair"]}})))
    assert "Pairs that share the source, pair are left out (data.drop_overlap)." in part


def test_without_other_text_there_is_no_overlap(make_folder: MakeFolder) -> None:
    assert "<p>There is no other text to compare with.</p></section>" in section(
        "overlap", inspect(make_folder(overlap={}))
    )


def test_validation_sets_are_measured(make_folder: MakeFolder) -> None:
    sets = (ValidationCount(name="news", pairs=1, dropped=3, tags=("<a>", "<b>")),)
    part = section("validation", inspect(make_folder(validation=sets)))
    # The set is ("a", "bz"): two pieces and three, one of which is unknown.
    cells = [1, 3, 2, "2.0", "0.00%", 3, "3.0", "33.3%"]
    assert (
        '<th scope="row">news</th>'
        + "".join(f'<td class="number">{cell}</td>' for cell in cells)
        + "<td>&lt;a&gt;, &lt;b&gt;</td>"
        in part
    )


def test_the_validation_lines_of_a_text_are_measured(toy_text_data: PreparedText) -> None:
    part = section("validation", inspect(toy_text_data.folder))
    assert '<td class="number">30</td><td class="number">0</td>' in part
    assert "tag" not in part


def test_settings_that_were_chosen_come_before_all_others(make_folder: MakeFolder) -> None:
    part = section("settings", inspect(make_folder(sections={"data": {"src_lang": "en"}})))
    chosen, every = part.split("<summary>All settings</summary>")
    assert '<th scope="row">data.src_lang</th><td><code>&#34;en&#34;</code></td>' in chosen
    assert "data.max_pieces" not in chosen
    assert '<th scope="row">data.max_pieces</th><td><code>128</code></td>' in every


def test_settings_that_are_all_the_defaults_are_said_to_be(make_folder: MakeFolder) -> None:
    part = section("settings", inspect(make_folder(sections={"tokenizer": {}})))
    assert "</h2><p>All settings are the defaults.</p>" in part


def test_the_lengths_of_each_side_and_unit_are_in_a_row(make_folder: MakeFolder) -> None:
    part = section("lengths", inspect(make_folder()))
    # In all, mean, 50%, 95%, 99%, the longest.
    assert row(part, "source, pieces") == ["10", "5.0", "4", "6", "6", "6"]
    assert row(part, "target, words") == ["2", "1.0", "1", "1", "1", "1"]
    assert row(part, "target, characters") == ["6", "3.0", "2", "4", "4", "4"]


def test_sources_are_said_to_be_measured_with_their_tags(make_folder: MakeFolder) -> None:
    corpus = CorpusCount(name="news", weight=1, tag="<news>", read=2, rejected={}, heldout=0, train=2)
    for corpora, times in (((corpus,), 1), ((corpus.model_copy(update={"tag": None}),), 0)):
        inspection = inspect(make_folder(f"tags{times}", corpora=corpora))
        assert (
            section("lengths", inspection).count("<caption>Lengths of the training pairs, sources with their tags<")
            == times
        )
        assert (
            section("ratios", inspection).count("<figcaption>target characters for each source character, sources")
            == times
        )


def test_there_is_a_picture_for_each_side_and_unit_with_its_numbers(make_folder: MakeFolder) -> None:
    part = section("lengths", inspect(make_folder()))
    assert part.count('role="img"') == part.count("<summary>Numbers</summary>") == 6
    assert "Histogram of the pieces of a source: half have at most 4, the longest 6" in part


def test_the_limit_of_the_ratio_is_told(make_folder: MakeFolder) -> None:
    part = section("ratios", inspect(make_folder(sections={"data": {"max_length_ratio": 4}})))
    assert "Ratios above 4 and below 0.25 were left out (data.max_length_ratio)." in part
    # Two characters for five, and four for three.
    assert '0.39</th><td class="number">1</td><td class="number">50.0%</td>' in part
    assert '1.30</th><td class="number">1</td><td class="number">50.0%</td>' in part


def test_the_vocabulary_is_measured_on_the_training_text(make_folder: MakeFolder) -> None:
    part = section("vocabulary", inspect(make_folder()))
    # Of 18 running pieces, a has 6, the space 5, b 4, and 3 are unknown.
    sizes, covering = part.split("How many of the most frequent pieces", 1)
    assert row(sizes, "joint") == ["7", "18", "16.7%", "0", "2"]
    assert row(covering, "joint") == ["2", "3", *["not reached"] * 4]


def test_pieces_that_never_occur_and_rare_ones_are_listed(make_folder: MakeFolder) -> None:
    part = section("vocabulary", inspect(make_folder(train=[("aaaaaa", "a")], joint=False)))
    assert "source vocabulary, pieces that never occur: 1<" in part
    assert '<span dir="auto">b</span>' in part
    assert "source vocabulary, pieces that occur 1 to 5 times: 1<" in part


def test_curves_are_of_both_sides(make_folder: MakeFolder) -> None:
    part = section("vocabulary", inspect(make_folder()))
    assert part.count("<polyline") == 4
    assert part.count('<p class="legend">') == 2
    # The most frequent piece of the source is one of three in ten; the three cover eight of them.
    assert '<th scope="row">source</th><td class="number">1</td><td class="number">30.00%</td>' in part
    assert '<th scope="row">source</th><td class="number">3</td><td class="number">80.00%</td>' in part


def test_a_side_of_which_everything_is_unknown_has_no_curves(make_folder: MakeFolder) -> None:
    inspection = inspect(make_folder(joint=False))
    src, tgt = inspection.sides
    specials = Vocabulary("source", ("<pad>", "<unk>", "<s>", "</s>"), np.array([0, 10, 0, 2]))
    part = section("vocabulary", replace(inspection, sides=(replace(src, vocabulary=specials), tgt)))
    assert part.count("<polyline") == 2
    assert row(part.split("How many of the most frequent pieces", 1)[0], "source") == ["4", "10", "100.0%", "0", "0"]
    part = section("vocabulary", replace(inspection, sides=(replace(src, vocabulary=specials),)))
    assert "<polyline" not in part


def test_rates_are_of_pieces_and_of_sentences(make_folder: MakeFolder) -> None:
    part = section("unknown", inspect(make_folder()))
    # Two of the ten pieces of the source, in one of its two sentences; one of eight of the target.
    assert '<th scope="row">source, training</th><td class="number">2</td><td class="number">20.0%</td>' in part
    assert '<td class="number">1</td><td class="number">50.0%</td>' in part
    assert '<th scope="row">target, training</th><td class="number">1</td><td class="number">12.5%</td>' in part


def test_characters_have_their_code_and_name(make_folder: MakeFolder) -> None:
    part = section("unknown", inspect(make_folder()))
    assert "\u25cc\u0301</span></th><td>U+0301</td><td>COMBINING ACUTE ACCENT</td>" in part
    assert "U+0078</td><td>LATIN SMALL LETTER X</td>" in part


def test_a_side_without_unknown_characters_says_so(make_folder: MakeFolder) -> None:
    part = section("unknown", inspect(make_folder(train=[("a", "x")])))
    assert "No character of the source is unknown." in part
    assert "Most frequent unknown characters, target" in part


def test_unknown_words_are_not_listed(make_folder: MakeFolder) -> None:
    part = section("unknown", inspect(make_folder(sections={"tokenizer": {"kind": "word"}})))
    assert "Pieces are whole words here: the unknown ones are counted, and not listed." in part
    assert "U+0078" not in part


def test_what_cannot_be_seen_and_could_not_be_written_becomes_something_to_look_at(make_folder: MakeFolder) -> None:
    text = "<b>\x1b & \ud800\x07'\"\u05d0"
    inspection = inspect(make_folder())
    (example,) = inspection.statistics.rejected["copy"]
    inspection.statistics.rejected["copy"] = [replace(example, texts=(text, text), lengths=(len(text), len(text)))]
    found = to_page(inspection)
    found.encode("utf-8")
    assert check(found).text.count(visible(text)) == 2


def with_words(folder: Path, *counts: int) -> Inspection:
    """Let so many sources have 0, 1, 2 ... words."""
    inspection = inspect(folder)
    words = inspection.sides[0].train.words
    words.counts[:] = 0
    words.counts[: len(counts)] = counts
    words.largest = len(counts) - 1
    return inspection


def picture(inspection: Inspection, label: str = "Histogram of the words of a source") -> ElementTree.Element:
    pictures = re.findall("<svg .*?</svg>", to_page(inspection), re.S)
    (found,) = (one for one in map(ElementTree.fromstring, pictures) if label in (one.get("aria-label") or ""))
    return found


def bars(shown: ElementTree.Element) -> list[ElementTree.Element]:
    return [rect for rect in shown.iter("rect") if (rect.get("class") or "").startswith("bar")]


def test_the_highest_bar_fills_the_picture_and_the_others_are_in_proportion(make_folder: MakeFolder) -> None:
    shown = picture(with_words(make_folder(), 50, 200, 0, 10))
    assert [bar.get("height") for bar in bars(shown)] == ["35.0", "140.0", "0.0", "7.0"]
    assert [text.text for text in shown.iter("text")][:5] == ["0", "50", "100", "150", "200"]


def test_every_bar_says_what_it_is(make_folder: MakeFolder) -> None:
    shown = picture(with_words(make_folder(), 3, 9_000))
    assert [title.text for title in shown.iter("title")] == ["0 words: 3 (0.03%)", "1 words: 9,000 (99.97%)"]


def test_a_tail_looks_different(make_folder: MakeFolder) -> None:
    shown = picture(with_words(make_folder(), 1, 9_000, *[0] * 90, 1))
    assert [bar.get("class") for bar in bars(shown)] == ["bar s0", "bar s0", "bar s0 tail"]


@pytest.mark.parametrize(("lengths", "named"), [(1, 1), (6, 6), (7, 3), (40, 6)])
def test_few_of_many_bars_are_named_below(make_folder: MakeFolder, lengths: int, named: int) -> None:
    shown = picture(with_words(make_folder(), *[1] * lengths))
    found = [text.text for text in shown.iter("text") if text.get("y") == "164.0"]
    assert (len(found), found[0]) == (named, "0")


def test_curves_run_over_the_whole_picture(make_folder: MakeFolder) -> None:
    shown = picture(inspect(make_folder(joint=False)), "How often the pieces occur, by rank")
    points = [line.get("points", "").split() for line in shown.iter("polyline")]
    assert [line[0] for line in points] == ["62.0,10.0", "62.0,10.0"]
    assert max(float(line[-1].split(",")[0]) for line in points) == 352.0


@pytest.mark.parametrize(
    ("most", "ticks"),
    [
        (0, [0, 1]),
        (1, [0, 1]),
        (3, [0, 1, 2, 3]),
        (7, [0, 2, 4, 6]),
        (100, [0, 50, 100]),
        (4_800, [0, 2_000, 4_000]),
        (20_000_000, [0, 5_000_000, 10_000_000, 15_000_000, 20_000_000]),
    ],
)
def test_counts_are_marked_with_round_numbers(most: int, ticks: list[int]) -> None:
    assert list(count_axis([Bar("x", most)]).ticks) == ticks


def test_nothing_has_an_axis() -> None:
    assert list(count_axis([]).ticks) == [0, 1]


def test_an_axis_of_one_value_has_no_length() -> None:
    assert PlotAxis("", 1, 1, (1,), log=True).place(1) == 0.0


@pytest.mark.parametrize(
    ("low", "high", "found"),
    [(1, 1, [1]), (1, 9, [1]), (1, 1000, [1, 10, 100, 1000]), (1, 10**8, [1, 100, 10**4, 10**6, 10**8])],
)
def test_powers_of_ten_are_thinned_out(low: int, high: int, found: list[int]) -> None:
    assert powers(low, high) == found
