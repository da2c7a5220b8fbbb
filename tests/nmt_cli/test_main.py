import errno
import inspect
import os
import re
import resource
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

import pytest
from typer.main import get_command
from typer.testing import CliRunner, Result

from nmt.errors import NmtError, UsageError, describe_out_of_memory, describe_out_of_processes
from nmt_cli import main
from nmt_cli.main import app

ROOT = Path(__file__).parents[2]
COMMANDS = (*main.COMMANDS, "lm")
NMT = [sys.executable, "-m", "nmt_cli"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in (".", "cli", "data"))}
StartProcess = Callable[..., "subprocess.Popen[Any]"]


def failing_with(error: BaseException, monkeypatch: pytest.MonkeyPatch, *options: str) -> Result:
    """Run a command whose library call raises."""

    def fail(*args: Any, **kwargs: Any) -> NoReturn:
        raise error

    monkeypatch.setattr("nmt.metrics.score_files", fail)
    return CliRunner().invoke(app, [*options, "score", "ref", "out"])


def test_help_names_every_command() -> None:
    result = CliRunner().invoke(app, ["--help"])
    assert result.exit_code == 0
    for command in COMMANDS:
        assert re.search(rf"\b{command}\b +[A-Z]", result.stdout)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str) -> None:
    result = CliRunner().invoke(app, [command, "-h"])
    assert result.exit_code == 0
    assert f"nmt {command}" in result.stdout.partition("Example")[2]


def help_texts(command: Any, *words: str) -> dict[tuple[str, ...], str]:
    """The help of a command and of those below it, by the words that call them."""
    found = {words: inspect.cleandoc(command.help)}
    for name, below in getattr(command, "commands", {}).items():
        found |= help_texts(below, *words, name)
    return found


HELP = help_texts(get_command(app))


@pytest.mark.parametrize("words", [words for words in HELP if words], ids=" ".join)
def test_at_80_columns_every_line_of_an_example_is_whole(words: tuple[str, ...]) -> None:
    examples = HELP[words].partition("Examples:\n")[2].splitlines()
    shown = CliRunner(env={"COLUMNS": "80"}).invoke(app, [*words, "--help"]).stdout.splitlines()
    assert examples
    assert {f" {line}" for line in examples} - {line.rstrip() for line in shown} == set()


@pytest.mark.parametrize("words", HELP, ids=" ".join)
def test_help_shows_every_character_of_its_text(words: tuple[str, ...]) -> None:
    shown = " ".join(CliRunner().invoke(app, [*words, "--help"]).stdout.split())
    text = HELP[words].replace("\b", "").replace("\\[", "[")  # elsewhere, a word in brackets is taken for markup
    assert " ".join(text.split()) in shown


@pytest.mark.parametrize("words", HELP, ids=" ".join)
def test_the_lines_of_a_paragraph_of_help_are_those_of_the_terminal(words: tuple[str, ...]) -> None:
    assert [text for text in HELP[words].split("\n\n") if "\n" in text and not text.startswith("\b")] == []


@pytest.mark.parametrize(
    ("typed", "completed"), [("nmt tra", "train\ntranslate"), ("nmt train --show-", "--show-config")]
)
def test_the_shell_completes_commands_and_options_without_loading_torch(typed: str, completed: str) -> None:
    words = {"_NMT_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    command = [sys.executable, "-X", "importtime", "-m", "nmt_cli"]
    done = subprocess.run(command, env={**ENVIRONMENT, **words}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, completed)
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "nmt_cli.main" in loaded
    assert loaded.isdisjoint({"torch", "numpy", "regex", "datasets", "sacrebleu", "sentencepiece", "google.protobuf"})
    assert loaded.isdisjoint({"rich.table", "rich.progress", "filelock", "zstandard", "nmt.models", "nmt.training"})


def test_training_starts_without_what_only_other_work_needs(tmp_path: Path) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "nmt_cli", "train", str(tmp_path / "none"), str(tmp_path)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "nmt.training" in loaded
    assert loaded.isdisjoint({"nmt.lm", "nmt.markup", "nmt.report", "sacrebleu", "datasets", "pandas", "rich.table"})
    assert loaded.isdisjoint({"torch._dynamo", "torch._inductor", "sympy", "torch.utils.tensorboard"})


def test_without_arguments_help_is_shown() -> None:
    result = CliRunner().invoke(app, [])
    assert result.exit_code == 2
    assert "Usage: nmt" in result.stdout


def test_the_version_is_that_of_the_package() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"nmt {version('nmt-toolkit')}\n")


@pytest.mark.parametrize("arguments", [["evaluate"], ["--verbose"], ["score"], ["score", "a", "b", "--no"]])
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Usage: nmt" in result.stderr


def test_a_misspelt_command_gets_a_suggestion() -> None:
    assert "Did you mean 'translate', " in CliRunner().invoke(app, ["transalte"]).stderr


def test_an_expected_error_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    result = failing_with(NmtError("a.en has [3] lines\nbut a.fr has 4"), monkeypatch)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "error: a.en has [3] lines but a.fr has 4\n"


def test_options_that_contradict_each_other_are_wrong_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    result = failing_with(UsageError("--a needs --b"), monkeypatch)
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", "error: --a needs --b\n")


