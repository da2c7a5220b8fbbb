"""Search with a shortlist: for each sentence, only the pieces on it are scored.

The output layer multiplies by the pieces of all sentences of a batch at once; then each sentence takes its own. Which
pieces the others have, and how many, changes none of its products: they are exact sums of integers, or come from the
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
from nmt.models.kernels import INT8_LIMIT, int8_product
from nmt.models.prepacked import LINEAR, SearchPrecision, quantised
from nmt.models.seq2seq import Seq2Seq
from nmt.text.vocab import PAD

_COLUMN_MULTIPLE: Final = 64
"""Pieces multiplied together are filled up to a multiple of this: libraries sum in another order for a single one, and
prepare themselves anew for every number."""

ShortlistedMemory = tuple[Memory, Tensor]
"""Encoded sources and the pieces that their translations may be made from, [B, L]."""


@dataclass(frozen=True)
class _Layer:
    """The part of the output layer that a batch needs."""

    products: Callable[[Tensor], Tensor]
    """From features [R, F] in [-1, 1] to what N pieces make of them before scale and bias, [R, N]."""
    places: Tensor
    """Where among the products the pieces of each sentence are, [B, 1, L]."""
    scales: Tensor | None
    """What the products are multiplied with, [B, 1, L]; None: 1."""
    biases: Tensor
    """[B, 1, L]."""

    def logits(self, features: Tensor) -> Tensor:
        """Score the pieces of each sentence from features [B, K, F]: [B, K, L]."""
        batch, beams, _ = features.shape
        products = self.products(features.flatten(0, 1)).view(batch, beams, -1)  # [B, K, N]
        chosen = products.gather(2, self.places.expand(-1, beams, -1)).float()
        if self.scales is not None:
            chosen.mul_(self.scales)
        return chosen.add_(self.biases)


@dataclass(frozen=True)
class ShortlistedState:
    """The state of the decoder and the pieces that are scored."""

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
        self._precision = precision
        self._bias = output.bias.detach().float().clone()
        self._scales: Tensor | None = None
        """In 8 bits, those of products of integers, [V]."""
        if precision == "int8":
            self._weight, scales = quantised(output.weight)
            self._scales = scales / INT8_LIMIT
        else:
            kind = torch.bfloat16 if precision == "bf16" else torch.float32
            self._weight = output.weight.detach().clone().to(kind)

    def layer(self, pieces: Tensor) -> _Layer:
        """Put together what scores `pieces` [B, L]."""
        flat, shape = pieces.flatten(), (len(pieces), 1, pieces.shape[1])
        union = torch.bincount(flat, minlength=len(self._bias)).nonzero().squeeze(1)
        place = torch.empty_like(self._bias, dtype=torch.int64)  # [V]
        place[union] = torch.arange(len(union))
        union = nn.functional.pad(union, (0, -len(union) % _COLUMN_MULTIPLE), value=PAD)
        return _Layer(
            products=self._products(self._weight.index_select(0, union)),
            places=place.index_select(0, flat).view(shape),
            scales=None if self._scales is None else self._scales.index_select(0, flat).view(shape),
            biases=self._bias.index_select(0, flat).view(shape),
        )

    def _products(self, rows: Tensor) -> Callable[[Tensor], Tensor]:
        """Return what multiplies by rows of the weight, [N, F]."""
        if self._scales is None:
            return LINEAR[self._precision](rows, None)
        # to prepack rows costs more than to multiply by them, and they change every few steps
        multiply = int8_product(rows)
        return lambda features: multiply((features * INT8_LIMIT).round_().to(torch.int8))


class ShortlistedModel:
    """A model for inference that scores, for each sentence, a shortlist of pieces chosen by its source (Jean et al.,
    2015); the probability of all others is shared out among these."""

    def __init__(self, model: Seq2Seq, output: ShortlistedOutput, *, choose: Callable[[Tensor], Tensor]) -> None:
        """Put a shortlist in front of a model, which is shared, so that it serves without one too.

        Args:
            model: Made by `for_inference`.
            output: Made of the output layer of the model that it was made from, in its precision.
            choose: Makes of padded sources, [B, S], the pieces of each, ascending and the special ids first, [B, L]:
                each from its own source; padding changes nothing.
        """
        self._model = model
        self._output = output
        self._choose = choose

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self._model.device

    def encode(self, src: SourceBatch) -> ShortlistedMemory:
        """Encode padded sources, and choose the pieces of each."""
        return self._model.encode(src), self._choose(src.ids)

    def start(self, memory: ShortlistedMemory) -> ShortlistedState:
        """Return the decoder's state before `<s>`, with one beam a sentence."""
        encoded, pieces = memory
        return ShortlistedState(self._model.start(encoded), pieces, None)

    def step(self, prev_ids: Tensor, state: ShortlistedState) -> tuple[Tensor, ShortlistedState]:
        """Score the pieces of each sentence after `prev_ids` [B, K]: logits [B, K, L] and the next state."""
        features, decoder = self._model.decoder.step(self._model.tgt_embedding(prev_ids), state.decoder)
        layer = state.layer or self._output.layer(state.pieces)
        return layer.logits(features), ShortlistedState(decoder, state.pieces, layer)
