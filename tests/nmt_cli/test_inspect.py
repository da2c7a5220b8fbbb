import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from nmt.prepared import PreparedData, PreparedText
from nmt.prepared.manifest import read_manifest
from nmt_cli.main import app


@pytest.fixture
def folder(toy_data: PreparedData, tmp_path: Path) -> Path:
    copy = tmp_path / "v1.2"
    shutil.copytree(toy_data.folder, copy)
    return copy


def inspect(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["inspect", *map(str, arguments)])


def test_the_report_goes_to_stdout_and_the_page_beside_the_folder(folder: Path) -> None:
    result = inspect(folder)
    page = folder.with_name("v1.2.html")
    assert (result.exit_code, result.stderr) == (0, f"page: {page}\n")
    assert result.stdout.startswith(f"{folder}: 400 pairs read, ")
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_the_data_can_still_be_used_and_prepared_again(folder: Path) -> None:
    before = sorted(folder.iterdir())
    inspect(folder)
    assert sorted(folder.iterdir()) == before


def test_a_folder_named_by_a_dot_has_its_page_beside_it_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert inspect(".").stderr == f"page: {folder}.html\n"


def test_another_file_can_be_named(folder: Path, tmp_path: Path) -> None:
    result = inspect(folder, "--html", tmp_path / "report.htm")
    assert (result.exit_code, result.stderr) == (0, f"page: {tmp_path / 'report.htm'}\n")
    assert (tmp_path / "report.htm").stat().st_size > 10_000
    assert not folder.with_name("v1.2.html").exists()


def test_no_page_is_written_where_none_is_wanted(folder: Path, tmp_path: Path) -> None:
    result = inspect(folder, "--no-html")
    assert (result.exit_code, result.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == [folder]


def test_programs_get_json(folder: Path) -> None:
    result = inspect(folder, "--json", "--no-html")
    tree = json.loads(result.stdout)
    assert tree["counts"]["read"] == 400
    assert set(tree["sides"]) == {"source", "target"}


def test_a_page_within_the_data_is_wrong_usage(folder: Path) -> None:
    result = inspect(folder, "--html", folder / "page.html")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "would lie within the prepared data, where only they may be" in " ".join(result.stderr.split())


def test_a_page_on_stdout_is_wrong_usage(folder: Path) -> None:
    result = inspect(folder, "--html", "-")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "expected a file, since the report goes to stdout" in " ".join(result.stderr.split())


def test_a_page_in_the_place_of_text_that_was_prepared_is_refused(folder: Path, tmp_path: Path) -> None:
    text = Path(read_manifest(folder).inputs[0].path)
    before, link = text.read_bytes(), tmp_path / "link"
    link.symlink_to(text)
    for page in (text, link):
        result = inspect(folder, "--html", page)
        message = f"error: {page} is an input, so it cannot be written: the result would replace it\n"
        assert (result.exit_code, result.stdout, result.stderr) == (2, "", message)
    assert text.read_bytes() == before


def test_a_page_and_none_is_wrong_usage(folder: Path) -> None:
    result = inspect(folder, "--html", "a.html", "--no-html")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "expected only one of --html and --no-html" in result.stderr


def test_a_folder_without_prepared_data_is_one_line(tmp_path: Path) -> None:
    result = inspect(tmp_path)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"error: {tmp_path} holds no prepared data: manifest.json is missing;")
    assert len(result.stderr.splitlines()) == 1


def test_a_page_that_cannot_be_written_is_one_line_after_the_report(folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "nowhere" / "page.html"
    result = inspect(folder, "--html", page)
    assert (result.exit_code, result.stderr) == (1, f"error: {page}: No such file or directory\n")
    assert result.stdout


def test_a_text_is_reported_by_its_lines(toy_text_data: PreparedText) -> None:
    result = inspect(toy_text_data.folder, "--no-html")
    assert result.exit_code == 0
    assert ": 300 lines read, 0 left out, 300 to train on, 30 to validate on\n" in result.stdout
    assert "\n  text, pieces " in result.stdout
