"""How fast each cell trains, beside the LSTM, and what our own cells gain by how they are computed.

    python tests/benchmarks/cells_speed.py                # batches made at random, as long as those of Multi30k
    python tests/benchmarks/cells_speed.py DATA_DIR       # batches from `nmt prepare`

The default model, 6,000 joint pieces, batches of 800 tokens, forward and backward, in the precision that training would
choose; one thread on one pinned core. The cells take turns on the same batches. What is counted is the thread's own
time, so that other work on the core changes little. Then single layers: the whole sequence at once against a loop
of single steps, and the loop over time of the SSRU against a scan of logarithmic depth.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from nmt.batching import Batch, plan_epoch, source_batch, target_batch
from nmt.config import ModelSettings, TrainingSettings
from nmt.config.model import Cell
from nmt.models.build import build_model, count_parameters
from nmt.models.cells.layer import Recurrence, RecurrentLayer, make_layer
from nmt.models.cells.ssru import SSRU
from nmt.models.devices import autocast, choose_precision, prepare_for_training
from nmt.prepared import PreparedData
from nmt.text.sequences import FlatSequences
from nmt.training.objectives.full import FullSoftmax
from nmt.training.translation import TrainingLoss

CPU = torch.device("cpu")
VOCAB = 6000
ROUNDS = 5
BATCHES = 12
OWN: list[Cell] = ["peephole_lstm", "layer_norm_lstm", "cho_gru", "ssru"]


def random_pairs(count: int, rng: np.random.Generator) -> tuple[FlatSequences, FlatSequences]:
    """Make pairs of 4 to 40 random words, 14 on average."""
    lengths = np.clip(rng.gamma(9.0, 1.55, size=count).round().astype(int), 4, 40)
    sides = [[rng.integers(4, VOCAB, size=size).tolist() for size in lengths] for _ in range(2)]
    return FlatSequences.from_lists(sides[0]), FlatSequences.from_lists(sides[1])


def batches_of(src: FlatSequences, tgt: FlatSequences) -> list[Batch]:
    budget = TrainingSettings().batch_tokens
    plan = plan_epoch(*(side.lengths.astype(np.uint16) for side in (src, tgt)), batch_tokens=budget, seed=1, epoch=0)
    return [
        Batch(source_batch(src, rows, reverse_source=True), target_batch(tgt, rows))
        for rows in islice(plan.batches, BATCHES)
    ]


def seconds(work: Callable[[], object]) -> float:
    before = time.thread_time()
    work()
    return time.thread_time() - before


def in_turns(works: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Do each work some rounds; return the median of its seconds."""
    for work in works.values():
        work()
    found: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(ROUNDS):
        for name, work in works.items():
            found[name].append(seconds(work))
    return {name: statistics.median(times) for name, times in found.items()}


def training_of(cell: Cell, batches: Iterable[Batch], vocab_size: int) -> tuple[Callable[[], None], int]:
    """Return what goes forward and backward over the batches with a model, and its number of parameters."""
    settings = ModelSettings(cell=cell)
    model = build_model(settings, src_vocab_size=vocab_size, tgt_vocab_size=vocab_size, joint=True, seed=1)
    loss = TrainingLoss(model, FullSoftmax(label_smoothing=0.1))
    precision = choose_precision("auto", CPU)

    def train() -> None:
        for batch in batches:
            model.zero_grad()
            with autocast(CPU, precision):
                loss(batch).backward()

    return train, count_parameters(model)


def show_models(batches: list[Batch], vocab_size: int) -> None:
    made = {cell: training_of(cell, batches, vocab_size) for cell in get_args(Cell)}
    pieces = sum(len(batch.tgt.pieces) for batch in batches)
    found = in_turns({cell: work for cell, (work, _) in made.items()})
    print(f"\n| cell | parameters | target pieces/s, {choose_precision('auto', CPU)} | of lstm |\n|---|---|---|---|")
    for cell, time_taken in found.items():
        parameters = made[cell][1] / 1e6
        print(f"| {cell} | {parameters:.2f} M | {pieces / time_taken:,.0f} | {found['lstm'] / time_taken:.2f} |")


def step_by_step(layer: RecurrentLayer, inputs: Tensor) -> Tensor:
    state, outputs, weights = layer.zeros(inputs), [], layer.weights()
    for t in range(inputs.shape[1]):
        state = layer.step(inputs[:, t], state, weights=weights)
        outputs.append(layer.output(state))
    return torch.stack(outputs, dim=1)


def log_depth(layer: SSRU, inputs: Tensor) -> Tensor:
    """Compute an SSRU by doubling: every pass joins each position with one twice as far before it."""
    weight, bias = layer.weights()
    forget, candidates = functional.linear(inputs.transpose(0, 1), weight).float().chunk(2, dim=2)
    forget = torch.sigmoid(forget + bias)
    cells, distance = (1 - forget) * candidates, 1
    while distance < len(cells):
        cells = torch.cat([cells[:distance], cells[distance:] + forget[distance:] * cells[:-distance]])
        forget = torch.cat([forget[:distance], forget[distance:] * forget[:-distance]])
        distance *= 2
    return torch.relu(cells).transpose(0, 1)


def there_and_back(run: Callable[[Tensor], Tensor], inputs: Tensor, precision: str) -> Callable[[], None]:
    def work() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            outputs = run(inputs)
        outputs.float().sum().backward()

    return work


def show_layers(*, batch: int, length: int, input_size: int, hidden_size: int) -> None:
    print(f"\nOne layer, {batch} rows of {length} steps, {input_size} -> {hidden_size}, forward and backward, ms:")
    print("\n| cell | precision | whole sequence | step by step | times | other |\n|---|---|---|---|---|---|")
    for precision in ("fp32", "bf16") if choose_precision("auto", CPU) == "bf16" else ("fp32",):
        inputs = torch.randn(batch, length, input_size, requires_grad=True)
        for cell in ("lstm", *OWN):
            layer = make_layer(Recurrence(cell, 0.0), input_size=input_size, hidden_size=hidden_size)
            ways: dict[str, Callable[[Tensor], Tensor]] = {
                "whole": layer,
                "steps": lambda x, layer=layer: step_by_step(layer, x),  # type: ignore[misc]
            }
            if isinstance(layer, SSRU):
                ways["log depth"] = lambda x, layer=layer: log_depth(layer, x)  # type: ignore[misc]
            found = in_turns({name: there_and_back(way, inputs, precision) for name, way in ways.items()})
            whole, steps = found["whole"] * 1e3, found["steps"] * 1e3
            other = f"log depth {found['log depth'] * 1e3:.1f}" if "log depth" in found else ""
            print(f"| {cell} | {precision} | {whole:.1f} | {steps:.1f} | {steps / whole:.2f} | {other} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--core", type=int, default=0)
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {arguments.core})
    torch.set_num_threads(1)
    prepare_for_training(CPU, choose_precision("auto", CPU))
    torch.manual_seed(1)
    if arguments.data is None:
        src, tgt, vocab_size = *random_pairs(2000, np.random.default_rng(1)), VOCAB
    else:
        data = PreparedData.open(arguments.data)
        src, tgt, vocab_size = data.train_src, data.train_tgt, len(data.tokenizers.tgt)
    show_models(batches_of(src, tgt), vocab_size)
    show_layers(batch=50, length=16, input_size=256, hidden_size=256)
    show_layers(batch=50, length=16, input_size=256, hidden_size=512)


if __name__ == "__main__":
    main()
