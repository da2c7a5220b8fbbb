"""Search that scores only those words which a sentence's translation may be made from.

The output layer multiplies by the words of all sentences of a batch at once; then each sentence takes its own. Which
words the others have, and how many, changes none of its products: they are exact sums of integers, or come from the
prepacked products, whose columns know each other as little as their rows (docs/decisions/0010).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor, nn

from nmt.batching import SourceBatch
from nmt.models.attention import Memory
from nmt.models.decoder import DecoderState
from nmt.models.devices import SearchPrecision
from nmt.models.kernels import LINEAR, int8_product, quantised
from nmt.models.seq2seq import Seq2Seq
from nmt.text.vocab import PAD

_COLUMN_MULTIPLE: Final = 64
"""Words multiplied together are filled up to a multiple of this: libraries sum in another order for a single one, and
prepare themselves anew for every number."""

_INT8_LIMIT: Final = 127
"""What a feature of 1 becomes in 8 bits."""

Choose = Callable[[Tensor], Tensor]
"""From padded sources [B, S] to the words of each, ascending and the special ids first, [B, L]."""

_Products = Callable[[Tensor], Tensor]
"""From features [R, F] in [-1, 1] to what N words make of them before scale and bias, [R, N]."""


@dataclass(frozen=True)
class ShortlistedMemory:
    """Encoded sources and the words that their translations may be made from."""

    memory: Memory
    pieces: Tensor
    """[B, L]."""


@dataclass(frozen=True)
class _Layer:
    """The part of the output layer that a batch needs."""

    products: _Products
    places: Tensor
    """Where among the products the words of each sentence are, [B, 1, L]."""
    scales: Tensor | None
    """What the products are multiplied with, [B, 1, L]; None: 1."""
    biases: Tensor
    """[B, 1, L]."""

    def logits(self, features: Tensor) -> Tensor:
        """Score the words of each sentence from features [B, K, F]: [B, K, L]."""
        batch, beams, _ = features.shape
        products = self.products(features.flatten(0, 1)).view(batch, beams, -1)  # [B, K, N]
        chosen = products.gather(2, self.places.expand(-1, beams, -1)).float()
        if self.scales is not None:
            chosen.mul_(self.scales)
        return chosen.add_(self.biases)


@dataclass(frozen=True)
class ShortlistedState:
    """The state of the decoder and the words that are scored."""

    decoder: DecoderState
    pieces: Tensor
    """[B, L]."""
    layer: _Layer | None
    """What scores them; None where the batch has changed since it was last needed."""

    @property
    def attention(self) -> Tensor:
        """How much the last step read of each source position, [B, K, S]."""
        return self.decoder.attention

    def select(self, parents: Tensor) -> "ShortlistedState":
        """Reorder beams: the new beam k of sentence b continues `parents[b, k]`; parents [B, K']."""
        return replace(self, decoder=self.decoder.select(parents))

    def take(self, sentences: Tensor) -> "ShortlistedState":
        """Keep `sentences` [B'], in this order."""
        return ShortlistedState(self.decoder.take(sentences), self.pieces.index_select(0, sentences), None)

    def join(self, other: "ShortlistedState") -> "ShortlistedState":
        """Append the sentences of `other`, whose shortlists are as long."""
        return ShortlistedState(self.decoder.join(other.decoder), torch.cat([self.pieces, other.pieces]), None)


class ShortlistedOutput:
    """The output layer of a model, of which parts can be taken; never changed."""

    def __init__(self, output: nn.Linear, precision: SearchPrecision) -> None:
        """Copy a layer as it was trained."""
        self._rows: _Int8Rows | _FloatRows
        self._rows = _Int8Rows(output.weight) if precision == "int8" else _FloatRows(output.weight, precision)
        self._bias = output.bias.detach().float().clone()

    def layer(self, words: Tensor) -> _Layer:
        """Put together what scores `words` [B, L]."""
        flat, shape = words.flatten(), (len(words), 1, words.shape[1])
        union = torch.bincount(flat, minlength=len(self._bias)).nonzero().squeeze(1)
        place = torch.empty_like(self._bias, dtype=torch.int64)  # [V]
        place[union] = torch.arange(len(union))
        union = nn.functional.pad(union, (0, -len(union) % _COLUMN_MULTIPLE), value=PAD)
        scales = self._rows.scales
        return _Layer(
            products=self._rows.products(union),
            places=place.index_select(0, flat).view(shape),
            scales=None if scales is None else scales.index_select(0, flat).view(shape),
            biases=self._bias.index_select(0, flat).view(shape),
        )


class ShortlistedModel:
    """A model for inference that scores for each sentence a few words chosen from its source (Jean et al., 2015).

    The probability of all other words is shared out among these.
    """

    def __init__(self, model: Seq2Seq, output: ShortlistedOutput, *, choose: Choose) -> None:
        """Put a shortlist in front of a model.

        Args:
            model: Made by `for_inference`; shared, so that it serves without a shortlist too.
            output: Made of the output layer of the model that it was made from, in its precision; shared too.
            choose: Makes the shortlists, all of one length, each from its own source; padding changes nothing.
        """
        self._model = model
        self._output = output
        self._choose = choose

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self._model.device

    def encode(self, src: SourceBatch) -> ShortlistedMemory:
        """Encode padded sources, and choose the words of each."""
        return ShortlistedMemory(self._model.encode(src), self._choose(src.ids))

    def start(self, memory: ShortlistedMemory) -> ShortlistedState:
        """Return the decoder's state before `<s>`, with one beam a sentence."""
        return ShortlistedState(self._model.start(memory.memory), memory.pieces, None)

    def step(self, prev_ids: Tensor, state: ShortlistedState) -> tuple[Tensor, ShortlistedState]:
        """Score the words of each sentence after `prev_ids` [B, K]: logits [B, K, L] and the next state."""
        features, decoder = self._model.decoder.step(self._model.tgt_embedding(prev_ids), state.decoder)
        layer = state.layer or self._output.layer(state.pieces)
        return layer.logits(features), ShortlistedState(decoder, state.pieces, layer)


class _FloatRows:
    """The weight of an output layer, whose rows can be taken."""

    scales = None

    def __init__(self, weight: Tensor, precision: SearchPrecision) -> None:
        self.precision: SearchPrecision = precision
        self.weight = weight.detach().clone().to(torch.bfloat16 if precision == "bf16" else torch.float32)

    def products(self, words: Tensor) -> _Products:
        """Prepack the rows of `words` [N]."""
        return LINEAR[self.precision](self.weight.index_select(0, words), None)


class _Int8Rows:
    """The weight of an output layer in 8 bits, whose rows can be taken as they are.

    The library lays out prepacked products slower than it multiplies, too slow for rows that change every few steps; it
    multiplies the plain ones as fast.
    """

    def __init__(self, weight: Tensor) -> None:
        self.weight, scales = quantised(weight)
        self.scales = scales / _INT8_LIMIT
        """Of products of integers, [V]."""

    def products(self, words: Tensor) -> _Products:
        """Take the rows of `words` [N]."""
        columns = self.weight.index_select(0, words).t()  # [F, N]
        return lambda features: int8_product((features * _INT8_LIMIT).round_().to(torch.int8), columns)
