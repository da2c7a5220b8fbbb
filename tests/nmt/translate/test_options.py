import re
from typing import Any

import pytest

from nmt.config import Settings, load_settings
from nmt.errors import ConfigError, UsageError
from nmt.search.sampling import Sampling
from nmt.translate import Options
from nmt.translate.options import Terminology

OTHERS: dict[str, Any] = {
    "beam_size": 7,
    "length_penalty": 0.25,
    "coverage_penalty": 0.5,
    "min_length_ratio": 0.75,
    "max_length_ratio": 3.5,
    "no_repeat_ngram": 4,
    "carry_unknown": False,
    "batch_tokens": 9,
    "shortlist": 64,
    "lm_weight": 0.5,
    "zero_digit": "\u0660",
}


def test_nothing_asked_for_gives_what_the_model_says() -> None:
    settings = load_settings(overrides=["search.beam_size=3", "search.length_penalty=0.5"])
    assert Options().search(settings) == settings.search


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_asked_for_wins_over_what_the_model_says(name: str) -> None:
    settings = load_settings(overrides=["search.beam_size=3"])
    found = Options(**{name: OTHERS[name]}).search(settings)
    assert found == settings.search.model_copy(update={name: OTHERS[name]})


def test_a_precision_is_not_asked_of_a_model_that_is_loaded() -> None:
    expected = "^search.precision = int8 is chosen when a model is loaded; say it there$"
    with pytest.raises(ConfigError, match=expected):
        Options(precision="int8").search(Settings())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beam_size": 0}, "search.beam_size = 0: input should be greater than or equal to 1"),
        ({"length_penalty": -1.0}, "search.length_penalty = -1.0: input should be greater than or equal to 0"),
        ({"coverage_penalty": -0.1}, "search.coverage_penalty = -0.1: input should be greater than or equal to 0"),
        ({"min_length_ratio": -1.0}, "search.min_length_ratio = -1.0: input should be greater than or equal to 0"),
        ({"max_length_ratio": 0.0}, "search.max_length_ratio = 0.0: input should be greater than 0"),
        ({"no_repeat_ngram": -1}, "search.no_repeat_ngram = -1: input should be greater than or equal to 0"),
        ({"batch_tokens": -1}, "search.batch_tokens = -1: input should be greater than or equal to 0"),
        ({"lm_weight": -0.1}, "search.lm_weight = -0.1: input should be greater than or equal to 0"),
        ({"shortlist": -1}, "search.shortlist = -1: input should be greater than or equal to 0"),
    ],
)
def test_settings_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        Options(**options).search(Settings())


@pytest.mark.parametrize("count", [0, 6])
def test_a_beam_gives_no_more_translations_than_it_has_places(count: int) -> None:
    expected = f"^{count} translations per line were requested, but search.beam_size = 5 gives 1 to 5$"
    with pytest.raises(ConfigError, match=expected):
        Options(n_best=count).search(Settings())


def test_any_number_of_translations_can_be_drawn_at_random() -> None:
    assert Options(n_best=6, sampling=Sampling()).search(Settings()).beam_size == 5
    with pytest.raises(ConfigError, match=r"^0 translations per line were requested"):
        Options(n_best=0, sampling=Sampling()).search(Settings())


@pytest.mark.parametrize("wish", [{"beam_size": 5}, {"coverage_penalty": 0.0}])
def test_what_is_about_searching_for_the_best_cannot_be_asked_of_random_translations(wish: dict[str, Any]) -> None:
    [(name, value)] = wish.items()
    expected = f"^search.{name} = {value} has no effect on sampling; leave one of them out$"
    with pytest.raises(ConfigError, match=expected):
        Options(sampling=Sampling(), **wish).search(Settings())
    of_the_model = load_settings(overrides=[f"search.{name}=3"])
    assert Options(sampling=Sampling()).search(of_the_model) == of_the_model.search


@pytest.mark.parametrize("words", [{"required": ("dog",)}, {"terms": Terminology()}])
def test_words_cannot_be_required_of_random_translations(words: dict[str, Any]) -> None:
    expected = "^required words cannot be combined with sampling; leave one of them out$"
    with pytest.raises(ConfigError, match=expected):
        Options(sampling=Sampling(), **words).search(Settings())


@pytest.mark.parametrize("words", [{"required": ("dog",)}, {"terms": Terminology()}, {"prefix_after_tab": True}])
def test_a_shortlist_is_refused_where_words_are_given(words: dict[str, Any]) -> None:
    expected = r"^search\.shortlist = 64 lacks pieces that a prefix, a term or a required word needs; use it"
    with pytest.raises(ConfigError, match=expected):
        Options(shortlist=64, **words).search(Settings())
    assert Options(shortlist=64, forbidden=("dog",)).search(Settings()).shortlist == 64


@pytest.mark.parametrize("wish", [{"alignment": True}, {"details": True}, {"markup": True}, {"unknown": {}}])
def test_attention_is_kept_where_something_is_made_of_it(wish: dict[str, Any]) -> None:
    assert Options(**wish).attention
    assert not Options(n_best=3, document=True, required=("dog",)).attention


def test_the_shortest_translation_cannot_be_longer_than_the_longest() -> None:
    with pytest.raises(
        ConfigError, match=r"^search\.min_length_ratio = 3\.0 is above search\.max_length_ratio = 2\.0$"
    ):
        Options(min_length_ratio=3.0).search(Settings())


def test_what_is_none_is_left_to_the_model() -> None:
    assert Options(beam_size=None, length_penalty=None).model_fields_set == set()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"beam_size": 0}, "settings: search.beam_size = 0: input should be greater than or equal to 1"),
        ({"required": "gare"}, """settings: required = 'gare': input should be a list, such as ["one", "two"]"""),
        ({"must": "gare"}, "settings: must = 'gare': extra inputs are not permitted"),
    ],
)
def test_a_wrong_option_is_called_by_its_name(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=f"^{re.escape(message)}$"):
        Options(**values)
