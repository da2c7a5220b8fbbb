"""docs/reference.md says what the code says."""

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_reference_is_what_the_code_says() -> None:
    written = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    assert written == runpy.run_path(str(ROOT / "tools" / "reference.py"))["page"](), "run `make reference`"
