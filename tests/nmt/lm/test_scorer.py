import math
import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from nmt.config import ModelSettings, load_settings
from nmt.errors import DataError, ModelError
from nmt.io.arriving import FileLines
from nmt.lm import LanguageScorer, LineScore, Totals
from nmt.lm.scorer import RunningText, make_readers, perplexity, score_apart
from nmt.models.build import build_language_model
from nmt.models.devices import Precision
from nmt.models.language_model import LanguageModel
from nmt.text.vocab import EOS, UNK

LINES = ["bat cow den", "", "fig gum", " \t", "hat", "jam kit log map bat cow"]


def test_a_line_has_its_pieces_and_its_end(scorer: LanguageScorer) -> None:
    [score] = scorer.score(["bat cow"])
    assert score.ids == (*scorer.tokenizer.encode(["bat cow"])[0], EOS)
    assert len(score.log_probs) == score.pieces == len(score.ids)
    assert (score.characters, score.space_separated) == (8, 3)


def test_every_line_has_its_score_in_order(scorer: LanguageScorer) -> None:
    assert scorer.score(LINES) == [scorer.score([line])[0] for line in LINES]


@pytest.mark.parametrize("blank", ["", " ", "\t\u3000"])
def test_nothing_of_a_blank_line_is_scored(scorer: LanguageScorer, blank: str) -> None:
    nothing = LineScore(ids=(), log_probs=(), characters=0, space_separated=0)
    assert scorer.score([blank]) == scorer.score_text([blank]) == [nothing]


def test_a_blank_line_changes_nothing_in_a_text(scorer: LanguageScorer) -> None:
    without = scorer.score_text([line for line in LINES if line.strip()])
    assert [score for score in scorer.score_text(LINES) if score.pieces] == without


def test_a_text_is_scored_as_one_line_with_ends_in_it(scorer: LanguageScorer) -> None:
    ids = [scorer.tokenizer.encode([line])[0] for line in ("bat cow", "den")]
    words = torch.tensor([[EOS, *ids[0], EOS, *ids[1], EOS]])
    model = scorer.on.model
    with torch.inference_mode():
        log_probs = model.output(model(words[:, :-1])[0]).log_softmax(dim=2)
    expected = log_probs[0].gather(1, words[0, 1:, None]).squeeze(1).tolist()
    found = scorer.score_text(["bat cow", "den"])
    assert [value for score in found for value in score.log_probs] == pytest.approx(expected, abs=1e-5)


def test_a_long_line_is_scored_as_a_text(scorer: LanguageScorer) -> None:
    long = "bat cow den " * 100
    assert scorer.score([long])[0].pieces > 1001
    [hat, found, blank, jam] = scorer.score(["hat", long, "", "jam"])
    assert [found] == scorer.score_text([long])
    assert [hat, blank, jam] == scorer.score(["hat", "", "jam"])
    [short] = scorer.score([long[:120]])
    assert found.log_probs[:50] == pytest.approx(short.log_probs[:50], abs=1e-4)


def test_white_space_around_a_line_and_the_form_of_its_accents_do_not_count(scorer: LanguageScorer) -> None:
    assert scorer.score(["  bat e\u0301 "]) == scorer.score(["bat \u00e9"])


def test_what_nobody_sees_is_scored_only_by_a_model_that_has_seen_it(scorer: LanguageScorer) -> None:
    assert scorer.settings.data.clean_invisible
    assert scorer.score(["ba\u00adt\u00a0ball"]) == scorer.score(["bat ball"])
    before = replace(scorer, settings=load_settings(overrides=["data.clean_invisible=false"], base=scorer.settings))
    assert before.score(["ba\u00adt\u00a0ball"]) != scorer.score(["bat ball"])


def test_unknown_characters_are_scored_as_unknown(scorer: LanguageScorer) -> None:
    [score] = scorer.score(["bat \u4e09"])
    assert UNK in score.ids


@pytest.mark.parametrize("block", [1, 2, 100])
def test_a_source_is_scored_as_its_lines_are(scorer: LanguageScorer, block: int) -> None:
    for carry, expected in ((False, scorer.score(LINES)), (True, scorer.score_text(LINES))):
        found = list(scorer.score_source(FileLines(LINES), carry=carry, block=block))
        assert [score for scores in found for score in scores] == expected
        assert max(map(len, found)) <= block


