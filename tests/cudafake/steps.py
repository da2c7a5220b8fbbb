"""Steps of training and of search on fake CUDA tensors, for the processes of `fake_cuda`."""

import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from nmt.batching import Batch, SourceBatch, TargetBatch
from nmt.config.model import ModelSettings
from nmt.config.training import TrainingSettings
from nmt.models.build import Undrawn, build_model
from nmt.models.devices import Precision
from nmt.training.distributed import Ranks
from nmt.training.feeding import UpdateData
from nmt.training.loss_scale import LossScale
from nmt.training.state import Position
from nmt.training.translation import TrainingLoss
from nmt.training.update import MovingAverage, Updater, make_objective, make_optimizer
from tests.cudafake.device import Library
from tests.cudafake.recorder import Recorder, Seen

DEVICE: Final = torch.device("cuda", 0)
PIECES: Final = 32000
"""In the vocabulary that both sides have."""
ROWS: Final = 256
_LAYERS: Final = {"encoder_layers": 2, "decoder_layers": 2}
LARGE: Final[Mapping[str, Any]] = {"embedding_size": 1024, "hidden_size": 1024, **_LAYERS}
"""The model of the steps. More layers would be more of the same."""


@contextmanager
def fake_gpu() -> Iterator[None]:
    """Make all tensors fake, those of models too, and let cuDNN be there."""
    with FakeTensorMode(allow_non_fake_inputs=True), Library(), warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def training_step(
    *, model: Mapping[str, Any] = {}, training: Mapping[str, Any] = {}, precision: Precision = "bf16", length: int = 8
) -> Seen:
    """Make the second update of a new translation model, which differs from `LARGE` in some settings.

    A batch has `ROWS` pairs of `length` pieces on each side. The optimiser has its state already.
    """
    settings, sizes = TrainingSettings(**training), {"src_vocab_size": PIECES, "tgt_vocab_size": PIECES}
    with fake_gpu():
        with DEVICE, Undrawn():
            built = build_model(ModelSettings(**{**LARGE, **model}), **sizes, joint=True, seed=1)
        objective = make_objective(settings, np.ones(PIECES, dtype=np.int64))
        updater = Updater(
            loss=TrainingLoss(built.train(), objective),
            optimizer=make_optimizer(settings, built.parameters()),
            device=DEVICE,
            precision=precision,
            clip_norm=settings.clip_norm or math.inf,
            clip_value=settings.clip_value or math.inf,
            average=MovingAverage(built, decay=settings.ema_decay) if settings.ema_decay else None,
            ranks=Ranks(),
            on_message=print,
            scale=LossScale(DEVICE) if precision == "fp16" else None,
        )
        ids, lengths = torch.ones(ROWS, length, dtype=torch.int64), torch.ones(ROWS, dtype=torch.int64)
        pieces = torch.ones(ROWS * length, dtype=torch.int64)
        batch = Batch(SourceBatch(ids, lengths), TargetBatch(ids, ids, pieces))
        data = UpdateData((batch,), ROWS * length, Position())
        updater.update(data, step=1, seed=1, rate=0.001)
        with Recorder() as seen:
            loss, norm = updater.update(data, step=2, seed=2, rate=0.001)
        seen.facts = {"loss": (loss.device.type, str(loss.dtype)), "norm": norm.device.type}
        return seen
