import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """
import pytest

@pytest.mark.parametrize("number", range(3))
def test_one(number):
    pytest.skip("no bf16 products")

@pytest.mark.skipif(True, reason="no GPU")
def test_other(): ...

def test_passes(): ...
"""


@pytest.mark.parametrize("processes", ["0", "2"])
def test_the_end_says_what_was_not_tested_and_why(tmp_path: Path, processes: str) -> None:
    (tmp_path / "conftest.py").write_text("from tests.untested import pytest_terminal_summary")
    (tmp_path / "test_it.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text(f"[pytest]\npythonpath = {Path(__file__).parents[1]}")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "xdist", "--numprocesses", processes]
    quick = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    found = subprocess.run(command, cwd=tmp_path, env=quick, capture_output=True, text=True, check=True).stdout
    assert "\nnot tested here: no bf16 products (3 tests), no GPU (1 test)\n" in found
