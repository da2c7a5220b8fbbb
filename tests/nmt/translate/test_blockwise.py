from collections import Counter
from functools import partial
from pathlib import Path
from threading import Thread

import pytest

from nmt.io.shards import Shard
from nmt.translate import Options, Translator
from nmt.translate.blockwise import LongText, key_of, translate_in_blocks
from nmt.translate.translator import Job

LINES = ["bat cow", "den fig gum", "", "hat"] * 10


@pytest.fixture
def job(toy_model: Path) -> Job:
    return Job(partial(Translator.load, toy_model, device="cpu", precision="fp32"), Options())


@pytest.fixture
def text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LongText:
    monkeypatch.setattr("nmt.translate.blockwise.LINES", 2)
    path = tmp_path / "in"
    path.write_text("".join(f"{line}\n" for line in LINES))
    return LongText(path, len(LINES))


def run(job: Job, text: LongText, output: Path, done: list[int], told: list[int]) -> None:
    key = key_of(text, job)
    for piece in translate_in_blocks(job, text, [output], key, on_lines=lambda lines, _: told.append(lines)):
        piece.files[0].write("".join(f"{best.text}\n" for best, *_ in piece.found).encode())
        done.extend(range(piece.first, piece.first + len(piece.found)))


def test_a_long_file_has_blocks_of_a_size_and_not_too_many() -> None:
    assert (LongText(Path("a"), 4001).blocks, LongText(Path("a"), 4001).lines_of(2)) == (3, 1)
    assert [LongText(Path("a"), 4001).lines_in(Shard(number, 2)) for number in (1, 2)] == [2001, 2000]
    assert (LongText(Path("a"), 10**9).block, LongText(Path("a"), 10**9).blocks) == (10**5, 10**4)


def test_those_who_share_a_file_do_each_line_once_and_are_told_of_all(job: Job, text: LongText) -> None:
    done, told = list[int](), ([0], [0], [0])
    output = text.path.with_name("out")
    threads = [Thread(target=run, args=(job, text, output, done, one)) for one in told]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = job.load().translate(LINES)
    assert output.read_text().splitlines() == [best.text for best, *_ in expected]
    most = Counter(done).most_common(1)
    assert (sorted(set(done)), most[0][1]) == (list(range(len(LINES))), 1)
    assert max(map(max, told)) == len(LINES)


def test_a_result_depends_on_the_model_the_input_and_the_options(job: Job, text: LongText, toy_model: Path) -> None:
    first = key_of(text, job)
    text.path.write_text("cow\n" * len(LINES))
    other = key_of(
        text, Job(partial(Translator.load, toy_model, toy_model, device="cpu", precision="fp32"), Options(n_best=2))
    )
    assert {name for name in first if first[name] != other[name]} == {"input", "models", "options"}
    assert key_of(text, Job(job.load, Options(batch_tokens=64))) == key_of(text, job)
