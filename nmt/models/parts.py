"""The parts and layers of a model that settings name, and holding some parts fixed."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, zip_longest
from typing import Final, get_args

from torch import nn

from nmt.config.training import ModelPart
from nmt.errors import ConfigError
from nmt.models.language_model import LanguageModel
from nmt.models.seq2seq import Seq2Seq

PARTS: Final[tuple[ModelPart, ...]] = get_args(ModelPart)


def parts_of(model: Seq2Seq | LanguageModel) -> dict[ModelPart, nn.Module]:
    """Return the parts of a model by their names; what is between the layers of a language model and its output layer
    is part of the layers."""
    if isinstance(model, Seq2Seq):
        return {part: getattr(model, part) for part in PARTS}
    layers = nn.ModuleList([model.layers, model.readout])
    return {"tgt_embedding": model.embedding, "decoder": layers, "output": model.output}


def layers_of(model: Seq2Seq | LanguageModel) -> dict[str, nn.ModuleList]:
    """Return the recurrent layers of a model by their names, `encoder_1` the first one that reads embeddings, each in
    all its directions."""
    stacks: dict[ModelPart, Iterable[tuple[nn.Module | None, ...]]]
    if isinstance(model, Seq2Seq):
        encoder, decoder = model.encoder, model.decoder
        stacks = {
            "encoder": zip_longest(encoder.forward_layers, encoder.backward_layers),
            "decoder": zip(chain([decoder.first], decoder.upper)),
        }
    else:
        stacks = {"decoder": zip(model.layers)}
    return {
        f"{part}_{number}": nn.ModuleList(layer for layer in directions if layer is not None)
        for part, layers in stacks.items()
        for number, directions in enumerate(layers, start=1)
    }


def freeze(model: Seq2Seq | LanguageModel, frozen: Sequence[ModelPart]) -> None:
    """Hold the weights of some parts fixed: no gradient reaches them.

    Raises:
        ConfigError: There is no such part, it shares a table with one that learns, or nothing is left to learn.
    """
    parts = parts_of(model)
    for part in frozen:
        _check(part, parts, frozen)
        parts[part].requires_grad_(False)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ConfigError("training.freeze names all parts of the model: nothing is left to learn")


def _check(part: ModelPart, parts: Mapping[ModelPart, nn.Module], frozen: Sequence[ModelPart]) -> None:
    if part not in parts:
        raise ConfigError(f"training.freeze names {part}, which a language model has not: {', '.join(parts)}")
    own = set(parts[part].parameters())
    for other, module in parts.items():
        if other not in frozen and own & set(module.parameters()):
            raise ConfigError(
                f"training.freeze names {part}, but not {other}, which shares its table: name both, or set "
                'model.tied_embeddings = "none"'
            )
