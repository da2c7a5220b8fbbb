"""Steps of a model whose parts and layers are on several fake GPUs, for the processes of `fake_cuda`."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import nn

from nmt.batching import Batch, Segment, SourceBatch, TargetBatch
from nmt.config.model import ModelSettings
from nmt.config.training import TrainingSettings
from nmt.models.build import Undrawn, build_language_model, build_model
from nmt.models.devices import for_gpu
from nmt.models.language_model import LanguageModel
from nmt.models.parts import layers_of, parts_of
from nmt.models.placement import spread
from nmt.models.seq2seq import Seq2Seq
from nmt.training.distributed import Ranks
from nmt.training.language_modelling import SegmentLoss
from nmt.training.state import Carry
from nmt.training.translation import TrainingLoss
from tests.cudafake.steps import DEVICE, PIECES, fake_gpu, objective_of, update

Where = dict[str, set[str]]
"""Devices of the weights of each part and layer of a model, and of "scores"."""
_ROWS, _LENGTH = 8, 6


def translator(
    *, placement: dict[str, str], model: Mapping[str, Any], training: Mapping[str, Any] = {}, updates: int = 2
) -> Where:
    """Make updates of a translation model, and two steps of search."""
    settings = TrainingSettings(ema_decay=0.9, **training)
    with _four_gpus():
        with DEVICE, Undrawn():
            built = build_model(
                ModelSettings(**model), src_vocab_size=PIECES, tgt_vocab_size=PIECES, joint=True, seed=1
            )
        spread(built, placement, DEVICE)
        ids, lengths = torch.ones(_ROWS, _LENGTH, dtype=torch.int64), torch.ones(_ROWS, dtype=torch.int64)
        batch = Batch(SourceBatch(ids, lengths), TargetBatch(ids, ids, ids.flatten()))
        update(TrainingLoss(built, objective_of(settings)), batch, settings, "bf16", number=updates)
        searched = for_gpu(built, "bf16")
        state = searched.start(searched.encode(batch.to(built.device).src))
        for _ in range(2):
            scores, state = searched.step(ids[:, :1].to(built.device), state)
        return _where(built, scores)


def language_model(*, placement: dict[str, str], model: Mapping[str, Any], training: Mapping[str, Any] = {}) -> Where:
    """Make updates of a language model, and two of its steps."""
    settings, carry = TrainingSettings(label_smoothing=0.0, ema_decay=0.9, **training), Carry(Ranks(), rows=_ROWS)
    with _four_gpus():
        with DEVICE, Undrawn():
            built = build_language_model(ModelSettings(**model, kind="lm"), vocab_size=PIECES, seed=1)
        spread(built, placement, DEVICE)
        ids = torch.ones(_ROWS, _LENGTH, dtype=torch.int64)
        segment = Segment(ids, ids, ids.flatten(), first_row=0, is_fresh=False)
        update(SegmentLoss(built, objective_of(settings), carry), segment, settings, "bf16", carry)
        searched = for_gpu(built, "bf16")
        state = searched.start(_ROWS)
        for _ in range(2):
            scores, state = searched.step(ids[:, :1].to(built.device), state)
        return _where(built, scores)


@contextmanager
def _four_gpus() -> Iterator[None]:
    count, moving = patch.object(torch.cuda, "device_count", lambda: 4), patch.object(nn.Module, "to", _moved)
    one_thread = torch.autograd.set_multithreading_enabled(False)  # threads of several devices share what is fake
    with fake_gpu(), count, moving, one_thread:
        yield


def _where(model: Seq2Seq | LanguageModel, scores: torch.Tensor) -> Where:
    found: Where = {"scores": {str(scores.device)}}
    for name, module in [*parts_of(model).items(), *layers_of(model).items()]:
        found[name] = {str(weight.device) for weight in module.parameters()}
    return found


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
