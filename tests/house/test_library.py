"""What the library never does: print, read the command line, act on import, load what could run code."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIBRARY = sorted(path for folder in ("nmt", "recipes/nmt_lab") for path in (ROOT / folder).rglob("*.py"))
FOLDERS = ("nmt", "recipes", "cli", "data", "tools")
ALL_CODE = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
RUNS_CODE = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def name_of(node: ast.AST) -> str:
    """Return a dotted name as it is written, or nothing."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{name_of(node.value)}.{node.attr}"
    return ""


def dotted_names(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Name | ast.Attribute):
            yield name_of(node), node.lineno


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_library_never_prints_and_never_reads_the_command_line(path: Path) -> None:
    forbidden = {"print", "input", "sys.argv", "sys.stdout", "sys.stderr", "sys.exit"}
    assert [found for found in dotted_names(path) if found[0] in forbidden] == []


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_library_does_nothing_on_import(path: Path) -> None:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        declaration = isinstance(
            node, ast.Import | ast.ImportFrom | ast.Assign | ast.AnnAssign | ast.FunctionDef | ast.ClassDef
        )
        for_type_checkers = isinstance(node, ast.If) and name_of(node.test) == "TYPE_CHECKING"
        assert docstring or declaration or for_type_checkers, f"line {node.lineno} acts on import"


@pytest.mark.parametrize("path", ALL_CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_that_is_loaded_can_run_code(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            assert not RUNS_CODE & {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert (node.module or "").partition(".")[0] not in RUNS_CODE
        elif isinstance(node, ast.Call):
            assert name_of(node.func) not in {"torch.load", "torch.save", "torch.jit.load", "eval", "exec"}
        elif isinstance(node, ast.keyword):
            assert node.arg != "allow_pickle"


UNDOCUMENTED = {"ops", "native_layer_norm", "lstm", "gru", "rnn_tanh", "rnn_relu", "lstm_cell", "gru_cell", "_VF"}


@pytest.mark.parametrize("path", ALL_CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_private_calls_into_torch_are_in_one_file(path: Path) -> None:
    if path == ROOT / "nmt/models/kernels.py":
        return
    for name, line in dotted_names(path):
        first, *rest = name.removesuffix(".__version__").split(".")
        private = first == "torch" and any(part in UNDOCUMENTED or part.startswith("_") for part in rest)
        assert not private, f"line {line}: {name} belongs into nmt/models/kernels.py, with a way round it"
