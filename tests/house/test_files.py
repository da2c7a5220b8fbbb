"""Recipes load, and no file of the project knows the machine that it was written on."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from nmt.config import load_settings

ROOT = Path(__file__).parents[2]
RECIPES = sorted([*(ROOT / "recipes").rglob("*.toml"), *(ROOT / "data/nmt_data").glob("*.toml")])
MACHINE_PATH = re.compile(r"(?<![\w.~])/(?:work|tmp|root|home|opt)/")
PACKAGE_INDEX = re.compile(r"(?:index-url|find-links)[ =]")


def text_files() -> list[Path]:
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git checkout")
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    ours = [ROOT / name for name in names if name != ".gitignore"]  # there, a leading slash is the project's root
    return [path for path in ours if path.is_file() and b"\0" not in path.read_bytes()[:1000]]


def test_there_are_recipes() -> None:
    assert {"multi30k-en-de.toml", "multi30k-en-fr.toml", "tatoeba-en-fr.toml", "demo.toml"} <= {
        path.name for path in RECIPES
    }


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.name)
def test_a_recipe_is_valid(recipe: Path) -> None:
    assert load_settings(recipe)


def test_no_file_holds_a_path_of_the_machine_or_the_address_of_a_package_index() -> None:
    for path in text_files():
        text = path.read_text(encoding="utf-8", errors="replace")
        for pattern in (MACHINE_PATH, PACKAGE_INDEX):
            found = pattern.search(text)
            assert found is None, f"{path.relative_to(ROOT)} holds {found.group()}" if found else ""


@pytest.mark.parametrize(
    ("parts", "found"), [(["", "tmp", "x"], True), (["..", "tmp", "x"], False), (["a", "opt", "b"], False)]
)
def test_the_search_for_machine_paths_finds_them(parts: list[str], found: bool) -> None:
    assert bool(MACHINE_PATH.search("/".join(parts))) is found
