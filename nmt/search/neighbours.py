"""Translation beside pairs of a memory: what the decoder would do next in their targets has a say in every step.

For each source, pairs with similar sources are read with their targets given. Whatever the output layer would read
before each piece of these is a key, the piece its value. While the source is translated, the nearest keys to what the
output layer reads vote for their values, the nearer the more (Khandelwal et al., 2021); the keys are those of the
sentence alone, and how much the vote counts follows from how near the nearest one is (SK-MT: Dai et al., 2023).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Final

import numpy as np
import torch
from torch import Tensor

from nmt.batching import SourceBatch, source_batch, target_batch
from nmt.models.attention import Memory
from nmt.models.decoder import DecoderState
from nmt.models.kernels import batched_product
from nmt.models.seq2seq import Seq2Seq
from nmt.models.tensors import Rows, padded, sent
from nmt.text.sequences import FlatSequences
from nmt.text.vocab import EOS, PAD

_LEVELS: Final = 127
"""Features, which lie in [-1, 1], are rounded to whole numbers of this size at most, so that sums of their products are
exact: no distance depends on the order in which a library sums, and so on what shares the batch."""
_EXACT: Final = 2**24
"""Up to here float32 holds every whole number."""
_KEYS_MULTIPLE: Final = 64
"""Places for the keys of a sentence are a multiple of this, so that shapes come again: a GPU records the steps of
each."""
_FAR: Final = 2**27
"""Farther than any key: the place of one that is not there."""
_PLACES: Final = 2**20
"""More than a sentence has places."""
_READ_AT_ONCE: Final = 256
"""Pairs that are read together."""
_MOST_WEIGHT: Final = 0.99
"""Of the neighbours: what the model itself would say next stays possible."""


@dataclass(frozen=True)
class Neighbour:
    """A pair whose source is like one that is translated, as pieces without `</s>`."""

    src: tuple[int, ...]
    tgt: tuple[int, ...]


Find = Callable[[Sequence[int]], Sequence[Neighbour]]
"""Finds the neighbours of a source, given as pieces without `</s>` in the order in which people read them."""


@dataclass(frozen=True)
class Vote:
    """How the nearest keys vote."""

    nearest: int
    """Keys that are counted."""
    reach: float
    """The temperature: distances, mean squared differences of features, are divided by it; the lower, the more the
    nearest one counts."""
    weight: float | None
    """Of the vote in the next piece's distribution; None: 1 - distance of the nearest / reach, at least 0."""


@dataclass(frozen=True)
class Datastore(Rows):
    """What comes next where in the neighbours of B sentences, M places each."""

    keys: Tensor
    """Whole numbers as float32, [B, M, F]."""
    squares: Tensor
    """The sums of the squares of keys, [B, M]."""
    values: Tensor
    """Pieces, [B, M]; PAD where there is none."""


@dataclass(frozen=True)
class NeighbourState(Rows):
    """The state of the decoder and what has been read of the neighbours."""

    decoder: DecoderState
    store: Datastore

    @property
    def attention(self) -> Tensor:
        """How much the last step read of each source position, [B, K, S]."""
        return self.decoder.attention

    @property
    def pieces(self) -> None:
        """Every piece is scored."""
        return None

    def select(self, parents: Tensor) -> "NeighbourState":
        """Reorder beams: the new beam k of sentence b continues `parents[b, k]`; parents [B, K']."""
        return replace(self, decoder=self.decoder.select(parents))


