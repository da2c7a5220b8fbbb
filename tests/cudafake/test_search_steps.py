"""What one step of a search with a large model asks of a GPU: no more than a budget, as in test_training_steps.py.

It is recorded as a CUDA graph: so it must neither wait nor touch the host, and it must keep all shapes and types.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from nmt.config.model import CELLS
from nmt.search.sampling import Sampling
from tests.cudafake.fixture import FakeCuda
from tests.cudafake.recorder import Seen
from tests.cudafake.steps import (
    beside_memory,
    doubled,
    engine_work,
    scoring_blocks,
    search_step,
    validation_loss,
    with_text_model,
    writing_work,
)
from tests.cudafake.test_training_steps import REPLAYED, SLACK

Budget = tuple[int, dict[str, Any]]
"""Kernels, and the arguments of the step."""


def model(kernels: int, **settings: Any) -> Budget:
    return kernels, {"model": settings}


BUDGETS: dict[str, Budget] = {
    "lstm": model(99, cell="lstm"),
    "gru": model(97, cell="gru"),
    "rnn": model(99, cell="rnn"),
    "rnn_relu": model(99, cell="rnn_relu"),
    "peephole_lstm": model(137, cell="peephole_lstm"),
    "layer_norm_lstm": model(139, cell="layer_norm_lstm"),
    "cho_gru": model(117, cell="cho_gru"),
    "ssru": model(107, cell="ssru"),
    "input feeding": model(100, input_feeding=True),
    "dot": model(99, attention="dot"),
    "scaled_dot": model(100, attention="scaled_dot"),
    "additive": model(102, attention="additive"),
    "no attention": model(93, attention="none"),
    "greedy": (34, {"search": {"beam_size": 1}}),
    "coverage": (127, {"search": {"coverage_penalty": 0.2}}),
    "no repetition": (120, {"search": {"no_repeat_ngram": 3}}),
    "attention kept": (106, {"kind": {"with_attention": True}}),
    "sampling": (71, {"kind": {"sampling": Sampling(), "n_best": 5}}),
    "sampling, top_k": (104, {"kind": {"sampling": Sampling(top_k=10), "n_best": 5}}),
    "sampling, top_p": (80, {"kind": {"sampling": Sampling(top_p=0.9), "n_best": 5}}),
    "ensemble": (131, {"joined": doubled}),
    "language model": (127, {"joined": with_text_model, "kind": {"weighed": True}}),
    "memory": (143, {"joined": beside_memory}),
    "fp32": (96, {"precision": "fp32"}),
    "fp32, ssru": (98, {"precision": "fp32", "model": {"cell": "ssru"}}),
}


@pytest.fixture(scope="module")
def seen_in(fake_cuda: FakeCuda) -> Callable[[str], Seen]:
    """Return what was seen of a step; each is made once."""
    return cache(lambda name: fake_cuda(search_step, **BUDGETS[name][1]))


def test_every_cell_has_a_budget() -> None:
    assert CELLS.keys() <= BUDGETS.keys()


@pytest.mark.parametrize("name", BUDGETS)
def test_a_step_stays_within_its_budget(seen_in: Callable[[str], Seen], name: str) -> None:
    assert seen_in(name).kernels.total() <= SLACK * BUDGETS[name][0]


@pytest.mark.parametrize("name", BUDGETS)
def test_a_step_can_be_recorded(seen_in: Callable[[str], Seen], name: str) -> None:
    seen = seen_in(name)
    assert not seen.waits
    assert not seen.on_host
    assert seen.sent == seen.fetched == 0
    assert seen.facts["keeps shapes"]


@pytest.mark.parametrize("name", BUDGETS)
def test_nothing_is_computed_in_float16(seen_in: Callable[[str], Seen], name: str) -> None:
    seen = seen_in(name)
    assert not seen.float16
    assert set(seen.types) - {"float64"} <= ({"float32"} if "fp32" in name else {"float32", "bfloat16"})


def test_no_weight_is_cast_in_a_step(seen_in: Callable[[str], Seen]) -> None:
    assert seen_in("lstm").kernels["_to_copy"] < 10


@pytest.fixture(scope="module")
def work_of(fake_cuda: FakeCuda) -> Callable[[int], dict[str, Seen]]:
    """Return what was seen of an engine with a beam of this size; each is made once."""
    return cache(lambda beam_size: fake_cuda(engine_work, search={"beam_size": beam_size}))


@pytest.mark.parametrize(("beam_size", "kernels"), [(5, 5), (1, 2)])
def test_eight_steps_of_an_engine_are_one_replay_and_one_look(
    work_of: Callable[[int], dict[str, Seen]], beam_size: int, kernels: int
) -> None:
    seen = work_of(beam_size)["replayed"]
    assert seen.notes == {"replay": 1}
    assert seen.waits.total() == 1
    assert not seen.on_host
    assert seen.kernels.total() <= kernels  # copies of what was not there before, and who is over


def test_eight_pieces_that_a_language_model_writes_are_one_replay_and_one_look(fake_cuda: FakeCuda) -> None:
    work = fake_cuda(writing_work, pieces=8)
    assert work["recorded"].notes == {"record": 1}
    assert work["recorded"].recorded.total() <= SLACK * 529
    assert work["replayed"].notes == {"replay": 1}
    assert work["replayed"].kernels.total() <= SLACK * 99  # what lines begin from, and the last pieces read
    for seen in (work["second"], work["recorded"], work["replayed"]):
        assert seen.waits.total() == 1
        assert not seen.float16
        assert not seen.on_host
        assert not seen.weights_cast


@pytest.mark.parametrize("beam_size", [5, 1])
def test_an_engine_waits_for_lengths_for_who_is_over_and_for_what_was_found(
    work_of: Callable[[int], dict[str, Seen]], beam_size: int
) -> None:
    work = work_of(beam_size)
    assert work["recorded"].notes == {"record": 1}
    assert work["recorded"].waits.total() == work["second step"].waits.total() == work["add"].waits.total() == 1
    assert not work["add"].notes  # all is sent from pinned memory
    assert work["hypotheses"].waits.total() <= 4  # pieces, lengths, log-probabilities, scores


def test_texts_that_a_language_model_scores_are_read_without_waiting(fake_cuda: FakeCuda) -> None:
    seen = fake_cuda(scoring_blocks)
    assert not seen.waits
    assert not seen.notes  # all is sent from pinned memory, and weights of a layer are in one piece
    assert not seen.float16
    assert not seen.weights_cast
    assert seen.kernels.total() <= SLACK * 69


VALIDATIONS = {"lstm": 92, "peephole_lstm": 123, "layer_norm_lstm": 141, "cho_gru": 125, "ssru": 129}
"""Kernels of a batch of a validation, once its shape has been met before."""


@pytest.mark.parametrize("cell", VALIDATIONS)
def test_a_batch_of_a_validation_stays_within_its_budget(fake_cuda: FakeCuda, cell: str) -> None:
    seen = fake_cuda(validation_loss, model={"cell": cell}, pairs=64, number=REPLAYED)
    assert seen.kernels.total() <= SLACK * VALIDATIONS[cell]
    assert seen.waits.total() == 1
    assert seen.notes == ({} if cell == "lstm" else {"replay": 4})  # of both directions and two more layers


def test_the_loss_of_a_validation_is_looked_at_once(fake_cuda: FakeCuda) -> None:
    seen = fake_cuda(validation_loss)
    assert seen.waits.total() == 1
    assert not seen.notes  # all is sent from pinned memory
