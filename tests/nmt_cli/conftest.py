"""`nmt translate` with the model that has learnt to put an -o behind every word."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from nmt.translate import Translator
from nmt_cli.main import app

Invoke = Callable[..., Result]
Run = Callable[..., str]
Records = Callable[..., list[Any]]


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
