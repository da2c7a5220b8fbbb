"""What one update of a large model asks of a GPU: no more than a budget, which is what was counted when it was set.

Whoever makes a step cheaper lowers its budget; who makes one dearer says why. `tests/cudafake/steps.py` has the sizes.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pytest
import torch

from nmt.config.model import CELLS
from tests.cudafake.fixture import FakeCuda
from tests.cudafake.recorder import Seen
from tests.cudafake.steps import PAIRS, segment_step, state_copied, training_step

SLACK = 1.02
"""Another torch may count a few more."""
REPLAYED = 5
"""The first of updates alike that records nothing: what is recorded at the third is so anew once memory has grown."""
IDS = 4 * 8 * PAIRS
"""Bytes of the ids of one side of a batch."""
DRAWN = 12 * 1000
"""Bytes of the pieces of a sampled softmax and the logs of their counts."""


@dataclass(frozen=True)
class Budget:
    """The most that an update may ask for; it never waits for the device."""

    kernels: int
    arguments: dict[str, Any] = field(default_factory=dict)
    step: Callable[..., Seen] = training_step
    sent: int = 4 * IDS + 8 * PAIRS
    """Bytes copied to the device: the source, pieces before and after each of the target, their places, and lengths."""
    on_host: int = 0
    """Operations on the host."""


def model(kernels: int, **settings: Any) -> Budget:
    return Budget(kernels, {"model": settings})


def copied(kernels: int, **settings: Any) -> Budget:
    """The first state of the decoder is copied from an encoder that loops."""
    return Budget(kernels, {"model": {**settings, "decoder_init": "copy", "bidirectional": False}, "number": REPLAYED})


def training(kernels: int, **settings: Any) -> Budget:
    return Budget(kernels, {"training": settings})


BUDGETS = {
    "lstm": model(272, cell="lstm"),
    "gru": model(266, cell="gru"),
    "rnn": model(266, cell="rnn"),
    "rnn_relu": model(266, cell="rnn_relu"),
    "peephole_lstm": Budget(484, {"model": {"cell": "peephole_lstm"}, "number": REPLAYED}),
    "layer_norm_lstm": Budget(630, {"model": {"cell": "layer_norm_lstm"}, "number": REPLAYED}),
    "cho_gru": Budget(482, {"model": {"cell": "cho_gru"}, "number": REPLAYED}),
    "ssru": Budget(446, {"model": {"cell": "ssru"}, "number": REPLAYED}),
    "input feeding": Budget(330, {"model": {"input_feeding": True}, "number": REPLAYED}),
    "input feeding, gru": Budget(322, {"model": {"cell": "gru", "input_feeding": True}, "number": REPLAYED}),
    "dot": model(266, attention="dot"),
    "scaled_dot": model(268, attention="scaled_dot"),
    "additive": model(286, attention="additive"),
    "no attention": model(248, attention="none"),
    "first state copied": model(203, decoder_init="copy", bidirectional=False),
    "first state copied, gru": model(182, cell="gru", decoder_init="copy", bidirectional=False),
    "first state copied, peephole_lstm": copied(336, cell="peephole_lstm"),
    "first state copied, layer_norm_lstm": copied(436, cell="layer_norm_lstm"),
    "first state copied, cho_gru": copied(319, cell="cho_gru"),
    "first state copied, ssru": copied(292, cell="ssru"),
    "every dropout": model(302, recurrent_dropout=0.2, variational_dropout=True, word_dropout=0.1),
    "every dropout, gru": model(296, cell="gru", recurrent_dropout=0.2, variational_dropout=True, word_dropout=0.1),
    "8,192 pieces": Budget(272, {"length": 32}, sent=8 * 4 * IDS + 8 * PAIRS),
    "sampled": Budget(270, {"training": {"objective": "sampled"}}, sent=4 * IDS + 8 * PAIRS + DRAWN, on_host=7),
    "r_drop": training(510, r_drop=1.0),
    "adamw": training(272, optimizer="adamw", weight_decay=0.01),
    "sgd, average, clipped values": training(269, optimizer="sgd", ema_decay=0.999, clip_norm=0.0, clip_value=1.0),
    "fp16": Budget(294, {"precision": "fp16"}),
    "fp16, sampled": Budget(
        293, {"precision": "fp16", "training": {"objective": "sampled"}}, sent=4 * IDS + 8 * PAIRS + DRAWN, on_host=7
    ),
    "fp16, r_drop": Budget(533, {"precision": "fp16", "training": {"r_drop": 1.0}}),
    "fp32": Budget(208, {"precision": "fp32"}),
    "fp32, every dropout": Budget(226, {"precision": "fp32", "model": {"recurrent_dropout": 0.2}}),
    "language model": Budget(83, step=segment_step, sent=3 * IDS),
    "language model with a readout": Budget(91, {"model": {"embedding_size": 512}}, segment_step, sent=3 * IDS),
    "language model, gru": Budget(83, {"model": {"cell": "gru"}}, segment_step, sent=3 * IDS),
}


@pytest.fixture(scope="module")
def seen_in(fake_cuda: FakeCuda) -> Callable[[str], Seen]:
    """Return what was seen of a step; each is made once."""
    return cache(lambda name: fake_cuda(BUDGETS[name].step, **BUDGETS[name].arguments))


def test_every_cell_has_a_budget() -> None:
    assert CELLS.keys() <= BUDGETS.keys()


@pytest.mark.parametrize("name", BUDGETS)
def test_a_step_stays_within_its_budget(seen_in: Callable[[str], Seen], name: str) -> None:
    seen = seen_in(name)
    assert seen.kernels.total() <= SLACK * BUDGETS[name].kernels
    assert seen.sent == BUDGETS[name].sent
    assert seen.on_host.total() <= BUDGETS[name].on_host


@pytest.mark.parametrize("name", BUDGETS)
def test_a_step_waits_for_nothing(seen_in: Callable[[str], Seen], name: str) -> None:
    seen = seen_in(name)
    assert not seen.waits
    assert not seen.fetched
    assert seen.notes.keys() <= {"replay"}  # no weights that are not in one piece, no ids that are not pinned
    assert seen.facts["results"] == [("cuda", "float32")] * 2


@pytest.mark.parametrize("name", BUDGETS)
def test_float16_is_for_those_who_ask_for_it(seen_in: Callable[[str], Seen], name: str) -> None:
    expected = {
        "bf16": {"float32", "bfloat16"},
        "fp32": {"float32"},
        "fp16": {"float32", "float16", "float64"},  # the last for one over the scale
    }
    assert set(seen_in(name).types) == expected[BUDGETS[name].arguments.get("precision", "bf16")]


def test_the_tests_themselves_have_no_fake_gpu(seen_in: Callable[[str], Seen]) -> None:
    assert seen_in("lstm").kernels
    assert torch.version.cuda or not torch.cuda.is_available()


@pytest.mark.parametrize("name", ["lstm", "adamw", "sgd, average, clipped values", "fp16"])
def test_no_gradient_is_multiplied_in_a_pass_of_its_own(seen_in: Callable[[str], Seen], name: str) -> None:
    assert not seen_in(name).kernels["_foreach_mul_"]


def test_gradients_of_rows_are_not_summed_one_by_one(seen_in: Callable[[str], Seen]) -> None:
    assert not seen_in("lstm").kernels["index_put"]


def test_the_softmax_of_8192_pieces_is_computed_at_once(seen_in: Callable[[str], Seen]) -> None:
    assert seen_in("8,192 pieces").kernels["softmax"] == 1


@pytest.mark.parametrize("cell", ["peephole_lstm", "layer_norm_lstm", "cho_gru", "ssru"])
def test_loops_over_long_sentences_take_no_more_kernels_than_over_short_ones(
    seen_in: Callable[[str], Seen], fake_cuda: FakeCuda, cell: str
) -> None:
    long = fake_cuda(training_step, model={"cell": cell}, number=REPLAYED, length=32)
    assert long.kernels.total() == seen_in(cell).kernels.total()
    assert long.notes == {"replay": 2 * 6}  # of two bidirectional layers and two more, forwards and backwards


def test_copied_states_of_long_sentences_take_no_more_kernels_than_of_short_ones(
    seen_in: Callable[[str], Seen], fake_cuda: FakeCuda
) -> None:
    name = "first state copied, peephole_lstm"
    long = fake_cuda(training_step, **BUDGETS[name].arguments, length=8)
    assert long.kernels.total() == seen_in(name).kernels.total()
    assert long.notes == {"replay": 2 * 4}


def test_input_feeding_takes_no_more_kernels_over_long_sentences_than_over_short_ones(
    seen_in: Callable[[str], Seen], fake_cuda: FakeCuda
) -> None:
    long = fake_cuda(training_step, model={"input_feeding": True}, number=REPLAYED, length=8)
    assert long.kernels.total() == seen_in("input feeding").kernels.total()
    assert long.notes == {"replay": 2}


def test_the_state_of_a_run_is_copied_without_waiting(fake_cuda: FakeCuda) -> None:
    seen = fake_cuda(state_copied, sizes=(1000, 3))
    assert seen.fetched == 4 * 1003
    assert not seen.waits
    assert not seen.notes
