"""Folders from strangers: every file of a model, a run and prepared data is mutated, with the hashes computed anew.

The models are a translation model with a lexicon, one of other cells without attention, and a language model; the data
are pairs and text. Whatever reads such a folder is to load it, or to refuse it by an expected error: nothing else is
raised, nothing hangs, no memory runs out. The mutations are made and read in a process of its own, which a crash of a
library ends.
"""

import faulthandler
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, Final

import pytest

from tests.nmt.mutations import hash_anew, mutate

SECONDS: Final = 30
MOST_MEMORY: Final = 3 << 30


class Hung(BaseException):
    pass


def hang_up(number: int, frame: FrameType | None) -> None:
    raise Hung


def read_model(base: Path, folder: Path, done: str) -> None:
    """Do what `nmt translate`, `lm score`, `vectors`, `shortlist`, `tune`, `plot`, `average` and `train` do."""
    from nmt.lm import LanguageScorer
    from nmt.models.folder import export_vectors
    from nmt.prepared import PreparedData
    from nmt.shortlist.learn import add_lexicon
    from nmt.translate import Options, Translator
    from nmt.tuning import Point, Validation

    line = "bat \U0001f600 cow"
    data = PreparedData.open(base / "pairs")
    attempt(lambda: Translator.load(folder, precision="fp32").translate([line]))
    attempt(lambda: Translator.load(folder, precision="fp32").translate([line], Options(shortlist=16)))
    text = Validation([line], ["bato cowo"])
    attempt(lambda: text.translate(Translator.load(folder), Options(), Point(lm_weight=0.0, length_penalty=0.5)))
    attempt(lambda: LanguageScorer.load(folder))
    attempt(lambda: list(export_vectors(folder)))
    attempt(lambda: add_lexicon(folder, data, size=4, max_pairs=8, on_progress=lambda done, total: None))
    read_run(data, folder, done)


def read_language_model(base: Path, folder: Path, done: str) -> None:
    """Do what `nmt lm`, `translate --lm`, `vectors`, `plot`, `average` and `train` do."""
    from nmt.lm import Generation, Generator, LanguageScorer
    from nmt.lm.filtering import Difference
    from nmt.models.folder import export_vectors
    from nmt.prepared import PreparedText
    from nmt.search.sampling import Sampling
    from nmt.translate import Translator

    attempt(lambda: LanguageScorer.load(folder).score(["bat \U0001f600 cow"]))
    attempt(lambda: LanguageScorer.load(folder).score_text(["bat", "cow"]))
    attempt(lambda: list(Generator.load(folder).lines(Generation(Sampling(), 5, "bat"), count=2)))
    attempt(lambda: Difference.load(folder, base / "language").of(["bat cow"]))
    attempt(lambda: Translator.load(base / "pair", language_model=folder).translate(["bat cow"]))
    attempt(lambda: list(export_vectors(folder)))
    read_run(PreparedText.open(base / "text"), folder, done)


def read_run(data: Any, folder: Path, done: str) -> None:
    from nmt.report.curves import draw_curves, read_curves
    from nmt.training.averaging import average_run

    if done.startswith("metrics.jsonl"):  # a picture takes half a second
        attempt(lambda: draw_curves(folder))
    attempt(lambda: read_curves(folder))
    attempt(lambda: average_run(folder, folder.with_name("average"), last=None, data=data))
    attempt(lambda: go_on(data, folder, "training.max_steps=304"))


def read_data(base: Path, folder: Path, done: str) -> None:
    """Do what `nmt inspect`, `train` and `shortlist` do."""
    from nmt.prepared import open_data
    from nmt.report.inspection import inspect
    from nmt.report.page import inspection_tree, to_page
    from nmt.shortlist.learn import add_lexicon

    attempt(lambda: (to_page(found := inspect(folder)), inspection_tree(found)))
    small = ["model.embedding_size=8", "model.hidden_size=8", "model.encoder_layers=1"]
    attempt(lambda: go_on(open_data(folder), folder.with_name("new"), *small, "training.max_steps=2"))
    if folder.name == "pairs":
        attempt(
            lambda: add_lexicon(
                base / "pair", open_pairs(folder), size=4, max_pairs=8, on_progress=lambda done, total: None
            )
        )


def read_memory(base: Path, folder: Path, done: str) -> None:
    """Do what `nmt translate --memory` does."""
    from nmt.translate import Options, Translator

    near, lines = Options(memory_least=0.1), ["bat", "bat cow", "den fig gum"]
    attempt(lambda: Translator.load(base / "pair", precision="fp32", memory=folder).translate(lines, near))


def open_pairs(folder: Path) -> Any:
    from nmt.prepared import PreparedData

    return PreparedData.open(folder)


def go_on(data: Any, folder: Path, *wishes: str, steps: int = 2) -> None:
    """Begin a run, or go on with it, and stop it after some steps."""
    from nmt.training.observers import Silence
    from nmt.training.resolve import resolve_settings
    from nmt.training.trainer import train

    settings, _ = resolve_settings(data.settings, folder, recipe=None, overrides=[*wishes, "training.threads=1"])
    train(data, folder, settings, observer=Silence(), stop=StopsAfter(steps))


