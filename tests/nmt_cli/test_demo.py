from pathlib import Path

import pytest
from typer.testing import CliRunner

from nmt_cli.main import app

SMALL = ["--set", "model.hidden_size=16", "--set", "search.beam_size=1", "--set", "search.max_length_ratio=0.5"]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, Path]:
    """What `nmt demo` prints on stdout and stderr, and where it worked; far too short to learn anything."""
    work = tmp_path_factory.mktemp("demo")
    arguments = ["demo", "--work", str(work), "--pairs", "3000", "--show", "3", "--set", "training.max_steps=10"]
    result = CliRunner().invoke(app, [*arguments, *SMALL])
    assert result.exit_code == 0, result.stderr
    return result.stdout, result.stderr, work


def test_the_table_shows_unseen_sentences_and_what_was_expected(shown: tuple[str, str, Path]) -> None:
    stdout, _, work = shown
    sources = (work / "corpus" / "test.en").read_text(encoding="utf-8").splitlines()
    references = (work / "corpus" / "test.fr").read_text(encoding="utf-8").splitlines()
    text = " ".join(stdout.split())
    for number in (0, 166, 332):
        assert sources[number] in text
        assert f"expected: {references[number]}" in text
    assert not set(sources) & set((work / "corpus" / "train.en").read_text(encoding="utf-8").splitlines())


def test_the_scores_end_the_table_and_a_command_to_try_ends_the_demo(shown: tuple[str, str, Path]) -> None:
    stdout, stderr, work = shown
    assert [line.split()[0] for line in stdout.splitlines()[-3:]] == ["BLEU", "chrF2", "TER"]
    assert stderr.splitlines()[-1] == f"try it: echo 'Where is the station?' | nmt translate {work / 'model'}"


@pytest.mark.parametrize(
    ("called", "path", "told"),
    [(".venv/bin/nmt", None, ".venv/bin/nmt"), (".venv/bin/nmt", "/usr/bin/nmt", "nmt"), ("__main__.py", None, "nmt")],
)
def test_the_command_to_try_is_one_that_the_shell_finds(
    shown: tuple[str, str, Path], monkeypatch: pytest.MonkeyPatch, called: str, path: str | None, told: str
) -> None:
    work = shown[2]
    monkeypatch.setattr("sys.argv", [called])
    monkeypatch.setattr("nmt_cli.demo.which", lambda _: path)
    arguments = ["demo", "--work", str(work), "--pairs", "3000", "--set", "training.max_steps=10"]
    again = CliRunner().invoke(app, [*arguments, *SMALL])
    assert f"| {told} translate {work / 'model'}" in again.stderr.splitlines()[-1]
