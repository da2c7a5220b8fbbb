"""Whether a GPU computes what a CPU does: the checks of gpu.py, each a part of it."""

import gc
import multiprocessing
import os
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, get_args

import torch
from gpu_work import Bench, train
from records import Record, record
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from nmt.batching import Segment
from nmt.config import SearchSettings, TrainingSettings
from nmt.config.model import Cell
from nmt.models.build import build_language_model, build_model
from nmt.models.devices import Precision, for_search, has_bf16, prepare_for_search, prepare_for_training
from nmt.search.engine import search_batches
from nmt.training.distributed import Ranks
from nmt.training.feeding import UpdateData
from nmt.training.language_modelling import SegmentLoss
from nmt.training.state import Carry, Position

BROKEN: Final = "NOT KEPT: "
"""How the notes of a check begin whose bound was not kept."""
_WAITING: Final = "called a synchronizing CUDA operation"
"""Torch's warning."""
ROOT: Final = Path(__file__).parents[2]
CPU: Final = torch.device("cpu")


def bounded(measure: str, value: float, most: float, unit: str, params: str = "", notes: str = "") -> Record:
    """Make the record of a value that may be `most` at most."""
    kept = "" if value <= most else BROKEN
    return record("nmt", measure, value, unit, params, f"{kept}at most {most:g}{'; ' if notes else ''}{notes}")


class Seen(TorchDispatchMode):
    """Counts the types of what operations make on a device, and what operations there are."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.device = device
        self.types: Counter[str] = Counter()
        self.operations = 0

    def __torch_dispatch__(self, func: Any, types: object, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        found = [
            leaf for leaf in tree_leaves(made) if isinstance(leaf, Tensor) and leaf.device.type == self.device.type
        ]
        self.types.update(str(tensor.dtype).removeprefix("torch.") for tensor in found)
        self.operations += bool(found)
        return made


def types(bench: Bench) -> Iterator[Record]:
    """Types of the tensors of a step: under autocast, torch computes recurrent layers in float16, and nmt none."""
    if has_bf16(bench.device):
        lstm = nn.LSTM(8, 8).to(bench.device)
        with torch.autocast(bench.device.type, torch.bfloat16):
            made = lstm(torch.zeros(2, 3, 8, device=bench.device))[0].dtype
        yield record("torch", "nn.LSTM under bf16 autocast", made.itemsize * 8, "bits", notes=str(made))
    updates = bench.updates(bench.sizes.batches[0], 2)
    for cell in get_args(Cell):
        model = bench.drawn(bench.sizes.small.model_copy(update={"cell": cell}))
        updater = bench.updater(bench.loss(model, TrainingSettings()), TrainingSettings())
        train(updater, updates[:1])
        with Seen(bench.device) as seen:
            train(updater, updates[1:])
        yield bounded("float16 tensors of a step", seen.types["float16"], 0, "tensors", cell, str(dict(seen.types)))
        yield record("nmt", "operations of a step", seen.operations, "operations", cell)


def waits(bench: Bench) -> Iterator[Record]:
    """How often the host waits for the device in a step; losses are read after the last one."""
    for objective in ("full", "sampled"):
        settings = TrainingSettings.model_validate({"objective": objective, "label_smoothing": 0.0})
        updater = bench.updater(bench.loss(bench.drawn(bench.sizes.small), settings), settings)
        updates = bench.updates(bench.sizes.batches[0])
        train(updater, updates)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            _set_sync_debug_mode(bench, "warn")
            for step, data in enumerate(updates, start=1):
                updater.update(data, step=step, seed=step, rate=0.001)
            _set_sync_debug_mode(bench, "default")
        found = Counter(f"{Path(each.filename).name}:{each.lineno}" for each in caught if _WAITING in str(each.message))
        yield bounded("waits of a step", found.total() / len(updates), 0, "waits", objective, str(dict(found)))


def _set_sync_debug_mode(bench: Bench, mode: str) -> None:
    if bench.is_gpu:
        torch.cuda.set_sync_debug_mode(mode)


def equal(bench: Bench) -> Iterator[Record]:
    """Losses, gradients and translations against the CPU's, which computes in fp32."""
    on_cpu = Bench(CPU, bench.sizes)
    settings, size = TrainingSettings(clip_norm=0.0), bench.sizes.vocab

    def model_of(each: Bench) -> Any:
        drawn = bench.sizes.small.model_copy(update={"init": "uniform", "init_range": 0.2})
        made = build_model(drawn, src_vocab_size=size, tgt_vocab_size=size, joint=True, seed=1)
        return made.to(each.device)

    updates = on_cpu.updates(min(bench.sizes.batches[0], 1024), 2)
    ways: list[tuple[Bench, Precision, float]] = [(bench, "fp32", 1e-4), (bench, bench.precision, 0.03)]
    expected = train(on_cpu.updater(on_cpu.loss(model_of(on_cpu), settings), settings, precision="fp32"), updates)
    for each, precision, most in ways:
        prepare_for_training(each.device, precision)
        found = train(each.updater(each.loss(model_of(each), settings), settings, precision=precision), updates)
        for what, place, times in (("loss", 0, 1), ("norm of the gradient", 1, 3)):
            off = max(abs(one[place] / other[place] - 1) for one, other in zip(found, expected, strict=True))
            yield bounded(f"{what} beside a CPU's", off, times * most, "relative", precision)
    prepare_for_search(bench.device)
    drawn = on_cpu.sequences(32)
    sources = [drawn.row(row) for row in range(len(drawn))]
    for beams in (1, 5):
        search = SearchSettings(beam_size=beams)
        one, other = (
            search_batches(
                for_search(model_of(each), "fp32", device=each.device), sources, settings=search, reverse_source=True
            )
            for each in (on_cpu, bench)
        )
        differing = sum(a.ids != b.ids for a, b in zip(one, other, strict=True)) / len(sources)
        yield bounded("translations that differ from a CPU's", differing, 0.1, "share", f"fp32, beam {beams}")


