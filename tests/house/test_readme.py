"""What README.md and CONTRIBUTING.md say is so, and CHANGELOG.md says it once."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import typer

from nmt_cli.main import app

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PAGES = [path for path in ROOT.rglob("*.md") if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)]


def blocks(page: str) -> list[str]:
    return re.findall(r"^```\n(.*?)^```$", page, flags=re.DOTALL | re.MULTILINE)


def tree_paths() -> list[str]:
    """Read the tree of README: an indented line lies in the folder above it."""
    (tree,) = (block for block in blocks(README) if block.startswith("pyproject.toml"))
    folder, paths = "", []
    for line in tree.splitlines():
        name = line.split()[0]
        indented = line.startswith(" ")
        if not indented:
            folder = name
        paths.append(folder + name if indented else name)
    return paths


def tracked_files() -> list[str]:
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git checkout")
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout.splitlines()


def make_targets(page: str) -> set[str]:
    code = "\n".join([*blocks(page), *re.findall(r"`([^`\n]+)`", page)])
    return set(re.findall(r"^make ([a-z0-9-]+)", code, flags=re.MULTILINE))


def commands(group: typer.Typer) -> set[str]:
    return {command.name or command.callback.__name__ for command in group.registered_commands if command.callback}


def declared(*, optional: bool) -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements = project["optional-dependencies"]["dev"] if optional else project["dependencies"]
    return {re.split(r"[<>=!~\[; ]", requirement)[0] for requirement in requirements}


def test_every_path_of_the_tree_exists() -> None:
    for path in tree_paths():
        assert (ROOT / path).is_dir() if path.endswith("/") else (ROOT / path).is_file(), path


def test_every_top_level_path_is_in_the_tree() -> None:
    named = {path.split("/")[0] for path in tree_paths()}
    assert {path.split("/")[0] for path in tracked_files()} <= named


def test_every_room_of_the_library_is_in_the_tree() -> None:
    rooms = {path.name + "/" for path in (ROOT / "nmt").iterdir() if (path / "__init__.py").exists()}
    rooms |= {path.name for path in (ROOT / "nmt").glob("*.py")} - {"__init__.py"}
    assert {f"nmt/{room}" for room in rooms} <= set(tree_paths())


def test_the_readme_has_a_row_for_each_command() -> None:
    named = commands(app)
    for group in app.registered_groups:
        assert group.typer_instance is not None
        named |= {f"{group.typer_instance.info.name} {name}" for name in commands(group.typer_instance)}
    assert set(re.findall(r"^\| `nmt ([a-z ]+)` \|", README, flags=re.MULTILINE)) == named


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", [README, CONTRIBUTING], ids=["README", "CONTRIBUTING"])
def test_every_make_target_that_is_named_exists(page: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z0-9-]+):", makefile, flags=re.MULTILINE))
    assert {"demo", "test"} <= make_targets(page) <= targets


def test_continuous_integration_runs_the_test_command_of_the_readme() -> None:
    assert "make test " in (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert "test" in make_targets(README)


def test_the_changelog_says_nothing_twice() -> None:
    lines = re.findall(r"^- .*$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert len(lines) > 50
    assert sorted(lines) == sorted(set(lines))


def test_every_dependency_is_pinned() -> None:
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][0-9a-z.]*", line) for line in lines)
    pinned = {line.partition("==")[0].lower().replace("_", "-") for line in lines}
    assert declared(optional=False) | declared(optional=True) <= pinned


def test_every_dependency_has_its_reason() -> None:
    table = CONTRIBUTING.partition("## Dependencies")[2]
    named = {
        name for row in re.findall(r"^\| ([a-z0-9, -]+) \|", table, flags=re.MULTILINE) for name in row.split(", ")
    }
    assert declared(optional=False) | declared(optional=True) == named - {"package"}


@pytest.fixture(scope="module")
def from_text_to_scores(toy_text: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder in which the first commands of the README have run as written, and what they print."""
    folder = tmp_path_factory.mktemp("readme")
    for part in ("train", "test"):
        shutil.copy(toy_text / f"{part}.src", folder / f"{part}.en")
        shutil.copy(toy_text / f"{part}.tgt", folder / f"{part}.fr")
    return folder, run_as_written("nmt prepare data/en-fr", folder)


def run_as_written(beginning: str, folder: Path) -> str:
    """Run the block of the README that begins so; return what it prints on stdout."""
    (block,) = (block for block in blocks(README) if block.startswith(beginning))
    script = f'nmt() {{ "{sys.executable}" -m nmt_cli "$@"; }}\n{block}'
    done = subprocess.run(["sh", "-e", "-c", script], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_commands_from_text_to_scores_run_as_written(from_text_to_scores: tuple[Path, str]) -> None:
    _, printed = from_text_to_scores
    assert ["BLEU", "chrF2", "TER"] in [line.split()[-3:] for line in printed.splitlines()]


@pytest.mark.slow
def test_the_commands_about_translating_run_as_written(from_text_to_scores: tuple[Path, str]) -> None:
    folder, _ = from_text_to_scores
    for name in ("big.en", "page.html"):
        shutil.copy(folder / "test.en", folder / name)
    (folder / "terms.tsv").write_text("bat\tcowo\n")
    assert run_as_written("nmt translate models/en-fr big.en", folder) == ""
    written = ("big.fr", "test.jsonl", "test.align", "test.out.fr", "page.fr.html")
    assert [len((folder / name).read_text().splitlines()) for name in written] == [20] * 5


@pytest.mark.slow
def test_the_commands_about_language_models_run_as_written(from_text_to_scores: tuple[Path, str]) -> None:
    folder, _ = from_text_to_scores
    for language in ("en", "fr"):
        shutil.copy(folder / f"test.{language}", folder / f"valid.{language}")
    total, *generated = run_as_written("nmt prepare data/fr", folder).splitlines()[-6:]
    assert total
    assert len(generated) == 5
    *_, tuned = run_as_written("nmt tune", folder).splitlines()[:-20]
    assert "--lm-weight" in tuned


@pytest.mark.slow
def test_the_python_of_the_readme_runs_as_written(from_text_to_scores: tuple[Path, str]) -> None:
    folder, _ = from_text_to_scores
    (block,) = (block for block in blocks(README) if block.startswith("from pathlib"))
    done = subprocess.run([sys.executable, "-c", block], cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 1), done.stderr
