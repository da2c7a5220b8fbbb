"""A GPU that is not there: work on fake CUDA tensors in a process of its own, and what it would ask of the device.

    def test_a_step_waits_for_nothing(fake_cuda: FakeCuda) -> None:
        seen = fake_cuda(training_step, model={"cell": "gru"}, training={"objective": "sampled"})
        assert not seen.waits
        assert set(seen.types) <= {"float32", "bfloat16"}

`fake_cuda(function, **arguments)` runs a function of a module, not of a test's body: it is found there by its name.
What it returns comes back, `Seen` as a rule; what it raises, too. `tests/cudafake/steps.py` has whole steps of a large
model; for a part of one, write a function like them::

    def one_layer() -> Seen:
        with fake_gpu():
            with DEVICE:
                layer = LSTM(input_size=8, hidden_size=8, recurrent_dropout=0.0)
            with Recorder() as seen:
                layer(torch.empty(4, 7, 8, device=DEVICE))
        return seen

Tensors have shapes, types and devices, and no numbers: what depends on those gets an answer (`nonzero` finds a thousand
places, `item` is 1 or 16) and counts as a wait.
What that can tell and what it cannot: docs/decisions/0026.
"""

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any, TypeVar

import pytest

from tests.cudafake import guard

R = TypeVar("R")
FakeCuda = Callable[..., Any]
"""Takes a function of a module and its arguments; returns what it returns."""


@pytest.fixture(scope="session")
def fake_cuda(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeCuda]:
    """A process whose torch has a fake GPU; the tests' own never sees it."""
    cached = request.config.pluginmanager.hasplugin("cacheprovider")
    folder = request.config.cache.mkdir("fake_cuda") if cached else tmp_path_factory.mktemp("fake_cuda")
    try:
        library = guard.compiled(folder)
    except guard.CannotCompileError as error:
        pytest.skip(f"{error}, which the fake GPU needs")
    spawned = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawned, initializer=guard.load, initargs=(library,)) as process:
        yield lambda function, **arguments: process.submit(function, **arguments).result()