def losses(bench: Bench) -> Iterator[Record]:
    """Losses of some steps in the device's precision and in fp32, of a translation and of a language model."""
    sizes = bench.sizes
    pairs = bench.updates(sizes.batches[0], 4)
    text = torch.arange(64 * 36).remainder(37).view(64, 36) % (sizes.vocab - 5) + 4  # what comes next can be learnt
    segment = Segment.of(text[:, :-1].contiguous(), text[:, 1:].contiguous(), first_row=0, is_fresh=True)
    rows = [UpdateData((segment,), segment.cells, Position())]

    def translation() -> nn.Module:
        return bench.loss(bench.drawn(sizes.small), TrainingSettings())

    def language_model() -> nn.Module:
        settings = sizes.small.model_copy(update={"kind": "lm", "tied_embeddings": "none"})
        model = build_language_model(settings, vocab_size=sizes.vocab, seed=1).to(bench.device)
        objective = bench.objective(TrainingSettings(label_smoothing=0.0))
        return SegmentLoss(model, objective, Carry(Ranks(), rows=64))

    kinds: list[tuple[str, Callable[[], nn.Module], list[UpdateData]]] = [
        ("translation", translation, pairs),
        ("language model", language_model, rows),
    ]
    for name, make, updates in kinds:
        made = (updates * sizes.steps)[: sizes.steps]
        ways: tuple[Precision, ...] = ("fp32", bench.precision)
        wide, narrow = (train(bench.updater(make(), TrainingSettings(), precision=way), made) for way in ways)
        off = max(abs(one[0] - other[0]) for one, other in zip(wide, narrow, strict=True))
        about = f"{name}, {sizes.steps} steps"
        yield bounded(
            f"losses in {bench.precision} beside fp32", off, 0.1, "nats", about, f"the last {wide[-1][0]:.4f}"
        )


def tests(bench: Bench) -> Iterator[Record]:
    """The tests that need a GPU; without one they are collected and skipped."""
    import pytest  # which a machine may lack

    outcomes: Counter[str] = Counter()

    class Count:
        def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
            outcomes[report.outcome] += report.when == "call" or report.outcome != "passed"

    os.chdir(ROOT)
    files = ["tests/nmt"] if bench.is_gpu else ["tests/nmt/models/test_seq2seq.py"]
    with redirect_stdout(StringIO()) as said:
        pytest.main(["-q", "-p", "no:cacheprovider", "-m", "needs", "-k", "gpu or cuda", *files], plugins=[Count()])
    failed = [line for line in said.getvalue().splitlines() if line.startswith(("FAILED", "ERROR"))]
    yield bounded("tests that fail", outcomes["failed"], 0, "tests", notes="; ".join(failed))
    yield record("nmt", "tests that pass", outcomes["passed"], "tests", notes=f"{outcomes['skipped']} skipped")


