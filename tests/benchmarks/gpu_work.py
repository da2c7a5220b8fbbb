"""The work that gpu.py gives to a GPU: random pairs, models and updates of them, at full sizes or at tiny ones."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from nmt.batching import plan_epoch
from nmt.config import ModelSettings, TrainingSettings
from nmt.models.build import Undrawn, build_model
from nmt.models.devices import Precision, choose_training_precision, prepare_for_training
from nmt.models.seq2seq import Seq2Seq
from nmt.text.sequences import FlatSequences
from nmt.training.distributed import Ranks
from nmt.training.feeding import TrainingPairs, UpdateData
from nmt.training.state import Position
from nmt.training.translation import TrainingLoss
from nmt.training.update import Objective, Updater, make_objective, make_optimizer


@dataclass(frozen=True)
class Sizes:
    """How large the work is."""

    vocab: int
    large: ModelSettings
    """The model whose speed counts."""
    usual: ModelSettings
    """One with most settings as they are by default."""
    small: ModelSettings
    """The one that is compared with a CPU's."""
    batches: tuple[int, int]
    """Tokens of a batch."""
    updates: int
    """Of each measure."""
    mean_length: float
    """Pieces of a sentence."""
    sentences: tuple[int, ...]
    """Searched at once."""
    side: int
    """Of the square matrices that tell the peak."""
    steps: int
    """Of the runs whose losses are compared."""


FULL: Final = Sizes(
    vocab=32_000,
    large=ModelSettings(embedding_size=1024, hidden_size=1024, encoder_layers=4, decoder_layers=4),
    usual=ModelSettings(),
    small=ModelSettings(embedding_size=256, hidden_size=256, dropout=0.0),
    batches=(8192, 65_536),
    updates=8,
    mean_length=25.0,
    sentences=(1, 64, 512),
    side=8192,
    steps=50,
)
_TINY_MODEL: Final = ModelSettings(embedding_size=16, hidden_size=16, encoder_layers=2, decoder_layers=2, dropout=0.0)
TINY: Final = Sizes(60, _TINY_MODEL, _TINY_MODEL, _TINY_MODEL, (64, 128), 2, 4.0, (1, 3), 64, 6)


@dataclass
class Bench:
    """A device, and what it is given to do."""

    device: torch.device
    sizes: Sizes
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(1))

    def __post_init__(self) -> None:
        self.is_gpu = self.device.type == "cuda"
        self.precision = choose_training_precision("auto", self.device)
        prepare_for_training(self.device, self.precision)

    def seconds(self, work: Callable[[], object]) -> float:
        """Time work to its end."""
        self.wait()
        before = time.perf_counter()
        work()
        self.wait()
        return time.perf_counter() - before

    def wait(self) -> None:
        """Let the device end what it was given."""
        if self.is_gpu:
            torch.cuda.synchronize()

    def sequences(self, count: int) -> FlatSequences:
        """Make random sentences, with lengths as those of news have them."""
        mean, vocab = self.sizes.mean_length, self.sizes.vocab
        lengths = np.clip(self.rng.gamma(4.0, mean / 4, size=count), 1, 3 * mean).astype(np.int32)
        return FlatSequences.end_to_end(self.rng.integers(4, vocab, int(lengths.sum()), dtype=np.int32), lengths)

    def updates(self, tokens: int, count: int | None = None) -> list[UpdateData]:
        """Make updates of one batch each, of pairs as long as each other."""
        count = count or self.sizes.updates
        src = self.sequences(max(8, int(4 * count * tokens / self.sizes.mean_length)))
        tgt = FlatSequences.end_to_end(self.rng.permutation(src.values), src.lengths)
        pairs = TrainingPairs(src, tgt, reverse_source=True)
        plan = plan_epoch(*pairs.lengths(seed=1), batch_tokens=tokens, seed=1, epoch=0)
        batches = [pairs.batch(rows) for rows in islice(plan.batches, count)]
        pinned = [batch.pinned() if self.is_gpu else batch for batch in batches]
        return [UpdateData((batch,), len(batch.tgt.pieces), Position()) for batch in pinned]

    def drawn(self, settings: ModelSettings) -> Seq2Seq:
        """Build a model with uniform weights, drawn on the device: no orthogonal matrices are waited for."""
        size = self.sizes.vocab
        with Undrawn():
            model = build_model(settings, src_vocab_size=size, tgt_vocab_size=size, joint=True, seed=1)
        model.to(self.device)
        torch.manual_seed(1)
        for parameter in model.parameters():
            nn.init.uniform_(parameter, -0.08, 0.08)
        return model

    def objective(self, settings: TrainingSettings) -> Objective:
        """Make the objective that the settings ask for, of pieces that are all as frequent."""
        return make_objective(settings, np.ones(self.sizes.vocab, dtype=np.int64))

    def loss(self, model: Seq2Seq, settings: TrainingSettings) -> TrainingLoss:
        """Make the loss that the settings ask for."""
        return TrainingLoss(model, self.objective(settings))

    def updater(
        self,
        loss: nn.Module,
        settings: TrainingSettings,
        *,
        precision: Precision | None = None,
        on_message: Callable[[str], None] = print,
    ) -> Updater:
        """Make what trains the model of a loss."""
        return Updater(
            loss=loss,
            optimizer=make_optimizer(settings, loss.parameters()),
            device=self.device,
            precision=precision or self.precision,
            clip_norm=settings.clip_norm or math.inf,
            clip_value=math.inf,
            average=None,
            ranks=Ranks(),
            on_message=on_message,
        )


def queue(updater: Updater, updates: list[UpdateData]) -> list[tuple[Tensor, Tensor]]:
    """Give a device updates to make; return the summed loss and the norm of the gradient of each, as it will be."""
    return [updater.update(data, step=step, seed=step, rate=0.001) for step, data in enumerate(updates, start=1)]


def train(updater: Updater, updates: list[UpdateData]) -> list[tuple[float, float]]:
    """Make updates; return the loss a piece and the norm of the gradient of each."""
    made = zip(queue(updater, updates), updates, strict=True)
    return [(loss.item() / data.pieces, norm.item()) for (loss, norm), data in made]
