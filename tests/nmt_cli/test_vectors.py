from pathlib import Path

from typer.testing import CliRunner

from nmt_cli.main import app


def test_vectors_go_to_stdout_or_to_a_file(toy_model: Path, tmp_path: Path) -> None:
    shown = CliRunner().invoke(app, ["vectors", str(toy_model), "--side", "tgt"])
    assert (shown.exit_code, shown.stderr) == (0, "")
    pieces, _, rest = shown.stdout.partition(" ")
    assert len(rest.splitlines()) == int(pieces) + 1
    path = tmp_path / "toy.vec"
    written = CliRunner().invoke(app, ["vectors", str(toy_model), "--side", "tgt", "-o", str(path)])
    assert (written.exit_code, written.stdout, written.stderr) == (0, "", "")
    assert path.read_text(encoding="utf-8") == shown.stdout


def test_a_folder_that_is_no_model_is_told_of(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["vectors", str(tmp_path / "nowhere"), "-o", str(tmp_path / "out.vec")])
    assert result.exit_code == 1
    assert result.stderr == f"error: model folder {tmp_path / 'nowhere'} does not exist\n"
    assert not (tmp_path / "out.vec").exists()
