"""How fast a GPU trains and translates with nmt: the measures of gpu.py, each a part of it."""

import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, get_args

import torch
from arithmetic import Weights
from gpu_work import Bench, queue, train
from records import Record, record
from torch.autograd import DeviceType
from torch.autograd.profiler import profile
from torch.profiler import ProfilerActivity, supported_activities

from nmt.config import ModelSettings, SearchSettings, TrainingSettings
from nmt.config.model import Cell
from nmt.io.background import Background
from nmt.models.devices import for_search, prepare_for_search
from nmt.models.recording import CudaGraphs, Work
from nmt.models.seq2seq import Seq2Seq
from nmt.search.engine import Engine, start_of
from nmt.search.protocol import Sentence
from nmt.training.checkpoint import Checkpoints
from nmt.training.feeding import UpdateData
from nmt.training.state import TrainingState
from nmt.training.update import Updater

_KERNELS: Final = 12
"""Of a profile: those that take the most time."""
_QUEUED: Final = 2
"""Updates whose kernels a GPU takes before the first is done: about a thousand, after which the host waits."""
_PROFILED: Final = 4
_DRIVER: Final = Path("/proc/driver/nvidia/version")
_DEFAULT: Final = TrainingSettings()


def machine(bench: Bench) -> Iterator[Record]:
    """What the machine is."""
    about = f"torch {torch.__version__}"
    if bench.is_gpu:
        found = torch.cuda.get_device_properties(0)
        about += f", CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}, {found.name}"
        about += f", compute capability {found.major}.{found.minor}, {found.multi_processor_count} multiprocessors"
        about += "".join(f", {line}" for line in _DRIVER.read_text().splitlines()[:1]) if _DRIVER.exists() else ""
        yield record("machine", "memory", found.total_memory / 2**30, "GiB")
    yield record("machine", "GPUs", torch.cuda.device_count(), "GPUs", bench.device.type, about)
    yield record("machine", "precision chosen", 16 if bench.precision == "bf16" else 32, "bits", notes=bench.precision)


def peak(bench: Bench) -> Iterator[Record]:
    """The best bf16 products, and copies within the memory."""
    yield record("machine", "bf16 products", peak_of(bench) / 1e12, "Top/s", f"{bench.sizes.side} squared")
    source = torch.zeros(8 * bench.sizes.side**2, dtype=torch.uint8, device=bench.device)
    target = torch.empty_like(source)
    copies = min(bench.seconds(lambda: target.copy_(source)) for _ in range(10))
    yield record("machine", "copies in its memory", 2 * len(source) / copies / 1e9, "GB/s", "read and written")


def peak_of(bench: Bench) -> float:
    """Measure products of large square matrices; return the best, in operations a second."""
    side = bench.sizes.side
    one, other = (torch.randn(side, side, dtype=torch.bfloat16, device=bench.device) for _ in range(2))
    return 2.0 * side**3 / min(bench.seconds(lambda: one @ other) for _ in range(20))


def large(bench: Bench) -> Iterator[Record]:
    """Training of the large model at both sizes of a batch."""
    for tokens in bench.sizes.batches:
        yield from training(bench, f"large, {tokens:,}", bench.sizes.large, tokens)


def usual(bench: Bench) -> Iterator[Record]:
    """Training of the default model at both sizes of a batch."""
    for tokens in bench.sizes.batches:
        yield from training(bench, f"default, {tokens:,}", bench.sizes.usual, tokens)


def sampled(bench: Bench) -> Iterator[Record]:
    """Training of the large model with the sampled softmax."""
    settings = TrainingSettings(objective="sampled", label_smoothing=0.0)
    for tokens in bench.sizes.batches:
        yield from training(bench, f"large, sampled, {tokens:,}", bench.sizes.large, tokens, settings)


