from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from nmt.search.beam import Beams
from nmt.search.combined import Ensemble, EnsembleState
from nmt.search.engine import Engine
from nmt.search.frontier import Limits
from nmt.search.protocol import Hypothesis, Sentence
from nmt.search.rules import Scoring
from nmt.text.vocab import BOS

RandomModel = Callable[[int], Any]


@pytest.fixture
def models(random_model: RandomModel) -> list[Any]:
    return [random_model(seed) for seed in (5, 6, 7)]


SOURCES = [(4, 5), (6,), (7, 8, 9, 4), (5, 6, 7), (), (4,), (9, 9, 9)]


def translate(model: Any, *, batch_tokens: int = 4000) -> list[list[Hypothesis]]:
    def start(sentences: Any, src_lengths: Tensor) -> Beams:
        limits = Limits.start(src_lengths + 9)
        return Beams.start(limits, beam_size=3, n_best=3, scoring=Scoring(1.0), with_attention=True)

    engine: Engine[Any, Any] = Engine(model, start, batch_tokens=batch_tokens, reverse_source=False)
    engine.add([Sentence(ids, number) for number, ids in enumerate(SOURCES)])
    found: dict[int, list[Hypothesis]] = {}
    while engine.busy:
        found.update(engine.step())
    return [found[number] for number in range(len(SOURCES))]


def only_state(attention: Tensor, pieces: Tensor | None = None) -> Any:
    @dataclass
    class State:
        attention: Tensor
        pieces: Tensor | None

    return State(attention, pieces)


def test_one_model_gives_what_it_gives_alone(models: list[Any]) -> None:
    assert translate(Ensemble(models[:1])) == translate(models[0])
    ensemble, ids = Ensemble(models[:1]), torch.tensor([[BOS], [BOS]])
    logits, state = ensemble.step(ids, ensemble.start(([0, 1],)))
    alone, alone_state = models[0].step(ids, models[0].start([0, 1]))
    assert torch.equal(logits, alone)
    assert torch.equal(state.attention, alone_state.attention)


def test_probabilities_are_averaged(models: list[Any]) -> None:
    ensemble = Ensemble(models)
    memory = tuple([3] for _ in models)
    logits, _ = ensemble.step(torch.tensor([[BOS]]), ensemble.start(memory))
    alone = [model.decoder.next_log_probs(3, []).exp() for model in models]
    torch.testing.assert_close(logits[0, 0].softmax(dim=0), (alone[0] + alone[1] + alone[2]) / 3)


def test_a_piece_that_no_float_could_hold_the_probability_of_keeps_its_logarithm(models: list[Any]) -> None:
    for model in models:
        model.decoder.table[:, :, 4] = -1000.0
    ensemble = Ensemble(models)
    logits, _ = ensemble.step(torch.tensor([[BOS]]), ensemble.start(tuple([0] for _ in models)))
    assert -1100 < logits.log_softmax(dim=-1)[0, 0, 4] < -900


def test_low_precision_logits_are_averaged_in_float32(models: list[Any]) -> None:
    for model in models:
        model.decoder.table = model.decoder.table.bfloat16()
    ensemble = Ensemble(models)
    logits, _ = ensemble.step(torch.tensor([[BOS]]), ensemble.start(tuple([0] for _ in models)))
    assert logits.dtype == torch.float32


def test_attention_is_averaged() -> None:
    state = EnsembleState((only_state(torch.tensor([[[0.5, 0.5]]])), only_state(torch.tensor([[[0.25, 0.75]]]))), 2)
    assert state.attention.tolist() == [[[0.375, 0.625]]]


def test_the_shortlist_is_that_of_the_models() -> None:
    pieces = torch.tensor([[0, 1, 2, 3, 9]])
    attention = torch.ones(1, 1, 1)
    assert EnsembleState((only_state(attention, pieces), only_state(attention, pieces)), 2).pieces is pieces
    assert EnsembleState((only_state(attention),), 1).pieces is None


def test_models_together_find_what_the_table_of_their_means_finds(models: list[Any], random_model: RandomModel) -> None:
    mean = random_model(5)
    mean.decoder.table = torch.stack([model.decoder.table.softmax(dim=2) for model in models]).mean(dim=0).log()
    together, expected = translate(Ensemble(models)), translate(mean)
    assert [[h.ids for h in found] for found in together] == [[h.ids for h in found] for found in expected]
    scores = [hypothesis.score for found in together for hypothesis in found]
    assert scores == pytest.approx([hypothesis.score for found in expected for hypothesis in found], rel=1e-5)


@pytest.mark.parametrize("batch_tokens", [1, 12, 40])
def test_sentences_together_come_and_go(models: list[Any], batch_tokens: int) -> None:
    assert translate(Ensemble(models), batch_tokens=batch_tokens) == translate(Ensemble(models))


def test_the_device_is_that_of_the_models(models: list[Any]) -> None:
    assert Ensemble(models).device == torch.device("cpu")


def test_no_models_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^an ensemble needs at least one model$"):
        Ensemble([])


def test_a_model_without_attention_has_no_say_in_it() -> None:
    reads, reads_nothing = only_state(torch.tensor([[[0.25, 0.75]]])), only_state(torch.zeros(1, 1, 2))
    assert EnsembleState((reads_nothing, reads), 1).attention.tolist() == [[[0.25, 0.75]]]
