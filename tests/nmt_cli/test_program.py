"""What only the program itself can show: signals while it is loaded, streams that its caller has closed."""

import os
import pty
import signal
import subprocess
import sys

import pytest

INTERRUPTED_WHILE_LOADED = """
import os, signal, sys
from nmt_cli.__main__ import main

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == "typer":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupt())
main()
"""


def python(code: str, *arguments: str, closed: int | None = None) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=None if closed is None else lambda: os.close(closed),
    )


def test_an_interrupt_while_the_program_is_loaded_ends_it_in_silence() -> None:
    done = python(INTERRUPTED_WHILE_LOADED)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_when_all_is_said_ends_the_program_in_silence(number: signal.Signals) -> None:
    late = f"import atexit, os; atexit.register(lambda: os.kill(os.getpid(), {int(number)}))\n"
    done = python(f"{late}from nmt_cli.__main__ import main; main()", "lab")
    assert (done.returncode, done.stderr) == (-number, "")
    assert "reber" in done.stdout


def test_an_ignored_interrupt_stays_ignored() -> None:
    done = python(
        "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n" + INTERRUPTED_WHILE_LOADED, "--version"
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_results_for_a_closed_stdout_are_an_error_of_one_line() -> None:
    done = python("from nmt_cli.__main__ import main; main()", "train", "--show-config", closed=1)
    assert done.returncode == 1
    assert done.stderr == "error: <stdout>: is closed, so the results cannot be written to it\n"


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_closed_terminal_and_a_polite_kill_are_interrupts(number: signal.Signals) -> None:
    code = (
        "import os, signal, sys, nmt_cli.main as m\n"
        "signal.signal(int(sys.argv[1]), signal.SIG_DFL)\n"  # under `nohup` it would be ignored, and stay so
        "m.nmt()\n"
        "try: os.kill(os.getpid(), int(sys.argv[1])); input()\n"
        "except KeyboardInterrupt: print('cleaned up')"
    )
    assert python(code, str(int(number))).stdout == "cleaned up\n"


def test_a_command_runs_with_the_garbage_collector_on() -> None:
    code = "import gc\nfrom nmt_cli import main, settings\n"
    code += "settings.results.print = lambda *text, **more: print(gc.isenabled())\n"
    done = python(f"{code}from nmt_cli.__main__ import main\nmain()", "settings")
    assert set(done.stdout.split()) == {"True"}


def test_on_a_terminal_the_loading_is_seen_and_vanishes() -> None:
    ours, theirs = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "nmt_cli", "--version"], stdout=subprocess.PIPE, stderr=theirs, check=True, text=True
    )
    os.close(theirs)
    assert os.read(ours, 1000) == b"loading nmt\r           \r"
    os.close(ours)
    assert done.stdout.startswith("nmt ")


def test_a_shell_that_asks_for_completions_sees_no_loading() -> None:
    ours, theirs = pty.openpty()
    words = {"_NMT_COMPLETE": "complete_bash", "COMP_WORDS": "nmt tra", "COMP_CWORD": "1"}
    command = [sys.executable, "-m", "nmt_cli"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=theirs, check=True, env={**os.environ, **words})
    os.close(theirs)
    os.set_blocking(ours, False)
    with pytest.raises(OSError, match="Errno"):  # nothing was written
        os.read(ours, 1000)
    os.close(ours)
    assert b"train" in done.stdout
