"""Modules, files and functions that pages, docstrings and comments name are there."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from pkgutil import resolve_name

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("nmt", "cli", "data", "recipes", "tools", "tests", "docs")
PAGES = sorted([*ROOT.glob("*.md"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.md"))])
CODE = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
DOTTED = re.compile(r"(?<![\w.:/@-])nmt(?:_cli|_lab)?(?:\.[A-Za-z_]\w*)+")
IN_A_FOLDER = re.compile(r"(?<![\w/.-])(?:nmt|cli/nmt_cli|data/nmt_data|recipes|tools|tests|docs)/[\w/.-]*\w")
MODULE = re.compile(r"`([\w/]+\.py)`")


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def prose(path: Path) -> str:
    """Take the comments and the docstrings out of a module: strings that are statements by themselves."""
    found, line_begins = [], True
    for token in tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline):
        if token.type == tokenize.COMMENT or (token.type == tokenize.STRING and line_begins):
            found.append(token.string)
        elif token.type not in (tokenize.NL, tokenize.COMMENT):
            line_begins = token.type in (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
    return "\n".join(found)


def is_there(name: str) -> bool:
    """Look for a file or folder; a decision may be named by its number alone."""
    number = re.fullmatch(r"docs/decisions/\d{4}", name)
    return any(ROOT.glob(f"{name}-*.md")) if number else (ROOT / name).exists()


def broken(text: str) -> Iterator[str]:
    """Find the names that lead nowhere."""
    for name in set(DOTTED.findall(text)):
        try:
            resolve_name(name)
        except (ImportError, AttributeError):
            yield name
    in_a_folder = set(IN_A_FOLDER.findall(text))
    yield from (name for name in in_a_folder if "NAME" not in name and not is_there(name))
    modules = set(MODULE.findall(text)) - in_a_folder
    yield from (name for name in modules if not any(f"/{shown(path)}".endswith(f"/{name}") for path in CODE))


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=shown)
def test_what_a_page_names_is_there(page: Path) -> None:
    assert list(broken(page.read_text(encoding="utf-8"))) == []


def test_what_the_changelog_says_has_moved_is_where_it_says() -> None:
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    moved = re.findall(r"^  \| `nmt\.[^|]+\| (.+) \|$", changes, flags=re.MULTILINE)
    assert len(moved) > 10
    assert list(broken("\n".join(moved))) == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_what_docstrings_and_comments_name_is_there(folder: str) -> None:
    for path in CODE:
        if path.is_relative_to(ROOT / folder):
            assert list(broken(prose(path))) == [], shown(path)


def test_what_the_benchmarks_import_is_there() -> None:
    for path in (ROOT / "tests/benchmarks").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                assert list(broken("\n".join(f"{node.module}.{alias.name}" for alias in node.names))) == [], shown(path)


def test_names_that_lead_nowhere_are_found() -> None:
    text = "`nmt.io.files.replaced`, `nmt.io.files.replacing`, nmt/io/file.py, `nmt/io/files.py`, `beams.py`, `beam.py`"
    assert sorted(broken(text)) == ["beams.py", "nmt.io.files.replaced", "nmt/io/file.py"]
