import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import pytest
from typer.testing import CliRunner, Result

import nmt_lab
from nmt.config.model import Cell
from nmt_cli.main import app
from nmt_lab.common import Options


class FakeLab(SimpleNamespace):
    """Says what it is asked for, and draws nothing."""

    DEFAULTS = Options(units=16, steps=2000)

    def run(self, options: Options, output: Path) -> Iterator[str]:
        for _ in range(3):
            options.on_update(0.5)
        yield f"{replace(options, on_update=self.DEFAULTS.on_update)}"
        yield f"drawn to {output}"


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nmt_lab, "load", lambda name: FakeLab())


def lab(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["lab", *map(str, arguments)])


def test_without_a_name_the_labs_are_listed_with_a_line_each() -> None:
    result = lab()
    assert (result.exit_code, result.stderr) == (0, "")
    lines = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert tuple(lines) == nmt_lab.LABS
    assert lines["reber"] == nmt_lab.describe("reber")


def test_lines_are_wrapped_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nmt_cli.lab.results.width", 80)
    first, second, *rest = lab().stdout.splitlines()
    assert f"{first} {second.removeprefix(' ' * 18)}" == f"reber_classifier  {nmt_lab.describe('reber_classifier')}"
    assert max(map(len, (first, second, *rest))) <= 80


@pytest.mark.usefixtures("fake")
def test_options_reach_the_lab_and_what_is_not_given_is_the_labs_own() -> None:
    assert lab("reber").stdout.splitlines() == [str(FakeLab.DEFAULTS), "drawn to reber.png"]
    result = lab("reber", "--cell", "gru", "--units", 64, "--steps", 2, "--seed", 7, "--output", "A.PNG")
    asked = replace(FakeLab.DEFAULTS, cell="gru", units=64, steps=2, seed=7)
    assert (result.exit_code, result.stdout) == (0, f"{asked}\ndrawn to A.PNG\n")
    assert result.stderr == "picture: A.PNG\n"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["rebre"], "Invalid value for NAME: expected one of reber_classifier, "),
        (["reber", "--cell", "lstn"], "Invalid value for --cell: expected one of lstm, gru, "),
        (["reber", "--output", "a.pdf"], "Invalid value for --output: expected a name that ends in .png, found a.pdf"),
        (["reber", "--units", "0"], "Invalid value for '--units': Input should be greater than or equal to 1"),
    ],
)
@pytest.mark.usefixtures("fake")
def test_wrong_usage_is_said_before_anything_is_trained(arguments: list[str], line: str) -> None:
    result = lab(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert line in " ".join(result.stderr.replace("│", "").split())


@pytest.mark.usefixtures("fake")
def test_a_picture_that_has_no_folder_is_said_before_anything_is_trained(tmp_path: Path) -> None:
    result = lab("reber", "--output", tmp_path / "nowhere" / "a.png")
    assert (result.exit_code, result.stdout) == (1, "")
    assert (
        result.stderr == f"error: {tmp_path}/nowhere/a.png cannot be written: there is no folder {tmp_path}/nowhere\n"
    )


@pytest.mark.parametrize(
    ("module", "importing", "package"),
    [("matplotlib.figure", "common", "matplotlib"), ("sklearn.datasets", "digits", "scikit-learn")],
)
def test_what_is_not_installed_is_one_line_that_says_how_to_install_it(
    module: str, importing: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (f"nmt_lab.{importing}", "nmt_lab.digits"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, module, None)
    result = lab("digits")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        f"error: nmt lab digits needs {package}, which is not installed; in a checkout of nmt: pip install '.[lab]'\n"
    )


def test_a_lab_writes_its_figure_to_stdout_and_its_picture_into_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = lab("rectangles", "--steps", "2", "--units", "4")
    assert (result.exit_code, result.stderr) == (0, "picture: rectangles.png\n")
    assert [line.partition(":")[0] for line in result.stdout.splitlines()] == [
        "mean error",
        "consistent within 2%",
        "sizes generated",
        "sizes of training",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["rectangles.png"]


def test_the_help_names_every_cell() -> None:
    shown = " ".join(lab("--help").stdout.replace("│", "").split())
    assert all(cell in shown for cell in get_args(Cell))
