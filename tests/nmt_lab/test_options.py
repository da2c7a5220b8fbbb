"""What can be asked of every lab does what it says in each."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest

import nmt_lab
from nmt.config.model import Cell
from nmt.models import seq2seq
from nmt.models.cells.layer import Recurrence, make_layer
from nmt_lab import LABS, common, describe, load
from nmt_lab.common import Options

Run = Callable[..., list[str]]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let labs measure little."""
    pytest.importorskip("sklearn")
    for name, sizes in QUICK.items():
        for size, value in sizes.items():
            monkeypatch.setattr(load(name), size, value)


QUICK: dict[str, dict[str, Any]] = {
    "reber_classifier": {"TESTED": 10},
    "sentiment": {"TESTED": 10},
    "tagger": {"LEARNT": 100, "SHOWN": 1},
    "writing": {"read_text": lambda **_: ("a bc\n" * 50, "cb a\n"), "WRITTEN": 2},
    "shapes": {"TESTED": 1},
    "lorenz": {"TRAINED": 300, "TESTED": 400},
    "reber": {"RUNS": 1, "TESTED": 10},
    "timeseries": {"ALONE": 90},
    "digits": {"FOLDS": 2},
    "copying": {"MEASURED": 5, "DELAYS": (1, 2)},
}


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Cell, int]]:
    """The cell and the units of each layer that is made."""
    made: list[tuple[Cell, int]] = []

    def make(recurrence: Recurrence, *, input_size: int, hidden_size: int) -> Any:
        made.append((recurrence.cell, hidden_size))
        return make_layer(recurrence, input_size=input_size, hidden_size=hidden_size)

    for module in (common, seq2seq):
        monkeypatch.setattr(module, "make_layer", make)
    return made


def test_every_lab_has_a_file_and_a_line() -> None:
    files = {path.stem for path in Path(nmt_lab.__file__).parent.glob("*.py")}
    assert {*LABS} == files - {"__init__", "common"}
    for name in LABS:
        line = describe(name)
        assert line.endswith(".")
        assert load(name).__doc__ == line or load(name).__doc__.startswith(f"{line}\n")  # type: ignore[union-attr]


@pytest.mark.parametrize("cell", get_args(Cell))
@pytest.mark.parametrize("name", LABS)
def test_a_lab_uses_the_cell_and_the_units_and_makes_the_steps_that_are_asked_for(
    name: str, cell: Cell, made: list[tuple[Cell, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    lab, losses = load(name), list[float]()
    monkeypatch.setattr(lab, "draw", lambda *arguments: None)
    list(lab.run(Options(cell=cell, units=3, steps=2, on_update=losses.append), Path()))
    assert set(made) == {(cell, 3)}
    assert len(losses) % 2 == 0
    assert len(losses) >= 2


@pytest.mark.parametrize("name", LABS)
def test_a_lab_says_the_same_for_the_same_seed_and_learns_something_else_for_another(
    name: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab, losses = load(name), list[float]()
    options = Options(cell="gru", units=3, steps=2, on_update=losses.append)
    said, once = run(lab, **vars(options)), losses.copy()
    monkeypatch.setattr(lab, "draw", lambda *arguments: None)
    losses.clear()
    assert list(lab.run(options, Path())) == said
    assert losses == once
    losses.clear()
    list(lab.run(replace(options, seed=2), Path()))
    assert losses != once
