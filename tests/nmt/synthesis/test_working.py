import io
import pickle
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from nmt.config.data import DataSettings
from nmt.errors import DataError
from nmt.io.lines import Pair
from nmt.io.shards import Shard, join_shards
from nmt.synthesis.judging import Judge, Outcome, Outputs, cleaning_of
from nmt.synthesis.working import LoadedOnce, Writing, Written, key_of_pairs, write_pairs
from nmt.translate import Options, Translator
from nmt.translate.flow import Translations
from nmt.translate.translator import Job

WORDS = ("bat", "cow", "den", "fig", "gum")
KEY = {"rules": "these"}


class Made:
    """Writes pairs of the toy language, and notes how many it has been asked for at a time."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.outputs = Outputs(folder / "pairs.tsv")
        self.known = [Pair(f"{word} {other}", "", "f", 1) for word in WORDS for other in WORDS]
        self.job = Job(partial(Translator.load, model, device="cpu", precision="fp32"), Options())
        self.asked: list[int] = []
        self.read = 0
        self.killed_at = -1
        self.translated = 0

    def write(self, key: dict[str, str] = KEY) -> bytes:
        outcome = self.do(key)
        assert (outcome.read, outcome.written) == (25, 25)
        return self.outputs.pairs.read_bytes()

    def do(self, key: dict[str, str] = KEY, *, shard: Shard | None = None, **rules: float) -> Outcome:
        halves = (self.known[:12], self.known[12:])
        judge = Judge.of(cleaning_of(DataSettings()).model_copy(update=rules))
        writings = [
            Writing(self._pairs(half), lambda pair: pair.src, self._complete, self.job, judge) for half in halves
        ]
        self.translated = 0
        return write_pairs(writings, self.outputs, key, shard=shard, on_found=self._count)

    def _count(self, found: Translations) -> None:
        self.translated += len(found)

    def _pairs(self, half: Sequence[Pair]) -> Iterator[Pair]:
        for pair in half:
            self.read += 1
            yield pair

    def _complete(self, written: Written) -> list[Pair]:
        if len(self.asked) == self.killed_at:
            raise KeyboardInterrupt
        self.asked.append(len(written))
        return [pair._replace(tgt=best.text) for pair, (best, *_) in written]


@pytest.fixture
def made(tmp_path: Path, toy_model: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    """What is asked in blocks of five lines."""
    monkeypatch.setattr("nmt.translate.blockwise.LINES", 5)
    return Made(tmp_path, toy_model)


def test_pairs_are_judged_block_by_block_and_nothing_else_is_left(made: Made, tmp_path: Path) -> None:
    lines = made.write().decode().splitlines()
    assert [line.split("\t")[0] for line in lines] == [pair.src for pair in made.known]
    assert sum(tgt == f"{src.replace(' ', 'o ')}o" for src, tgt in (line.split("\t") for line in lines)) > 20
    assert made.asked == [5, 5, 2, 5, 5, 3]
    assert list(tmp_path.iterdir()) == [made.outputs.pairs]


def test_what_is_done_is_not_done_again_after_a_kill(made: Made, tmp_path: Path) -> None:
    made.killed_at = 4
    with pytest.raises(KeyboardInterrupt):
        made.write()
    assert [path.name for path in tmp_path.iterdir()] == [".pairs.tsv.work"]
    made.killed_at = -1
    after = made.write()
    assert made.asked == [5, 5, 2, 5, 5, 3]
    assert (made.read, made.translated) == (25, 8)
    assert made.write() == after


@pytest.mark.parametrize("count", [1, 2, 4, 7])
def test_shards_are_joined_to_what_one_process_writes_and_their_counts_add_up(
    made: Made, tmp_path: Path, count: int
) -> None:
    made.outputs = Outputs(tmp_path / "pairs.tsv", tmp_path / "rejected.jsonl")
    outputs, rules = (made.outputs.pairs, made.outputs.rejected), {"max_characters": 11}
    made.known[3:5] = [one._replace(src=f"{one.src} hat") for one in made.known[3:5]]
    whole = made.do(**rules)
    expected = [path.read_bytes() for path in outputs if path]
    assert (whole.read, whole.rejected) == (25, {"too_long": whole.read - whole.written})
    assert 0 < whole.written < whole.read
    made.asked.clear()
    parts = [made.do(shard=Shard(number, count), **rules) for number in range(1, count + 1)]
    assert sorted(made.asked) == [2, 3, 5, 5, 5, 5]
    assert sum(one.read for one in parts) == whole.read
    assert sum((Counter(one.rejected) for one in parts), Counter()) == whole.rejected
    for path, content in zip(outputs, expected, strict=True):
        assert path is not None
        joined = io.BytesIO()
        assert join_shards(sorted(tmp_path.glob(f"{path.name}.*-of-{count}")), joined) == 6
        assert joined.getvalue() == content


def test_a_shard_that_was_killed_goes_on(made: Made, tmp_path: Path) -> None:
    expected = made.write()
    made.asked.clear()
    made.killed_at = 2
    with pytest.raises(KeyboardInterrupt):
        made.do(shard=Shard(1, 2))
    made.killed_at = -1
    for number in (1, 2):
        made.do(shard=Shard(number, 2))
    assert sorted(made.asked) == [2, 3, 5, 5, 5, 5], "no block twice"
    joined, shards = io.BytesIO(), [tmp_path / f"pairs.tsv.{number}-of-2" for number in (2, 1)]
    join_shards(shards, joined)
    assert joined.getvalue() == expected
    assert set(tmp_path.iterdir()) == {made.outputs.pairs, *shards}


def test_what_loads_once_hands_on_to_other_processes_how_and_not_what(toy_model: Path) -> None:
    load = LoadedOnce(Translator.load, toy_model, device="cpu")
    assert load() is load()
    sent = pickle.dumps(load)
    assert len(sent) < 1000
    other = pickle.loads(sent)
    assert (type(other), other.args, other.keywords) == (LoadedOnce, (toy_model,), {"device": "cpu"})


def test_work_of_other_rules_is_begun_anew(made: Made) -> None:
    made.killed_at = 4
    with pytest.raises(KeyboardInterrupt):
        made.write()
    made.killed_at = -1
    made.asked.clear()
    made.write({"rules": "others"})
    assert made.asked == [5, 5, 2, 5, 5, 3]


def test_pairs_depend_on_text_model_options_and_rules(made: Made, tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("bat\n", encoding="utf-8")
    job = Job(partial(made.job.load.func, *made.job.load.args, **made.job.load.keywords), Options())  # type: ignore[attr-defined]
    keys = [key_of_pairs(text, job, rules="a"), key_of_pairs(text, job, rules="b")]
    keys.append(key_of_pairs(text, Job(job.load, Options(beam_size=3)), rules="a"))
    text.write_text("cow\n", encoding="utf-8")
    keys.append(key_of_pairs(text, job, rules="a"))
    assert len({str(key) for key in keys}) == 4


def test_errors_of_the_text_leave_nothing(made: Made, tmp_path: Path) -> None:
    def broken() -> Iterator[Pair]:
        yield made.known[0]
        raise DataError("line 2 cannot be read")

    writing = Writing(broken(), lambda pair: pair.src, made._complete, made.job, Judge.of(DataSettings()))
    with pytest.raises(DataError, match="line 2 cannot be read"):
        write_pairs([writing], made.outputs, KEY)
    assert list(tmp_path.iterdir()) == []
