"""Kills at any instant, and any number of processes, change nothing."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nmt.config import Settings, load_settings
from nmt.corpus.hashes import Overlap
from nmt.corpus.plain import ParallelFiles
from nmt.errors import DataError
from nmt.io.lines import Pair
from nmt.prepare import pipeline
from nmt.prepare.blocks import Fresh, Trained
from nmt.prepare.inputs import Corpus
from nmt.prepare.kinds import PairKind
from nmt.prepare.pipeline import PreparationReport, prepare
from nmt.prepare.stages import Accepted, Raw, Sifter, StageProgress

from .conftest import BlockOf

Pairs = list[tuple[str, str]]
MakeSettings = Callable[..., Settings]
StartProcess = Callable[..., "subprocess.Popen[Any]"]

BLOCK = 20

PREPARE = f"""
import sys
from pathlib import Path
from nmt.config import load_settings
from nmt.prepare import sharing
from nmt.prepare.pipeline import prepare

sharing._ALONE = 0.0

def run(on_progress=lambda progress: None):
    prepare(Path(sys.argv[1]), load_settings(None, sys.argv[3:]), on_progress, workers=int(sys.argv[2]), block={BLOCK})

if __name__ == "__main__":
    run()
"""

# A process that prepares the data is killed before it writes, renames, makes or removes the n-th file, then another one
# that goes on, and so forth until one comes to its end. Its last line says how many were killed.
KILL = (
    PREPARE.partition("if __name__")[0]
    + """
import os, random, signal
import datasets.arrow_writer  # or every process would open hundreds of modules
rng, killed = random.Random(1), 0
EVENTS = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "shutil.rmtree"}
while True:
    left = [rng.randrange(1, 150)]
    child = os.fork()
    if child == 0:
        def count(event, arguments):
            if event in EVENTS and (event != "open" or arguments[2] & (os.O_WRONLY | os.O_RDWR)):
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(count)
        run()
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status == 0:
        break
    assert status == -signal.SIGKILL, status
    killed += 1
print(killed)
"""
)


@pytest.fixture
def arguments(make_settings: MakeSettings, tmp_path: Path) -> list[str]:
    """The overrides of the settings for the pairs."""
    files = ["data.train_src=['train.src']", "data.train_tgt=['train.tgt']", "tokenizer.vocab_size=60"]
    return [f"data.root={tmp_path}", *files]


@pytest.fixture
def environment() -> dict[str, str]:
    """One in which a process finds this package."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_any_number_of_processes_gives_the_same_data(
    tmp_path: Path, corpus: Pairs, make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nmt.prepare.sharing._ALONE", 0.0)
    tagged = make_settings("data.corpora=[{src=['train.src'], tgt=['train.src'], tag='<a>'}]", "data.drop_copies=false")
    for workers in (1, 2):
        prepare(tmp_path / str(workers), tagged, block=BLOCK, workers=workers)
    assert contents(tmp_path / "1") == contents(tmp_path / "2")


def test_kills_at_any_instant_change_nothing(
    tmp_path: Path, corpus: Pairs, make_settings: MakeSettings, arguments: list[str], environment: dict[str, str]
) -> None:
    prepare(tmp_path / "straight", make_settings(), block=BLOCK, workers=1)
    command = [sys.executable, "-c", KILL, str(tmp_path / "killed"), "1", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, timeout=300)
    assert int(done.stdout) >= 4
    assert contents(tmp_path / "killed") == contents(tmp_path / "straight")
    assert not list(tmp_path.glob(".*"))


def test_blocks_that_a_power_failure_has_torn_are_made_again(
    tmp_path: Path, corpus: Pairs, make_settings: MakeSettings
) -> None:
    def interrupt(progress: StageProgress) -> None:
        if progress.stage == "encoding" and progress.done == 3 * BLOCK:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(tmp_path / "torn", make_settings(), interrupt, block=BLOCK, workers=1)
    (work,) = tmp_path.glob(".torn.work/*/")
    for name in ("sifted/000001/records.arrow", "tokenizers/joint.spm.model", "encoded/000000/src.values.npy"):
        (work / name).write_bytes(b"")
    (work / "sifted/000002/sums.json").unlink()
    prepare(tmp_path / "torn", make_settings(), block=BLOCK, workers=1)
    prepare(tmp_path / "straight", make_settings(), block=BLOCK, workers=1)
    assert contents(tmp_path / "torn") == contents(tmp_path / "straight")


