"""What is seen of single operations on the fake GPU."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.nn.functional import linear

from tests.cudafake.fixture import FakeCuda
from tests.cudafake.recorder import Recorder, Seen
from tests.cudafake.steps import DEVICE, fake_gpu

Work = Callable[[Tensor, Tensor], object]
"""Takes 4 x 8 numbers on the device, and as many pinned ones on the host."""
WORK: dict[str, Work] = {
    "item": lambda x, host: x.sum().item(),
    "tolist": lambda x, host: x.tolist(),
    "bool": lambda x, host: bool((x > 0).any()),
    "nonzero": lambda x, host: x.nonzero(),
    "read by a mask": lambda x, host: x[x > 0],
    "written by a mask": lambda x, host: x.__setitem__(x > 0, x.new_ones(32)),
    "one number written by a mask": lambda x, host: x.__setitem__(x > 0, 1.0),
    "read by numbers": lambda x, host: x[torch.zeros(3, dtype=torch.int64, device=DEVICE)],
    "fetched": lambda x, host: x.cpu(),
    "fetched without waiting": lambda x, host: x.to("cpu", non_blocking=True),
    "sent": lambda x, host: host.to(DEVICE),
    "sent without waiting": lambda x, host: host.to(DEVICE, non_blocking=True),
    "sent from anywhere": lambda x, host: host.clone().to(DEVICE, non_blocking=True),
    "made of a list": lambda x, host: torch.tensor([1, 2], device=DEVICE),
    "views": lambda x, host: x.view(-1)[3:].reshape(29, 1).expand(29, 4).unbind(1),
    "product and sum": lambda x, host: (x @ x.t()) + 1,
    "a layer": lambda x, host: linear(x, x, x.new_empty(4)),
    "on the host": lambda x, host: host + host,
    "synchronize": lambda x, host: torch.cuda.synchronize(),
}


def seen_of(name: str, *, without_gradients: bool = False) -> Seen:
    with fake_gpu(), torch.inference_mode(without_gradients):
        x, host = torch.empty(4, 8, device=DEVICE), torch.empty(4, 8).pin_memory()
        with Recorder() as seen:
            WORK[name](x, host)
        return seen


WAITING = {"item", "tolist", "bool", "nonzero", "read by a mask", "written by a mask"}
WAITING |= {"fetched", "sent", "made of a list", "synchronize"}


@pytest.mark.parametrize("without_gradients", [False, True])
@pytest.mark.parametrize("name", WORK)
def test_waits_are_found(fake_cuda: FakeCuda, name: str, without_gradients: bool) -> None:
    seen = fake_cuda(seen_of, name=name, without_gradients=without_gradients)
    assert seen.waits.total() == (name in WAITING)


@pytest.mark.parametrize("without_gradients", [False, True])
def test_views_are_free_and_layers_are_one_kernel(fake_cuda: FakeCuda, without_gradients: bool) -> None:
    look = partial(fake_cuda, seen_of, without_gradients=without_gradients)
    assert look(name="views").kernels == {}
    assert look(name="product and sum").kernels == {"mm": 1, "add": 1}
    assert look(name="a layer").kernels == {"addmm": 1}


def test_bytes_of_copies_and_memory_that_is_not_pinned_are_found(fake_cuda: FakeCuda) -> None:
    seen = {name: fake_cuda(seen_of, name=name) for name in WORK}
    assert {name: one.sent for name, one in seen.items() if one.sent} == {
        **{"sent": 128, "sent without waiting": 128, "sent from anywhere": 128},
        "made of a list": 16,
    }
    assert {name for name, one in seen.items() if one.notes} == {"sent from anywhere", "made of a list"}
    assert {name: one.fetched for name, one in seen.items() if one.fetched} == {
        "fetched": 128,
        "fetched without waiting": 128,
    }
    assert seen["on the host"].on_host == {"add elsewhere": 1}


def one_layer(name: str, autocast: bool) -> Seen:
    gates = {"lstm": 4, "gru": 3}[name]
    with fake_gpu():
        x, h = torch.empty(2, 5, 8, device=DEVICE), torch.empty(1, 2, 8, device=DEVICE)
        weights = [torch.empty(gates * 8, 8, device=DEVICE, requires_grad=True) for _ in range(2)]
        weights += [torch.empty(gates * 8, device=DEVICE, requires_grad=True) for _ in range(2)]
        with Recorder() as seen, torch.autocast("cuda", torch.bfloat16, enabled=autocast):
            run = getattr(torch, name)
            y, *_ = run(x, (h, h) if name == "lstm" else h, weights, True, 1, 0.0, True, False, True)
            y.float().sum().backward()
        seen.facts = {"shape": tuple(y.shape), "type": str(y.dtype), "gradient": tuple(weights[0].grad.shape)}
        return seen


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_recurrent_layers_under_autocast_are_in_float16_as_torch_has_them(fake_cuda: FakeCuda, name: str) -> None:
    gates = {"lstm": 4, "gru": 3}[name]
    shapes = {"shape": (2, 5, 8), "gradient": (gates * 8, 8)}
    assert fake_cuda(one_layer, name=name, autocast=True).facts == {**shapes, "type": "torch.float16"}
    plain = fake_cuda(one_layer, name=name, autocast=False)
    assert plain.facts == {**shapes, "type": "torch.float32"}
    assert plain.notes == {"weights are not in one piece": 1}


def on_two_streams(*, waits: bool) -> Seen:
    with fake_gpu():
        x, here, side = torch.empty(4, 8, device=DEVICE), torch.cuda.current_stream(), torch.cuda.Stream()
        with Recorder() as seen:
            with torch.cuda.stream(side):
                y = x * 2
            if waits:
                here.wait_stream(side)
            _ = y + 1
        return seen


def test_what_is_used_before_another_stream_has_written_it_is_found(fake_cuda: FakeCuda) -> None:
    assert fake_cuda(on_two_streams, waits=True).notes == {}
    assert fake_cuda(on_two_streams, waits=False).notes == {"used before another stream has written it, elsewhere": 1}


def in_a_recording(*, waits: bool) -> Seen:
    with fake_gpu():
        x, graph = torch.empty(4, 8, device=DEVICE), torch.cuda.CUDAGraph()
        with Recorder() as seen:
            graph.capture_begin()
            try:
                y = x + x
                if waits:
                    y.sum().item()
            finally:
                graph.capture_end()
            graph.replay()
        return seen


def test_a_recording_is_counted_by_itself_and_no_one_may_wait_in_it(fake_cuda: FakeCuda) -> None:
    seen = fake_cuda(in_a_recording, waits=False)
    assert (seen.kernels, seen.recorded, seen.notes) == ({}, {"add": 1}, {"record": 1, "replay": 1})
    with pytest.raises(RuntimeError, match="_local_scalar_dense at elsewhere while a graph is recorded"):
        fake_cuda(in_a_recording, waits=True)
