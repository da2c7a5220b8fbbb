import pytest

from nmt.config import Settings, load_settings
from nmt.config.fit import fit_settings
from nmt.errors import ConfigError

PAIRS, TEXT = Settings(), load_settings(overrides=["model.kind=lm"])


def fitted(*overrides: str, prepared: Settings = TEXT) -> Settings:
    return fit_settings(load_settings(overrides=list(overrides), base=prepared), prepared=prepared)


def test_settings_for_translation_stay_as_they_are() -> None:
    wished = load_settings(overrides=["training.r_drop=1", "training.best_by=bleu"])
    assert fit_settings(wished, prepared=PAIRS) is wished


def test_a_language_model_is_chosen_by_its_loss_and_learns_without_smoothing() -> None:
    training = fitted().training
    assert (training.best_by, training.label_smoothing) == ("loss", 0.0)


def test_smoothing_that_is_wished_for_stays() -> None:
    assert fitted("training.label_smoothing=0.1", "training.best_by=loss").training.label_smoothing == 0.1


def test_fitting_twice_changes_nothing() -> None:
    once = fitted()
    assert fit_settings(once, prepared=TEXT) == once


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ("training.r_drop=1.5", r"^training\.r_drop = 1\.5 makes no sense for a language model: .*; leave it unset$"),
        ("training.subword_sampling=0.2", r"^training\.subword_sampling = 0\.2 makes no sense for a language model: "),
        ("model.input_feeding=true", r"^model\.input_feeding = true makes no sense for a language model: .* attention"),
        ("training.best_by=bleu", r'^training\.best_by = "bleu" needs translations; for a language model leave it'),
    ],
)
def test_what_makes_no_sense_for_a_language_model_is_refused(wish: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        fitted(wish)


def test_a_language_model_does_not_learn_from_pairs() -> None:
    with pytest.raises(ConfigError, match=r'^model\.kind = "lm", but the data hold pairs; prepare text with `nmt prep'):
        fitted("model.kind=lm", prepared=PAIRS)


def test_a_translation_model_does_not_learn_from_text() -> None:
    with pytest.raises(ConfigError, match=r'^model\.kind = "translation", but the data hold text; prepare pairs, or'):
        fitted("model.kind=translation")