def test_lines_before_one_that_cannot_be_read_are_scored(scorer: LanguageScorer) -> None:
    def lines():  # type: ignore[no-untyped-def]  # noqa: ANN202
        yield from LINES
        raise DataError("broken")

    found = scorer.score_source(FileLines(lines()), carry=True, block=100)
    assert next(found) == scorer.score_text(LINES)
    with pytest.raises(DataError, match="broken"):
        next(found)


def test_threads_may_share_a_scorer(scorer: LanguageScorer) -> None:
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(scorer.score_text, [LINES] * 8))
    assert found == [scorer.score_text(LINES)] * 8


@pytest.mark.needs("bf16")
def test_bf16_is_near_to_fp32(scorer: LanguageScorer, toy_language_model: Path) -> None:
    other = LanguageScorer.load(toy_language_model, device="cpu", precision="bf16")
    for exact, rough in zip(scorer.score(LINES), other.score(LINES), strict=True):
        assert rough.log_probs == pytest.approx(exact.log_probs, abs=0.1)
    assert other.score(LINES) != scorer.score(LINES)


def test_as_many_threads_are_used_as_are_asked_for(toy_language_model: Path) -> None:
    LanguageScorer.load(toy_language_model, device="cpu", threads=2)
    assert torch.get_num_threads() == 2


def test_a_translation_model_is_refused(toy_model: Path) -> None:
    with pytest.raises(ModelError, match=r"toy holds a translation model, expected a language model$"):
        LanguageScorer.load(toy_model, device="cpu")


HALVES = LineScore(ids=(7, UNK, EOS), log_probs=(math.log(0.5),) * 3, characters=6, space_separated=2)
BLANK = LineScore(ids=(), log_probs=(), characters=0, space_separated=0)


def test_three_pieces_of_probability_a_half_have_a_perplexity_of_2() -> None:
    assert HALVES.pieces == 3
    assert HALVES.log_probability == pytest.approx(3 * math.log(0.5))
    assert HALVES.perplexity == pytest.approx(2)


def test_a_blank_line_has_no_perplexity() -> None:
    assert (BLANK.pieces, BLANK.log_probability) == (0, 0)
    assert math.isnan(BLANK.perplexity)


def test_totals_count_blank_lines_and_unknown_pieces() -> None:
    totals = Totals().plus([HALVES, BLANK]).plus([HALVES])
    assert (totals.lines, totals.pieces, totals.unknown) == (3, 6, 2)
    assert (totals.characters, totals.space_separated) == (12, 4)
    assert totals.perplexity == pytest.approx(2)


def test_the_same_log_probability_is_shared_by_other_units() -> None:
    totals = Totals().plus([HALVES])
    assert totals.perplexity_per_space_separated_word == pytest.approx(math.sqrt(8))  # 2 x 2 x 2 over two words
    assert totals.bits_per_character == pytest.approx(0.5)  # 3 bits over 6 characters


def test_nothing_at_all_has_no_figures() -> None:
    totals = Totals()
    figures = (totals.perplexity, totals.perplexity_per_space_separated_word, totals.bits_per_character)
    assert all(map(math.isnan, figures))


def test_what_no_number_can_hold_is_infinite() -> None:
    assert perplexity(-1000.0, 1) == math.inf


Array = NDArray[np.float64]

SMALL: dict[str, object] = {"embedding_size": 24, "hidden_size": 24}
SHAPES: dict[str, tuple[int, dict[str, object]]] = {
    "whole vectors": (64, {"hidden_size": 64, "embedding_size": 32}),
    "odd sizes, residual": (53, {"hidden_size": 22, "embedding_size": 20, "decoder_layers": 2, "residual": True}),
    "gru": (101, {"hidden_size": 34, "embedding_size": 33, "cell": "gru"}),
    "rnn": (65, {"hidden_size": 6, "embedding_size": 5, "cell": "rnn", "tied_embeddings": "none"}),
}


def model_of(vocab_size: int, **changes: object) -> LanguageModel:
    settings = ModelSettings.model_validate({"kind": "lm", "init_range": 0.8, **changes})
    return build_language_model(settings, vocab_size=vocab_size, seed=3).eval()


def texts_of(vocab_size: int, *, count: int, longest: int) -> list[list[int]]:
    rng = random.Random(5)
    return [[rng.randrange(4, vocab_size) for _ in range(rng.randint(1, longest))] for _ in range(count)]


