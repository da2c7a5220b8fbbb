import pickle
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from nmt.errors import ConfigError, ModelError
from nmt.io.arriving import FileLines
from nmt.markup.spans import compile_pattern
from nmt.search.sampling import Sampling
from nmt.translate import Options, Translation, Translator
from nmt.translate.options import Terminology
from nmt.translate.translator import Job

LINES = ["bat cow", "", "den fig gum", "hat", "jam kit", "log map bat", "cow"]
SAMPLES = Options(sampling=Sampling(temperature=3.0, seed=5), n_best=2)


def job(folder: Path, options: Options) -> Job:
    return Job(partial(Translator.load, folder, device="cpu", precision="fp32"), options)


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


def test_samples_and_the_count_of_lines_are_the_same_with_helpers(toy_model: Path) -> None:
    lines = LINES * 60
    alone = job(toy_model, SAMPLES)
    told: list[int] = []
    found = [one for block in alone.translate(FileLines(lines), block=500) for one in block]
    helped = replace(alone, workers=3).translate(
        FileLines(lines), block=500, on_lines=lambda lines, _: told.append(lines)
    )
    assert [one for block in helped for one in block] == found
    assert told == sorted(told)
    assert told[-1] == len(lines)


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


def test_a_job_can_be_sent_to_another_process(toy_model: Path, tmp_path: Path) -> None:
    terms = tmp_path / "terms.tsv"
    terms.write_text("bat\tcowo\n")
    options = Options(
        terms=Terminology.load(terms), keep=compile_pattern("x+"), markup=True, unknown={"a": "b"}, required=("mapo",)
    )
    sent = pickle.loads(pickle.dumps(job(toy_model, options)))
    assert sent.options == options
    [[[found]]] = sent.translate(FileLines(["<b>bat</b> den xx"]), block=1)
    assert {"cowo", "mapo", "xx"} <= set(found.text.replace("<b>", "").replace("</b>", "").split())
    assert callable(sent.start(sent.load))


def test_a_job_that_cannot_be_done_says_so_when_it_starts(toy_model: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nowhere does not exist$"):
        next(job(tmp_path / "nowhere", Options()).translate(FileLines(LINES), block=3))
    with pytest.raises(ConfigError, match=r"^9 translations per line were requested"):
        next(job(toy_model, Options(n_best=9)).translate(FileLines(LINES), block=3))
