import re
import tomllib

import pytest

from nmt.config import Settings, load_settings
from nmt.config.describe import describe_settings, section_texts
from nmt.config.load import setting_names
from nmt.errors import UsageError


def names(*asked: str) -> list[str]:
    return [one.name for one in describe_settings(asked)]


def test_every_setting_is_described_with_its_default() -> None:
    described = {one.name: one for one in describe_settings()}
    assert set(described) >= set(setting_names())
    assert all(one.text and one.type for one in described.values())
    set_ones = [described[name] for name in setting_names() if described[name].default != "not set"]
    assert load_settings(overrides=[f"{one.name}={one.default}" for one in set_ones]) == Settings()
    assert all(tomllib.loads(f"a = {one.default}") for one in set_ones)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("search.beam_size", "integer ≥ 1 and ≤ 1000"),
        ("search.max_length_ratio", "number > 0 and ≤ 100"),
        ("search.precision", '"auto", "fp32", "bf16", "int8"'),
        ("training.log_every", 'integer ≥ 1 or "tenth"'),
        ("training.betas", "list of number ≥ 0 and < 1, 2 of them"),
        (
            "training.noise_kinds",
            'list of "typos", "spaces", "lower", "upper", "title", "ending", "emoji", "numbers", "fragment", '
            "at least 1 of them",
        ),
        ("model.src_vectors", "path"),
        ("data.corpora", "list of table"),
    ],
)
def test_types_come_with_their_range(name: str, kind: str) -> None:
    assert describe_settings([name])[0].type == kind


def test_what_makes_no_use_of_a_setting_is_told() -> None:
    [found] = describe_settings(["search.coverage_penalty"])
    assert found.idle_with == ('model.kind = "lm"', "search.beam_size = 1")


def test_settings_are_found_by_section_name_and_part() -> None:
    assert names("search") == [f"search.{key}" for key in type(Settings().search).model_fields]
    assert names("search.beam_size") == ["search.beam_size"]
    assert names("beam", "search.shortlist") == ["search.beam_size", "search.shortlist"]
    assert "data.corpora.weight" in names("data.corpora")


@pytest.mark.parametrize("name", ["beam_sice", "search.beam_sise"])
def test_an_unknown_setting_is_wrong_usage_that_names_the_nearest(name: str) -> None:
    expected = f"^{re.escape(f'there is no setting {name}; did you mean search.beam_size?')}$"
    with pytest.raises(UsageError, match=expected):
        describe_settings([name])


def test_where_no_name_is_near_the_command_that_lists_all_is_named() -> None:
    with pytest.raises(UsageError, match=r"^there is no setting gnu; `nmt settings` lists all$"):
        describe_settings(["gnu"])


def test_every_section_says_what_it_is_about() -> None:
    assert list(section_texts()) == list(Settings.model_fields)
    assert section_texts()["search"] == "How translations are searched for."