def cells(bench: Bench) -> Iterator[Record]:
    """Training with every cell, with input feeding and with R-Drop: two layers of the large model's size."""
    usual, two = _DEFAULT, {"encoder_layers": 2, "decoder_layers": 2}
    shapes = {cell: (usual, {"cell": cell}) for cell in get_args(Cell)}
    shapes |= {"input feeding": (usual, {"input_feeding": True}), "R-Drop": (TrainingSettings(r_drop=1.0), {})}
    for name, (settings, changes) in shapes.items():
        model = bench.sizes.large.model_copy(update={**two, **changes})
        yield from training(bench, name, model, bench.sizes.batches[0], settings, kernels=0)


def training(
    bench: Bench,
    name: str,
    settings: ModelSettings,
    tokens: int,
    training_settings: TrainingSettings = _DEFAULT,
    *,
    kernels: int = _KERNELS,
) -> Iterator[Record]:
    """Measure updates, and profile the last few of them."""
    if bench.is_gpu:
        torch.cuda.reset_peak_memory_stats()
    model = bench.drawn(settings)
    updater, updates = bench.updater(bench.loss(model, training_settings), training_settings), bench.updates(tokens)
    train(updater, 2 * updates)  # what is recorded of a shape is recorded when it comes again
    seconds = bench.seconds(lambda: train(updater, updates))
    pieces = sum(data.pieces for data in updates)
    yield record("nmt", "training", pieces / seconds, "target pieces/s", name, f"{len(updates)} updates")
    share = operations(model, updates, training_settings) / seconds / peak_of(bench)
    yield record("nmt", "share of the peak of bf16 products", 100 * share, "%", name)
    if bench.is_gpu:
        yield record("nmt", "memory of training", torch.cuda.max_memory_allocated() / 2**30, "GiB", name)
    yield record("nmt", "host of a step", 1e3 * host_of(bench, updater, updates[-_QUEUED:]), "ms", name, "to queue it")
    yield from profiled(bench, updater, updates[-_PROFILED:], name, kernels)


def host_of(bench: Bench, updater: Updater, updates: list[UpdateData]) -> float:
    """Time what the host does for an update, while the device has room for all that it is given; on a CPU that is
    everything."""
    bench.wait()
    before = time.perf_counter()
    queue(updater, updates)
    return (time.perf_counter() - before) / len(updates)


def operations(model: Seq2Seq, updates: list[UpdateData], settings: TrainingSettings) -> float:
    """Count the operations of products with weights, forward and backward, padding left out."""
    weights, once = Weights.of(model), 0.0
    output = weights.output
    if settings.objective == "sampled":
        output = min(output, settings.samples * model.output.in_features)
    for data in updates:
        (batch,) = data.batches
        once += weights.encoder * float(batch.src.lengths.sum()) + weights.bridges * len(batch)  # type: ignore[attr-defined]
        once += (weights.decoder + output) * data.pieces
    return 6.0 * once


def profiled(bench: Bench, updater: Updater, updates: list[UpdateData], name: str, kernels: int) -> Iterator[Record]:
    """Count what the device does in an update, and how long it does nothing; name what takes the most time.

    Of several updates, as the first kernels of the first one always wait for the host.
    """
    # of a GPU's work only, as a host that is watched is slower; torch.profiler would load torch's compiler, too
    if bench.is_gpu and ProfilerActivity.CUDA not in supported_activities():
        yield record("nmt", "kernels of a step", 0, "kernels", name, "NOT SEEN: torch's profiler knows no GPU here")
        return
    with profile(use_device="cuda" if bench.is_gpu else None, use_cpu=not bench.is_gpu, use_kineto=True) as found:
        train(updater, updates)
        bench.wait()
    kind = DeviceType.CUDA if bench.is_gpu else DeviceType.CPU
    events: list[Any] = [
        each for each in found.function_events or () if each.device_type == kind and not each.is_user_annotation
    ]
    if not events:
        yield record("nmt", "kernels of a step", 0, "kernels", name, "NOT SEEN: torch's profiler tells of none here")
        return
    spans = sorted((each.time_range.start, each.time_range.end) for each in events)
    busy, last = 0.0, spans[0][0]
    for start, end in spans:
        busy += max(0.0, end - max(start, last))
        last = max(last, end)
    count, about = len(updates), f"of {len(updates)}, first kernel to last, on the device"
    yield record("nmt", "kernels of a step", len(events) / count, "kernels", name)
    yield record("nmt", "step", (last - spans[0][0]) / 1e3 / count, "ms", name, about)
    yield record("nmt", "gaps of a step", 100 * (1 - busy / (last - spans[0][0])), "%", name)
    times: defaultdict[str, list[float]] = defaultdict(list)
    for each in events:
        times[each.name].append(each.time_range.elapsed_us())
    for kernel, taken in sorted(times.items(), key=lambda item: -sum(item[1]))[:kernels]:
        yield record("nmt", "kernel", sum(taken) / 1e3 / count, "ms a step", name, f"{len(taken)} x {kernel[:90]}")


