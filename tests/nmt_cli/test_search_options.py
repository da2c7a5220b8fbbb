from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
from pydantic import Field, ValidationError
from typer.testing import CliRunner

from nmt.config import SearchSettings
from nmt.errors import ConfigError
from nmt.search.sampling import Sampling
from nmt.translate import Options
from nmt_cli import terminal
from nmt_cli.main import app
from nmt_cli.terminal import with_search_options

NAMES = {"beam_size": "--beam"}
SETTINGS = {
    NAMES.get(name, "--" + name.replace("_", "-")): name
    for name, field in SearchSettings.model_fields.items()
    if field.annotation in (int, float)
}
SAMPLING = {"--temperature": "temperature", "--top-k": "top_k", "--top-p": "top_p", "--seed": "seed"}
NUMBERS = ["-1", "0", "1", "100", "101", "1000001", str(2**63 - 1), str(2**63)]


def is_valid(kind: Any, **values: float) -> bool:
    try:
        kind(**values)
    except (ConfigError, ValidationError):
        return False
    return True


@pytest.mark.parametrize("value", NUMBERS)
@pytest.mark.parametrize("option", [*SETTINGS, *SAMPLING])
def test_a_number_is_wrong_usage_where_the_setting_would_not_hold_it(tmp_path: Path, option: str, value: str) -> None:
    kind, names = (SearchSettings, SETTINGS) if option in SETTINGS else (Sampling, SAMPLING)
    valid = is_valid(kind, **{names[option]: int(value)})
    needed = {"--lm-weight": ["--lm", str(tmp_path)]}.get(option, ["--sample"] if option in SAMPLING else [])
    missing = str(tmp_path / "nowhere.txt")
    result = CliRunner().invoke(app, ["translate", str(tmp_path), missing, option, value, *needed])
    assert result.exit_code == (1 if valid else 2)
    assert ("nowhere.txt" if valid else f"Invalid value for '{option}'") in result.stderr


@pytest.mark.parametrize("option", ["--max-length-ratio", "--top-p", "--temperature", "--length-penalty"])
def test_what_is_no_number_is_wrong_usage(tmp_path: Path, option: str) -> None:
    result = CliRunner().invoke(app, ["translate", str(tmp_path), option, "nan"])
    assert (result.exit_code, result.stdout) == (2, "")


def options_of(command: Callable[..., None]) -> dict[str, Any]:
    group = typer.Typer()
    group.command()(command)
    return {option.name: option for option in typer.main.get_command(group).params}


def test_every_setting_of_the_search_has_an_option_of_its_range_and_words() -> None:
    made = {one.name: one for one in typer.main.get_group(app).commands["translate"].params}
    for name, schema in SearchSettings.model_json_schema()["properties"].items():
        option = made[name]
        assert (option.default, option.help) == (None, " ".join(schema["description"].split()))
        assert (option.min, option.max) == (schema.get("minimum"), schema.get("maximum"))
        field = SearchSettings.model_fields[name].annotation
        assert option.type_descriptor.annotation in (field, *get_args(field))


def test_a_setting_is_declared_once_for_settings_options_and_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    class More(SearchSettings):
        patience: int = Field(default=3, ge=1, le=9)
        """Steps without a better hypothesis."""

    assert issubclass(Options, SearchSettings)  # so what is declared there is known here
    monkeypatch.setattr(terminal, "SearchSettings", More)
    monkeypatch.setattr(terminal, "_SCHEMA", More.model_json_schema()["properties"])
    given = list[dict[str, Any]]()

    @with_search_options
    def command(output: str, n_best: int, lm: str, dictionary: str, ensemble: str, workers: int, search: Any) -> None:
        given.append(search)

    option = options_of(command)["patience"]
    assert (option.opts, option.min, option.max) == (["--patience"], 1, 9)
    assert option.help == "Steps without a better hypothesis."
    rest = dict.fromkeys(More.model_fields)
    command(**rest | {"patience": 4}, output="", n_best=1, lm="", dictionary="", ensemble="", workers=1)
    assert given == [{"patience": 4}]
