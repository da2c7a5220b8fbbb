import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

Run = Callable[..., str]
"""Runs a recipe for so many steps and returns what it prints; it has written a picture."""


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    def run_recipe(recipe: ModuleType, *, steps: int | None = None) -> str:
        output = tmp_path / "picture.png"
        arguments = [] if steps is None else ["--steps", str(steps)]
        monkeypatch.setattr(sys, "argv", [recipe.__name__, "--output", str(output), *arguments])
        recipe.main()
        assert output.read_bytes().startswith(b"\x89PNG")
        return capsys.readouterr().out

    return run_recipe
