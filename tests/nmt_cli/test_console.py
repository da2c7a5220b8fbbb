import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from rich.table import Table

from nmt_cli.terminal import fail, progress, results, say, status, warn

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
