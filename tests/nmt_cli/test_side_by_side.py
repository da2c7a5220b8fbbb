"""Stages that are done at the same time; what a stage does stands in for it here."""

import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer

from nmt_cli.side_by_side import SideBySide

NEEDS = {"data": [], "one": ["data"], "two": ["data"], "late": ["data", "two"]}
NOTE = """
import os, pathlib, signal, sys, time
name, place = sys.argv[1], pathlib.Path(sys.argv[2])
def note(what):
    with open(place, "a") as file:
        file.write(f"{what} {name}\\n")
note("begun")
print("some", "words", file=sys.stderr, flush=True)
"""
WAIT = "while place.read_text().count('begun') < 3: time.sleep(0.01)\n"
"""Until both trainings have begun."""
ENDED = "note('ended')\n"


class Stages:
    """The stages, and what each of them does; what they note is in a file."""

    def __init__(self, notes: Path) -> None:
        self.notes = notes
        self.does = dict.fromkeys(NEEDS, NOTE + ENDED)
        self.done = set[str]()

    def command(self, name: str) -> list[str]:
        return [sys.executable, "-c", self.does[name], name, str(self.notes)]

    def look(self, node: Any) -> Any:
        return SimpleNamespace(is_done=node.name in self.done)

    def do(self, *, at_once: int) -> list[str]:
        nodes = dict[str, Any]()
        for name, needs in NEEDS.items():
            nodes[name] = SimpleNamespace(name=name, needs=[nodes[need] for need in needs], result=Path(name))
        SideBySide(self.command, at_once=at_once).do(list(nodes.values()))
        return self.notes.read_text().splitlines()


@pytest.fixture
def stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stages:
    stages = Stages(tmp_path / "notes")
    monkeypatch.setattr("nmt.graph.records.look", stages.look)
    return stages


def test_stages_that_do_not_wait_for_each_other_are_done_at_the_same_time(
    stages: Stages, capsys: pytest.CaptureFixture[str]
) -> None:
    stages.does |= dict.fromkeys(("one", "two"), NOTE + WAIT + ENDED)
    notes = stages.do(at_once=2)
    assert notes[:2] == ["begun data", "ended data"]
    assert {"begun one", "begun two"} == set(notes[2:4])
    assert notes.index("begun late") > notes.index("ended two")
    told = capsys.readouterr().err.splitlines()
    assert sorted(told) == [f"{name}: some words" for name in ("data", "late", "one", "two")]


def test_no_more_are_done_at_a_time_than_asked_for(stages: Stages) -> None:
    notes = stages.do(at_once=1)
    assert notes == [f"{what} {name}" for name in ("data", "one", "two", "late") for what in ("begun", "ended")]


def test_what_is_done_is_left_alone(stages: Stages, capsys: pytest.CaptureFixture[str]) -> None:
    stages.done = {"data", "one"}
    assert stages.do(at_once=2) == ["begun two", "ended two", "begun late", "ended late"]
    assert "one: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("end", "told", "code"),
    [
        ("sys.exit(3)\n", "one failed: no other stage is begun; two will be finished", 3),
        ("os.kill(os.getpid(), 9)\n", "one was ended by signal 9: no other stage is begun; two will be finished", 1),
    ],
)
def test_where_one_fails_those_under_way_are_finished_and_no_other_is_begun(
    stages: Stages, capsys: pytest.CaptureFixture[str], end: str, told: str, code: int
) -> None:
    stages.does |= {"one": NOTE + WAIT + end, "two": NOTE + WAIT + "time.sleep(0.5)\n" + ENDED}
    with pytest.raises(typer.Exit) as raised:
        stages.do(at_once=2)
    assert raised.value.exit_code == code
    assert stages.notes.read_text().splitlines()[-1] == "ended two"
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_all_and_the_run_is_interrupted(stages: Stages, number: signal.Signals) -> None:
    stop = "def stop(*_):\n    note('stopped')\n    sys.exit(130)\nsignal.signal(signal.SIGTERM, stop)\n"
    ready = "note('ready')\ntime.sleep(60)\n"
    stages.does |= dict.fromkeys(("one", "two"), NOTE + stop + ready)

    def interrupt() -> None:
        while not stages.notes.exists() or stages.notes.read_text().count("ready") < 2:
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        stages.do(at_once=2)
    assert sorted(stages.notes.read_text().splitlines()[-2:]) == ["stopped one", "stopped two"]
    assert signal.getsignal(number) == before


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="cores cannot be chosen here")
def test_each_has_its_share_of_the_cores_and_no_more_threads_than_that_or_than_asked_for(
    stages: Stages, monkeypatch: pytest.MonkeyPatch
) -> None:
    [core, *_] = os.sched_getaffinity(0)
    monkeypatch.setattr("nmt.io.limits.share_cores", lambda parts: [[core]] * parts)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    told = "time.sleep(0.1)\nnote(f\"{os.sched_getaffinity(0)} {os.environ['OMP_NUM_THREADS']}\")\n"
    stages.does["one"] = NOTE + told
    assert f"{{{core}}} 1 one" in stages.do(at_once=2)


def test_each_has_a_gpu_where_there_are_some(stages: Stages, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    stages.does = {
        name: NOTE + "note(os.environ['CUDA_VISIBLE_DEVICES'])\n" + WAIT * (name in "one two") for name in stages.does
    }
    notes = stages.do(at_once=2)
    assert {"4 one", "7 two"} <= set(notes)
