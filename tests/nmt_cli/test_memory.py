"""`nmt memory build`, and `nmt translate` with what it wrote."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from nmt_cli.main import app

from .conftest import Invoke

PAIRS = [("bat cow", "Batō!"), ("den fig gum hat", "deno figo gumo hato")]


@pytest.fixture(scope="module")
def memory(toy_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("memory")
    (folder / "a.tsv").write_text("".join("\t".join(pair) + "\n" for pair in PAIRS), encoding="utf-8")
    done = CliRunner().invoke(app, ["memory", "build", str(toy_model), str(folder / "a.tsv"), "-o", str(folder / "tm")])
    assert (done.exit_code, done.stdout) == (0, f"2 pairs in {folder / 'tm'}; left out: 0\n")
    assert done.stderr == f"next: nmt translate {toy_model} FILE --memory {folder / 'tm'}\n"
    return folder / "tm"


def test_known_lines_come_back_and_are_counted(invoke: Invoke, memory: Path) -> None:
    done = invoke("--memory", memory, lines=["bat cow", "den fig gum log", "kit", ""])
    assert done.stdout.splitlines()[0] == "Batō!"
    assert done.stderr == "memory: 1 line taken from it, 1 translated beside similar pairs, 2 without any\n"


@pytest.mark.parametrize("workers", [1, 2])
def test_json_tells_the_pairs(invoke: Invoke, memory: Path, workers: int) -> None:
    lines = ["bat cow", "den fig gum hat", "kit"]
    options = ["--no-memory-exact", "--memory-least", "0.5", "--workers", str(workers)]
    done = invoke("--memory", memory, "--format", "json", *options, lines=lines)
    found = [json.loads(line)["memory"] for line in done.stdout.splitlines()]
    match = {"similarity": 1.0, "exact": False}
    assert found == [[{**match, "source": src, "target": tgt}] for src, tgt in PAIRS] + [[]]


def test_options_of_a_memory_need_one(invoke: Invoke) -> None:
    done = invoke("--memory-pairs", "3", lines=["bat"])
    assert (done.exit_code, done.stderr) == (2, "error: --memory-pairs is about a memory; it needs --memory\n")


def test_pairs_come_from_one_place(toy_model: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["memory", "build", str(toy_model), "-o", str(tmp_path / "m")])
    assert (done.exit_code, done.stderr) == (2, "error: expected either PAIRS or --src and --tgt\n")


def test_two_files_are_read_side_by_side(toy_model: Path, tmp_path: Path) -> None:
    (tmp_path / "a.src").write_text("bat\n")
    (tmp_path / "a.tgt").write_text("bato\n")
    sides = ["--src", str(tmp_path / "a.src"), "--tgt", str(tmp_path / "a.tgt")]
    done = CliRunner().invoke(app, ["memory", "build", str(toy_model), *sides, "-o", str(tmp_path / "m")])
    assert (done.exit_code, done.stdout) == (0, f"1 pair in {tmp_path / 'm'}; left out: 0\n")
