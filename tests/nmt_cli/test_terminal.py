import gc
import io
import os
import pty
import re
import subprocess
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
from pydantic import Field, ValidationError
from rich.table import Table
from typer.testing import CliRunner

from nmt.config import SearchSettings
from nmt.errors import ConfigError, DataError
from nmt.search.sampling import Sampling
from nmt.translate import Options
from nmt_cli import terminal
from nmt_cli.main import app
from nmt_cli.terminal import (
    STREAM,
    above_zero,
    check_folder_of,
    fail,
    loading,
    open_lines,
    open_output,
    progress,
    refuse_replacing,
    results,
    say,
    status,
    warn,
    with_search_options,
)

PATHS = os.pathsep.join(str(Path(__file__).parents[2] / part) for part in (".", "cli"))


def test_results_go_to_stdout_and_everything_else_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    results.print("result")
    say("said")
    warn("careful")
    fail("broken")
    assert capsys.readouterr() == ("result\n", "said\nwarning: careful\nerror: broken\n")


def test_text_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    text = "[bold]x[/bold] :smile: [NUM] " + "word " * 60 + "end"
    say(text)
    results.print(text)
    assert capsys.readouterr() == (text + "\n", text + "\n")


def test_tables_are_cut_only_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("name", box=None, pad_edge=False)
    table.add_row("x" * 500)
    results.print(table)
    assert "x" * 500 in capsys.readouterr().out


def test_progress_never_shows_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress() as bar:
        bar.advance(bar.add_task("work", total=2))
        bar.console.print()  # as Rich before 14.1 does at the end, hidden or not
    assert capsys.readouterr() == ("", "")


def on_a_terminal(code: str) -> tuple[str, bytes]:
    """Run code with a terminal as stderr; return what that has shown, and stdout."""
    screen, terminal = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": PATHS, "TERM": "xterm"}
    done = subprocess.run(
        [sys.executable, "-c", code], stderr=terminal, stdout=subprocess.PIPE, env=environment, check=True
    )
    os.close(terminal)
    shown = os.read(screen, 100_000).decode()
    os.close(screen)
    return shown, done.stdout


def test_progress_shows_on_a_terminal_and_vanishes() -> None:
    shown, out = on_a_terminal(
        "from nmt_cli.terminal import progress\nwith progress() as bar: bar.advance(bar.add_task('[work]', total=2))"
    )
    assert "[work]" in shown
    assert "1/2" in shown
    assert re.search(r"\[work\].*0:00:00.*1/2", shown), "a clock, for what cannot be counted"
    assert shown.endswith("\x1b[1A\x1b[2K"), "the line is erased"
    assert out == b""


def test_a_status_says_how_far_work_has_come_on_a_terminal_and_only_there(capsys: pytest.CaptureFixture[str]) -> None:
    code = "from nmt_cli.terminal import status\n"
    code += "with status('hidden', visible=False) as show: show('never')\n"
    code += "with status('work') as show: show('[7] lines')"
    shown, _ = on_a_terminal(code)
    assert "[7] lines" in shown
    assert "hidden" not in shown
    assert "never" not in shown
    with status("work") as show:
        show("7 lines")
    assert capsys.readouterr() == ("", "")


def test_modules_are_loaded_in_sight_and_garbage_is_looked_for_only_afterwards() -> None:
    code = "import gc\nfrom nmt_cli.terminal import loading\n"
    code += "with loading('torch'): then = gc.isenabled()\nprint(then, gc.isenabled())"
    shown, out = on_a_terminal(code)
    assert "loading torch" in shown
    assert out == b"False True\n"


def test_what_a_second_command_of_a_process_makes_is_collected_as_ever() -> None:
    class Knot:
        def __init__(self) -> None:
            self.itself = self

    for _ in range(2):
        with loading():
            kept = weakref.ref(Knot())
        gone = weakref.ref(Knot())
        gc.collect()
        assert (gc.isenabled(), gone()) == (True, None)
        assert kept() is not None
    gc.unfreeze()


def test_a_closed_pipe_reaches_the_command_group() -> None:
    code = "from nmt_cli.terminal import results\ntry:\n    results.print('x' * 200_000)\n"
    code += "except BrokenPipeError:\n    import os; os._exit(7)\n"
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=writer, env={**os.environ, "PYTHONPATH": PATHS}, check=False
    )
    os.close(writer)
    assert done.returncode == 7


@pytest.mark.parametrize("value", [None, 0.1, 3.0])
def test_what_is_above_zero_stays_as_it_is(value: float | None) -> None:
    assert above_zero(value) == value


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan")])
def test_zero_and_less_are_wrong_usage(value: float) -> None:
    with pytest.raises(typer.BadParameter, match=r"^Input should be greater than 0$"):
        above_zero(value)


def test_a_file_is_read_under_its_name(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("one\ntwo\n")
    name, lines = open_lines(tmp_path / "in.txt", "error")
    assert name == str(tmp_path / "in.txt")
    assert lines.take(9, wait=True) == ["one", "two"]


def test_stdin_is_read_where_no_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"one\ntwo\n")))
    name, lines = open_lines(STREAM, "error")
    assert name == "<stdin>"
    assert lines.take(1, wait=True) == ["one"]