def test_work_on_one_test_text_is_not_taken_up_for_another(
    tmp_path: Path, corpus: Pairs, make_settings: MakeSettings, write: Callable[[str, Pairs], None]
) -> None:
    def interrupt(progress: StageProgress) -> None:
        if progress.stage == "encoding" and progress.done:
            raise KeyboardInterrupt

    settings = make_settings("data.test_src=test.src", "data.test_tgt=test.tgt")
    write("test", corpus)
    with pytest.raises(KeyboardInterrupt):
        prepare(tmp_path / "data", settings, interrupt, block=BLOCK, workers=1)
    write("test", [("other text", "text other")])
    counts = prepare(tmp_path / "data", settings, block=BLOCK, workers=1).counts
    assert counts.overlap["test"].pair == 0


def test_half_finished_work_of_another_version_is_begun_anew(
    tmp_path: Path, corpus: Pairs, make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(progress: StageProgress) -> None:
        if progress.stage == "encoding":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(tmp_path / "data", make_settings(), interrupt, block=BLOCK, workers=1)
    monkeypatch.setattr(pipeline, "_WORK_VERSION", 0)
    seen: list[StageProgress] = []
    prepare(tmp_path / "data", make_settings(), seen.append, block=BLOCK, workers=1)
    assert seen[0] == StageProgress("reading", 0)


@pytest.mark.parametrize(("stage", "blocks"), [pytest.param("sifted", 3, marks=pytest.mark.slow), ("encoded", 2)])
def test_a_run_with_workers_that_is_killed_is_finished_by_the_next_one(
    tmp_path: Path, corpus: Pairs, make_settings: MakeSettings, arguments: list[str], environment: dict[str, str],
    start_process: StartProcess, stage: str, blocks: int,
) -> None:  # fmt: skip
    (tmp_path / "run.py").write_text(PREPARE)
    command = [sys.executable, str(tmp_path / "run.py"), str(tmp_path / "killed"), "2", *arguments]
    process = start_process(command, env=environment)
    while process.poll() is None and len(list(tmp_path.glob(f".killed.work/*/{stage}/0*/"))) < blocks:
        time.sleep(0.002)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    done = len(list(tmp_path.glob(f".killed.work/*/{stage}/0*/")))
    assert blocks <= done < 11
    prepare(tmp_path / "killed", make_settings(), block=BLOCK, workers=1)
    prepare(tmp_path / "straight", make_settings(), block=BLOCK, workers=1)
    assert contents(tmp_path / "killed") == contents(tmp_path / "straight")


@pytest.mark.slow
def test_a_process_takes_up_what_a_killed_one_had(
    tmp_path: Path, corpus: Pairs, make_settings: MakeSettings, arguments: list[str], environment: dict[str, str],
    start_process: StartProcess,
) -> None:  # fmt: skip
    (tmp_path / "run.py").write_text(PREPARE)
    command = [sys.executable, str(tmp_path / "run.py"), str(tmp_path / "killed"), "1", *arguments]
    first, second = (start_process(command, env=environment) for _ in range(2))
    while first.poll() is None and len(list(tmp_path.glob(".killed.work/*/sifted/0*/"))) < 2:
        time.sleep(0.002)
    first.kill()
    assert second.wait() == 0
    prepare(tmp_path / "straight", make_settings(), block=BLOCK, workers=1)
    assert contents(tmp_path / "killed") == contents(tmp_path / "straight")
    assert not list(tmp_path.glob(".*"))


def test_how_much_there_is_to_read_is_told_from_the_share_of_the_file_that_has_been_read(
    tmp_path: Path, make_settings: MakeSettings
) -> None:
    for side in ("src", "tgt"):
        # 3000 lines of 1 KB: chunks of a megabyte are read
        (tmp_path / f"train.{side}").write_text("".join(f"{number} {side} {'x' * 990}\n" for number in range(3000)))
    seen: list[StageProgress] = []

    def note(progress: StageProgress) -> None:
        if progress.stage != "reading":
            raise KeyboardInterrupt
        seen.append(progress)

    with pytest.raises(KeyboardInterrupt):
        prepare(tmp_path / "data", make_settings(), note, block=500, workers=1)
    assert [progress.done for progress in seen] == [0, 500, 1000, 1500, 2000, 2500, 3000]
    assert seen[-1].total == 3000
    # Two blocks have been asked for when the first one is done, out of one chunk or two.
    assert all(progress.total is not None and progress.done <= progress.total <= 3200 for progress in seen[1:])
    assert seen[1].total is not None
    assert seen[1].total > 1000


def test_another_run_is_refused_while_the_first_one_works_and_the_same_one_shares_the_work(
    tmp_path: Path, corpus: Pairs, make_settings: MakeSettings
) -> None:
    def another(progress: StageProgress) -> None:
        prepare(tmp_path / "data", make_settings("data.seed=3"))

    with pytest.raises(DataError, match=r"^another process is making .*data of other input"):
        prepare(tmp_path / "data", make_settings(), another)
    reports = list[PreparationReport]()

    def same(progress: StageProgress) -> None:
        if not reports:
            reports.append(prepare(tmp_path / "data", make_settings()))

    reports.append(prepare(tmp_path / "data", make_settings(), same))
    assert reports[0] == reports[1]
    assert not list(tmp_path.glob(".*"))


def test_workers_need_neither_torch_nor_datasets(environment: dict[str, str]) -> None:
    code = "import sys, nmt.prepare.stages; print(*{'torch', 'datasets', 'pandas', 'sacrebleu'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split() == []


def test_duplicates_and_counts_go_over_the_borders_of_blocks_and_corpora(
    tmp_path: Path, pairs: Pairs, write: Callable[[str, Pairs], None], make_settings: MakeSettings
) -> None:
    write("train", pairs[:50])
    write("more", [*pairs[40:60], ("same", "same")])
    more = "{src=['more.src'], tgt=['more.tgt'], weight=2.0, tag='<more>', name='m'}"
    settings = make_settings(f"data.corpora=[{more}]", "tokenizer.vocab_size=45")
    counts = prepare(tmp_path / "data", settings, block=7, workers=1).counts
    first, second = counts.corpora
    assert (first.name, first.read, first.heldout + first.train, first.tag) == ("train.src", 50, 50, None)
    assert (second.name, second.weight, second.tag, second.read) == ("m", 2.0, "<more>", 21)
    assert second.heldout + second.train == 10
    assert {reason: count for reason, count in second.rejected.items() if count} == {"copy": 1, "duplicate": 10}
    assert counts.heldout == first.heldout + second.heldout == 6
    assert counts.train == first.train + second.train


CORPORA = [Corpus(name, ParallelFiles([], [], "error", name=name), f"<{name}>") for name in "012"]


def accept(
    folder: Path, blocks: Sequence[str], duplicates: Sequence[int] | None, heldout: Sequence[int] = ()
) -> Accepted[Pair]:
    """Accept pairs, one for each letter of a block; a dot is rejected."""
    kind = PairKind(load_settings(None))
    sifter = Sifter(kind, kind.make_judge(Overlap({})))
    sifted = [
        sifter(Raw(folder / str(part), part, BlockOf([Pair(src.strip("."), "x", block, 1) for src in block])))
        for part, block in enumerate(blocks)
    ]
    bits = None if duplicates is None else np.packbits(duplicates)
    return Accepted(Pair, CORPORA, sifted, bits, Fresh(np.array(heldout, dtype=np.int64)))


def read(accepted: Accepted[Pair], chosen: Sequence[int]) -> list[str]:
    blocks = accepted.read(Trained(np.array(chosen, dtype=np.int64)))
    return [f"{corpus.name}: {''.join(pair.src for pair in block)}" for corpus, block in blocks]


def test_records_are_counted_through_all_blocks_without_duplicates(tmp_path: Path) -> None:
    accepted = accept(tmp_path, ["a.bc", "..", "def"], [0, 1, 0, 0, 0, 1])
    assert accepted.trained == 4  # a, c, d, e
    assert read(accepted, [0, 1, 2, 3]) == ["0: ac", "2: de"]
    assert read(accepted, [1, 2]) == ["0: c", "2: d"]
    assert read(accepted, [3]) == ["2: e"]


def test_what_is_held_out_is_not_counted(tmp_path: Path) -> None:
    accepted = accept(tmp_path, ["abc", "def"], None, heldout=[1, 3])
    assert accepted.trained == 4  # a, c, e, f
    assert read(accepted, [0, 1, 3]) == ["0: ac", "1: f"]


def test_what_is_held_out_can_be_read(tmp_path: Path) -> None:
    accepted = accept(tmp_path, ["abc", "def"], [0, 0, 1, 0, 0, 0])
    found = accepted.read(Trained(np.array([1, 2, 4])))
    assert [(corpus.name, [pair.src for pair in block]) for corpus, block in found] == [("0", ["b"]), ("1", ["d", "f"])]


def test_of_each_block_it_is_said_what_is_trained_on(tmp_path: Path) -> None:
    accepted = accept(tmp_path, ["abc", "def"], [0, 0, 1, 0, 0, 0], heldout=[1, 2])
    one, two = accepted.select(tmp_path / "to")
    assert (one.folder, two.folder) == (tmp_path / "to" / "000000", tmp_path / "to" / "000001")
    assert (one.rows.tolist(), one.duplicates.tolist(), one.tag) == ([0], [2], "<0>")
    assert (two.rows.tolist(), two.duplicates.tolist(), two.tag) == ([1, 2], [], "<1>")
