from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from nmt.inspection import inspect
from nmt.inspection.diagrams import Bar
from nmt.inspection.measures import lengths, lengths_of, ratio_bars, ratios, vocabulary
from nmt.inspection.vocabulary import Vocabulary
from nmt.prepared.manifest import CorpusCount

MakeFolder = Callable[..., Path]


def row(part: str, name: str) -> list[str | None]:
    """Return the cells of the table row of that name."""
    (found,) = (line for line in part.split("<tr>") if line.startswith(f'<th scope="row">{name}</th>'))
    cells = ElementTree.fromstring(f"<tr>{found.partition('</tr>')[0]}</tr>")
    return [cell.text for cell in cells][1:]


def test_every_unit_has_its_lengths(make_folder: MakeFolder) -> None:
    source, _ = inspect(make_folder()).sides
    assert [lengths_of(source, unit).total for unit in ("pieces", "words", "characters")] == [10, 3, 8]


def test_the_lengths_of_each_side_and_unit_are_in_a_row(make_folder: MakeFolder) -> None:
    part = lengths(inspect(make_folder()))
    # In all, mean, 50%, 95%, 99%, the longest.
    assert row(part, "source, pieces") == ["10", "5.0", "4", "6", "6", "6"]
    assert row(part, "target, words") == ["2", "1.0", "1", "1", "1", "1"]
    assert row(part, "target, characters") == ["6", "3.0", "2", "4", "4", "4"]


def test_sources_are_said_to_be_measured_with_their_tags(make_folder: MakeFolder) -> None:
    corpus = CorpusCount(name="news", weight=1, tag="<news>", read=2, rejected={}, heldout=0, train=2)
    for corpora, times in (((corpus,), 1), ((corpus.model_copy(update={"tag": None}),), 0)):
        inspection = inspect(make_folder(f"tags{times}", corpora=corpora))
        assert lengths(inspection).count("<caption>Lengths of the training pairs, sources with their tags<") == times
        assert ratios(inspection).count("<figcaption>target characters for each source character, sources") == times


def test_there_is_a_picture_for_each_side_and_unit_with_its_numbers(make_folder: MakeFolder) -> None:
    part = lengths(inspect(make_folder()))
    assert part.count('role="img"') == part.count("<summary>Numbers</summary>") == 6
    assert "Histogram of the pieces of a source: half have at most 4, the longest 6" in part


def test_ratios_run_from_the_smallest_to_the_largest(make_folder: MakeFolder) -> None:
    # 2 for 4 characters and 4 for 2: eight bars for each factor of two.
    bars = ratio_bars(inspect(make_folder(train=[("ab a", "ab"), ("ab", "ab a")])))
    assert len(bars) == 17
    assert (bars[0], bars[8], bars[-1]) == (Bar("0.50", 1), Bar("1.00", 0), Bar("2.00", 1))


def test_the_limit_of_the_ratio_is_told(make_folder: MakeFolder) -> None:
    part = ratios(inspect(make_folder(sections={"data": {"max_length_ratio": 4}})))
    assert "Ratios above 4 and below 0.25 were left out (data.max_length_ratio)." in part
    # Two characters for five, and four for three.
    assert '0.39</th><td class="number">1</td><td class="number">50.0%</td>' in part
    assert '1.30</th><td class="number">1</td><td class="number">50.0%</td>' in part


def test_the_vocabulary_is_measured_on_the_training_text(make_folder: MakeFolder) -> None:
    part = vocabulary(inspect(make_folder()))
    # Of 18 running pieces, a has 6, the space 5, b 4, and 3 are unknown.
    sizes, covering = part.split("How many of the most frequent pieces", 1)
    assert row(sizes, "joint") == ["7", "18", "16.7%", "0", "2"]
    assert row(covering, "joint") == ["2", "3", *["not reached"] * 4]


def test_pieces_that_never_occur_and_rare_ones_are_listed(make_folder: MakeFolder) -> None:
    part = vocabulary(inspect(make_folder(train=[("aaaaaa", "a")], joint=False)))
    assert "source vocabulary, pieces that never occur: 1<" in part
    assert '<span dir="auto">b</span>' in part
    assert "source vocabulary, pieces that occur 1 to 5 times: 1<" in part


def test_curves_are_of_both_sides(make_folder: MakeFolder) -> None:
    part = vocabulary(inspect(make_folder()))
    assert part.count("<polyline") == 4
    assert part.count('<p class="legend">') == 2
    # The most frequent piece of the source is one of three in ten; the three cover eight of them.
    assert '<th scope="row">source</th><td class="number">1</td><td class="number">30.00%</td>' in part
    assert '<th scope="row">source</th><td class="number">3</td><td class="number">80.00%</td>' in part


def test_a_side_of_which_everything_is_unknown_has_no_curves(make_folder: MakeFolder) -> None:
    inspection = inspect(make_folder(joint=False))
    src, tgt = inspection.sides
    specials = Vocabulary("source", ("<pad>", "<unk>", "<s>", "</s>"), np.array([0, 10, 0, 2]))
    part = vocabulary(replace(inspection, sides=(replace(src, vocabulary=specials), tgt)))
    assert part.count("<polyline") == 2
    assert row(part.split("How many of the most frequent pieces", 1)[0], "source") == ["4", "10", "100.0%", "0", "0"]
    part = vocabulary(replace(inspection, sides=(replace(src, vocabulary=specials),)))
    assert "<polyline" not in part