def test_a_file_gets_its_name_when_all_is_written(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    with open_output(path) as file:
        file.write(b"one\n")
        assert not path.exists()
    assert path.read_bytes() == b"one\n"


def test_stdout_is_written_to_at_once_and_stays_open(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    with open_output(STREAM) as file:
        file.write(b"one\n")
    sys.stdout.write("two\n")
    assert capsysbinary.readouterr().out == b"one\ntwo\n"


def test_a_file_that_is_read_is_not_replaced_under_another_name_either(tmp_path: Path) -> None:
    read, other, link = tmp_path / "in", tmp_path / "other", tmp_path / "link"
    read.write_text("text")
    other.write_text("text")
    link.symlink_to(read)
    for output in (read, link, tmp_path / "x" / ".." / "in"):
        (tmp_path / "x").mkdir(exist_ok=True)
        with pytest.raises(ConfigError, match=r"is an input, so it cannot be written: the result would replace it$"):
            refuse_replacing([other, read], [tmp_path / "new", output])
    refuse_replacing([read], [other, tmp_path / "new"])


def test_streams_and_devices_are_read_and_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-").write_text("a file of this name is no stream")
    refuse_replacing([STREAM, Path("/dev/null")], [STREAM, Path("/dev/null")])


def test_a_closed_stdin_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(DataError, match=r"^stdin is closed, so no text can be read from it; name a file, or pipe"):
        open_lines(STREAM, "error")


def test_an_output_without_its_folder_names_the_folder(tmp_path: Path) -> None:
    path = tmp_path / "no" / "out.txt"
    with pytest.raises(ConfigError, match=rf"out\.txt cannot be written: there is no folder {tmp_path / 'no'}$"):
        open_output(path).__enter__()


def test_an_output_that_is_a_folder_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        check_folder_of(tmp_path)


def test_a_document_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.docx is not plain text, by its name: save it as plain text"):
        open_lines(tmp_path / "a.docx", "error")


NAMES = {"beam_size": "--beam"}
SETTINGS = {
    NAMES.get(name, "--" + name.replace("_", "-")): name
    for name, field in SearchSettings.model_fields.items()
    if field.annotation in (int, float)
}
SAMPLING = {"--temperature": "temperature", "--top-k": "top_k", "--top-p": "top_p", "--seed": "seed"}
OF_MODELS = {"--lm-": "--lm", "--memory-": "--memory", "--rescore-": "--right-to-left", "--reverse-": "--reverse-model"}
NUMBERS = ["-1", "0", "1", "100", "101", "1000001", str(2**63 - 1), str(2**63)]


def is_valid(kind: Any, **values: float) -> bool:
    try:
        kind(**values)
    except (ConfigError, ValidationError):
        return False
    return True


@pytest.mark.parametrize("value", NUMBERS)
@pytest.mark.parametrize("option", [*SETTINGS, *SAMPLING])
def test_a_number_is_wrong_usage_where_the_setting_would_not_hold_it(tmp_path: Path, option: str, value: str) -> None:
    kind, names = (SearchSettings, SETTINGS) if option in SETTINGS else (Sampling, SAMPLING)
    valid = is_valid(kind, **{names[option]: int(value)})
    needed = ["--sample"] if option in SAMPLING else []
    for part, other in OF_MODELS.items():
        needed += [other, str(tmp_path)] if option.startswith(part) else []
    (tmp_path / "config.toml").write_text("[model]\nright_to_left = true\n", encoding="utf-8")
    missing = str(tmp_path / "nowhere.txt")
    result = CliRunner().invoke(app, ["translate", str(tmp_path), missing, option, value, *needed])
    assert result.exit_code == (1 if valid else 2)
    assert ("nowhere.txt" if valid else f"Invalid value for '{option}'") in result.stderr


@pytest.mark.parametrize("option", ["--max-length-ratio", "--top-p", "--temperature", "--length-penalty"])
def test_what_is_no_number_is_wrong_usage(tmp_path: Path, option: str) -> None:
    result = CliRunner().invoke(app, ["translate", str(tmp_path), option, "nan"])
    assert (result.exit_code, result.stdout) == (2, "")


def options_of(command: Callable[..., None]) -> dict[str, Any]:
    group = typer.Typer()
    group.command()(command)
    return {option.name: option for option in typer.main.get_command(group).params}


def test_every_setting_of_the_search_has_an_option_of_its_range_and_words() -> None:
    made = {one.name: one for one in typer.main.get_group(app).commands["translate"].params}
    for name, schema in SearchSettings.model_json_schema()["properties"].items():
        option = made[name]
        assert (option.default, option.help) == (None, " ".join(schema["description"].split()))
        schema |= schema.get("anyOf", [{}])[0]  # where it may be unset
        assert (option.min, option.max) == (schema.get("minimum"), schema.get("maximum"))
        assert (option.metavar in ("N", "X")) == (schema.get("type") in ("integer", "number"))
        field = SearchSettings.model_fields[name].annotation
        assert option.type_descriptor.annotation in (field, *get_args(field))


def test_a_setting_is_declared_once_for_settings_options_and_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    class More(SearchSettings):
        patience: int = Field(default=3, ge=1, le=9)
        """Steps without a better hypothesis."""

    assert issubclass(Options, SearchSettings)  # so what is declared there is known here
    monkeypatch.setattr(terminal, "SearchSettings", More)
    monkeypatch.setattr(terminal, "_SCHEMA", More.model_json_schema()["properties"])
    given = list[dict[str, Any]]()

    @with_search_options
    def command(
        *,
        output: str,
        n_best: int,
        lm: str,
        right_to_left: str,
        reverse_model: str,
        memory: str,
        dictionary: str,
        ensemble: str,
        workers: int,
        search: Any,
    ) -> None:
        given.append(search)

    option = options_of(command)["patience"]
    assert (option.opts, option.min, option.max) == (["--patience"], 1, 9)
    assert option.help == "Steps without a better hypothesis."
    others = ("output", "n_best", "lm", "right_to_left", "reverse_model", "memory", "dictionary", "ensemble", "workers")
    command(**dict.fromkeys([*More.model_fields, *others]) | {"patience": 4})
    assert given == [{"patience": 4}]
