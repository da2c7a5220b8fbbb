"""Where a run begins with the weights of another model: fine-tuning on other text (Zoph et al., 2016; Kocmi & Bojar,
2018), with the pieces of its parent or with others.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from nmt.config import Settings
from nmt.errors import ConfigError, counted
from nmt.io.files import sha256
from nmt.models.folder import WEIGHTS, load_either, load_own_tokenizers, load_tensors, model_tensors, read_training
from nmt.text.tokenizer import Tokenizers
from nmt.text.vocab import EOS
from nmt.training.resolve import changed_settings

ASLEEP: Final = -1e4
"""The bias of a piece that a model has, but has not learnt: its probability is exactly 0."""

SIDES: Final = {"src_embedding": "src", "tgt_embedding": "tgt", "embedding": "tgt", "output": "tgt"}
"""The parts whose weights have a row for each piece, and whose pieces those are."""
_FREE: Final = ("dropout", "init", "init_range", "forget_bias")
"""Settings of the model, or ends of their names, that its weights do not depend on."""


@dataclass(frozen=True)
class _Rows:
    """Which pieces of a vocabulary stand where in that of the parent."""

    name: str
    here: Tensor
    """Ids of the pieces that both know, [N]."""
    there: Tensor
    """Their ids in the parent, [N]."""
    size: int
    """Pieces of this vocabulary."""


def inherit(
    model: nn.Module, tokenizers: Tokenizers, settings: Settings, parent: Path, *, on_message: Callable[[str], None]
) -> None:
    """Give a model that has learnt nothing yet the weights of a parent.

    Where the vocabularies differ, rows of the embeddings and of the output layer are those of the pieces that both
    know; the others are drawn from a normal distribution with the mean and deviation that each column has in the
    parent. A line for each vocabulary tells how many are known. Pieces that the parent has not learnt yet start with
    the mean of its biases.

    Raises:
        ConfigError: The parent has other layers; or no piece that the data have; or source and target share a
            vocabulary in one of the two only.
        ModelError: The parent's folder holds no model, or a damaged one.
    """
    older, of_parent = load_either(parent, device=torch.device("cpu"))
    for name, (old, new) in changed_settings(of_parent, settings, "model").items():
        if not name.endswith(_FREE):
            raise ConfigError(
                f"{name} is {new!r}, but the parent {parent} has {old!r}, so its weights do not fit; leave the setting "
                "out, or train without a parent"
            )
    known, tensors = load_own_tokenizers(parent), model_tensors(older)
    if known.joint != tokenizers.joint:
        kinds = {True: "one tokenizer for both sides", False: "a tokenizer for each side"}
        raise ConfigError(
            f"the parent {parent} has {kinds[known.joint]}, but the data were prepared with {kinds[tokenizers.joint]}: "
            f"prepare them with tokenizer.joint = {str(known.joint).lower()}"
        )
    bias = tensors["output.bias"]
    tensors["output.bias"] = torch.where(bias <= ASLEEP, bias[bias > ASLEEP].mean(), bias)
    rows = {
        "src": _common("source", tokenizers.src.pieces, known.src.pieces),
        "tgt": _common("target", tokenizers.tgt.pieces, known.tgt.pieces),
    }
    generator = torch.Generator().manual_seed(settings.training.seed)
    for name, tensor in tensors.items():
        if side := SIDES.get(name.partition(".")[0]):
            tensors[name] = _taken_over(tensor, rows[side], generator, drawn=not name.endswith(".given"))
    load_tensors(model, tensors, where=parent / WEIGHTS)
    for side in ("tgt",) if known.joint else ("src", "tgt"):
        of_side, noun = rows[side], "piece" if known.joint else f"{rows[side].name} piece"
        told = f"from {parent}: {len(of_side.here):,} of {counted(of_side.size, noun)} are known to it"
        if new := of_side.size - len(of_side.here):
            told += f"; {counted(new, 'other')} start from the mean and deviation of those of the parent"
        on_message(told)


def lineage(parent: Path) -> tuple[dict[str, Any], ...]:
    """Say what a model came from, for its card: its parent, and what that came from."""
    training = read_training(parent)
    itself = {"model": parent.absolute().name, "sha256": sha256(parent / WEIGHTS), "step": training.get("step", 0)}
    return itself, *training.get("parents", ())


def _common(name: str, pieces: Sequence[str], of_parent: Sequence[str]) -> _Rows:
    """Find the pieces that both vocabularies have."""
    ids = {piece: index for index, piece in enumerate(of_parent)}
    here = [index for index, piece in enumerate(pieces) if piece in ids]
    if not here or here[-1] <= EOS:
        raise ConfigError(f"the parent knows none of the {counted(len(pieces), f'{name} piece')} of the data")
    return _Rows(name, torch.tensor(here), torch.tensor([ids[pieces[index]] for index in here]), len(pieces))


def _taken_over(table: Tensor, rows: _Rows, generator: torch.Generator, *, drawn: bool) -> Tensor:
    """Return the table [V, *] of another vocabulary, from that of the parent, [V', *], whose other rows are drawn, or
    zeros."""
    learnt, new = table[rows.there], torch.zeros(rows.size, *table.shape[1:])
    if drawn:
        new.normal_(generator=generator).mul_(learnt.std(dim=0)).add_(learnt.mean(dim=0))
    new[rows.here] = learnt
    return new
