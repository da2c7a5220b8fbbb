import pickle
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from nmt.errors import ConfigError, ModelError
from nmt.io.arriving import FileLines
from nmt.markup.spans import compile_pattern
from nmt.search.sampling import Sampling
from nmt.translate import Options, Translation, Translator
from nmt.translate.options import Terminology
from nmt.translate.translator import Chunk, Job, chunks_of

LINES = ["bat cow", "", "den fig gum", "hat", "jam kit", "log map bat", "cow"]
SAMPLES = Options(sampling=Sampling(temperature=3.0, seed=5), n_best=2)


def job(folder: Path, options: Options) -> Job:
    return Job(partial(Translator.load, folder, device="cpu", precision="fp32"), options)


class Hesitant:
    """Lines that come two at a time, after nothing has come once."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines
        self.asked: list[bool] = []

    @property
    def ended(self) -> bool:
        return not self._lines

    def take(self, limit: int, *, wait: bool) -> list[str]:
        self.asked.append(wait)
        taken, self._lines = (self._lines[:2], self._lines[2:]) if wait else ([], self._lines)
        return taken


def test_a_file_is_cut_into_blocks_that_know_their_lines() -> None:
    blocks = list(chunks_of(FileLines("abcde"), 2))
    assert blocks == [Chunk(0, ["a", "b"]), Chunk(2, ["c", "d"]), Chunk(4, ["e"])]
    assert [len(block) for block in blocks] == [2, 2, 1]
    assert list(chunks_of(FileLines([]), 2)) == []


def test_an_empty_block_says_that_no_more_has_come_and_then_more_is_waited_for() -> None:
    source = Hesitant(list("abcd"))
    blocks = list(chunks_of(source, 10))
    assert blocks == [Chunk(0, ["a", "b"]), Chunk(2, []), Chunk(2, ["c", "d"])]
    assert source.asked == [True, False, True]


@pytest.fixture(scope="module")
def samples(toy_model: Path) -> list[list[Translation]]:
    return job(toy_model, SAMPLES).load().translate(LINES, SAMPLES)


@pytest.mark.parametrize("size", [1, 3, 100])
def test_a_job_translates_a_source_whatever_is_taken_at_once(
    toy_model: Path, samples: list[list[Translation]], size: int
) -> None:
    blocks = job(toy_model, SAMPLES).translate(FileLines(LINES), block=size)
    assert isinstance(blocks, Iterator)
    assert [found for block in blocks for found in block] == samples


def test_what_a_worker_does_with_a_block_is_what_one_process_does_with_its_lines(
    toy_model: Path, samples: list[list[Translation]]
) -> None:
    translate = job(toy_model, SAMPLES).start()
    assert [found for block in chunks_of(FileLines(LINES), 3) for found in translate(block)] == samples
    assert translate(Chunk(9, LINES)) != samples


PAGE = [
    "<p",
    ' class="x">bat cow',
    "<style>",
    "bat { cow }",
    "</style> den",
    "",
    "  <code>bat</code> fig <!--",
    "hat",
    "--> jam",
]


@pytest.mark.parametrize("size", [1, 2, 100])
def test_markup_that_goes_over_lines_goes_over_blocks(toy_model: Path, size: int) -> None:
    options = Options(markup=True)
    here = job(toy_model, options)
    found = [one.text for block in here.translate(FileLines(PAGE), block=size) for [one] in block]
    assert found == [
        "<p",
        ' class="x">bato cowo',
        "<style>",
        "bat { cow }",
        "</style> deno",
        "",
        "  <code>bat</code> figo <!--",
        "hat",
        "--> jamo",
    ]
    translate = here.start()
    blocks = chunks_of(FileLines(PAGE), size, options)
    assert [one.text for block in blocks for [one] in translate(block)] == found


def test_a_job_can_be_sent_to_another_process(toy_model: Path, tmp_path: Path) -> None:
    terms = tmp_path / "terms.tsv"
    terms.write_text("bat\tcowo\n")
    options = Options(
        terms=Terminology.load(terms), keep=compile_pattern("x+"), markup=True, unknown={"a": "b"}, required=("mapo",)
    )
    sent = pickle.loads(pickle.dumps(job(toy_model, options)))
    assert sent.options == options
    [[found]] = sent.start()(Chunk(0, ["<b>bat</b> den xx"]))
    assert {"cowo", "mapo", "xx"} <= set(found.text.replace("<b>", "").replace("</b>", "").split())
    assert pickle.loads(pickle.dumps(Chunk(3, LINES))) == Chunk(3, LINES)


def test_a_job_that_cannot_be_done_says_so_when_it_starts(toy_model: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nowhere does not exist$"):
        next(job(tmp_path / "nowhere", Options()).translate(FileLines(LINES), block=3))
    with pytest.raises(ConfigError, match=r"^9 translations per line were requested"):
        next(job(toy_model, Options(n_best=9)).translate(FileLines(LINES), block=3))
