"""What one update of a large model asks of a GPU."""

import pytest

from nmt.config.model import CELLS
from tests.cudafake.fixture import FakeCuda
from tests.cudafake.steps import training_step


@pytest.mark.parametrize("cell", CELLS)
def test_no_cell_computes_in_float16(fake_cuda: FakeCuda, cell: str) -> None:
    assert not fake_cuda(training_step, model={"cell": cell}).float16


@pytest.mark.parametrize("precision", ["bf16", "fp32", "fp16"])
def test_a_step_waits_for_nothing(fake_cuda: FakeCuda, precision: str) -> None:
    assert not fake_cuda(training_step, precision=precision).waits


@pytest.mark.parametrize("objective", [{}, {"objective": "sampled"}, {"r_drop": 1.0}], ids=str)
def test_float16_is_for_those_who_ask_for_it(fake_cuda: FakeCuda, objective: dict[str, object]) -> None:
    seen = fake_cuda(training_step, precision="fp16", training=objective)
    assert set(seen.types) == {"float32", "float16", "float64"}  # the last for one over the scale
    assert seen.facts["loss"] == ("cuda", "torch.float32")


def test_a_sampled_softmax_waits_for_nothing(fake_cuda: FakeCuda) -> None:
    assert not fake_cuda(training_step, training={"objective": "sampled"}).waits


def test_the_batch_alone_is_copied_to_the_device(fake_cuda: FakeCuda) -> None:
    seen = fake_cuda(training_step)
    assert (seen.sent, seen.fetched) == (4 * 256 * 8 * 8 + 256 * 8, 0)  # source, two of target, which are real; lengths


def test_a_gradient_that_is_not_clipped_is_not_multiplied(fake_cuda: FakeCuda) -> None:
    clipped, free = (fake_cuda(training_step, training={"clip_norm": norm}).kernels for norm in (1.0, 0.0))
    weights = clipped["linalg_vector_norm"] - 1  # and the norm of their norms
    assert free["mul_"] == clipped["mul_"] - weights


def test_gradients_of_rows_are_not_summed_one_by_one(fake_cuda: FakeCuda) -> None:
    kernels = fake_cuda(training_step).kernels
    assert not kernels["index_put"]


def test_the_tests_themselves_have_no_fake_gpu(fake_cuda: FakeCuda) -> None:
    import torch

    fake_cuda(training_step)
    assert not torch.cuda.is_available() or torch.version.cuda


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_weights_lie_where_cudnn_wants_them_dropped_ones_too(fake_cuda: FakeCuda, cell: str, precision: str) -> None:
    seen = fake_cuda(training_step, model={"cell": cell, "recurrent_dropout": 0.2}, precision=precision)
    assert not seen.notes
    assert ("bfloat16" in seen.types) == (precision == "bf16")
