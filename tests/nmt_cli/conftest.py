"""`nmt translate` with the model that has learnt to put an -o behind every word."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from nmt.translate import Translator
from nmt_cli.main import app

Invoke = Callable[..., Result]
Run = Callable[..., str]
Records = Callable[..., list[Any]]
Torchrun = Callable[..., str]
"""Takes the arguments of `nmt`, a pattern of a file in the test's folder, and how many processes; returns stdout."""


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """Let no file grow beyond so many bytes, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


@pytest.fixture
def torchrun(start_process: Callable[..., "subprocess.Popen[Any]"], tmp_path: Path) -> Torchrun:
    """Run a command by several processes under torchrun; once there is a file of the pattern, the youngest is killed,
    and all are started again."""

    def torchrun(*arguments: str | Path, until: str, processes: int = 2) -> str:
        before = ["torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "--max-restarts=1"]
        process = start_process(
            [sys.executable, "-m", *before, "-m", "nmt_cli", *map(str, arguments), "--device", "cpu"],
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        while process.poll() is None and not list(tmp_path.glob(until)):
            time.sleep(0.01)
        listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, check=True)
        os.kill(max(map(int, listed.stdout.split())), signal.SIGKILL)
        stdout, stderr = process.communicate(timeout=240)
        assert process.returncode == 0, stderr
        return str(stdout)

    return torchrun


@pytest.fixture(scope="session")
def library(toy_model: Path) -> Translator:
    """The same model as a library."""
    return Translator.load(toy_model, device="cpu")


@pytest.fixture(scope="session")
def invoke(toy_model: Path) -> Invoke:
    """Run the command on lines."""

    def invoke(*arguments: str | Path, lines: list[str] | bytes = b"", model: Path = toy_model) -> Result:
        stdin = lines if isinstance(lines, bytes) else "".join(f"{line}\n" for line in lines).encode()
        command = ["translate", str(model), *map(str, arguments), "--device", "cpu"]
        return CliRunner().invoke(app, command, input=stdin)

    return invoke


@pytest.fixture(scope="session")
def run(invoke: Invoke) -> Run:
    """Run the command, which has nothing to complain about; give its output."""

    def run(*arguments: str | Path, lines: list[str] | bytes = b"") -> str:
        result = invoke(*arguments, lines=lines)
        assert result.exit_code == 0, result.stderr
        assert result.stderr == ""
        return result.stdout

    return run


@pytest.fixture(scope="session")
def records(run: Run) -> Records:
    """Run the command; give its JSON lines."""

    def records(*arguments: str | Path, lines: list[str]) -> list[Any]:
        return [json.loads(line) for line in run(*arguments, "--format", "json", lines=lines).split("\n")[:-1]]

    return records


@pytest.fixture(scope="session")
def refused(invoke: Invoke) -> Run:
    """Run the command; give what it says before it gives up."""

    def refused(*arguments: str | Path, lines: list[str] | bytes = b"bat\n", code: int = 1, **model: Path) -> str:
        result = invoke(*arguments, lines=lines, **model)
        assert (result.exit_code, result.stdout) == (code, "")
        return result.stderr

    return refused
