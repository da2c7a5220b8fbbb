"""What the vocabulary of the source lacks, carried over to its place in the translation."""

from dataclasses import replace

from nmt.translate import Options, Translator

from .conftest import best_texts

CARRIED = [
    "😀 the dog runs .",
    "the dog 🐕 runs .",
    "the dog runs 😀😀",
    "the dog😀 runs .",
    "a 東京 dog",
    "東京 . 😀 🚗",
    "😀",
    "  東京 タワー ?",
    "a dog",
    "",
]


def test_what_the_vocabulary_lacks_is_carried_over_to_its_place(echo: Translator) -> None:
    assert best_texts(echo, CARRIED) == [*CARRIED[:7], "  東京 タワー ?", *CARRIED[8:]]
    one_by_one = [best_texts(echo, [line])[0] for line in CARRIED]
    assert one_by_one == best_texts(echo, CARRIED)
    by_five = Options(beam_size=3, n_best=2, alignment=True)
    assert [found[0].text for found in echo.translate(CARRIED, by_five)] == one_by_one


def test_what_is_carried_over_keeps_its_place_beside_markup(echo: Translator) -> None:
    lines = ["<b>the 🐕 dog</b> 😀 runs", '<a title="😀">a dog</a>', "<p>東京</p>", "<i>😀"]
    assert best_texts(echo, lines, Options(markup=True)) == lines


def test_what_every_translation_must_contain_is_in_that_of_an_unknown_line_too(echo: Translator) -> None:
    assert "cat" in best_texts(echo, ["😀 ."], Options(required=("cat",)))[0]


def test_without_attention_what_is_carried_over_goes_to_its_share_of_the_line(echo: Translator) -> None:
    blind = replace(echo, attends=False)
    assert best_texts(blind, CARRIED) == best_texts(echo, CARRIED)