class NeighbourModel:
    """A model for inference that mixes the vote of neighbours into its distribution.

    What it gives as logits are logarithms of probabilities.
    """

    def __init__(self, model: Seq2Seq, find: Find, vote: Vote, *, reverse_source: bool) -> None:
        """Put neighbours beside a model, made by `for_search`, that reads sources reversed or not."""
        self._model = model
        self._find = find
        self._vote = vote
        self._reverse_source = reverse_source
        self._levels = min(_LEVELS, math.isqrt(_EXACT // model.decoder.sizes.features))

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self._model.device

    def encode(self, src: SourceBatch) -> tuple[Memory, Datastore]:
        """Encode padded sources, and read the neighbours of each."""
        ids, lengths = src.ids.tolist(), src.lengths.tolist()
        sources = [row[: length - 1] for row, length in zip(ids, lengths, strict=True)]
        found = [self._find(source[::-1] if self._reverse_source else source) for source in sources]
        return self._model.encode(src), self._store(found)

    def start(self, memory: tuple[Memory, Datastore]) -> NeighbourState:
        """Return the decoder's state before `<s>`, with one beam a sentence."""
        encoded, store = memory
        return NeighbourState(self._model.start(encoded), store)

    def step(self, prev_ids: Tensor, state: NeighbourState) -> tuple[Tensor, NeighbourState]:
        """Score every next piece after `prev_ids` [B, K]: log-probabilities [B, K, V] and the next state."""
        features, decoder = self._model.features(prev_ids, state.decoder)
        log_probs = self._model.output(features).log_softmax(dim=-1, dtype=torch.float32)
        if state.store.values.shape[1]:
            self._mix(log_probs, self._rounded(features), state.store)
        return log_probs, replace(state, decoder=decoder)

    def _mix(self, log_probs: Tensor, queries: Tensor, store: Datastore) -> None:
        """Let the neighbours vote for what comes after `queries` [B, K, F], in log-probabilities [B, K, V] in place."""
        distances, values = self._nearest(queries, store)  # [B, K, N]
        heated = distances / self._vote.reach
        first = heated[:, :, :1]
        weight = 1 - first if self._vote.weight is None else (first < math.inf) * self._vote.weight
        weight = weight.clamp(0.0, _MOST_WEIGHT)  # [B, K, 1]
        shares = (-heated).softmax(dim=2).nan_to_num_(0.0)
        same = values[:, :, :, None] == values[:, :, None]
        shares = (same * shares[:, :, None]).sum(dim=3)  # of each value, all its keys together
        log_probs.add_((-weight).log1p_().float())
        own = log_probs.gather(2, values).double()
        log_probs.scatter_(2, values, own.logaddexp((weight * shares).log_()).float())

    def _nearest(self, queries: Tensor, store: Datastore) -> tuple[Tensor, Tensor]:
        """Find the nearest keys, equal ones in their order: distances, float64, and values, [B, K, N] each."""
        products = batched_product(queries, store.keys.transpose(1, 2)).long()
        own = queries.square().sum(dim=2).long()
        distances = own[:, :, None] + store.squares[:, None] - 2 * products  # [B, K, M]
        distances.masked_fill_((store.values == PAD)[:, None], _FAR)
        places = torch.arange(distances.shape[2], device=distances.device)
        ranked = torch.add(places, distances, alpha=_PLACES).topk(self._vote.nearest, dim=2, largest=False).values
        near = ranked.div(_PLACES, rounding_mode="floor")
        values = store.values[:, None].expand(-1, queries.shape[1], -1).gather(2, ranked.remainder(_PLACES))
        unit = self._levels**2 * store.keys.shape[2]
        return near.double().div_(unit).masked_fill_(near == _FAR, math.inf), values

    def _rounded(self, features: Tensor) -> Tensor:
        return features.float().mul(self._levels).round_()

    def _store(self, found: Sequence[Sequence[Neighbour]]) -> Datastore:
        """Put what was read of the neighbours of each sentence side by side."""
        read = self._read(list(dict.fromkeys(chain.from_iterable(found))))
        none = torch.zeros(0, self._model.decoder.sizes.features, device=self.device)
        keys = [torch.cat([none, *(read[one] for one in some)]) for some in found]
        values = [
            torch.tensor([piece for one in some for piece in (*one.tgt, EOS)], dtype=torch.int64) for some in found
        ]
        places = -(-max(map(len, values)) // _KEYS_MULTIPLE) * _KEYS_MULTIPLE
        stacked = torch.stack([padded(part, places, dim=0) for part in keys])
        pieces = torch.stack([padded(part, places, dim=0) for part in values])
        return Datastore(stacked, stacked.square().sum(dim=2).long(), sent(pieces, self.device))

    def _read(self, pairs: Sequence[Neighbour]) -> dict[Neighbour, Tensor]:
        """Return the keys of each pair, [T, F]: what the output layer would read before each piece and `</s>`."""
        ordered = sorted(pairs, key=lambda pair: len(pair.tgt))  # so that equal lengths meet
        read: dict[Neighbour, Tensor] = {}
        for first in range(0, len(ordered), _READ_AT_ONCE):
            some = ordered[first : first + _READ_AT_ONCE]
            rows = np.arange(len(some))
            src = source_batch(
                FlatSequences.from_lists([pair.src for pair in some]), rows, reverse_source=self._reverse_source
            )
            inputs = sent(target_batch(FlatSequences.from_lists([pair.tgt for pair in some]), rows).inputs, self.device)
            src = SourceBatch(sent(src.ids, self.device), sent(src.lengths, self.device))
            state, steps = self._model.start(self._model.encode(src)), list[Tensor]()
            for piece in torch.split(inputs, 1, dim=1):  # by the steps of a search: keys and queries have the same bits
                features, state = self._model.features(piece, state)
                steps.append(self._rounded(features))
            keys = torch.cat(steps, dim=1)  # [N, T, F]
            read |= {pair: keys[row, : len(pair.tgt) + 1] for row, pair in enumerate(some)}
        return read
