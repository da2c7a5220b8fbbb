"""What signals do to a program with workers."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.nmt.io.test_workers import eventually, is_gone, pids

ROOT = Path(__file__).parents[3]
StartProcess = Callable[..., "subprocess.Popen[str]"]

PROGRAM = """
import sys
from functools import partial
from pathlib import Path
from nmt.io.workers import map_in_processes
from tests.nmt.io.test_workers import make_recorded_sleeper

print("ready", flush=True)
try:
    list(map_in_processes(partial(make_recorded_sleeper, Path(sys.argv[1])), [[sys.argv[2]]] * 1000, workers=2))
except KeyboardInterrupt:
    sys.exit(130)
"""


def start_program(start_process: StartProcess, log: Path, seconds: float) -> "subprocess.Popen[str]":
    """Start a program whose two workers spend `seconds` with each block, in a process group of its own."""
    command = [sys.executable, "-c", PROGRAM, str(log), str(seconds)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = start_process(command, cwd=ROOT, text=True, start_new_session=True, **pipes)
    assert process.stdout.readline() == "ready\n"
    return process


def end_of(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Wait until no process has the output of the program open any more."""
    stdout, stderr = process.communicate(timeout=20)
    return process.returncode, stdout, stderr


def test_ctrl_c_ends_all_processes_quietly(start_process: StartProcess, tmp_path: Path) -> None:
    process = start_program(start_process, tmp_path, seconds=60)
    assert eventually(lambda: len(pids(tmp_path)) == 2)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    assert end_of(process) == (130, "", "")
    assert all(map(is_gone, pids(tmp_path)))


def test_ctrl_c_while_workers_start_is_quiet(start_process: StartProcess, tmp_path: Path) -> None:
    process = start_program(start_process, tmp_path, seconds=60)
    time.sleep(0.15)
    os.killpg(process.pid, signal.SIGINT)
    assert end_of(process) == (130, "", "")


def test_the_first_worker_of_a_program_never_hears_of_ctrl_c_nor_does_its_parent_miss_it() -> None:
    program = """
from nmt.io.workers import map_in_processes
from tests.nmt.io.test_workers import make_mask_teller
print(list(map_in_processes(make_mask_teller, [["a"]], workers=1)), make_mask_teller()([]))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[True] False\n", "")


def test_workers_end_quietly_when_their_parent_is_killed(start_process: StartProcess, tmp_path: Path) -> None:
    process = start_program(start_process, tmp_path, seconds=0.05)
    assert eventually(lambda: len(pids(tmp_path)) == 2)
    process.kill()
    assert end_of(process) == (-signal.SIGKILL, "", "")
