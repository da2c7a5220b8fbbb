from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import pytest

from nmt.config import Settings, load_settings
from nmt.errors import DataError, NmtError, UsageError
from nmt.io.lines import Pair
from nmt.prepare.pipeline import prepare
from nmt.prepared import PreparedData
from nmt.synthesis.distillation import choose_best, distil_data, nearest_reference, sources_of, with_whole_beam
from nmt.synthesis.judging import Outputs
from nmt.synthesis.working import Writing, write_pairs
from nmt.translate import Options, Translation, Translator
from nmt.translate.translator import Job

PAIR = Pair("a dog runs", "un chien court", "f", 1)
PrepareAnew = Callable[..., PreparedData]


def translations(**log_probabilities: float) -> list[Translation]:
    return [Translation(text, value, value / 2, parts=1) for text, value in log_probabilities.items()]


def distil(data: PreparedData, job: Job, **rules: float) -> list[Writing]:
    return distil_data(data, job, choose_best, lambda own: own.model_copy(update=rules))


@pytest.fixture
def job(toy_model: Path) -> Job:
    return Job(partial(Translator.load, toy_model, device="cpu", precision="fp32"), Options())


@pytest.fixture
def prepare_anew(tmp_path: Path) -> PrepareAnew:
    """Prepare two corpora, the second with a tag, without validation files."""
    lines = [f"{word} number {number}" for number in range(20) for word in ("dog", "cat")]
    (tmp_path / "one.tsv").write_text("".join(f"{line}\tle {line} !\n" for line in lines))
    (tmp_path / "two.tsv").write_text("copy\tcopy\n\tle chat\na bird\tun oiseau\n")
    corpora = "data.corpora=[{path='one.tsv'}, {path='two.tsv', tag='<two>', reversed=true}]"

    def run(*overrides: str) -> PreparedData:
        settings = load_settings(None, [corpora, f"data.root='{tmp_path}'", "tokenizer.kind=char", *overrides])
        prepare(tmp_path / "data", settings, workers=1)
        return PreparedData.open(tmp_path / "data")

    return run


def test_the_text_of_prepared_data_is_read_again_without_what_was_rejected_or_held_out(
    prepare_anew: PrepareAnew, job: Job
) -> None:
    data = prepare_anew()
    writings = distil(data, job)
    first, second = ([writing.text_of(pair) for pair in writing.pairs] for writing in writings)
    held = data.valid.src_texts
    assert len(held) == 4
    sources = {f"{word} number {number}" for number in range(20) for word in ("dog", "cat")}
    assert sorted([*first, *second]) == sorted({*sources, "un oiseau"} - set(held))
    assert [writing.job.options.tag for writing in writings] == [None, "<two>"]
    assert sources_of(data) == len(first) + len(second)


def test_text_that_has_changed_since_is_an_error(prepare_anew: PrepareAnew, job: Job, tmp_path: Path) -> None:
    data = prepare_anew()
    (tmp_path / "two.tsv").write_text("other\ttext\n")
    message = rf"two.tsv \(data.corpora.1\) has changed since {tmp_path / 'data'} was prepared from it"
    with pytest.raises(DataError, match=message):
        distil(data, job)


def test_text_that_is_edited_before_it_is_read_is_noticed_and_what_is_done_of_other_corpora_is_kept(
    prepare_anew: PrepareAnew, job: Job, tmp_path: Path
) -> None:
    data = prepare_anew("data.corpora=[{path='one.tsv'}, {path='two.tsv', reversed=true}]")
    outputs, found = Outputs(tmp_path / "out.tsv"), list[int]()
    text, changed = tmp_path / "two.tsv", f"{tmp_path / 'two.tsv'} was changed while it was translated"
    for edited in (True, False):
        writings, known = distil(data, job), text.read_text()
        if edited:
            text.write_text(known.replace("oiseau", "chien!"))
        with pytest.raises(NmtError, match=changed) if edited else nullcontext():
            write_pairs(writings, outputs, {}, on_found=lambda some: found.append(len(some)))
        text.write_text(known)
        assert outputs.pairs.exists() != edited
    assert sum(found) == sources_of(data), "nothing is translated twice"


def test_what_is_written_of_a_reversed_corpus_is_judged_by_the_languages_exchanged(
    prepare_anew: PrepareAnew, job: Job
) -> None:
    data = prepare_anew("data.src_lang=en", "data.tgt_lang=el")
    first, second = distil(data, job, min_script_share=0.5)
    pair = Pair("a dog", "σκύλος", "f", 1)
    exchanged = pair._replace(src=pair.tgt, tgt=pair.src)
    assert [[one.reason for one in writing.judge([pair, exchanged])] for writing in (first, second)] == [
        [None, "script"],
        ["script", None],
    ]


def test_the_best_of_the_beam_is_the_first() -> None:
    assert choose_best([(PAIR, translations(one=-1.0, other=-2.0))]) == ["one"]


@pytest.mark.parametrize("metric", ["bleu", "chrf"])
def test_the_nearest_to_the_reference_is_chosen_whatever_its_rank(metric: str, toy_data: PreparedData) -> None:
    found = [Translation(text, -1.0, -1.0, parts=1) for text in ("une chienne va", "un chien court vite", "un chat")]
    choice = nearest_reference(metric, toy_data)  # type: ignore[arg-type]
    assert choice([(PAIR, found)]) == ["un chien court vite"]


@pytest.mark.parametrize("metric", ["bleu", "chrf"])
def test_the_nearest_of_small_letters_is_found_without_regard_to_case(metric: str, toy_data: PreparedData) -> None:
    found = [Translation(text, -1.0, -1.0, parts=1) for text in ("A B c d e f", "a b c d e f g")]
    choices = [nearest_reference(metric, toy_data, lowercase=lowercase) for lowercase in (False, True)]  # type: ignore[arg-type]
    pair = PAIR._replace(tgt="A B C D E F G")
    assert [choice([(pair, found)]) for choice in choices] == [["A B c d e f"], ["a b c d e f g"]]


def test_of_equally_near_ones_the_first_is_chosen(monkeypatch: pytest.MonkeyPatch, toy_data: PreparedData) -> None:
    monkeypatch.setattr(
        "nmt.synthesis.distillation.sentence_scorer", lambda *given, lowercase: lambda text, reference: 1.0
    )
    assert nearest_reference("bleu", toy_data)([(PAIR, translations(b=-1.0, a=-2.0))]) == ["b"]


def test_a_beam_of_one_leaves_nothing_to_choose_from(toy_settings: Settings) -> None:
    assert with_whole_beam(Options(beam_size=7), toy_settings).n_best == 7
    with pytest.raises(UsageError, match="leaves nothing to choose from: set it to 2 or more"):
        with_whole_beam(Options(beam_size=1), toy_settings)