def test_a_long_error_is_not_wrapped(monkeypatch: pytest.MonkeyPatch) -> None:
    message = "word " * 100 + "end"
    assert failing_with(NmtError(message), monkeypatch).stderr == f"error: {message}\n"


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    result = failing_with(NmtError("no"), monkeypatch, "--debug")
    assert result.exit_code == 1
    assert result.stderr.startswith("Traceback (most recent call last):\n")
    assert result.stderr.endswith("error: no\n")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (KeyError("x"), "unexpected KeyError: 'x' (run with --debug, as in `nmt --debug COMMAND`, to see where)"),
        (MemoryError(), describe_out_of_memory()),
        (BaseException("PyObject pointer is null"), describe_out_of_memory()),
        (RuntimeError("Resource temporarily unavailable"), describe_out_of_processes()),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (OSError(errno.ENOSPC, "No space left on device", "m/w"), "m/w: No space left on device"),
        (
            UnicodeEncodeError("utf-8", "a\nm/\udcff/b", 4, 5, "surrogates not allowed"),
            r"m/\xff: not UTF-8 text; rename the file, or choose a locale that has UTF-8, such as LC_ALL=C.UTF-8",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "m/.w.tmp", None, "m/w"), "m/w: Permission denied"),
    ],
)
def test_any_other_failure_is_one_line_too(error: BaseException, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    result = failing_with(error, monkeypatch)
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", f"error: {line}\n")


def test_a_limit_of_the_memory_is_named_where_an_error_is_not_expected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main, "memory_limit", lambda: 3 << 30)
    line = failing_with(RuntimeError("something odd"), monkeypatch).stderr
    assert line.endswith("to see where); its memory is limited to 3,072 MiB (ulimit), which may be why\n")


def test_an_interruption_exits_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    result = failing_with(KeyboardInterrupt(), monkeypatch)
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "interrupted\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_waiting_command(start_process: StartProcess, tmp_path: Path, number: signal.Signals) -> None:
    os.mkfifo(tmp_path / "pipe")
    command = [*NMT, "score", str(tmp_path / "pipe"), str(tmp_path / "pipe")]
    process = start_process(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with (tmp_path / "pipe").open("w"):  # opens once the command reads
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=120)
    assert (process.returncode, stdout, stderr) == (130, "", "interrupted\n")


def score_into(stdout: int, folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "ref").write_text("a b c d\n")
    command = [*NMT, "score", str(folder / "ref"), str(folder / "ref")]
    return subprocess.run(command, env=ENVIRONMENT, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False)


def test_a_reader_that_goes_away_ends_the_command_quietly(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = score_into(writer, tmp_path)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_under_stdout_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unbuffered: str) -> None:
    monkeypatch.setitem(ENVIRONMENT, "PYTHONUNBUFFERED", unbuffered)
    with Path("/dev/full").open("w") as full:
        done = score_into(full.fileno(), tmp_path)
    assert (done.returncode, done.stderr) == (1, "error: <stdout>: No space left on device\n")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_results_of_which_only_a_part_could_be_written_are_an_error(tmp_path: Path, unbuffered: str) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))

    with (tmp_path / "settings.toml").open("wb") as out:
        done = subprocess.run(
            [*NMT, "train", "--show-config"],
            env={**ENVIRONMENT, "PYTHONUNBUFFERED": unbuffered},
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            preexec_fn=limit,
        )
    assert (done.returncode, done.stderr) == (1, "error: <stdout>: File too large\n")
    assert (tmp_path / "settings.toml").stat().st_size == 500


def test_results_are_utf_8_whatever_the_locale_says(tmp_path: Path) -> None:
    (tmp_path / "é.toml").write_text('[data]\nsrc_lang = "é"\n', encoding="utf-8")
    command = [*NMT, "train", "--show-config", "--recipe", str(tmp_path / "é.toml")]
    environment = {**ENVIRONMENT, "PYTHONIOENCODING": "ascii:strict"}
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert 'src_lang = "é"\n'.encode() in done.stdout


@pytest.mark.parametrize("locale", [{"PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}, {}])
def test_names_of_files_are_readable_in_messages_whatever_the_locale_says(locale: dict[str, str]) -> None:
    environment = {**ENVIRONMENT, "LC_ALL": "C", **locale}
    for name, shown in ((b"caf\xc3\xa9", "café"), (b"caf\xe9", r"caf\xe9")):
        done = subprocess.run([*NMT, "score", name, "out"], env=environment, capture_output=True, check=False)
        message = f"error: cannot read {shown}: No such file or directory\n"
        assert (done.returncode, done.stdout, done.stderr.decode()) == (1, b"", message)


def test_text_whose_name_prepared_data_cannot_record_is_refused(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9")
    path.write_text("a\tb\n")
    command = [*NMT, "prepare", str(tmp_path / "data"), "--tsv", str(path)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, check=False)
    assert done.returncode == 1
    assert rb"caf\xe9 (data.train_tsv) has a name that is no UTF-8 text, as prepared data record it" in done.stderr


def test_a_command_without_results_needs_no_stdout(tmp_path: Path) -> None:
    files = ["--src", str(tmp_path / "none"), "--tgt", str(tmp_path / "none")]
    shell = shlex.join([*NMT, "prepare", str(tmp_path / "data"), *files]) + " >&-"
    done = subprocess.run(shell, shell=True, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert re.fullmatch(r"error: .*none.*\n", done.stderr)
