"""The house can be walked through: whole ideas in files of a few hundred lines, one name for one thing."""

import ast
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(path for folder in ("nmt", "cli") for path in (ROOT / folder).rglob("*.py"))
LONGEST_BODY, LONGEST_FILE = 40, 420
COMMANDS_AND_WHAT_THEY_CALL = {"inspect", "prepare", "score", "train"}


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def bodies(tree: ast.Module) -> list[tuple[str, int]]:
    """Name every function, with the lines of its body after its docstring."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            first = node.body[1:] if ast.get_docstring(node) is not None else node.body
            assert node.end_lineno is not None
            found.append((node.name, node.end_lineno - first[0].lineno + 1 if first else 0))
    return found


@pytest.mark.parametrize("path", FILES, ids=shown)
def test_functions_fit_a_screen_and_files_hold_one_idea(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert [(name, lines) for name, lines in bodies(ast.parse(text)) if lines > LONGEST_BODY] == []
    assert text.count("\n") <= LONGEST_FILE


def test_a_file_name_stands_in_one_room() -> None:
    rooms = defaultdict(list)
    for path in FILES:
        rooms[path.stem].append(shown(path))
    assert {name: paths for name, paths in rooms.items() if len(paths) > 1 and name != "__init__"} == {}


def test_a_public_function_or_class_has_one_home() -> None:
    homes = defaultdict(set)
    for path in FILES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
                homes[node.name].add(shown(path))
    assert {name for name, paths in homes.items() if len(paths) > 1} == COMMANDS_AND_WHAT_THEY_CALL


@pytest.mark.parametrize(
    ("tests", "code"),
    [
        ("tests/nmt", "nmt"),
        ("tests/nmt_cli", "cli/nmt_cli"),
        ("tests/nmt_lab", "recipes/nmt_lab"),
        ("tests/tools", "tools"),
    ],
)
def test_tests_follow_the_code_room_for_room(tests: str, code: str) -> None:
    rooms = {path.parent.relative_to(ROOT / tests) for path in (ROOT / tests).rglob("test_*.py")}
    assert rooms
    assert rooms <= {path.parent.relative_to(ROOT / code) for path in (ROOT / code).rglob("*.py")}
