"""Texts read in blocks: memory does not grow with their length, and nothing depends on what is read beside them.

Lines by themselves are read many at a time, on a CPU by prepacked layers, whose rows do not depend on each other
(docs/decisions/0010). One text is read by the library's fused layers, which are ten times as fast for a single row; its
blocks have one length and begin at fixed places, so that all is computed in the same way however it comes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from nmt.errors import ModelError
from nmt.models.devices import Precision, autocast
from nmt.models.inference import for_inference
from nmt.models.language_model import LanguageModel, TextState
from nmt.vocab import EOS


@dataclass(frozen=True)
class Shape:
    """How many texts are read at once, and how many pieces of each."""

    rows: int
    steps: int


_APART: Final = {"cpu": Shape(rows=32, steps=16), "cuda": Shape(rows=256, steps=32)}
_ON: Final = {"cpu": Shape(rows=1, steps=64), "cuda": Shape(rows=1, steps=256)}


@dataclass(frozen=True)
class BlockReader:
    """A language model made ready to read blocks."""

    model: LanguageModel
    """In evaluation mode."""
    output: nn.Module
    """Its output layer."""
    autocast_to: Precision
    """The arithmetic of layers that do not have their own."""
    shape: Shape

    @torch.inference_mode()
    def read(self, ids: Tensor, state: TextState | None) -> tuple[Tensor, TextState]:
        """Read on in texts: ids [R, T]; return the features of every next piece, [R, T, F], and the state."""
        with autocast(self.model.device, self.autocast_to):
            features, after = self.model(ids.to(self.model.device), state)
        return features.float(), after

    @torch.inference_mode()
    def log_probs(self, features: Tensor, gold: Tensor) -> list[float]:
        """Return the log-probabilities of the pieces `gold` [N], given their features [N, F].

        Raises:
            ModelError: The model gives scores that are not finite numbers.
        """
        with autocast(self.model.device, self.autocast_to):
            logits = self.output(features)  # [N, V]
        log_probs = logits.log_softmax(dim=1, dtype=torch.float32)
        found: list[float] = log_probs.gather(1, gold.to(log_probs.device)[:, None]).squeeze(1).tolist()
        if not all(map(math.isfinite, found)):
            raise ModelError("the model gives scores that are not finite numbers; its weights cannot be used")
        return found


def make_readers(model: LanguageModel, precision: Precision) -> tuple[BlockReader, BlockReader]:
    """Make a model ready on the device it is on: to read texts by themselves, and to read on in one."""
    device = model.device.type
    apart, on = _APART[device], _ON[device]
    if device == "cuda":
        return BlockReader(model, model.output, precision, apart), BlockReader(model, model.output, precision, on)
    prepacked = for_inference(model, precision)
    return BlockReader(prepacked, prepacked.output, "fp32", apart), BlockReader(model, prepacked.output, precision, on)


def score_apart(reader: BlockReader, texts: Sequence[Sequence[int]]) -> list[list[float]]:
    """Score the pieces of texts, each by itself, `</s>` at its end too.

    Args:
        reader: The first of `make_readers`.
        texts: Ids, without `</s>`.

    Returns:
        For each text, in order, the log-probability of each of its pieces and of `</s>`.

    Raises:
        ModelError: The model gives scores that are not finite numbers.
    """
    found: list[list[float]] = [[] for _ in texts]
    waiting = sorted(range(len(texts)), key=lambda number: len(texts[number]))  # the longest is taken first
    rows: list[_Row | None] = [None] * reader.shape.rows
    state: TextState | None = None
    while waiting or any(rows):
        fresh = [i for i, row in enumerate(rows) if row is None]
        for i in fresh[: len(waiting)]:
            number = waiting.pop()
            rows[i] = _Row(number, torch.tensor([EOS, *texts[number], EOS]))
        if state is not None:
            state = _forgetting(state, fresh)
        ids, gold, known = _block(rows, reader.shape.steps)
        features, state = reader.read(ids, state)
        scores = iter(reader.log_probs(features[known.to(features.device)], gold[known]))
        for i, count in enumerate(known.sum(dim=1).tolist()):
            if row := rows[i]:
                found[row.number] += [next(scores) for _ in range(count)]
                rows[i] = row.after(count)
    return found


class RunningText:
    """One text that is read on as it comes, from its first piece, before which stands `</s>`.

    Its blocks begin at fixed places. One that is not full yet is read anew when more of it has come, so no score
    depends on how much came at once.
    """

    def __init__(self, reader: BlockReader) -> None:
        """Begin with nothing read; `reader` is the second of `make_readers`."""
        self._reader = reader
        self._state: TextState | None = None  # before the block
        self._begun = [EOS]  # the pieces of the block so far; the last one has not been read on from

    def score(self, pieces: Sequence[int]) -> list[float]:
        """Return the log-probabilities of the next pieces of the text.

        Raises:
            ModelError: The model gives scores that are not finite numbers.
        """
        steps, text, found = self._reader.shape.steps, [*self._begun, *pieces], list[float]()
        first, done = 0, len(self._begun) - 1  # where the block begins, and what has been read on from
        while len(text) > done + 1:
            block = torch.tensor(text[first : first + steps + 1])
            count = len(block) - 1
            ids = torch.full((1, steps), EOS)
            ids[0, :count] = block[:-1]
            features, state = self._reader.read(ids, self._state)
            found += self._reader.log_probs(features[0, done - first : count], block[done - first + 1 :])
            done = first + count
            if count == steps:
                first, self._state = done, state
        self._begun = text[first:]
        return found


@dataclass(frozen=True)
class _Row:
    """A text under way."""

    number: int
    pieces: Tensor
    """What is left of it, the piece to read on from first."""

    def after(self, count: int) -> "_Row | None":
        """Return what is left when `count` pieces have been read on from, if anything is."""
        return _Row(self.number, self.pieces[count:]) if len(self.pieces) > count + 1 else None


def _block(rows: Sequence[_Row | None], longest: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the pieces to read, those that follow them, and where there are any: [R, T] each, T at most `longest`."""
    steps = min(longest, max(len(row.pieces) - 1 for row in rows if row))
    ids, gold = (torch.full((len(rows), steps), EOS) for _ in range(2))
    known = torch.zeros(ids.shape, dtype=torch.bool)
    for i, row in enumerate(rows):
        if row is not None:
            pieces = row.pieces[: steps + 1]
            count = len(pieces) - 1
            ids[i, :count], gold[i, :count], known[i, :count] = pieces[:-1], pieces[1:], True
    return ids, gold, known


def _forgetting(state: TextState, rows: Sequence[int]) -> TextState:
    """Return a state in which nothing is before the texts `rows`."""
    index = torch.tensor(rows, dtype=torch.int64, device=state[0][0].device)
    return tuple(tuple(part.index_fill(0, index, 0) for part in layer) for layer in state)