def decoding(bench: Bench) -> Iterator[Record]:
    """Greedy and beam search of the large model, with and without recorded steps."""
    prepare_for_search(bench.device)
    model = for_search(bench.drawn(bench.sizes.large), bench.precision, device=bench.device)
    for count in bench.sizes.sentences:
        src = bench.sequences(count)
        sentences = [Sentence(tuple(src.row(row)), row) for row in range(count)]
        for beams in (1, 5):
            for name, recorder in {"recorded": CudaGraphs() if bench.is_gpu else None, "not recorded": _undone}.items():
                settings = SearchSettings(beam_size=beams)
                engine = Engine(
                    model, start_of(settings), batch_tokens=10**9, reverse_source=True, beams=beams, recorder=recorder
                )
                pieces = [search(engine, sentences) for _ in range(2)][-1]  # shapes are recorded when they come again
                seconds = bench.seconds(lambda: search(engine, sentences))  # noqa: B023 - it is called here
                about = f"{count} sentences, beam {beams}, {name}"
                yield record("nmt", "decoding", pieces / seconds, "pieces/s", about, f"{1e3 * seconds:.1f} ms in all")


def _undone(work: Work) -> Work:
    """Record nothing: what is to be replayed is done once more."""
    work()
    return work


def search(engine: Engine[Any, Any], sentences: list[Sentence]) -> int:
    """Translate sentences side by side; return how many pieces there are."""
    count, pieces = engine.at_once(max(len(each.ids) for each in sentences)), 0
    for first in range(0, len(sentences), count):
        engine.add(sentences[first : first + count])
    while engine.busy:
        pieces += sum(len(best.ids) for _, [best, *_] in engine.step())
    return pieces


def checkpoints(bench: Bench) -> Iterator[Record]:
    """How long a checkpoint of the large model stalls training, and how much longer it takes to be on the disk."""
    settings, model = TrainingSettings(), bench.drawn(bench.sizes.large)
    updater, updates = bench.updater(bench.loss(model, settings), settings), 3 * bench.updates(bench.sizes.batches[0])
    train(updater, updates)
    alone = bench.seconds(lambda: train(updater, updates))
    with TemporaryDirectory() as folder, Background() as background:
        written = Checkpoints(Path(folder), model, updater.optimizer, average=None, keep=1)

        def with_one() -> None:
            background.begin(written.writer(TrainingState(step=1)))
            train(updater, updates)

        stall = bench.seconds(with_one) - alone
        rest = bench.seconds(background.wait)
        size = sum(path.stat().st_size for path in Path(folder).rglob("*.safetensors"))
    notes = f"{len(updates)} updates in {alone:.3g} s without it; {size / 2**20:,.0f} MiB, in a temporary folder"
    yield record("nmt", "stall for a checkpoint", stall, "s", "large", notes)
    yield record("nmt", "writing it after those updates", rest, "s", "large")
