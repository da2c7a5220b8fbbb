"""What only the program itself can show: signals while it is loaded, streams that its caller has closed."""

import os
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
        "import os, nmt_cli.main as m\n"
        "m.nmt()\n"
        "try: os.kill(os.getpid(), int(__import__('sys').argv[1])); input()\n"
        "except KeyboardInterrupt: print('cleaned up')"
    )
    assert python(code, str(int(number))).stdout == "cleaned up\n"


def test_a_command_runs_with_the_garbage_collector_on() -> None:
    code = "import gc\nfrom nmt_cli import main, settings\n"
    code += "settings.results.print = lambda *text, **more: print(gc.isenabled())\n"
    done = python(f"{code}from nmt_cli.__main__ import main\nmain()", "settings")
    assert set(done.stdout.split()) == {"True"}