def weight(model: LanguageModel, name: str) -> Array:
    return model.state_dict()[name].double().numpy()


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def plain_scores(model: LanguageModel, pieces: list[int]) -> list[float]:
    """Score pieces after `</s>` by the equations of one LSTM layer with a tied output layer, in float64."""
    table, bias = weight(model, "embedding.table.weight"), weight(model, "output.bias")
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    parts = dict(model.layers[0].named_parameters())
    by_name = {name: next(parts[key] for key in parts if key.endswith(name)) for name in names}
    w, u, b, d = (by_name[name].detach().double().numpy() for name in names)
    h = c = np.zeros(u.shape[1])
    found = []
    for before, piece in zip([EOS, *pieces], [*pieces, EOS], strict=False):
        i, f, g, o = np.split(w @ table[before] + b + u @ h + d, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        logits = table @ h + bias
        found.append(float(logits[piece] - np.log(np.exp(logits).sum())))
    return found


def test_scores_are_those_of_the_equations_in_float64() -> None:
    model = model_of(30, **SMALL)
    texts = texts_of(30, count=5, longest=40)
    for text, found in zip(texts, score_apart(make_readers(model, "fp32")[0], texts), strict=True):
        assert len(found) == len(text) + 1
        assert found == pytest.approx(plain_scores(model, text), abs=1e-5)


def test_a_running_text_is_scored_as_one_long_text() -> None:
    model = model_of(30, **SMALL)
    pieces = [piece for text in texts_of(30, count=40, longest=9) for piece in (*text, EOS)]
    assert len(pieces) > 3 * 64  # several blocks
    found = RunningText(make_readers(model, "fp32")[1]).score(pieces)
    assert found == pytest.approx(plain_scores(model, pieces)[:-1], abs=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_score_does_not_depend_on_the_texts_beside_it(shape: str, precision: Precision) -> None:
    vocab_size, changes = SHAPES[shape]
    reader, _ = make_readers(model_of(vocab_size, **changes), precision)
    texts = texts_of(vocab_size, count=70, longest=40)
    alone = [score_apart(reader, [text])[0] for text in texts]
    rng = random.Random(1)
    for size in (70, 45, 33, 5):  # with more than 32 texts, some begin where others have ended
        company = rng.sample(range(len(texts)), size)
        found = score_apart(reader, [texts[number] for number in company])
        assert found == [alone[number] for number in company]  # to the last bit


@pytest.mark.parametrize("shape", SHAPES)
def test_a_running_text_does_not_depend_on_the_portions_it_comes_in(shape: str, precision: Precision) -> None:
    vocab_size, changes = SHAPES[shape]
    _, reader = make_readers(model_of(vocab_size, **changes), precision)
    pieces = [piece for text in texts_of(vocab_size, count=30, longest=15) for piece in text]
    whole = RunningText(reader).score(pieces)
    rng = random.Random(2)
    for _ in range(3):
        text, found, done = RunningText(reader), list[float](), 0
        while done < len(pieces):
            portion = pieces[done : done + rng.choice([0, 1, 5, 64, 150])]
            found += text.score(portion)
            done += len(portion)
        assert found == whole


def test_what_stands_before_a_text_counts_only_where_it_runs_on() -> None:
    apart_reader, on_reader = make_readers(model_of(30, **SMALL), "fp32")
    first, second = [5, 6, 7], [8, 9]
    apart = score_apart(apart_reader, [first, second])
    on = RunningText(on_reader).score([*first, EOS, *second, EOS])
    assert on[:4] == pytest.approx(apart[0], abs=1e-5)
    assert all(abs(one - other) > 1e-3 for one, other in zip(on[4:], apart[1], strict=True))


def test_no_texts_have_no_scores() -> None:
    apart, on = make_readers(model_of(30, **SMALL), "fp32")
    assert score_apart(apart, []) == []
    assert RunningText(on).score([]) == []


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_model_whose_scores_are_no_numbers_is_refused(bad: float) -> None:
    model = model_of(30, tied_embeddings="none", **SMALL)
    with torch.no_grad():
        model.output.bias[5] = bad
    with pytest.raises(ModelError, match="scores that are not finite numbers"):
        score_apart(make_readers(model, "fp32")[0], [[6]])
