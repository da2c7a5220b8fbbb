import re

import typer.main
from typer.testing import CliRunner

from nmt_cli.main import app


def test_help_fits_into_80_columns_and_leaves_nothing_out() -> None:
    result = CliRunner().invoke(app, ["translate", "--help"], env={"COLUMNS": "80"})
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "…" not in result.stdout
    command = typer.main.get_group(app).commands["translate"]
    names = {name for parameter in command.params for name in parameter.opts if name.startswith("--")}
    assert len(names) > 30
    assert names == set(re.findall(r"^│ (--[a-z0-9-]+)", result.stdout, re.MULTILINE)) - {"--help"}


def test_options_stand_in_groups() -> None:
    shown = CliRunner().invoke(app, ["translate", "--help"], env={"COLUMNS": "80"}).stdout
    groups = re.findall(r"^╭─ (.*?) ─", shown, re.MULTILINE)
    assert groups == [
        "Arguments",
        "Options",
        "Output",
        "Search",
        "Language model",
        "Rescoring",
        "Translation memory",
        "Sampling",
        "Words",
        "Text",
        "Computation",
    ]
    assert shown.index("--temperature") > shown.index("Sampling") > shown.index("--shortlist")
