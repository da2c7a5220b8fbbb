from pathlib import Path

from typer.testing import CliRunner

from nmt_cli.main import app

runner = CliRunner()


def test_pieces_are_added_and_listed(toy_model: Path, tmp_path: Path) -> None:
    text = tmp_path / "terms.txt"
    text.write_text("Quizquiz\n" * 3, encoding="utf-8")
    add = ["vocabulary", "add", str(toy_model), "-o", str(tmp_path / "new")]
    result = runner.invoke(
        app, [*add, "--pieces", " bathat", "--symbols", "<b>", "--from-text", str(text), "--limit", "1"]
    )
    assert result.exit_code == 0
    assert result.stdout.startswith("3 new pieces: \u2581bathat ")
    assert f"nmt train DATA_DIR NEW_DIR --from {tmp_path / 'new'}" in result.stderr
    assert (tmp_path / "new" / "model.safetensors").is_file()


def test_nothing_to_add_is_wrong_usage(toy_model: Path, tmp_path: Path) -> None:
    result = runner.invoke(app, ["vocabulary", "add", str(toy_model), "-o", str(tmp_path / "new")])
    assert (result.exit_code, result.stderr) == (
        2,
        "error: expected --pieces, --symbols or --from-text: there is nothing to add\n",
    )


def test_a_text_without_new_pieces_is_named_and_so_is_what_is_no_model(toy_model: Path, tmp_path: Path) -> None:
    text = tmp_path / "terms.txt"
    text.write_text("Quizquiz\n", encoding="utf-8")
    add = ["-o", str(tmp_path / "new"), "--from-text", str(text)]
    result = runner.invoke(app, ["vocabulary", "add", str(toy_model), *add])
    assert result.exit_code == 1
    assert result.stderr.startswith("error: nothing to add: the texts have no word that ")
    result = runner.invoke(app, ["vocabulary", "add", str(tmp_path / "none"), *add])
    assert result.stderr == f"error: model folder {tmp_path / 'none'} does not exist\n"
    result = runner.invoke(app, ["vocabulary", "add", str(toy_model / "model.safetensors"), *add])
    assert result.stderr.endswith("model.safetensors is a file, expected the folder of a model\n")
