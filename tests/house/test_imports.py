"""A room knows only the rooms below it."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# From the ground up; rooms on one floor do not know each other.
FLOORS = (
    {"errors"},
    {"io"},
    {"markup", "text"},
    {"batching", "config"},
    {"corpus", "metrics", "models"},
    {"prepared", "search"},
    {"lm", "prepare", "training"},
    {"report", "shortlist", "translation_memory"},
    {"translate"},
    {"chain", "phrasebook", "synthesis", "tuning"},
    {"graph"},
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
HEAVY = {
    "torch",
    "matplotlib",
    "datasets",
    "sacrebleu",
    "sentencepiece",
    "numpy",
    "pyarrow",
    "pandas",
    "tensorboard",
    "jinja2",
}


def modules(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    """Name every module that a file imports, within functions and for type checkers too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}, line {node.lineno}: imports are absolute here"
            assert node.module is not None
            if node.module == "nmt":
                yield from (f"nmt.{alias.name}" for alias in node.names)
            else:
                yield node.module


def room_of(path: Path) -> str:
    return path.relative_to(ROOT / "nmt").with_suffix("").parts[0]


def loaded_by(statement: str) -> set[str]:
    """Name the top-level modules that a fresh Python has after a statement."""
    roots = [str(ROOT / part) for part in (".", "cli", "data", "recipes")]
    code = f"import sys; sys.path[:0] = {roots}; {statement}\n"
    code += "print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def test_every_room_has_its_floor() -> None:
    assert {room_of(path) for path in modules("nmt")} - {"__init__"} == set(FLOOR_OF)


def test_contributing_has_the_same_floors() -> None:
    rooms = (
        (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("Imports go one way:\n")[2].partition(".")[0]
    )
    *floors, commands = (set(floor.replace(",", " ").split()) for floor in rooms.split("←"))
    assert floors == list(FLOORS)
    assert commands == {"nmt_lab", "nmt_cli"}


@pytest.mark.parametrize("path", modules("nmt"), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_room_imports_only_from_floors_below(path: Path) -> None:
    room = room_of(path)
    for name in imported(path):
        top, *rest = name.split(".")
        if top == "nmt" and rest and rest[0] != room:
            assert room != "__init__", f"nmt/__init__.py imports {name}"
            assert FLOOR_OF[rest[0]] < FLOOR_OF[room], f"{path.relative_to(ROOT)} imports {name}"


def test_the_library_knows_neither_the_commands_nor_how_they_show_things() -> None:
    strangers = {"nmt_cli", "nmt_lab", "nmt_data", "typer", "click", "rich", "argparse"}
    for path in modules("nmt"):
        assert not strangers & {name.partition(".")[0] for name in imported(path)}, path


def test_the_lab_does_not_know_the_commands() -> None:
    for path in modules("recipes/nmt_lab"):
        assert not {"nmt_cli", "typer", "rich", "argparse"} & {name.partition(".")[0] for name in imported(path)}, path


def test_the_data_package_holds_no_code() -> None:
    assert [path.name for path in modules("data")] == ["__init__.py"]
    assert list(imported(ROOT / "data/nmt_data/__init__.py")) == []


def test_the_command_line_starts_without_the_heavy_libraries() -> None:
    loaded = loaded_by("import nmt_cli.main")
    assert "typer" in loaded
    assert not HEAVY & loaded


def test_labs_are_listed_without_the_heavy_libraries() -> None:
    loaded = loaded_by("import nmt_lab; nmt_lab.describe('reber')")
    assert "nmt_lab" in loaded
    assert not HEAVY & loaded


def test_settings_and_errors_need_no_heavy_libraries() -> None:
    loaded = loaded_by("import nmt.config, nmt.errors, nmt.io.files, nmt.text.vocab")
    assert "pydantic" in loaded
    assert not HEAVY & loaded
