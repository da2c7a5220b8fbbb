from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from nmt_cli.main import app

PNG = b"\x89PNG\r\n"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "metrics.jsonl").write_text('{"kind": "train", "step": 50, "loss": 2.5}\n')
    return folder


def plot(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["plot", *map(str, arguments)])


def test_the_picture_goes_into_the_model_folder_and_its_path_to_stdout(run: Path) -> None:
    result = plot(run)
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"{run / 'curves.png'}\n", "")
    assert (run / "curves.png").read_bytes().startswith(PNG)


def test_another_path_can_be_given(run: Path, tmp_path: Path) -> None:
    result = plot(run, "--output", tmp_path / "A.PNG")
    assert (result.exit_code, result.stdout) == (0, f"{tmp_path / 'A.PNG'}\n")
    assert (tmp_path / "A.PNG").read_bytes().startswith(PNG)
    assert not (run / "curves.png").exists()


def test_a_name_that_promises_another_format_is_wrong_usage(run: Path) -> None:
    result = plot(run, "-o", "curves.pdf")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Invalid value for --output: expected a name that ends in .png" in result.stderr


@pytest.mark.parametrize(
    ("folder", "line"),
    [("nowhere", "model folder nowhere does not exist\n"), (".", "metrics.jsonl: no records of a run;")],
)
def test_what_cannot_be_drawn_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, line: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = plot(folder)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"error: {line}")
    assert len(result.stderr.splitlines()) == 1


def test_a_picture_that_cannot_be_written_is_one_line(run: Path, tmp_path: Path) -> None:
    picture = tmp_path / "nowhere" / "curves.png"
    result = plot(run, "--output", picture)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"error: {picture}: No such file or directory\n"
