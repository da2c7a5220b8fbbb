import json

import pytest
from typer.testing import CliRunner

from nmt_cli.main import app


def test_a_setting_is_shown_with_its_range_and_what_makes_no_use_of_it() -> None:
    result = CliRunner().invoke(app, ["settings", "coverage_p"])
    assert result.exit_code == 0
    name, kind, *text, idle = result.stdout.splitlines()
    assert (name, kind) == ("search.coverage_penalty = 0.0", "  number ≥ 0")
    assert text == ["  Weight of the coverage penalty (Wu et al., 2016, eq. 14); 0: none."]
    assert idle == '  No effect with model.kind = "lm", or with search.beam_size = 1.'


def test_programs_get_json() -> None:
    result = CliRunner().invoke(app, ["settings", "search.beam_size", "--json"])
    [found] = json.loads(result.stdout)
    assert (found["name"], found["type"], found["default"]) == ("search.beam_size", "integer ≥ 1 and ≤ 1000", "5")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("beam_sice", "did you mean search.beam_size?"),
        ("wamup", "did you mean training.warmup_steps?"),
        ("modle.hidden_size", "did you mean model.hidden_size?"),
        ("embeding", "did you mean model.embedding_size?"),
        ("xyz", "`nmt settings` lists all"),
    ],
)
def test_an_unknown_setting_is_wrong_usage(name: str, hint: str) -> None:
    result = CliRunner().invoke(app, ["settings", name])
    message = f"error: there is no setting {name}; {hint}\n"
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", message)
