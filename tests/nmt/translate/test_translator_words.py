import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from nmt.config import load_settings
from nmt.models.folder import load_model
from nmt.search.sampling import Sampling
from nmt.shortlist.lexicon import Lexicon
from nmt.translate import Options, Translator, translator
from nmt.translate.options import Terminology
from nmt.translate.translator import Shortlister

from .conftest import best_texts


@pytest.fixture(scope="module")
def shortlisted(toy: Translator, toy_model: Path) -> Translator:
    """The same with shortlists of the first pieces that are no special ones."""
    model, _ = load_model(toy_model, device=torch.device("cpu"))
    size = len(toy.tokenizers.tgt)
    none = torch.full((size, 1), -1, dtype=torch.int32)
    lexicon = Lexicon(none, torch.arange(4, size, dtype=torch.int32))
    return replace(toy, shortlister=Shortlister(lexicon, model.output, "fp32"))


def test_required_words_appear(toy: Translator) -> None:
    lines = ["bat cow", "", "hat jam kit"]
    assert best_texts(toy, lines) == ["bato cowo", "", "hato jamo kito"]
    required = best_texts(toy, lines, Options(required=("logo mapo",)))
    assert ["logo mapo" in text for text in required] == [True, False, True]


def test_a_required_word_is_a_whole_word(toy: Translator) -> None:
    [found] = best_texts(toy, ["bat cow"], Options(required=("bat",)))
    assert "bat" in found.split()


def test_terms_appear_where_their_source_does(toy: Translator, tmp_path: Path) -> None:
    path = tmp_path / "terms.tsv"
    path.write_text("cow\tmapo\nhat jam\tdeno\n")
    found = best_texts(toy, ["bat cow", "bat", "hat jam kit", "jam hat"], Options(terms=Terminology.load(path)))
    assert ["mapo" in text.split() for text in found] == [True, False, False, False]
    assert ["deno" in text.split() for text in found] == [False, False, True, False]


def test_terms_markup_and_a_cut_go_together(toy: Translator, tmp_path: Path) -> None:
    path = tmp_path / "terms.tsv"
    path.write_text("cow\tmapo\n")
    short = replace(toy, settings=load_settings(overrides=["data.max_pieces=8"], base=toy.settings))
    lines = ["<i>bat</i> den <b>hat jam</b> fig <u>cow</u> {n}"]
    [[found]] = short.translate(lines, Options(terms=Terminology.load(path), markup=True))
    assert found.text == "<i>bato</i> deno <b>hato jamo</b> figo <u>cowo mapo</u> {n}"
    assert (found.parts, found.cut) == (2, True)


def test_a_prefix_begins_the_translation(toy: Translator) -> None:
    options = Options(prefix_after_tab=True)
    found = best_texts(toy, ["bat cow hat\tmapo", "bat cow\t", "bat cow", "\tmapo", "bat cow\tbato 走"], options)
    assert found[0].split()[0] == "mapo"
    assert found[1:4] == ["bato cowo", "bato cowo", "mapo"]
    assert found[4].startswith("bato 走")


LINES = ["bat cow", "", "hat jam kit", "cow cow den log", "map fig gum bat cow"]


@pytest.mark.parametrize(
    "options",
    [
        Options(beam_size=1),
        Options(beam_size=3, n_best=3),
        Options(sampling=Sampling(), n_best=3),
        Options(beam_size=2, required=("mapo",), max_length_ratio=0.1, min_length_ratio=0.1),
        Options(beam_size=2, shortlist=32),
    ],
)
def test_no_translation_contains_a_forbidden_word(shortlisted: Translator, options: Options) -> None:
    words = ("cowo", "hato jamo", "mapo fi")
    found = [
        one.text
        for line in shortlisted.translate(LINES, options.model_copy(update={"forbidden": words}))
        for one in line
    ]
    assert not [text for text in found for word in words if re.search(rf"\b{word}\b", text)]
    assert any(text for text in found)


def test_longer_words_than_a_forbidden_one_stay(toy: Translator) -> None:
    lines = ["bat cow", "", "hat jam kit"]
    for words in (("cow", "bat", "ow"), ("Bato", "COWO"), ("hato kito",)):
        assert best_texts(toy, lines, Options(forbidden=words)) == ["bato cowo", "", "hato jamo kito"]


def test_what_is_forbidden_changes_no_other_line(toy: Translator) -> None:
    found = best_texts(toy, LINES, Options(forbidden=("deno",)))
    assert found[:3] == best_texts(toy, LINES[:3])
    assert "deno" not in found[3].split()


def test_a_shortlist_of_any_size_is_made_of_one_copy_of_the_output_layer(
    shortlisted: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    make = translator.ShortlistedOutput

    def counted(*args: object) -> object:
        made.append(args)
        return make(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(translator, "ShortlistedOutput", counted)
    assert shortlisted.shortlister is not None
    fresh = replace(shortlisted, shortlister=replace(shortlisted.shortlister))
    small, large = (Options(shortlist=size) for size in (16, 32))
    first = best_texts(fresh, LINES, large)
    assert best_texts(fresh, LINES, small) != first
    assert best_texts(fresh, LINES, large) == first
    assert len(made) == 1
