"""docs/how-it-works.md names files and names that are there."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/how-it-works.md").read_text(encoding="utf-8")
STEPS = re.findall(r"`((?:nmt|cli)/[\w/]+\.py)`:((?:,?\s+`[\w.]+`)+)", PAGE)


def declared(path: str) -> set[str]:
    """The functions and classes of a file, and the methods of its classes as `Class.method`."""
    found = set[str]()
    for node in ast.parse((ROOT / path).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{part.name}" for part in node.body if isinstance(part, ast.FunctionDef)}
    return found


def test_every_file_exists() -> None:
    assert len(STEPS) > 50
    for path in re.findall(r"`((?:nmt|cli)/[\w/]+\.py)`", PAGE):
        assert (ROOT / path).is_file(), path


def test_every_name_is_declared_in_the_file_beside_it() -> None:
    for path, names in STEPS:
        assert set(re.findall(r"`([\w.]+)`", names)) <= declared(path), path


def test_a_step_names_each_file_once() -> None:
    for step in re.split(r"^\d+\. ", PAGE, flags=re.MULTILINE)[1:]:
        paths = re.findall(r"`((?:nmt|cli)/[\w/]+\.py)`:", step)
        assert sorted(paths) == sorted(set(paths)), step


def test_it_is_read_in_ten_minutes() -> None:
    assert len(PAGE.split()) <= 2000
