"""A trained model made ready for search: on a CPU with its products in prepacked form, on a GPU in bf16 or as it is."""

import copy
from typing import TypeVar, cast

import torch
from torch import nn

from nmt.models.cells.layer import RecurrentLayer
from nmt.models.devices import SearchPrecision, autocast
from nmt.models.kernels import LINEAR
from nmt.models.language_model import LanguageModel
from nmt.models.seq2seq import Seq2Seq

M = TypeVar("M", bound=Seq2Seq | LanguageModel)


def for_search(model: M, precision: SearchPrecision, *, device: torch.device) -> M:
    """Make a model ready for search on its device: prepacked on a CPU, in the library's own layers on a GPU."""
    if device.type == "cpu":
        return for_inference(model, precision)
    model.eval()
    if precision != "bf16":
        return model
    searched, in_bf16 = copy.copy(model), autocast(model.device, "bf16")
    for call in ("encode", "start", "step") if isinstance(model, Seq2Seq) else ("start", "step"):
        setattr(searched, call, in_bf16(getattr(model, call)))
    return searched


def for_inference(model: M, precision: SearchPrecision) -> M:
    """Copy a model, with every linear and recurrent layer replaced by its prepacked form.

    Whatever else the model does stays as it is, so the result encodes and steps as `model` does in evaluation mode, up
    to rounding; it cannot be trained. On a CPU, and with one thread, what it computes for a sentence does not depend on
    the batch, to the last bit (docs/decisions/0010).
    """
    bounded = _bounded_readers(model)
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


def _bounded_readers(model: Seq2Seq | LanguageModel) -> set[nn.Module]:
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
    return always | {reader} if cast(RecurrentLayer, top).bounded and not residual else always
