"""Translation memories: what is found in them, what is written, and what is refused."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nmt.config import change_settings
from nmt.corpus.plain import ParallelFiles, TsvFiles
from nmt.errors import ConfigError, DataError, ModelError
from nmt.models.folder import load_own_tokenizers, read_settings
from nmt.text.sequences import FlatSequences
from nmt.translate import Options, Translator
from nmt.translation_memory import CARD, PAIRS, Index, Match, TranslationMemory, build_memory, similarities

Remember = Callable[..., Translator]
PAIR = ("cow hat den fig", "COWO HATO")
NEAR = Options(memory_least=0.5)


@pytest.fixture
def remember(toy_model: Path, tmp_path: Path) -> Remember:
    """Make the toy translator with a memory of these pairs."""

    def made(*pairs: tuple[str, str], folder: Path = tmp_path / "memory") -> Translator:
        file = tmp_path / "pairs.tsv"
        file.write_text("".join("\t".join(pair) + "\n" for pair in pairs), encoding="utf-8")
        build_memory(toy_model, TsvFiles([file], "error", name="pairs.tsv"), folder)
        return Translator.load(toy_model, device="cpu", memory=folder)

    return made


def edits(one: list[int], other: list[int]) -> int:
    """The obvious recursion."""
    if not one or not other:
        return len(one) + len(other)
    changed = edits(one[1:], other[1:]) + (one[0] != other[0])
    return min(changed, edits(one[1:], other) + 1, edits(one, other[1:]) + 1)


def test_similarity_is_the_share_without_edits() -> None:
    rng = np.random.default_rng(1)
    one, *others = [rng.integers(4, 7, size).tolist() for size in (5, 1, 2, 3, 4, 5, 6, 6, 5, 5)]
    expected = [1 - edits(one, other) / max(len(one), len(other)) for other in others]
    assert similarities(one, FlatSequences.from_lists(others)).tolist() == pytest.approx(expected)


def test_texts_with_the_same_rare_pieces_come_first() -> None:
    texts = [[4, 5, 6], [4, 7], [4, 8, 8], [4, 5, 6, 9, 9, 9], [4]]
    index = Index.of(FlatSequences.from_lists(texts), size=12)
    assert index.best([5, 6, 4]).tolist()[:2] == [0, 3]
    assert index.best([8]).tolist() == [2]
    assert index.best([10]).tolist() == []


def test_the_rarest_pieces_decide_where_there_is_too_much_to_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nmt.translation_memory._POSTINGS", 3)
    index = Index.of(FlatSequences.from_lists([[4, 5], [4], [4, 6], [4, 6]]), size=8)
    assert index.best([4, 5, 6]).tolist() == [0, 2, 3]
    assert index.best([4]).tolist() == [1, 0, 2, 3]


def test_a_line_of_the_memory_comes_back_as_its_target_stands_there(remember: Remember) -> None:
    both = remember(("bat cow", "Σ other"), PAIR, ("bat cow", "Batō Cowō \U0001f600"))
    [[one]] = both.translate(["bat cow "], Options(n_best=2))
    assert one.text == "Batō Cowō \U0001f600"
    assert one.matches == (Match(1.0, "bat cow", "Batō Cowō \U0001f600", exact=True),)


@pytest.mark.parametrize(
    "options", [Options(memory_exact=False), Options(forbidden=("x",)), Options(required=("bato",))]
)
def test_no_line_comes_back_where_that_is_off_or_words_are_asked_for(remember: Remember, options: Options) -> None:
    [[one, *_]] = remember(("bat cow", "Batō")).translate(["bat cow"], options)
    assert one.text != "Batō"
    assert [match.exact for match in one.matches] == [False]


def test_similar_pairs_are_followed_and_told(remember: Remember, toy_model: Path) -> None:
    both = remember(PAIR)
    line = "cow hat den fig gum"
    [[one]] = both.translate([line], NEAR)
    assert one.matches == (Match(pytest.approx(0.8, abs=0.1), *PAIR, exact=False),)
    [[alone]] = Translator.load(toy_model, device="cpu").translate([line])
    assert one.log_probability != alone.log_probability
    [[new]] = both.translate(["log kit"], NEAR)
    assert new.matches == ()


def test_without_a_memory_its_settings_change_nothing(toy_model: Path) -> None:
    library, lines = Translator.load(toy_model, device="cpu"), ["bat cow", "den fig gum"]
    assert library.translate(lines, Options(memory_pairs=3, memory_weight=0.5)) == library.translate(lines)


def test_without_pairs_only_exact_lines_count(remember: Remember, toy_model: Path) -> None:
    both, lines = remember(("bat cow", "Batō")), ["bat cow", "bat cow gum"]
    [[exact], [near]] = both.translate(lines, Options(memory_pairs=0))
    assert (exact.text, near.log_probability) == (
        "Batō",
        Translator.load(toy_model, device="cpu").translate(lines)[1][0].log_probability,
    )
    assert (len(exact.matches), near.matches) == (1, ()), "it was translated beside none"


def test_a_shortlist_and_a_memory_exclude_each_other(remember: Remember) -> None:
    both = remember(PAIR)
    short = replace(both, shortlister=lambda model, size: model)
    with pytest.raises(
        ConfigError, match=r"search\.shortlist = 16 lacks pieces that pairs of a memory may have; set it to 0"
    ):
        short.translate(["bat"], Options(shortlist=16))


def test_pairs_are_left_out_that_cannot_be_read_or_come_again(toy_model: Path, tmp_path: Path) -> None:
    src, tgt = tmp_path / "a.src", tmp_path / "a.tgt"
    src.write_text("bat\nbat\n\ncow\n" + "den " * 300 + "\n")
    tgt.write_text("bato\nbato\nx\n\ndeno\n")
    built = build_memory(toy_model, ParallelFiles([src], [tgt], "error", name="a"), tmp_path / "m")
    assert (built.pairs, built.left_out) == (1, 4)


def test_a_corpus_without_a_fit_pair_is_refused_and_leaves_nothing(toy_model: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.tsv"
    file.write_text("\tx\n")
    with pytest.raises(
        DataError, match=r"a\.tsv has no pair for a memory: 1 were read, and none has two sides that fit"
    ):
        build_memory(toy_model, TsvFiles([file], "error", name="a.tsv"), tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_a_language_model_has_no_memory(toy_language_model: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.tsv"
    file.write_text("bat\tbato\n")
    with pytest.raises(ModelError, match=r"holds a language model, expected a translation model$"):
        build_memory(toy_language_model, TsvFiles([file], "error", name="a.tsv"), tmp_path / "m")


def test_a_used_folder_is_refused(remember: Remember, tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "file").touch()
    with pytest.raises(ModelError, match="holds files already"):
        remember(PAIR, folder=tmp_path / "x")


def reopened(toy_model: Path, folder: Path) -> TranslationMemory:
    return TranslationMemory.open(folder, settings=read_settings(toy_model), tokenizers=load_own_tokenizers(toy_model))


def change_card(folder: Path, **changes: object) -> None:
    card = json.loads((folder / CARD).read_text())
    (folder / CARD).write_text(json.dumps(card | changes))


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no card": (lambda folder: (folder / CARD).unlink(), "holds no translation memory: memory.json is missing"),
    "no JSON": (lambda folder: (folder / CARD).write_text("{"), "memory.json is damaged: it is not JSON"),
    "no number": (lambda folder: change_card(folder, pairs="x"), "memory.json is damaged: pairs"),
    "newer": (lambda folder: change_card(folder, format_version=2), "has format version 2, this program reads 1"),
    "other rows": (lambda folder: change_card(folder, pairs=3), "it has 1 rows, but memory.json says 3"),
    "no pairs": (lambda folder: (folder / PAIRS).unlink(), "pairs.arrow is missing or no regular file"),
    "other pairs": (lambda folder: (folder / PAIRS).write_bytes(b"x"), "pairs.arrow was altered"),
    "other model": (
        lambda folder: change_card(folder, reads={"data.clean_invisible": "false"}),
        "was built for a model that cuts text into other pieces",
    ),
}


def test_a_memory_of_a_model_that_reads_small_letters_is_not_for_another(
    remember: Remember, toy_model: Path, tmp_path: Path
) -> None:
    remember(PAIR)
    small = change_settings(read_settings(toy_model), "data", {"lowercase": True})
    with pytest.raises(DataError, match=r"other pieces \(data\.lowercase is another\)"):
        TranslationMemory.open(tmp_path / "memory", settings=small, tokenizers=load_own_tokenizers(toy_model))


@pytest.mark.parametrize(("damage", "message"), FAULTS.values(), ids=FAULTS.keys())
def test_a_faulty_memory_is_refused_in_a_line(
    remember: Remember, toy_model: Path, tmp_path: Path, damage: Callable[[Path], object], message: str
) -> None:
    remember(PAIR)
    damage(tmp_path / "memory")
    with pytest.raises(DataError, match=message) as caught:
        reopened(toy_model, tmp_path / "memory")
    assert "\n" not in str(caught.value)


def test_a_file_is_no_memory(toy_model: Path) -> None:
    with pytest.raises(DataError, match=r"config\.toml is no folder; expected one that `nmt memory build` made"):
        reopened(toy_model, toy_model / "config.toml")


def test_a_sentence_of_a_paragraph_is_translated_beside_pairs_of_its_own(remember: Remember) -> None:
    both = remember(PAIR, ("bat cow", "Batō"))
    near = Options(memory_least=0.3, document=True)
    [[one]] = both.translate(["Bat cow. Cow hat den fig."], near)
    assert [match.source for match in one.matches] == ["bat cow", PAIR[0]]


def test_lines_do_not_depend_on_those_beside_them(remember: Remember) -> None:
    both = remember(PAIR, ("bat cow gum", "x"), ("log kit jam", "jamo kito"))
    lines = ["cow hat den fig gum", "bat", "", "log kit jam hat", "bat cow gum", "bat cow"]
    together = both.translate(lines, NEAR)
    assert [both.translate([line], NEAR)[0] for line in lines] == together


def test_an_ensemble_goes_with_a_memory(remember: Remember, toy_model: Path, tmp_path: Path) -> None:
    remember(PAIR)
    line, folder = ["cow hat den fig gum"], tmp_path / "memory"
    alone = Translator.load(toy_model, device="cpu", memory=folder).translate(line, NEAR)[0][0]
    twice = Translator.load(toy_model, toy_model, device="cpu", memory=folder).translate(line, NEAR)[0][0]
    assert (twice.text, twice.matches) == (alone.text, alone.matches)
    assert twice.log_probability == pytest.approx(alone.log_probability, abs=1e-3)


@pytest.mark.parametrize(
    "precision",
    [
        "fp32",
        pytest.param("bf16", marks=pytest.mark.needs("bf16")),
        pytest.param("int8", marks=pytest.mark.needs("int8")),
    ],
)
def test_a_memory_is_followed_in_every_precision(
    remember: Remember, toy_model: Path, tmp_path: Path, precision: Any
) -> None:
    remember(("cow hat den fig", "kito kito kito kito"))
    both = Translator.load(toy_model, device="cpu", memory=tmp_path / "memory", precision=precision)
    strong = Options(memory_weight=0.95, memory_nearest=1, memory_exact=False)
    assert both.translate(["cow hat den fig"], strong)[0][0].text == "kito kito kito kito"
