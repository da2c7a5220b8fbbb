"""Translation with a language model beside the translator."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from nmt.errors import ModelError
from nmt.search.sampling import Sampling
from nmt.text.tokenizer import tokenizer_files
from nmt.translate import Options, Translator
from nmt.translate.language import TargetLanguage

from .conftest import TEXT

pytestmark = pytest.mark.filterwarnings("ignore:a model of pieces")

MakeLanguageModel = Callable[..., Path]


@pytest.fixture(scope="module")
def folder(
    tmp_path_factory: pytest.TempPathFactory, tokenizer_bytes: bytes, make_language_model: MakeLanguageModel
) -> Path:
    """A language model that reads what `random_model` writes."""
    path = tmp_path_factory.mktemp("lm")
    tokenizer = path / "joint.spm.model"
    tokenizer.write_bytes(tokenizer_bytes)
    return make_language_model(path / "model", tokenizer)


@pytest.fixture(scope="module")
def language(folder: Path, random_model: Translator) -> TargetLanguage:
    return TargetLanguage.load(
        folder, beside=folder, settings=random_model.settings, device=torch.device("cpu"), precision="fp32"
    )


@pytest.fixture(scope="module")
def both(random_model: Translator, language: TargetLanguage) -> Translator:
    return replace(random_model, language=language)


LINES = [*TEXT[:3], "", "the dog runs . " * 4]


@pytest.mark.parametrize("options", [Options(lm_weight=0.0), Options(lm_weight=0.0, lm_rescore=True, n_best=2)])
def test_weight_zero_gives_exactly_what_there_is_without_one(
    both: Translator, random_model: Translator, options: Options
) -> None:
    assert both.translate(LINES, options) == random_model.translate(LINES, options)


WISHES = [
    Options(lm_weight=0.7, n_best=2),
    Options(lm_weight=0.7, beam_size=1),
    Options(lm_weight=0.7, lm_rescore=True, n_best=2, alignment=True),
    Options(lm_weight=0.7, sampling=Sampling(), n_best=2),
    Options(lm_weight=0.7, required=("dog",), forbidden=("cat",), prefix_after_tab=True, document=True),
    Options(lm_weight=0.7, lm_rescore=True, markup=True, unknown={}, coverage_penalty=0.2),
]


@pytest.mark.parametrize("wish", WISHES)
def test_a_line_does_not_depend_on_the_lines_beside_it(both: Translator, wish: Options) -> None:
    together = both.translate(LINES, wish.model_copy(update={"batch_tokens": 70}))
    alone = [both.translate([line], wish, first_line=number)[0] for number, line in enumerate(LINES)]
    assert together == alone
    assert together != both.translate(LINES, wish.model_copy(update={"lm_weight": 0.0}))


def test_the_models_own_weight_holds_unless_another_is_given(both: Translator) -> None:
    assert both.settings.search.lm_weight == 0.1
    assert both.translate(LINES) == both.translate(LINES, Options(lm_weight=0.1))
    assert both.translate(LINES) != both.translate(LINES, Options(lm_weight=0.4))


def test_rescored_translations_have_the_sums_of_both_models(both: Translator, random_model: Translator) -> None:
    assert both.language is not None
    lines = ["the dog runs .", "a dog and a cat run ."]
    plain = random_model.translate(lines, Options(beam_size=4, n_best=4))
    found = both.translate(lines, Options(beam_size=4, n_best=3, lm_weight=0.3, lm_rescore=True))
    for before, after in zip(plain, found, strict=True):
        said = both.language.log_probabilities([one.text for one in before])
        sums = {one.text: one.log_probability + 0.3 * more for one, more in zip(before, said, strict=True)}
        assert [one.log_probability for one in after] == pytest.approx([sums[one.text] for one in after], abs=1e-4)
        scores = [one.score for one in after]
        assert scores == sorted(scores, reverse=True)
        assert len(after) == 3


def test_words_are_not_chosen_with_a_model_that_reads_other_pieces(both: Translator, language: TargetLanguage) -> None:
    stranger = replace(both, language=replace(language, same_pieces=False))
    with pytest.raises(ModelError, match=r"has another tokenizer than .* use it as it is with --lm-rescore$"):
        stranger.translate(["a dog"])
    options = Options(lm_rescore=True)
    assert stranger.translate(["a dog"], options) == both.translate(["a dog"], options)
    assert stranger.translate(["a dog"], Options(lm_weight=0.0))


def test_a_language_model_is_loaded_beside_one_model_or_several(
    toy_model: Path, tmp_path: Path, make_language_model: MakeLanguageModel
) -> None:
    [tokenizer] = tokenizer_files(toy_model)
    folder = make_language_model(tmp_path / "lm", tokenizer)
    one = Translator.load(toy_model, device="cpu", precision="fp32", language_model=folder)
    two = Translator.load(toy_model, toy_model, device="cpu", precision="fp32", language_model=folder)
    assert one.language is not None
    assert one.language.folder == folder
    options = Options(lm_weight=0.05, n_best=2)
    [found], [expected] = two.translate(["bat cow"], options), one.translate(["bat cow"], options)
    assert [line.text for line in found] == [line.text for line in expected]
    assert [line.score for line in found] == pytest.approx([line.score for line in expected], abs=1e-4)
    plain = Translator.load(toy_model, device="cpu", precision="fp32")
    assert plain.language is None
    assert expected[0].score < plain.translate(["bat cow"])[0][0].score
    # the model writes this in the pieces in which text is read, so both ways see the same
    [[ordered, *_]] = one.translate(["bat cow"], Options(lm_weight=0.05, lm_rescore=True))
    assert (ordered.text, expected[0].text) == ("bato cowo", "bato cowo")
    assert ordered.score == pytest.approx(expected[0].score, abs=1e-4)
    assert ordered.log_probability == pytest.approx(expected[0].log_probability, abs=1e-4)