class StopsAfter:
    """Asks a run to stop."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def is_set(self) -> bool:
        self.left -= 1
        return self.left < 0


READERS: Final[dict[str, Callable[[Path, Path, str], None]]] = {
    "pair": read_model,
    "odd": read_model,
    "language": read_language_model,
    "pairs": read_data,
    "text": read_data,
    "memory": read_memory,
}
"""The folders that are mutated, and what reads them."""


def attempt(read: Callable[[], object]) -> None:
    from nmt.errors import NmtError

    try:
        read()
        outcomes.append("loaded")
    except (NmtError, OSError):
        outcomes.append("refused")


outcomes: list[str] = []


def work(base: Path, scratch: Path, first: int, last: int) -> None:
    """Try mutations by number; write a line before and after each."""
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_MEMORY, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    signal.signal(signal.SIGALRM, hang_up)
    for number in range(first, last):
        rng = random.Random(number)
        kind = rng.choice([*READERS])
        shutil.rmtree(scratch, ignore_errors=True)
        shutil.copytree(base / kind, scratch / kind)
        done = mutate(scratch / kind, rng)
        hash_anew(scratch / kind)
        tell(number, "begun", f"{kind}/{done}")
        outcomes.clear()
        signal.alarm(SECONDS)
        faulthandler.dump_traceback_later(2 * SECONDS, exit=True)  # a library that waits does not hear signals
        try:
            READERS[kind](base, scratch / kind, done)
            found = " ".join(outcomes)
        except Hung:
            found = "hung"
        except BaseException as error:
            found = f"unexpected {type(error).__name__}: {str(error)[:200]!r}"
        signal.alarm(0)
        tell(number, found, done)
    tell("memory", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, "MiB")


def tell(*cells: object) -> None:
    sys.stdout.write("\t".join(map(str, cells)) + "\n")
    sys.stdout.flush()


def try_all(base: Path, scratch: Path, count: int) -> tuple[Counter[str], list[str]]:
    """Try mutations 0 to `count`; a process that dies is followed by another. Return what came out, and the faults."""
    counts, faults, first = Counter[str](), list[str](), 0
    while first < count:
        command = [sys.executable, __file__, str(base), str(scratch), str(first), str(count)]
        paths = os.pathsep.join(path for path in sys.path if path)
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": paths}
        )
        rows = [line.split("\t") for line in done.stdout.splitlines() if line.count("\t") == 2]
        ended = [row for row in rows if row[0].isdigit() and row[1] != "begun"]
        for number, found, what in ended:
            counts.update(found.split() if re.fullmatch(r"(loaded|refused| )+", found) else [found.split(":")[0]])
            if not re.fullmatch(r"(loaded|refused| )+", found):
                faults.append(f"{number}: {what}: {found}")
        counts.update({f"{row[1]} MiB": 1 for row in rows if row[0] == "memory"})
        begun = [row for row in rows if row[1] == "begun"]
        assert begun, done.stderr
        first = int(begun[-1][0]) + 1
        if len(begun) > len(ended):
            faults.append(f"{begun[-1][0]}: {begun[-1][2]}: the process died, {done.returncode}: {done.stderr[-300:]}")
    return counts, faults


ODD_MODEL: Final = (
    "model.encoder_cell='cho_gru'",
    "model.decoder_cell='peephole_lstm'",
    "model.encoder_size=24",
    "model.decoder_size=40",
    "model.encoder_layers=2",
    "model.bidirectional='first'",
    "model.attention='none'",
    "model.init='he'",
    "model.forget_bias=0.5",
    "training.log_every='tenth'",
    "training.ema_decay=0.9",
)
"""What the toy model has not."""


@pytest.fixture(scope="module")
def base(
    toy_model: Path, toy_data: Any, toy_text: Path, toy_text_data: Any, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    from nmt.corpus.plain import ParallelFiles
    from nmt.shortlist.learn import add_lexicon
    from nmt.translation_memory import build_memory

    folder = tmp_path_factory.mktemp("base")
    shutil.copytree(toy_model, folder / "pair")
    shutil.copytree(toy_data.folder, folder / "pairs")
    shutil.copytree(toy_text_data.folder, folder / "text")
    add_lexicon(folder / "pair", toy_data, size=4, max_pairs=50, on_progress=lambda done, total: None)
    run = ["training.max_steps=12", "training.validate_every=6", "training.checkpoint_every=6"]
    go_on(toy_data, folder / "odd", *ODD_MODEL, *run, steps=100)
    small = ["model.embedding_size=16", "model.hidden_size=16", "training.segment_rows=2", "training.segment_steps=5"]
    go_on(toy_text_data, folder / "language", *small, *run, steps=100)
    corpus = ParallelFiles([toy_text / "train.src"], [toy_text / "train.tgt"], "error", name="toy")
    build_memory(folder / "pair", corpus, folder / "memory")
    return folder


@pytest.mark.parametrize("count", [16, pytest.param(1200, marks=pytest.mark.slow)])
def test_mutated_folders_load_or_are_refused(base: Path, tmp_path: Path, count: int) -> None:
    counts, faults = try_all(base, tmp_path / "scratch", count)
    assert (faults, counts["loaded"] > 0, counts["refused"] > 0) == ([], True, True), counts


if __name__ == "__main__":
    work(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
