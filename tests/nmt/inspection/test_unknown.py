from collections.abc import Callable
from pathlib import Path

from nmt.inspection import inspect
from nmt.inspection.unknown import UnknownCharacter, unknown, unknown_characters, unknown_sets

MakeFolder = Callable[..., Path]


def test_the_most_frequent_characters_of_training_and_validation_come_first(make_folder: MakeFolder) -> None:
    folder = make_folder(train=[("a", "zzxxxyw")])
    _, target = inspect(folder).sides
    # "z" stands in the validation text as well.
    assert unknown_characters(target, most=3) == [
        UnknownCharacter("x", 3, 0),
        UnknownCharacter("z", 2, 1),
        UnknownCharacter("w", 1, 0),
    ]


def test_every_set_is_named(make_folder: MakeFolder) -> None:
    _, target = inspect(make_folder()).sides
    assert {name: column.unknown for name, column in unknown_sets(target).items()} == {
        "training": 1,
        "validation: news": 1,
    }


def test_rates_are_of_pieces_and_of_sentences(make_folder: MakeFolder) -> None:
    part = unknown(inspect(make_folder()))
    # Two of the ten pieces of the source, in one of its two sentences; one of eight of the target.
    assert '<th scope="row">source, training</th><td class="number">2</td><td class="number">20.0%</td>' in part
    assert '<td class="number">1</td><td class="number">50.0%</td>' in part
    assert '<th scope="row">target, training</th><td class="number">1</td><td class="number">12.5%</td>' in part


def test_characters_have_their_code_and_name(make_folder: MakeFolder) -> None:
    part = unknown(inspect(make_folder()))
    assert "\u25cc\u0301</span></th><td>U+0301</td><td>COMBINING ACUTE ACCENT</td>" in part
    assert "U+0078</td><td>LATIN SMALL LETTER X</td>" in part


def test_a_side_without_unknown_characters_says_so(make_folder: MakeFolder) -> None:
    part = unknown(inspect(make_folder(train=[("a", "x")])))
    assert "No character of the source is unknown." in part
    assert "Most frequent unknown characters, target" in part


def test_unknown_words_are_not_listed(make_folder: MakeFolder) -> None:
    part = unknown(inspect(make_folder(sections={"tokenizer": {"kind": "word"}})))
    assert "Pieces are whole words here: the unknown ones are counted, and not listed." in part
    assert "U+0078" not in part
