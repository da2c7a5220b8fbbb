"""`make gpu` works the first time: at tiny sizes, on a CPU."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from tests.benchmarks import gpu

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


def run(folder: Path, *options: str) -> tuple[int, str, list[dict[str, object]]]:
    """Run the script; return its exit status, what it prints, and its records."""
    command = [sys.executable, gpu.__file__, "--json", str(folder / "found.jsonl"), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = (folder / "found.jsonl").read_text(encoding="utf-8").splitlines()
    return done.returncode, done.stdout + done.stderr, [json.loads(line) for line in lines]


def test_every_part_gives_its_figures_on_a_cpu(tmp_path: Path) -> None:
    status, said, found = run(tmp_path, "--tiny", "--device", "cpu", "--seconds", "3000")
    assert status == 0, said
    ends = [(record["measure"], record["notes"]) for record in found if str(record["measure"]).startswith("part ")]
    assert ends == [(f"part {name}", "done") for name in gpu.BUDGETS]
    assert {"training", "decoding", "kernels of a step", "waits of a step"} <= {record["measure"] for record in found}
    measures = {(record["measure"], record["params"]) for record in found}
    for measure in ("host of a step", "step", "gaps of a step"):  # at both sizes of a batch
        assert {(measure, "large, 64"), (measure, "large, 128")} <= measures


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_one_line_says_so(tmp_path: Path) -> None:
    status, said, found = run(tmp_path, "--only", "machine", "large")
    assert status == 2
    assert "no GPU" in said
    assert len(found) == 1


@pytest.mark.parametrize(("notes", "status"), [("done", 0), ("NOT KEPT: at most 0", 1)])
def test_the_end_says_what_is_not_as_it_should_be_and_where_the_figures_are(
    notes: str, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = {"measure": "waits", "value": 1, "unit": "waits", "params": "full", "notes": notes}
    monkeypatch.setattr(gpu, "watch", lambda *_, **__: [figures])
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--only", "waits", "--json", str(tmp_path / "found.jsonl")])
    with pytest.raises(SystemExit) if status else nullcontext():
        gpu.main()
    found, *end = capsys.readouterr().out.splitlines()
    told = ["not as it should be:", found] if status else ["every bound was kept, and no part failed"]
    assert end == [*told, f"all figures are in {tmp_path / 'found.jsonl'}"]


def ended(monkeypatch: pytest.MonkeyPatch, work: Callable[[object], object], seconds: float = 60.0) -> list[object]:
    """Let a part do `work` instead, and return the notes of its records."""

    def part(bench: object) -> Iterator[dict[str, object]]:
        yield {"notes": "first"}
        work(bench)

    monkeypatch.syspath_prepend(Path(gpu.__file__).parent)
    monkeypatch.setattr(gpu, "part_of", lambda name: part)
    return [record["notes"] for record in gpu.watch("peak", seconds, device="cpu", is_tiny=True)]


def test_a_part_that_crashes_ends_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ended(monkeypatch, lambda bench: os._exit(7)) == ["first", "failed: it ended with exit status 7"]


def test_a_part_that_fails_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(bench: object) -> None:
        raise ValueError("two\nlines")

    assert ended(monkeypatch, fail) == ["first", "failed: ValueError: two lines"]


def test_a_part_that_takes_too_long_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ended(monkeypatch, lambda bench: time.sleep(600), seconds=2.0) == ["first", "cut off after 2 s"]
