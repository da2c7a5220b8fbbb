import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nmt_lab.common import Lab

Run = Callable[..., list[str]]
"""Runs a lab with these options and returns the lines of its result; it has drawn a picture."""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def run_lab(lab: Lab, **options: Any) -> list[str]:
        output = tmp_path / "picture.png"
        lines = list(lab.run(dataclasses.replace(lab.DEFAULTS, **options), output))
        assert output.read_bytes().startswith(b"\x89PNG")
        output.unlink()
        return lines

    return run_lab