def resume(bench: Bench) -> Iterator[Record]:
    """A run that is killed and goes on, beside one that was left alone: how far apart the weights are."""
    from nmt.config import Settings, load_settings
    from nmt.phrasebook import write_corpus
    from nmt.prepare.pipeline import prepare
    from nmt.training.checkpoint import list_checkpoints, read_weights

    context = multiprocessing.get_context("forkserver")  # this process may have begun to use the GPU
    context.set_forkserver_preload(["gpu_checks"])
    steps = max(12, bench.sizes.steps)
    changes = ["model.hidden_size=64", "model.embedding_size=64", f"training.max_steps={steps}", "training.threads=1"]
    changes += [f"training.device={bench.device.type}", "training.tensorboard=false", "training.checkpoint_every=2"]
    with TemporaryDirectory() as name:
        folder = Path(name)
        files = write_corpus(folder / "text", train_pairs=300)
        words = load_settings(overrides=["tokenizer.kind=word"]).tokenizer
        prepare(folder / "data", Settings(data=files, tokenizer=words), workers=1)
        straight, killed = folder / "straight", folder / "killed"

        def start(model: Path) -> Any:
            process = context.Process(target=run_training, args=(folder / "data", model, changes))
            process.start()
            return process

        start(straight).join()
        process = start(killed)
        while process.is_alive() and len(list_checkpoints(killed)) < 2:
            time.sleep(0.002)
        process.kill()
        process.join()
        at = list_checkpoints(killed)[-1].stem
        start(killed).join()
        one, other = (read_weights(list_checkpoints(model)[-1]) for model in (straight, killed))
    off = max(float((one[key] - other[key]).abs().max()) for key in one)
    notes = f"killed after {at} of {steps}; {'equal to the bit' if off == 0 else 'not equal'}"
    yield record("nmt", "weights resumed beside those of a run left alone", off, "most apart", notes=notes)


def run_training(data: Path, model: Path, changes: list[str]) -> None:
    """Train on prepared data, in a process of its own."""
    from nmt.config import load_settings
    from nmt.prepared import PreparedData
    from nmt.training.observers import Silence
    from nmt.training.trainer import train as train_run

    prepared = PreparedData.open(data)
    settings = load_settings(overrides=changes, base=prepared.settings)
    train_run(prepared, model, settings, observer=Silence(), stop=threading.Event())


class _Small(nn.Module):
    """A loss on a device that has no memory for batches of more cells."""

    def __init__(self, loss: nn.Module, cells: int) -> None:
        super().__init__()
        self.loss, self.cells = loss, cells

    def forward(self, batch: Any) -> Tensor:
        if batch.cells > self.cells:
            raise torch.OutOfMemoryError
        return self.loss(batch)  # type: ignore[no-any-return]


def split(bench: Bench) -> Iterator[Record]:
    """An update whose batch does not fit: it is computed in parts, and stays the same."""
    (data,), settings, said = bench.updates(bench.sizes.batches[1], 1), TrainingSettings(), list[str]()

    def update(watch: Callable[[nn.Module], nn.Module]) -> tuple[float, float]:
        loss = watch(bench.loss(bench.drawn(bench.sizes.small), settings))
        (found,) = train(bench.updater(loss, settings, precision="fp32", on_message=said.append), [data])
        return found

    whole = update(lambda loss: loss)
    if bench.is_gpu:
        most = 0.7 * torch.cuda.max_memory_allocated() / torch.cuda.get_device_properties(0).total_memory
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction(most)
        parts = update(lambda loss: loss)
    else:
        parts = update(lambda loss: _Small(loss, data.batches[0].cells - 1))
    off = max(abs(one / other - 1) for one, other in zip(whole, parts, strict=True))
    yield bounded("updates that were not split", not said, 0, "updates", notes="; ".join(said))
    yield bounded("an update in parts beside a whole one", off, 1e-3, "relative")
