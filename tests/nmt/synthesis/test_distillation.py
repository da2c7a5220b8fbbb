from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from nmt.config import Settings, load_settings
from nmt.config.data import DataSettings
from nmt.errors import DataError, UsageError
from nmt.io.lines import Pair
from nmt.prepare.pipeline import prepare
from nmt.prepared import PreparedData
from nmt.search.protocol import Hypothesis
from nmt.synthesis.distillation import Material, NearestReference, Rescored, choose_best, materials_of, with_whole_beam
from nmt.translate import Options, Translation, Translator

PAIR = Pair("a dog runs", "un chien court", "f", 1)
PrepareAnew = Callable[..., PreparedData]


def translations(**log_probabilities: float) -> list[Translation]:
    return [Translation(text, value, value / 2, parts=1) for text, value in log_probabilities.items()]


def read(materials: Sequence[Material]) -> list[list[str]]:
    return [[pair.src for pair in material.pairs] for material in materials]


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


def same(data: DataSettings) -> DataSettings:
    return data


def test_the_text_of_prepared_data_is_read_again_without_what_was_rejected_or_held_out(
    prepare_anew: PrepareAnew,
) -> None:
    data = prepare_anew("data.src_lang=en", "data.tgt_lang=fr")
    materials = materials_of(data, same)
    first, second = read(materials)
    held = data.valid.src_texts
    assert len(held) == 4
    sources = {f"{word} number {number}" for number in range(20) for word in ("dog", "cat")}
    assert sorted([*first, *second]) == sorted({*sources, "un oiseau"} - set(held))
    assert [material.tag for material in materials] == [None, "<two>"]
    assert [(one.cleaning.src_lang, one.cleaning.tgt_lang) for one in materials] == [("en", "fr"), ("fr", "en")]


def test_text_that_has_changed_since_is_an_error(prepare_anew: PrepareAnew, tmp_path: Path) -> None:
    data = prepare_anew()
    (tmp_path / "two.tsv").write_text("other\ttext\n")
    message = rf"two.tsv \(data.corpora.1\) has changed since {tmp_path / 'data'} was prepared from it"
    with pytest.raises(DataError, match=message):
        materials_of(data, same)


def test_the_best_of_the_beam_is_the_first() -> None:
    assert choose_best([(PAIR, translations(one=-1.0, other=-2.0))]) == ["one"]


@pytest.mark.parametrize("metric", ["bleu", "chrf"])
def test_the_nearest_to_the_reference_is_chosen_whatever_its_rank(metric: str, toy_data: PreparedData) -> None:
    found = [Translation(text, -1.0, -1.0, parts=1) for text in ("une chienne va", "un chien court vite", "un chat")]
    choice = NearestReference.by(metric, toy_data)  # type: ignore[arg-type]
    assert choice([(PAIR, found)]) == ["un chien court vite"]


def test_of_equally_near_ones_the_first_is_chosen() -> None:
    assert NearestReference(lambda text, reference: 1.0)([(PAIR, translations(b=-1.0, a=-2.0))]) == ["b"]


def test_other_teachers_rescore_by_the_mean_of_what_all_say(monkeypatch: pytest.MonkeyPatch, toy_model: Path) -> None:
    said = {"one": -9.0, "two": -3.0, "three": -3.5}

    def known(translator: Translator, pairs: list[tuple[str, str]]) -> list[Hypothesis]:
        assert {src for src, _ in pairs} == {PAIR.src}
        return [Hypothesis((), said[text], 0.0) for _, text in pairs]

    monkeypatch.setattr("nmt.synthesis.distillation.follow", known)
    toy = Translator.load(toy_model, device="cpu")
    taught = [(PAIR, translations(one=-1.0, two=-3.0)), (PAIR, translations(two=-3.0, three=-2.0))]
    assert Rescored(1, [toy])(taught) == ["two", "three"]  # (-1 - 9) / 2 < -3, and -3 < (-2 - 3.5) / 2
    assert Rescored(4, [toy])(taught) == ["one", "three"]  # (-4 - 9) / 5 > -3


def test_a_beam_of_one_leaves_nothing_to_choose_from(toy_settings: Settings) -> None:
    assert with_whole_beam(Options(beam_size=7), toy_settings).n_best == 7
    with pytest.raises(UsageError, match="leaves nothing to choose from: set it to 2 or more"):
        with_whole_beam(Options(beam_size=1), toy_settings)
