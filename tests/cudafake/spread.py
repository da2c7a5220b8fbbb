"""Steps of a model whose parts are on two fake GPUs, for the processes of `fake_cuda`."""

import math
from collections import defaultdict
from collections.abc import Mapping
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor

from nmt.batching import Batch, SourceBatch, TargetBatch
from nmt.config.model import ModelSettings
from nmt.config.training import ModelPart, TrainingSettings
from nmt.models.build import Undrawn, build_model
from nmt.models.devices import for_gpu
from nmt.models.placement import spread
from nmt.training.distributed import Ranks
from nmt.training.feeding import UpdateData
from nmt.training.state import Position
from nmt.training.translation import TrainingLoss
from nmt.training.update import MovingAverage, Updater, make_objective, make_optimizer
from tests.cudafake.steps import DEVICE, fake_gpu

_PIECES, _ROWS, _LENGTH = 1000, 8, 6


def update_and_search(
    *, placement: dict[ModelPart, str], model: Mapping[str, Any], training: Mapping[str, Any] = {}
) -> dict[str, set[str]]:
    """Make an update and two steps of search, and tell where the weights of each part were, and the scores."""
    settings, sizes = TrainingSettings(**training), {"src_vocab_size": _PIECES, "tgt_vocab_size": _PIECES}
    two_gpus, moving = patch.object(torch.cuda, "device_count", lambda: 2), patch.object(nn.Module, "to", _moved)
    one_thread = torch.autograd.set_multithreading_enabled(False)  # threads of several devices share what is fake
    with fake_gpu(), two_gpus, moving, one_thread:
        with DEVICE, Undrawn():
            built = build_model(ModelSettings(**model), **sizes, joint=True, seed=1)
        spread(built, placement, DEVICE)
        updater = Updater(
            loss=TrainingLoss(built.train(), make_objective(settings, np.ones(_PIECES, dtype=np.int64))),
            optimizer=make_optimizer(settings, built.parameters()),
            device=built.device,
            precision="bf16",
            clip_norm=1.0,
            clip_value=math.inf,
            average=MovingAverage(built, decay=0.9),
            ranks=Ranks(),
            on_message=print,
        )
        ids, lengths = torch.ones(_ROWS, _LENGTH, dtype=torch.int64), torch.ones(_ROWS, dtype=torch.int64)
        pieces = torch.ones(_ROWS * _LENGTH, dtype=torch.int64)
        batch = Batch(SourceBatch(ids, lengths), TargetBatch(ids, ids, pieces))
        updater.update(UpdateData((batch,), _ROWS * _LENGTH, Position()), step=1, seed=1, rate=0.001)
        found = defaultdict(set)
        for name, parameter in built.named_parameters():
            found[name.partition(".")[0]].add(str(parameter.device))
        with torch.no_grad():
            batch = batch.to(built.device)
            with patch.object(FakeTensor, "__deepcopy__", lambda weight, memo: weight.detach().clone(), create=True):
                searched = for_gpu(built, "bf16")  # which would copy the memory of weights, and fake ones have none
            state = searched.start(searched.encode(batch.src))
            for _ in range(2):
                scores, state = searched.step(batch.tgt.inputs[:, :1], state)
        found["scores"].add(str(scores.device))
        return dict(found)


def _moved(module: nn.Module, device: torch.device) -> nn.Module:
    """Do what `Module.to` does, which does not know how to move fake weights."""
    for part in module.modules():
        for name, weight in part._parameters.items():
            if weight is not None:
                part._parameters[name] = nn.Parameter(weight.detach().to(device), requires_grad=weight.requires_grad)
        if isinstance(part, nn.RNNBase):
            part._flat_weights = [getattr(part, name) for name in part._flat_weights_names]
            part.flatten_parameters()
    return module
