"""Recorded loops against the loops themselves; without a GPU, doing work again stands in for a CUDA graph."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from nmt.models import decoder as decoder_module
from nmt.models import recording
from nmt.models.attention import Memory, make_attention
from nmt.models.cells import cho_gru, layer_norm, peephole, ssru
from nmt.models.cells.layer import LAYERS, Recurrence, make_layer
from nmt.models.decoder import DecoderSizes, InputFeedingDecoder
from nmt.models.embedding import Dropout, VariationalDropout
from nmt.models.recording import Recordings, Work, recorded


class Tape:
    """Does work again, and counts."""

    def __init__(self) -> None:
        self.made = self.played = 0

    def __call__(self, work: Work) -> Work:
        self.made += 1
        work()

        def play() -> None:
            self.played += 1
            work()

        return play


def numbers(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_a_shape_is_recorded_when_it_is_met_for_the_third_time() -> None:
    tape = Tape()
    recordings = Recordings(tape)
    for seed in range(5):
        x, y = numbers(3, 2, seed=seed), numbers(2, seed=seed)
        total, product = recordings("sum", lambda x, y: (x + y, x[0] * y), [x, y])
        assert torch.equal(total, x + y)
        assert torch.equal(product, x[0] * y)
    assert (tape.made, tape.played) == (1, 2)


def test_shapes_types_and_computations_have_recordings_of_their_own_in_the_same_memory() -> None:
    tape = Tape()
    recordings = Recordings(tape)
    kept = list[tuple[Sequence[Tensor], Tensor]]()
    for turn in range(6):
        for size in (3, 40, 7):
            for dtype in (torch.float32, torch.bfloat16):
                x = numbers(size, 5, seed=turn).to(dtype)
                kept.append((recordings("double", lambda x: [x + x], [x]), x + x))
                kept.append((recordings("square", lambda x: [x * x], [x]), x * x))
    assert tape.made == (3 + 1) * 2 * 2  # the smallest ones twice, as the memory has grown
    assert tape.made + tape.played == 4 * 3 * 2 * 2
    for (found,), expected in kept:  # later replays have changed none of them
        assert torch.equal(found, expected)


def test_no_recording_keeps_memory_that_has_become_too_small_for_others() -> None:
    places = list[Tensor]()  # where what is recorded finds what it reads

    def doubled(x: Tensor) -> list[Tensor]:
        places.append(x)
        return [x + x]

    recordings = Recordings(Tape())
    for _ in range(5):
        for size in (3, 3000):
            recordings("double", doubled, [numbers(size, seed=1)])
    pieces = {place.untyped_storage().data_ptr() for place in places[-2:]}  # both are replayed
    assert pieces == {recordings._memory.data_ptr()}


def test_the_shape_that_was_not_met_for_longest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "_RECORDINGS", 2)
    tape = Tape()
    recordings = Recordings(tape)
    for size in (1, 1, 1, 2, 3, 1):
        recordings("double", lambda x: [x + x], [numbers(size, seed=1)])
    assert (tape.made, tape.played) == (1, 0)


def test_each_arithmetic_of_autocast_has_a_recording_of_its_own() -> None:
    tape = Tape()
    recordings = Recordings(tape)
    x = numbers(3, 3, seed=1)
    kinds = [None, torch.bfloat16, torch.float16, None]
    for kind in kinds:
        for _ in range(4):
            with torch.autocast("cpu", kind or torch.bfloat16, enabled=kind is not None):
                [product], expected = recordings("product", lambda x: [x @ x], [x]), x @ x
            assert product.dtype == (kind or torch.float32)
            assert torch.equal(product, expected)
    assert tape.made == len(set(kinds))


def test_inference_and_training_may_share_a_recording() -> None:
    tape = Tape()
    recordings = Recordings(tape)
    for turn in range(6):
        for size in (3, 3000):  # of which the second takes more memory
            with torch.inference_mode(turn % 2 == 0):
                x = numbers(size, seed=turn)
                [doubled] = recordings("double", lambda x: [x + x], [x])
                assert torch.equal(doubled, x + x)
    assert tape.made == 2 + 1


def test_threads_have_recordings_one_after_the_other() -> None:
    both = threading.Barrier(2)

    def record(work: Work) -> Work:
        def play() -> None:
            with suppress(threading.BrokenBarrierError):
                both.wait(0.2)  # meanwhile nobody else puts anything into the memory
            work()

        work()
        return play

    recordings = Recordings(record)

    def doubled(x: Tensor) -> Tensor:
        return recordings("double", lambda x: [x + x], [x])[0]

    shapes = [numbers(size, seed=size) for size in (5, 3)]
    for _ in range(3):
        for x in shapes:
            doubled(x)
    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(doubled, shapes))
    assert all(torch.equal(one, 2 * x) for x, one in zip(shapes, found, strict=True))


LOOPS = {"peephole_lstm": peephole, "layer_norm_lstm": layer_norm, "cho_gru": cho_gru, "ssru": ssru}


def test_every_cell_that_loops_in_training_is_here() -> None:
    make_layer(Recurrence("lstm", 0.0), input_size=1, hidden_size=1)
    modules = {name: make.__module__ for name, make in LAYERS.items() if not make.__module__.endswith(".fused")}
    assert modules == {name: module.__name__ for name, module in LOOPS.items()}


def recorded_by(recordings: Recordings) -> Any:
    """Return what takes the place of `loop` where a GPU's recordings are these."""

    def loop(steps: Any, *given: Tensor, results: int = 1) -> Any:
        made = recorded(steps, recordings, *given, results=results)
        return made[0] if results == 1 else made

    return loop


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("cell", LOOPS)
def test_a_recorded_loop_has_the_outputs_and_gradients_of_the_loop(
    cell: Any, precision: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(1)
    layer = make_layer(Recurrence(cell, 0.1), input_size=5, hidden_size=8).train()
    tape = Tape()
    recordings = Recordings(tape)

    def trained(seed: int) -> list[Tensor]:
        torch.manual_seed(seed)  # of dropped weights
        x = numbers(3, 4, 5, seed=seed).requires_grad_()
        layer.zero_grad()
        with torch.autocast("cpu", precision, enabled=precision != torch.float32):
            outputs, state = layer.run(x)
        loss = outputs.float().square().sum() + state[-1].float().sum()
        loss.backward()
        grads = [parameter.grad for parameter in layer.parameters() if parameter.grad is not None]
        return [outputs.detach(), *state, *grads, *([x.grad] if x.grad is not None else [])]

    for seed in range(5):
        expected = trained(seed)
        with monkeypatch.context() as patch:
            patch.setattr(LOOPS[cell], "loop", recorded_by(recordings))
            found = trained(seed)
        assert len(found) == len(expected) > 4
        assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    assert (tape.made, tape.played) == (2, 2 * 2)  # forwards and backwards


B, T = 3, 5


class Drawn(Dropout):
    """Drops the same cells whether they are drawn step by step or for all steps at once."""

    step = 0

    def forward(self, x: Tensor) -> Tensor:
        t = self.step % T
        self.step += 1
        return x * self.mask((B, T, x.shape[2]), like=x)[:, t : t + 1]

    def mask(self, shape: Sequence[int], *, like: Tensor) -> Tensor:
        return 2 * (numbers(*shape, seed=shape[2]) > 0).to(like.dtype)


def decoder_of(cell: Any, *, size: int, attention: Any, dropout: Callable[[float], Dropout]) -> InputFeedingDecoder:
    torch.manual_seed(0)
    return InputFeedingDecoder(
        recurrence=Recurrence(cell, dropout=0.1),
        sizes=DecoderSizes(6, size, 7, size),
        attention=make_attention(attention, query_size=size, value_size=size),
        residual=True,
        dropouts=[dropout(0.5)],
        readout_dropout=dropout(0.5),
    ).train()


def learnt_by(decoder: InputFeedingDecoder, *, positions: int, precision: str, seed: int) -> list[Tensor]:
    """Return the features of a batch that this seed draws, and the gradients of all that they depend on."""
    torch.manual_seed(seed)  # of masks and dropped weights
    size, device = decoder.sizes.hidden, decoder.readout.weight.device
    shapes = (B, T, 6), (B, positions, size), (B, size)
    x, outputs, summary = (numbers(*shape, seed=seed).to(device).requires_grad_() for shape in shapes)
    mask = (torch.arange(positions) < torch.tensor([4, 2, 3])[:, None]).to(device)
    decoder.zero_grad()
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        memory = Memory(outputs, decoder.attention.keys(outputs), mask, summary)
        features = decoder(x, memory)
    features.float().square().sum().backward()
    learnt = [x, outputs, summary, *decoder.parameters()]
    assert all(tensor.grad is not None for tensor in learnt)
    return [features.detach(), *(tensor.grad for tensor in learnt if tensor.grad is not None)]


@pytest.mark.parametrize(
    ("precision", "positions", "size"),
    [("fp32", 4, 8), pytest.param("bf16", 16, 32, marks=pytest.mark.needs("bf16"))],  # bf16 rounds sums over padding
)
@pytest.mark.parametrize("dropout", [Drawn, VariationalDropout])
@pytest.mark.parametrize(
    ("cell", "attention"),
    [("lstm", "general"), ("gru", "additive"), ("peephole_lstm", "dot"), ("layer_norm_lstm", "dot"), ("ssru", "dot")],
)
def test_recorded_input_feeding_has_the_features_and_gradients_of_the_loop(
    cell: Any,
    attention: Any,
    dropout: type[Dropout],
    precision: str,
    positions: int,
    size: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # gains and norms sum in another order, which with AMX changes 7 in a million
    bound = {"rtol": 1e-5, "atol": 1e-5} if (cell, precision) == ("layer_norm_lstm", "fp32") else {}
    decoder = decoder_of(cell, size=size, attention=attention, dropout=dropout)
    tape = Tape()
    recordings = Recordings(tape)

    for seed in range(5):
        expected = learnt_by(decoder, positions=positions, precision=precision, seed=seed)
        with monkeypatch.context() as patch:
            patch.setattr(decoder_module, "is_recorded", lambda *tensors: True)
            patch.setattr(recording, "_recordings_for", lambda x: recordings)
            found = learnt_by(decoder, positions=positions, precision=precision, seed=seed)
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, **bound)
    assert (tape.made, tape.played) == (3, 3)  # forwards twice, as going back takes more memory


@pytest.mark.needs("gpu")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(("cell", "attention"), [("lstm", "general"), ("gru", "additive"), ("layer_norm_lstm", "dot")])
def test_a_gpu_replays_input_feeding_as_its_loop_goes(
    cell: Any, attention: Any, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder = decoder_of(cell, size=32, attention=attention, dropout=Drawn).to("cuda")
    for seed in range(5):
        found = learnt_by(decoder, positions=16, precision=precision, seed=seed)
        with monkeypatch.context() as patch:
            patch.setattr(decoder_module, "is_recorded", lambda *tensors: False)
            expected = learnt_by(decoder, positions=16, precision=precision, seed=seed)
        for one, other in zip(found, expected, strict=True):
            assert (one - other).norm() <= (1e-4 if precision == "fp32" else 0.03) * other.norm()


@pytest.mark.parametrize("cell", LOOPS)
def test_a_recorded_loop_without_gradients_has_the_outputs_of_the_loop(
    cell: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = make_layer(Recurrence(cell, 0.1), input_size=5, hidden_size=8).eval()
    tape = Tape()
    recordings = Recordings(tape)

    def read(seed: int) -> list[Tensor]:
        with torch.autocast("cpu", torch.bfloat16), torch.inference_mode():
            outputs, state = layer.run(numbers(3, 4, 5, seed=seed))
        return [outputs, *state]

    for seed in range(5):
        expected = read(seed)
        with monkeypatch.context() as patch:
            patch.setattr(LOOPS[cell], "loop", recorded_by(recordings))
            found = read(seed)
        assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    assert (tape.made, tape.played) == (1, 2)  # there is no way back


@pytest.mark.needs("gpu")
@pytest.mark.parametrize("cell", LOOPS)
def test_a_gpu_replays_a_loop_without_gradients_as_it_goes(cell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = make_layer(Recurrence(cell, 0.1), input_size=5, hidden_size=8).eval().to("cuda")
    for seed in range(5):
        with torch.autocast("cuda", torch.bfloat16), torch.inference_mode():
            x = numbers(3, 4, 5, seed=seed).to("cuda")
            found, _ = layer.run(x)
            with monkeypatch.context() as patch:
                patch.setattr(LOOPS[cell], "loop", lambda steps, *given, results=1: steps.apply(*given))
                expected, _ = layer.run(x)
        torch.testing.assert_close(found, expected)


def test_work_is_recorded_on_the_device_that_it_is_done_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: SimpleNamespace(device=device))
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: (0, 0))
    second = torch.device("cuda", 1)
    recordings = recording.recordings_of.__wrapped__(second, 0)
    assert recordings._record._stream.device == second
