"""`nmt translate` of a file in blocks: the same bytes as at once, after a kill too, and by several processes."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from nmt.io.shared_work import Claim
from nmt.training.distributed import Ranks
from nmt_cli.main import app
from tests.nmt_cli.conftest import Torchrun

Invoke = Callable[..., Result]

LINES = ["bat cow", "", "den fig gum", "hat", "jam kit. cow bat.", "log map bat", "cow", "x" * 300, "fig den jam hat"]
PAGE = ["<p", ' class="x">bat cow', "<style>", "bat { cow }", "</style> den", "", "  <code>bat</code> fig <!--", "hat"]
FORMS = [
    [],
    ["--n-best", "3"],
    ["--format", "json", "--n-best", "2"],
    ["--scores"],
    ["--document"],
    ["--markup"],
    ["--sample", "--seed", "5", "--temperature", "3"],
    ["--workers", "2"],
]


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a block have two lines."""
    monkeypatch.setattr("nmt.translate.blockwise.LINES", 2)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in"
    path.write_text("".join(f"{line}\n" for line in [*LINES, *PAGE, *LINES]))
    return path


@pytest.fixture
def finished(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the blocks that are finished, as they are."""
    names: list[str] = []
    finish = Claim.finish

    def note(claim: Claim) -> None:
        finish(claim)
        names.append(claim._folder.name)

    monkeypatch.setattr(Claim, "finish", note)
    return names


def in_blocks(invoke: Invoke, monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> Result:
    with monkeypatch.context() as patch:
        patch.setattr("nmt.translate.blockwise.LINES", 2)
        return invoke(*arguments)


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("form", FORMS, ids=" ".join)
def test_blocks_change_no_byte(
    invoke: Invoke, source: Path, monkeypatch: pytest.MonkeyPatch, form: list[str], finished: list[str]
) -> None:
    folder = source.parent
    whole = invoke(source, *form, "--output", folder / "whole", "--alignment", folder / "whole.links")
    assert whole.exit_code == 0, whole.stderr
    assert finished == []
    blocks = in_blocks(
        invoke, monkeypatch, source, *form, "--output", folder / "blocks", "--alignment", folder / "blocks.links"
    )
    assert (blocks.exit_code, blocks.stderr) == (0, whole.stderr)
    assert len(finished) == 13
    for name in ("", ".links"):
        assert (folder / f"blocks{name}").read_bytes() == (folder / f"whole{name}").read_bytes()
    assert left(folder) == ["blocks", "blocks.links", "in", "whole", "whole.links"]


def killed(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch, finished: list[str], *arguments: str | Path, after: int
) -> Result:
    """Run the command until so many blocks are finished."""
    finish = Claim.finish

    def finish_or_die(claim: Claim) -> None:
        if len(finished) == after:
            raise KeyboardInterrupt
        finish(claim)

    with monkeypatch.context() as patch:
        patch.setattr(Claim, "finish", finish_or_die)
        return in_blocks(invoke, patch, *arguments)


@pytest.mark.parametrize("form", [[], ["--markup"]], ids=["text", "markup"])
def test_what_a_kill_leaves_is_not_done_again(
    invoke: Invoke, source: Path, monkeypatch: pytest.MonkeyPatch, finished: list[str], form: list[str]
) -> None:
    out = source.with_name("out")
    out.write_text("old")
    result = killed(invoke, monkeypatch, finished, source, *form, "--output", out, after=3)
    kept = f"what is done is kept in {out.with_name('.out.work')}: the same command continues from there\n"
    assert (result.exit_code, result.stderr) == (130, f"{kept}interrupted\n")
    assert out.read_text() == "old"
    assert in_blocks(invoke, monkeypatch, source, *form, "--output", out).exit_code == 0
    assert sorted(finished) == [f"{number:06}" for number in range(13)]
    invoke(source, *form, "--output", source.with_name("whole"))
    assert out.read_bytes() == source.with_name("whole").read_bytes()
    assert left(source.parent) == ["in", "out", "whole"]


@pytest.mark.parametrize("changed", ["input", "options"])
def test_work_of_other_input_or_options_is_not_used(
    invoke: Invoke, source: Path, monkeypatch: pytest.MonkeyPatch, finished: list[str], changed: str
) -> None:
    out = source.with_name("out")
    killed(invoke, monkeypatch, finished, source, "--output", out, after=3)
    if changed == "input":
        source.write_text(source.read_text().replace("bat", "cow"))
    options = ["--beam", "1"] if changed == "options" else []
    assert in_blocks(invoke, monkeypatch, source, *options, "--output", out).exit_code == 0
    assert sorted(finished[3:]) == [f"{number:06}" for number in range(13)]


def test_the_batch_size_may_change_between_a_kill_and_what_follows(
    invoke: Invoke, source: Path, monkeypatch: pytest.MonkeyPatch, finished: list[str]
) -> None:
    out = source.with_name("out")
    killed(invoke, monkeypatch, finished, source, "--output", out, after=3)
    assert in_blocks(invoke, monkeypatch, source, "--output", out, "--batch-tokens", "64").exit_code == 0
    assert len(finished) == 13


@pytest.mark.usefixtures("small_blocks")
def test_shards_of_machines_that_see_no_common_folder_are_joined(invoke: Invoke, source: Path) -> None:
    out = source.with_name("out")
    for number in (3, 1, 2):
        assert invoke(source, "--shard", f"{number}/3", "--output", out, "--n-best", "2").exit_code == 0
    assert left(source.parent) == ["in", "out.1-of-3", "out.2-of-3", "out.3-of-3"]
    joined = CliRunner().invoke(app, ["join", *map(str, sorted(source.parent.glob("out.*"))), "--output", str(out)])
    assert (joined.exit_code, joined.stderr) == (0, "joined 13 blocks of 3 shards\n")
    shown = CliRunner().invoke(app, ["join", *map(str, sorted(source.parent.glob("out.*"))), "--output", "-"])
    assert shown.stdout_bytes == out.read_bytes()
    assert invoke(source, "--output", source.with_name("whole"), "--n-best", "2").exit_code == 0
    assert out.read_bytes() == source.with_name("whole").read_bytes()


@pytest.mark.usefixtures("small_blocks")
def test_shards_with_other_options_or_of_other_columns_are_not_joined(invoke: Invoke, source: Path) -> None:
    out, links = source.with_name("out"), source.with_name("links")
    invoke(source, "--shard", "1/2", "--output", out, "--alignment", links)
    invoke(source, "--shard", "2/2", "--output", out, "--beam", "1")
    for other, what in ((out.with_name("out.2-of-2"), "options"), (links.with_name("links.1-of-2"), "output")):
        joined = CliRunner().invoke(app, ["join", f"{out}.1-of-2", str(other), "--output", str(out)])
        assert joined.exit_code == 1
        assert f"do not belong together: they differ in the {what}" in joined.stderr
    assert not out.exists()


@pytest.mark.parametrize("form", [["--output", "-"], ["-", "--output", "out"]])
def test_a_shard_of_a_stream_is_refused(refused: Callable[..., str], source: Path, form: list[str]) -> None:
    arguments = form if form[0] == "-" else [str(source), *form]
    expected = "error: --shard is for a file of text that becomes a file (--output)\n"
    assert refused(*arguments, "--shard", "1/2", code=2) == expected


@pytest.mark.usefixtures("small_blocks")
def test_bad_bytes_in_any_block_are_named_before_anything_is_done(
    invoke: Invoke, source: Path, finished: list[str]
) -> None:
    source.write_bytes(source.read_bytes() + b"cow\nb\xffat\n")
    result = invoke(source, "--output", source.with_name("out"))
    assert result.exit_code == 1
    assert f"error: {source}, line 28: byte 2 (0xff) is not UTF-8" in result.stderr
    assert finished == []
    assert invoke(source, "--on-bad-utf8", "replace", "--output", source.with_name("out")).exit_code == 0
    assert len(finished) == 14
    assert left(source.parent) == ["in", "out"]


@pytest.mark.usefixtures("small_blocks")
def test_a_file_that_is_edited_meanwhile_is_noticed_and_the_next_run_translates_what_it_says_now(
    invoke: Invoke, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, finish, edited = source.with_name("out"), Claim.finish, source.read_text().replace("bat", "cow")

    def finish_and_edit(claim: Claim) -> None:
        finish(claim)
        source.write_text(edited)

    monkeypatch.setattr(Claim, "finish", finish_and_edit)
    result = invoke(source, "--output", out)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == f"error: {source} was changed while it was translated"
    assert "the same command continues from there" in result.stderr
    assert not out.exists()
    monkeypatch.setattr(Claim, "finish", finish)
    assert invoke(source, "--output", out).exit_code == 0
    (source.with_name("copy")).write_text(edited)
    assert invoke(source.with_name("copy"), "--output", source.with_name("expected")).exit_code == 0
    assert out.read_bytes() == source.with_name("expected").read_bytes()


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("busy", ["nmt.io.lines.count_lines", "nmt.translate.translator.load_model"])
def test_a_file_that_is_edited_while_it_is_counted_or_a_model_is_loaded_is_noticed_before_the_work(
    invoke: Invoke, source: Path, finished: list[str], monkeypatch: pytest.MonkeyPatch, busy: str
) -> None:
    module, _, name = busy.rpartition(".")
    work, edited = getattr(import_module(module), name), source.read_text().replace("bat", "cow")

    def edit_meanwhile(path: Path, **how: Any) -> Any:
        done = work(path, **how)
        source.write_text(edited)
        return done

    with monkeypatch.context() as patch:
        patch.setattr(busy, edit_meanwhile)
        result = invoke(source, "--output", source.with_name("out"))
    assert (result.exit_code, finished) == (1, [])
    assert result.stderr.splitlines()[-1] == f"error: {source} was changed while it was translated"
    assert "what is done is kept" not in result.stderr
    assert left(source.parent) == ["in"]
    assert invoke(source, "--output", source.with_name("out")).exit_code == 0
    assert left(source.parent) == ["in", "out"]


@pytest.mark.usefixtures("small_blocks")
def test_a_file_that_grows_meanwhile_is_noticed(invoke: Invoke, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nmt.io.lines.count_lines", lambda path: 20)
    result = invoke(source, "--output", source.with_name("out"))
    assert result.stderr == f"error: {source} no longer has 20 lines: it was changed while it was translated\n"
    assert left(source.parent) == ["in"]


def test_a_log_is_told_now_and_then_and_of_the_end(
    invoke: Invoke, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nmt_cli.pace._FIRST", 0.0)
    result = in_blocks(invoke, monkeypatch, source, "--output", source.with_name("out"))
    first, *_, last = [line for line in result.stderr.splitlines() if not line.startswith("warning")]
    assert re.fullmatch(r"translating: \d+ of 26 lines \(\d+%\).*", first)
    assert re.fullmatch(
        r"26 lines in [\d.]+ s \([\d,.]+ lines/s, [\d,]+ pieces/s\)(; translated in parts: 2 lines)?", last
    )


@pytest.mark.parametrize("rank", [0, 1])
def test_each_process_says_its_part_and_the_first_alone_what_is_of_all(
    invoke: Invoke, source: Path, monkeypatch: pytest.MonkeyPatch, rank: int
) -> None:
    monkeypatch.setattr("nmt_cli.translate.several_processes", lambda: nullcontext(Ranks(rank, 2)))
    monkeypatch.setattr(Ranks, "met", lambda ranks, folder: nullcontext())
    result = in_blocks(invoke, monkeypatch, source, "--markup", "--output", source.with_name("out"))
    *others, last = result.stderr.splitlines()
    assert re.fullmatch(rf"process {rank}: 26 lines in [\d.]+ s \(.*", last)
    assert any("is never closed" in line for line in others) == (rank == 0)


ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "OMP_NUM_THREADS": "1"}


@pytest.fixture
def long(tmp_path: Path, toy_text: Path) -> Path:
    """A file of five blocks."""
    path = tmp_path / "long"
    lines = (toy_text / "test.src").read_text().splitlines(keepends=True)
    path.write_text("".join(lines[number % len(lines)] for number in range(9000)))
    return path


def command(model: Path, source: Path, output: Path) -> list[str]:
    arguments = ["translate", str(model), str(source), "--output", str(output), "--device", "cpu"]
    return [sys.executable, "-m", "nmt_cli", *arguments]


def wait(process: "subprocess.Popen[str]") -> str:
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    return str(stderr)


@pytest.mark.slow
def test_processes_of_torchrun_share_a_file_and_start_again_where_one_dies(
    torchrun: Torchrun, toy_model: Path, long: Path, invoke: Invoke
) -> None:
    out = long.with_name("out")
    torchrun("translate", toy_model, long, "--output", out, until=".out.work/*/.0*.tmp", processes=3)
    assert invoke(long, "--output", long.with_name("alone")).exit_code == 0
    assert out.read_bytes() == long.with_name("alone").read_bytes()
    assert left(long.parent) == ["alone", "long", "out"]


@pytest.mark.slow
def test_a_process_takes_up_what_a_killed_one_had(
    start_process: Callable[..., "subprocess.Popen[Any]"], toy_model: Path, long: Path, invoke: Invoke
) -> None:
    out = long.with_name("out")
    first, second = (
        start_process(command(toy_model, long, out), stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
        for _ in range(2)
    )
    while first.poll() is None and len(list(out.with_name(".out.work").glob("*/.0*.tmp"))) < 2:
        time.sleep(0.002)
    first.kill()
    wait(second)
    assert invoke(long, "--output", long.with_name("alone")).exit_code == 0
    assert out.read_bytes() == long.with_name("alone").read_bytes()
    assert left(long.parent) == ["alone", "long", "out"]
