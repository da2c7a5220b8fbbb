"""A trained model made ready for search: on a CPU the same rooms, with their products in prepacked form."""

import copy
from dataclasses import dataclass
from typing import TypeVar, cast, overload

import torch
from torch import Tensor, nn

from nmt.batching import SourceBatch
from nmt.models.attention import Memory
from nmt.models.cells.layer import RecurrentLayer
from nmt.models.decoder import DecoderState
from nmt.models.devices import SearchPrecision, autocast
from nmt.models.kernels import LINEAR
from nmt.models.language_model import LanguageModel, LanguageModelState
from nmt.models.seq2seq import Seq2Seq

M = TypeVar("M", bound=Seq2Seq | LanguageModel)


@overload
def for_search(model: Seq2Seq, precision: SearchPrecision, *, device: torch.device) -> "Seq2Seq | AutocastModel": ...


@overload
def for_search(
    model: LanguageModel, precision: SearchPrecision, *, device: torch.device
) -> "LanguageModel | AutocastLanguageModel": ...


def for_search(
    model: Seq2Seq | LanguageModel, precision: SearchPrecision, *, device: torch.device
) -> "Seq2Seq | AutocastModel | LanguageModel | AutocastLanguageModel":
    """Make a model ready for search on its device: prepacked on a CPU, in the library's own layers on a GPU."""
    if device.type == "cpu":
        return for_inference(model, precision)
    if precision != "bf16":
        return model.eval()
    return AutocastModel(model.eval()) if isinstance(model, Seq2Seq) else AutocastLanguageModel(model.eval())


@dataclass(frozen=True)
class AutocastModel:
    """A model whose matrix products run in bf16 on a GPU."""

    model: Seq2Seq

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.device

    def encode(self, src: SourceBatch) -> Memory:
        """Encode padded sources."""
        with autocast(self.device, "bf16"):
            return self.model.encode(src)

    def start(self, memory: Memory) -> DecoderState:
        """Return the decoder's state before `<s>`, with one beam a sentence."""
        with autocast(self.device, "bf16"):
            return self.model.start(memory)

    def step(self, prev_ids: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Score every next word after `prev_ids` [B, K]: logits [B, K, V] and the next state."""
        with autocast(self.device, "bf16"):
            return self.model.step(prev_ids, state)


@dataclass(frozen=True)
class AutocastLanguageModel:
    """A language model whose matrix products run in bf16 on a GPU."""

    model: LanguageModel

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.device

    def start(self, batch: int) -> LanguageModelState:
        """Return the state before the first word of `batch` texts, with one beam each; the first word is `</s>`."""
        return self.model.start(batch)

    def step(self, prev_ids: Tensor, state: LanguageModelState) -> tuple[Tensor, LanguageModelState]:
        """Score every next word after `prev_ids` [B, K]: logits [B, K, V] and the next state."""
        with autocast(self.device, "bf16"):
            return self.model.step(prev_ids, state)


def for_inference(model: M, precision: SearchPrecision) -> M:
    """Copy a model, with every linear and recurrent layer replaced by its prepacked form.

    Whatever else the model does stays as it is, so the result encodes and steps as `model` does in evaluation mode, up
    to rounding; it cannot be trained. On a CPU, and with one thread, what it computes for a sentence does not depend on
    the batch, to the last bit (docs/decisions/0010).
    """
    bounded = _reading_bounded(model)
    # what is replaced is left out of the copy
    replaced: dict[int, object] = {
        id(module): LINEAR[precision](module.weight, module.bias, bounded=module in bounded)
        for module in model.modules()
        if isinstance(module, nn.Linear)
    }
    replaced |= {
        id(layer): layer.prepacked(precision) for layer in model.modules() if isinstance(layer, RecurrentLayer)
    }
    copied = copy.deepcopy(model, memo=replaced)
    copied.eval().requires_grad_(False)
    return copied


def _reading_bounded(model: Seq2Seq | LanguageModel) -> set[nn.Module]:
    """Find the linear layers whose inputs all lie in [-1, 1]."""
    if isinstance(model, LanguageModel):
        top, residual, always = model.layers[-1], model.residual, set[nn.Module]()
        reader = model.output if isinstance(model.readout, nn.Identity) else model.readout
    else:
        decoder = model.decoder
        top, residual, always = decoder.first, decoder.residual, {model.output}  # which reads a tanh
        reader = decoder.readout
        if decoder.attention.context_size and not cast(RecurrentLayer, model.encoder.forward_layers[-1]).bounded:
            return always  # contexts are means of what the encoder puts out
    bounded = cast(RecurrentLayer, top).bounded and not residual
    return always | {reader} if bounded else always
