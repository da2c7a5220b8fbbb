from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from nmt_cli.main import app


def run(*args: str) -> Result:
    return CliRunner().invoke(app, ["noise", *args])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "a.en").write_text("A man runs.\nA dog.\n" * 20, encoding="utf-8")
    (tmp_path / "a.de").write_text("Ein Mann rennt.\nEin Hund.\n" * 20, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_source_alone_goes_to_stdout_and_is_the_same_each_time(folder: Path) -> None:
    once, again, other = run("a.en"), run("a.en"), run("a.en", "--seed", "2")
    assert (once.exit_code, once.stderr) == (0, "")
    assert once.stdout == again.stdout != other.stdout
    lines = once.stdout.splitlines()
    assert len(lines) == 40
    assert len(set(lines)) > 10
    assert all(line[-1] == "." for line in lines)


def test_both_sides_go_to_files(folder: Path) -> None:
    done = run("a.en", "a.de", "--kind", "ending", "-o", "n.en", "--tgt-output", "n.de")
    assert (done.exit_code, done.output) == (0, "")
    assert (folder / "n.en").read_text(encoding="utf-8") == "A man runs\nA dog\n" * 20
    assert (folder / "n.de").read_text(encoding="utf-8") == "Ein Mann rennt\nEin Hund\n" * 20


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (["a.en", "--kind", "ending"], "--kind ending changes the translation too; it needs TARGET and --tgt-output"),
        (["a.en", "a.de"], "TARGET and --tgt-output belong together: give both, or neither"),
        (["a.en", "--tgt-output", "n.de"], "TARGET and --tgt-output belong together: give both, or neither"),
        (["a.en", "-o", "a.en"], "a.en is an input, so it cannot be written: the result would replace it"),
    ],
)
def test_what_does_not_go_together_is_refused(folder: Path, args: list[str], error: str) -> None:
    done = run(*args)
    assert (done.exit_code, done.stderr) == (2, f"error: {error}\n")


def test_files_that_do_not_match_are_told_of(folder: Path) -> None:
    (folder / "b.de").write_text("Ein Mann.\n", encoding="utf-8")
    done = run("a.en", "b.de", "-o", "n.en", "--tgt-output", "n.de")
    assert done.stderr == "error: a.en has 40 lines but b.de has 1; parallel files must match\n"
    assert not (folder / "n.en").exists()


def test_kinds_that_there_are_not_are_refused_with_those_that_there_are(folder: Path) -> None:
    done = run("a.en", "--kind", "typo")
    assert done.exit_code == 2
    assert "expected one of typos, spaces, lower, upper," in " ".join(done.stderr.replace("│", "").split())
