"""Models that write translations from the last piece to the first, and what cannot be asked of them."""

from dataclasses import replace
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from nmt.batching import Batch, source_batch, target_batch
from nmt.corpus.plain import TsvFiles
from nmt.errors import ConfigError
from nmt.models.folder import load_model
from nmt.prepared import PreparedData
from nmt.shortlist.learn import add_lexicon
from nmt.text.sequences import FlatSequences
from nmt.text.vocab import PAD
from nmt.training.translation import Validator
from nmt.translate import Options, Translator
from nmt.translate.options import Terminology
from nmt.translate.rescoring import follow
from nmt.translation_memory import build_memory

CPU = torch.device("cpu")
PAIRS = [("bat cow", "bato cowo"), ("den", "figo figo"), ("gum hat jam kit", "gumo")]


@pytest.fixture(scope="module")
def toy(right_to_left_model: Path) -> Translator:
    return Translator.load(right_to_left_model, device="cpu", precision="fp32")


def test_it_learns_as_others_do(right_to_left_model: Path, toy_data: PreparedData) -> None:
    model, settings = load_model(right_to_left_model, device=CPU)
    scores = Validator(toy_data.valid, toy_data.tokenizers, settings, "fp32")(model, Event())
    assert scores is not None
    assert scores.bleu is not None
    assert (scores.loss < 0.5, scores.bleu > 90) == (True, True), scores


@pytest.mark.parametrize("beam_size", [1, 4])
def test_translations_and_alignments_read_as_usual(toy: Translator, beam_size: int) -> None:
    [[best, *_]] = toy.translate(["bat cow den fig"], Options(beam_size=beam_size, alignment=True))
    assert best.text == "bato cowo deno figo"
    assert best.alignment == ((0, 0), (1, 1), (2, 2), (3, 3))


def test_given_translations_are_as_probable_as_their_pieces_from_the_last_to_the_first(
    toy: Translator, right_to_left_model: Path
) -> None:
    model, settings = load_model(right_to_left_model, device=CPU)
    rows = [toy.tokenizers.src.encode([src for src, _ in PAIRS]), toy.tokenizers.tgt.encode([tgt for _, tgt in PAIRS])]
    src, tgt = FlatSequences.from_lists(rows[0]), FlatSequences.from_lists([row[::-1] for row in rows[1]])
    for row, found in enumerate(follow(toy, PAIRS)):
        one = np.array([row])
        batch = Batch(source_batch(src, one, reverse_source=settings.model.reverse_source), target_batch(tgt, one))
        with torch.inference_mode():
            logits = model.output(model(batch))
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch.tgt.outputs.flatten(), ignore_index=PAD)
        assert -found.score == pytest.approx(float(loss), abs=1e-4)


def test_a_shortlist_learnt_from_it_has_what_it_writes(
    right_to_left_model: Path, toy_data: PreparedData, toy: Translator, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in right_to_left_model.iterdir():
        if path.is_file():
            (copy / path.name).write_bytes(path.read_bytes())
    add_lexicon(copy, toy_data, on_progress=lambda done, total: None)
    short = Translator.load(copy, device="cpu", precision="fp32")
    lines = ["bat cow den", "fig", "map log kit"]
    found = [best.text for best, *_ in short.translate(lines, Options(shortlist=32))]
    assert found == [best.text for best, *_ in toy.translate(lines)]


def test_pairs_of_a_memory_vote_in_its_direction(right_to_left_model: Path, tmp_path: Path) -> None:
    file = tmp_path / "pairs.tsv"
    file.write_text("bat cow den\tmapo kito logo\n", encoding="utf-8")
    build_memory(right_to_left_model, TsvFiles([file], "error", name="pairs.tsv"), tmp_path / "memory")
    beside = Translator.load(right_to_left_model, device="cpu", memory=tmp_path / "memory")
    options = Options(memory_exact=False, memory_weight=1.0, memory_nearest=1, memory_reach=10.0)
    assert beside.translate(["bat cow den"], options)[0][0].text == "mapo kito logo"


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"prefix_after_tab": True}, "prefixes"),
    ({"terms": Terminology()}, "terms"),
    ({"required": ("bato",)}, "required words"),
    ({"forbidden": ("bato",)}, "forbidden words"),
]


@pytest.mark.parametrize(("asked", "what"), REFUSED)
def test_what_follows_a_translation_from_its_beginning_is_refused(
    toy: Translator, asked: dict[str, Any], what: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        toy.flow(Options(**asked))
    expected = "expected a model that writes from left to right, found model.right_to_left = true"
    assert str(refused.value) == f"{what}: {expected}"


def test_a_language_model_rescores_but_chooses_no_pieces(toy: Translator) -> None:
    language: Any = SimpleNamespace(log_probabilities=lambda texts: [0.0 for _ in texts])
    both = replace(toy, language=language)
    with pytest.raises(
        ConfigError, match=r"^a language model without lm_rescore: expected a model that writes from left"
    ):
        both.translate(["bat"])
    assert both.translate(["bat"], Options(lm_rescore=True))[0][0].text == "bato"
