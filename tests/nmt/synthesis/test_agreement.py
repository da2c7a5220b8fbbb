from pathlib import Path

import pytest
import torch

from nmt.batching import Batch, source_batch, target_batch
from nmt.io.lines import Pair
from nmt.models.folder import load_model
from nmt.search.protocol import Hypothesis
from nmt.synthesis.agreement import Agreement, follow
from nmt.text.sequences import FlatSequences
from nmt.text.vocab import PAD
from nmt.translate import Translator

PAIRS = [
    ("bat cow", "bato cowo"),
    ("den", "figo figo"),
    ("", ""),
    ("gum hat jam kit", "gumo"),
    ("map", "mapo mapo xyz"),
]


@pytest.fixture(scope="module")
def toy(toy_model: Path) -> Translator:
    return Translator.load(toy_model, device="cpu", precision="fp32")


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


def test_models_disagree_on_what_surprises_both_or_one_more_than_the_other(
    toy: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    surprises = {("a", "b"): 1.0, ("b", "a"): 3.0, ("c", "d"): 2.0, ("d", "c"): 2.0}

    def known(translator: Translator, pairs: list[tuple[str, str]]) -> list[Hypothesis]:
        return [Hypothesis((), 0.0, -surprises[pair]) for pair in pairs]

    monkeypatch.setattr("nmt.synthesis.agreement.follow", known)
    pairs = [Pair("a", "b", "f", 1), Pair("c", "d", "f", 2)]
    assert Agreement(toy, toy).disagreements(pairs) == [2 + 2, 2]


def test_nothing_is_asked_about_no_pairs(toy: Translator) -> None:
    assert Agreement(toy, toy).disagreements([]) == []
