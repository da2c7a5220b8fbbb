"""What other models say of translations, and the order that they give them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from nmt.batching import Batch, source_batch, target_batch
from nmt.config import TrainingCorpusSettings
from nmt.errors import UsageError
from nmt.models.folder import load_model
from nmt.search.protocol import Hypothesis
from nmt.search.rules import Scoring
from nmt.search.sampling import Sampling
from nmt.text.sequences import FlatSequences
from nmt.text.vocab import PAD
from nmt.translate import Options, Translation, Translator
from nmt.translate.rescoring import Found, Rescorer, Rescoring, Texts, follow

PAIRS = [
    ("bat cow", "bato cowo"),
    ("den", "figo figo"),
    ("", ""),
    ("gum hat jam kit", "gumo"),
    ("map", "mapo mapo xyz"),
]


LINES = ["bat cow", "den", "", "gum hat jam kit", "map log fig bat"]


@pytest.fixture(scope="module")
def toy(toy_model: Path) -> Translator:
    return Translator.load(toy_model, device="cpu", precision="fp32")


@pytest.fixture(scope="module")
def turned(right_to_left_model: Path) -> Translator:
    return Translator.load(right_to_left_model, device="cpu", precision="fp32")


def test_cross_entropies_are_those_of_teacher_forcing(toy: Translator, toy_model: Path) -> None:
    model, settings = load_model(toy_model, device=torch.device("cpu"))
    src, tgt = (FlatSequences.from_lists(toy.tokenizers.src.encode(list(texts))) for texts in zip(*PAIRS, strict=True))
    for row, found in enumerate(follow(toy, PAIRS)):
        sources = source_batch(src, [row], reverse_source=settings.model.reverse_source)  # type: ignore[arg-type]
        batch = Batch(sources, target_batch(tgt, [row]))  # type: ignore[arg-type]
        with torch.inference_mode():
            logits = model.output(model(batch))
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch.tgt.outputs.flatten(), ignore_index=PAD)
        assert -found.score == pytest.approx(float(loss), abs=1e-4)


def test_what_a_model_thinks_does_not_depend_on_the_pairs_beside_it(toy: Translator) -> None:
    together = follow(toy, PAIRS * 50)
    assert together[:5] == together[-5:] == [follow(toy, [pair])[0] for pair in PAIRS]


TEXTS = {(4,): "a", (5,): "b", (4, 5): "a b", (): ""}
SAID = {"a": -6.0, "b": -1.0, "a b": -2.0, "": -9.0}


def read(number: int, text: str) -> Texts:
    return Texts(f"source {number}", text, text)


def rescoring(weight: float, *, length_penalty: float = 0.0, n_best: int = 3) -> Callable[[Found], Found]:
    def log_probabilities(texts: Sequence[Texts]) -> list[float]:
        return [SAID[one.masked] for one in texts]

    def texts(rows: Sequence[Sequence[int]]) -> list[str]:
        return [TEXTS[tuple(row)] for row in rows]

    rescorers = [Rescorer(log_probabilities, weight)]
    return partial(Rescoring(rescorers, texts, Scoring(length_penalty), n_best), pair_with=read)


def found(ids: tuple[int, ...], log_probability: float, score: float) -> Hypothesis:
    return Hypothesis(ids, log_probability, score)


def test_the_weighted_log_probability_is_added_and_changes_the_order() -> None:
    lists = [(7, [found((4,), -1.0, -1.0), found((5,), -2.0, -2.0)]), (3, [found((), -1.5, -1.5)])]
    assert rescoring(0.5)(lists) == [
        (7, [found((5,), -2.5, -2.5), found((4,), -4.0, -4.0)]),
        (3, [found((), -6.0, -6.0)]),
    ]


def test_what_is_added_is_divided_by_the_length_penalty_with_the_end_counted() -> None:
    [(_, [one])] = rescoring(0.5, length_penalty=1.0)([(0, [found((4, 5), -2.0, -1.75)])])
    # (5 + 3) / 6 = 4 / 3; 0.5 x -2 / (4 / 3) = -0.75; what a coverage penalty has done stays
    assert one.log_probability == -3.0
    assert one.score == pytest.approx(-2.5)


def test_the_order_of_equal_ones_stays_and_as_many_as_wanted_are_kept() -> None:
    lists = [(0, [found((5,), -6.0, -6.0), found((4,), -1.0, -1.0), found((4, 5), -5.0, -5.0)])]
    [(_, kept)] = rescoring(1.0, n_best=2)(lists)
    assert [one.ids for one in kept] == [(5,), (4,)]
    assert [one.score for one in kept] == [-7.0, -7.0]


def test_nothing_found_is_nothing_rescored() -> None:
    assert rescoring(1.0)([]) == []


def best_by_hand(
    toy: Translator, turned: Translator, reverse: Translator, *, weight: float, reverse_weight: float
) -> list[list[tuple[str, float]]]:
    """Score every translation in the beam one by one, and sort."""
    lists = []
    for line, found in zip(LINES, toy.translate(LINES, Options(beam_size=4, n_best=4)), strict=True):
        scored = []
        for one in found:
            if not line:
                scored.append((one.text, 0.0))
                continue
            there = follow(turned, [(line, one.text)])[0].log_probability
            back = follow(reverse, [(one.text, line)])[0].log_probability
            total = one.log_probability + weight * there + reverse_weight * back
            scored.append((one.text, total / (one.log_probability / one.score)))
        lists.append(sorted(scored, key=lambda pair: -pair[1])[:2])
    return lists


@pytest.mark.parametrize(("weight", "reverse_weight"), [(1.0, 0.0), (0.3, 0.7), (30.0, 2.0)])
def test_models_of_both_writing_directions_and_of_the_other_direction_rescore(
    toy: Translator, turned: Translator, weight: float, reverse_weight: float
) -> None:
    all_three = replace(toy, rescoring=(turned,), reverse=toy)
    options = Options(beam_size=4, n_best=2, rescore_weight=weight, reverse_weight=reverse_weight)
    expected = best_by_hand(toy, turned, toy, weight=weight, reverse_weight=reverse_weight)
    found = all_three.translate(LINES, options)
    assert [[one.text for one in some] for some in found] == [[text for text, _ in some] for some in expected]
    scores = [one.score for some in found for one in some]
    assert scores == pytest.approx([score for some in expected for _, score in some], abs=1e-3)


def test_rescored_translations_do_not_depend_on_the_lines_beside_them(toy: Translator, turned: Translator) -> None:
    both, lines = replace(toy, rescoring=(turned,), reverse=toy), LINES * 8
    options = Options(beam_size=4, n_best=4)

    def translated(lines: list[str], **more: int) -> list[list[Translation]]:
        return both.translate(lines, options.model_copy(update=more))

    expected = translated(lines)
    assert translated(lines, batch_tokens=1) == expected
    assert [translated([line])[0] for line in LINES] == expected[:5]


def test_a_model_that_counts_nothing_is_not_asked(toy: Translator, turned: Translator) -> None:
    both = replace(toy, rescoring=(turned,), reverse=toy)
    assert both.translate(LINES, Options(rescore_weight=0.0, reverse_weight=0.0)) == toy.translate(LINES)


def test_a_tag_comes_before_the_source_for_models_that_know_it(toy: Translator) -> None:
    assert follow(toy, PAIRS, tag="<bt>") == follow(toy, PAIRS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Options(beam_size=1), "search.beam_size = 1 leaves nothing to rescore: set it to 2 or more"),
        (Options(sampling=Sampling()), "samples cannot be rescored by other models; leave one of them out"),
    ],
)
def test_there_has_to_be_something_to_choose_from(toy: Translator, options: Options, message: str) -> None:
    with pytest.raises(UsageError, match=f"^{message}$"):
        replace(toy, rescoring=(toy,)).translate(["bat"], options)


def test_models_that_rescore_are_loaded_beside(toy_model: Path, right_to_left_model: Path) -> None:
    loaded = Translator.load(toy_model, device="cpu", rescoring=[right_to_left_model], reverse=toy_model)
    assert [one.settings.model.right_to_left for one in loaded.rescoring] == [True]
    assert loaded.reverse is not None
    assert loaded.translate(["bat cow"])[0][0].text == "bato cowo"


@pytest.mark.parametrize(
    ("corpora", "tag", "way_back"),
    [
        ([("<2de>", False), ("<2en>", True)], "<2de>", "<2en>"),
        ([("<2de>", False), ("<2en>", True)], "<2en>", "<2de>"),
        ([("<2de>", False), ("<2en>", True), ("<2en-news>", True)], "<2de>", None),
        ([("<news>", False), ("<web>", False)], "<news>", "<news>"),
        ([("<news>", True)], "<news>", "<news>"),
        ([], "<news>", "<news>"),
        ([("<2de>", False), ("<2en>", True)], None, None),
    ],
)
def test_the_reverse_model_reads_the_tag_of_the_way_back(
    toy: Translator,
    monkeypatch: pytest.MonkeyPatch,
    corpora: list[tuple[str, bool]],
    tag: str | None,
    way_back: str | None,
) -> None:
    asked: list[str | None] = []
    monkeypatch.setattr("nmt.translate.rescoring.follow", lambda translator, pairs, *, tag: asked.append(tag) or [])
    made = tuple(TrainingCorpusSettings(path=("x.tsv",), tag=name, reversed=way) for name, way in corpora)
    data = toy.settings.data.model_copy(update={"corpora": made})
    both = replace(toy, settings=toy.settings.model_copy(update={"data": data}))
    Rescorer.of_reverse(both, 1.0, tag=tag).log_probabilities([Texts("a", "b", "b")])
    assert asked == [way_back]
