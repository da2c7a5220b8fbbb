"""What goes in and out of the command, and how it is computed, on a model that puts an -o behind every word."""

import gzip
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from typer.testing import CliRunner, Result

from nmt.translate import Translator
from nmt_cli.main import app
from nmt_cli.pace import LinePace
from nmt_cli.translate import _warn_of_workers

Invoke = Callable[..., Result]
Run = Callable[..., str]

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in (".", "cli", "data"))}

LINES = ["bat cow", "", "den fig gum", "\x0b", "hat\u2028jam", "kit \0 log", "map 😀"]


def as_bytes(lines: list[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


@pytest.fixture(scope="module")
def expected(library: Translator) -> list[str]:
    """What the library makes of `LINES`."""
    found = [best.text for best, *_ in library.translate(LINES)]
    assert found[:3] == ["bato cowo", "", "deno figo gumo"]
    return found


# input and output


def test_stdin_goes_to_stdout_line_by_line(run: Run, expected: list[str]) -> None:
    assert run(lines=LINES) == as_bytes(expected).decode()
    assert run("-", "--output", "-", lines=LINES) == as_bytes(expected).decode()


def test_a_file_goes_to_a_file(run: Run, expected: list[str], tmp_path: Path) -> None:
    source, output = tmp_path / "in.txt.gz", tmp_path / "out.txt"
    source.write_bytes(gzip.compress(as_bytes(LINES)))
    assert run(source, "-o", output) == ""
    assert output.read_bytes() == as_bytes(expected)
    assert sorted(tmp_path.iterdir()) == [source, output]


def test_a_last_line_without_end_gets_one(run: Run) -> None:
    assert run(lines=b"bat cow\r\n\nden") == "bato cowo\n\ndeno\n"


def test_no_lines_give_no_lines(run: Run, tmp_path: Path) -> None:
    output, links = tmp_path / "out.txt", tmp_path / "links.txt"
    assert run("--output", output, "--alignment", links) == ""
    assert (output.read_bytes(), links.read_bytes()) == (b"", b"")
    assert run("--format", "json") == ""


def test_bad_bytes_are_an_error_behind_the_lines_before(run: Run, refused: Run, invoke: Invoke, tmp_path: Path) -> None:
    result = invoke(lines=b"bat\ncow\n\xff\nden\n")
    assert (result.exit_code, result.stdout) == (1, "bato\ncowo\n")
    assert result.stderr.startswith("error: <stdin>, line 3: byte 1 (0xff) is not UTF-8")
    assert "line 3" in refused("--output", tmp_path / "out.txt", lines=b"bat\ncow\n\xff\nden\n")
    assert not list(tmp_path.iterdir())
    replaced = run("--on-bad-utf8", "replace", lines=b"bat\ncow\n\xff\nden\n")
    assert replaced.count("\n") == 4


def test_a_missing_file_is_found_out_before_the_model_is_loaded(refused: Run, tmp_path: Path) -> None:
    message = refused(tmp_path / "nowhere.txt", model=tmp_path / "no-model")
    assert message == f"error: cannot read {tmp_path / 'nowhere.txt'}: No such file or directory\n"


def test_a_missing_model_is_one_line(refused: Run, tmp_path: Path) -> None:
    message = refused("--output", tmp_path / "out.txt", model=tmp_path / "no-model")
    assert re.fullmatch(r"error: .*no-model does not exist\n", message)
    assert not list(tmp_path.iterdir())


def test_output_that_cannot_be_written_is_one_line(refused: Run, tmp_path: Path) -> None:
    for option in ("--output", "--alignment"):
        assert refused(option, tmp_path) == f"error: {tmp_path}: Is a directory\n"
        nowhere = tmp_path / "no" / "x"
        missing = f"error: {nowhere} cannot be written: there is no folder {nowhere.parent}\n"
        assert refused(option, nowhere) == missing


@pytest.mark.parametrize("option", ["--output", "--alignment"])
def test_what_is_read_is_not_replaced(refused: Run, tmp_path: Path, option: str) -> None:
    path = tmp_path / "in.txt"
    path.write_text("bat\n")
    message = f"error: {path} is an input, so it cannot be written: the result would replace it\n"
    assert refused(path, option, path, code=2) == message
    assert refused("--terms", path, option, path, code=2) == message
    assert path.read_text() == "bat\n"


def test_lines_too_long_for_the_model_are_named(invoke: Invoke, tmp_path: Path) -> None:
    source = tmp_path / "in.txt"
    source.write_text("bat\n" + "bat cow " * 60 + "\nden\n")
    result = invoke(source)
    assert (result.exit_code, result.stdout.count("\n")) == (0, 3)
    warning = r"warning: (.*), line 2: too long for the model, so it was translated in (\d) parts; (.*)\n"
    found = re.fullmatch(warning, result.stderr)
    assert found is not None
    assert found[1] == str(source)
    assert int(found[2]) > 1
    assert found[3] == "--document translates sentences one by one"
    assert re.fullmatch(r"warning: .* parts\n", invoke(source, "--document").stderr)
    assert invoke(lines=["bat cow " * 60]).stderr.startswith("warning: <stdin>, line 1: too long")


# files beside it


def test_alignments_have_a_line_for_every_line(run: Run, tmp_path: Path) -> None:
    links = tmp_path / "links.txt"
    stdout = run("--alignment", links, "--n-best", "2", lines=["bat cow hat", "", "den"])
    assert stdout.startswith("0 ||| bato cowo hato |||")
    assert links.read_text() == "0-0 1-1 2-2\n\n0-0\n"


def test_attention_is_drawn_for_every_line_that_is_not_blank(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "plots"
    assert run("--attention-plot", folder, lines=["bat cow", "", "den"]) == "bato cowo\n\ndeno\n"
    assert sorted(path.name for path in folder.iterdir()) == ["line-1.png", "line-3.png"]
    assert (folder / "line-1.png").read_bytes().startswith(b"\x89PNG")


# computation


@pytest.mark.parametrize(("device", "warnings"), [("auto", 1), ("cpu", 0)])
def test_workers_that_would_share_a_gpu_are_warned_about(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, device: str, warnings: int
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    _warn_of_workers(2, device)
    told = capsys.readouterr().err
    assert told.count("warning: --workers 2 is for CPUs: on a GPU each has a model of its own") == warnings


def test_the_size_of_batches_changes_nothing(run: Run, expected: list[str]) -> None:
    assert run("--batch-tokens", "1", lines=LINES) == as_bytes(expected).decode()


@pytest.mark.filterwarnings("default::nmt.errors.NmtWarning")
@pytest.mark.parametrize("precision", ["auto", "fp32", "bf16", "int8"])
def test_every_precision_gives_a_line_for_a_line_on_every_machine(toy_model: Path, precision: str) -> None:
    arguments = ["translate", str(toy_model), "--precision", precision]
    result = CliRunner().invoke(app, arguments, input=b"bat cow\n\nden\n")
    assert (result.exit_code, result.stdout) == (0, "bato cowo\n\ndeno\n")


@pytest.mark.parametrize(
    ("asked", "needs"), [("bf16", "a processor that multiplies it"), ("int8", "a processor with AVX2")]
)
def test_what_the_hardware_lacks_is_replaced_by_the_nearest_with_one_line(
    toy_model: Path, monkeypatch: pytest.MonkeyPatch, asked: str, needs: str
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
    result = CliRunner().invoke(app, ["translate", str(toy_model), "--precision", asked], input=b"bat cow\nden\n")
    assert (result.exit_code, result.stdout) == (0, "bato cowo\ndeno\n")
    assert result.stderr.startswith(f'warning: precision "{asked}" needs {needs}')
    assert result.stderr.endswith('using "fp32"\n')
    assert result.stderr.count("\n") == 1


def test_a_terminal_is_told_what_auto_is(invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nmt_cli.translate.console", SimpleNamespace(is_terminal=True))
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
    arguments = ["--output", tmp_path / "out.txt", "--device", "cpu"]
    line = 'precision "auto" is fp32 here: nothing that is faster is known of this machine'
    assert invoke(*arguments, "--precision", "auto", lines=["bat"]).stderr.splitlines()[0] == line
    assert "precision" not in invoke(*arguments, "--precision", "fp32", lines=["bat"]).stderr
    assert invoke(*arguments, model=tmp_path).stderr.startswith("error: ")


def test_an_unknown_precision_is_wrong_usage(refused: Run) -> None:
    assert "Invalid value for '--precision': 'int4' is not one of" in refused("--precision", "int4", code=2)


def test_a_missing_gpu_is_an_error(toy_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    result = CliRunner().invoke(app, ["translate", str(toy_model), "--device", "cuda"], input=b"bat\n")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == 'error: device "cuda" was requested, but torch finds no GPU; use "cpu" or "auto"\n'


def test_models_of_one_vocabulary_decide_together(run: Run, refused: Run, toy_model: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(toy_model, other, ignore=shutil.ignore_patterns("checkpoints", "tensorboard"))
    assert run("--ensemble", other, "--ensemble", toy_model, lines=["bat cow"]) == "bato cowo\n"
    message = refused("--ensemble", tmp_path / "nowhere")
    assert re.fullmatch(r"error: .*nowhere does not exist\n", message)


def test_workers_write_the_same_bytes(invoke: Invoke, tmp_path: Path) -> None:
    arguments = ["--sample", "--temperature", "3", "--n-best", "2", "--batch-tokens", "40"]
    lines = [*LINES, "bat cow " * 60, *LINES]
    one, two = (
        invoke(*arguments, "--alignment", tmp_path / workers, "--workers", workers, lines=lines)
        for workers in ("1", "2")
    )
    assert (one.exit_code, two.exit_code) == (0, 0)
    assert (two.stdout, two.stderr) == (one.stdout, one.stderr)
    assert "line 8: too long" in two.stderr
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def start(toy_model: Path, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "nmt_cli", "translate", str(toy_model), "--device", "cpu", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=ENVIRONMENT)


def test_a_line_is_translated_before_the_next_one_arrives_and_ctrl_c_ends_it(toy_model: Path) -> None:
    with start(toy_model) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        for line, translation in ((b"bat cow\n", b"bato cowo\n"), (b"\n", b"\n"), (b"den\n", b"deno\n")):
            process.stdin.write(line)
            process.stdin.flush()
            assert process.stdout.readline() == translation
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=120) == 130
        assert process.stderr.read() == b"interrupted\n"


def test_a_reader_that_has_seen_enough_ends_it_without_a_word(toy_model: Path) -> None:
    with start(toy_model) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(b"bat cow\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"bato cowo\n"
        process.stdout.close()
        process.stdin.write(b"den\n" * 10)
        process.stdin.close()
        assert process.wait(timeout=120) == 141
        assert process.stderr.read() == b""


def test_translated_lines_are_told_with_their_speed_since_the_first_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 102.0, 104.0])
    monkeypatch.setattr("nmt_cli.pace.time.monotonic", lambda: next(clock))
    pace = LinePace()
    told = [pace.reach(count) for count in (0, 0, 1, 3000)]
    assert told == [
        *["translating: 0 lines"] * 2,
        "translating: 1 line, 0.5 lines/s",
        "translating: 3,000 lines, 750 lines/s",
    ]
    assert pace.summary(3000) == "3,000 lines in 4.0 s (750 lines/s)"


def test_a_process_that_did_a_part_tells_of_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 102.0])
    monkeypatch.setattr("nmt_cli.pace.time.monotonic", lambda: next(clock))
    pace = LinePace(of=5000)
    for count in (0, 5000):
        pace.reach(count)
    assert pace.summary(2000) == "2,000 of 5,000 lines in 2.0 s (1,000 lines/s)"
    assert pace.summary(5000) == "5,000 lines in 2.0 s (2,500 lines/s)"


def test_of_so_many_lines_the_share_and_the_time_left_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 110.0, 150.0])
    monkeypatch.setattr("nmt_cli.pace.time.monotonic", lambda: next(clock))
    pace = LinePace(of=2000)
    assert [pace.reach(count) for count in (0, 100, 1000)] == [
        "translating: 0 of 2,000 lines (0%)",
        "translating: 100 of 2,000 lines (5%), 10 lines/s, 0:03:10 left",
        "translating: 1,000 of 2,000 lines (50%), 20 lines/s, 50.0 s left",
    ]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_terminal_is_told_of_how_many_lines_a_file_and_what_it_has_come_to(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: str
) -> None:
    monkeypatch.setattr("nmt_cli.translate.console", SimpleNamespace(is_terminal=True))
    source = tmp_path / "in.gz"
    source.write_bytes(gzip.compress(as_bytes(LINES)))
    result = invoke(source, "--output", tmp_path / "out", "--workers", workers)
    assert re.search(
        rf"^{len(LINES)} lines in [\d.]+ s \([\d,.]+ lines/s, [\d,]+ pieces/s\)$", result.stderr, re.MULTILINE
    )
    assert len((tmp_path / "out").read_bytes().splitlines()) == len(LINES)


def test_a_line_is_translated_without_what_only_other_work_needs(toy_model: Path) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "nmt_cli", "translate", str(toy_model)]
    done = subprocess.run(command, env=ENVIRONMENT, input=b"bat cow\n", capture_output=True, check=True)
    assert done.stdout == b"bato cowo\n"
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.decode().splitlines()}
    assert "nmt.translate.translator" in loaded
    assert loaded.isdisjoint({"nmt.lm", "nmt.training", "nmt.prepared", "nmt.report", "nmt.metrics"})
    assert loaded.isdisjoint({"filelock", "pyarrow", "sacrebleu", "datasets", "rich.table", "rich.progress"})
    assert loaded.isdisjoint({"torch._dynamo", "torch._inductor", "sympy", "torch.utils.tensorboard"})
