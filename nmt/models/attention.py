"""What the encoder hands to the decoder, and attention: queries are compared with the keys of every source position,
and read the weighted mean of the values."""

import math
from dataclasses import dataclass
from functools import partial, reduce
from typing import Final, Literal

import torch
from torch import Tensor, nn

from nmt.models.kernels import Linear, batched_product
from nmt.models.tensors import Rows, padded

SOURCE_MULTIPLE: Final = 16
"""In search, sources are padded to a multiple of this many positions: the products over them then sum in one order."""
CELL_MULTIPLE: Final = 32
"""In search, their vectors are filled up to a multiple of this many cells: then the library computes the products of
every sentence in one way, small ones too, wherever among the others it stands."""

_KEPT_CELLS: Final = {"cpu": 2**62, "cuda": 2**28}
"""Cells of additive attention, [B, Q, S, H], that are kept for their gradients: half a GiB in bf16."""

_PARTS: Final = 8
"""Parts of a batch's memory, at most: each is read by calls of its own."""


@dataclass(frozen=True)
class Memory(Rows):
    """Encoded sources, once per sentence whatever the number of beams."""

    values: Tensor
    """Encoder outputs, [B, S, M]; in search, cells of zeros may stand after the M real ones, here and in `keys`."""
    keys: Tensor
    """What queries of H cells are compared with, made from `values` once by the attention, [B, S, H]."""
    mask: Tensor
    """True at real source positions, [B, S]."""
    summary: Tensor
    """What the decoder starts from, [B, N]: the last outputs of each direction side by side, N = M; or the whole last
    state of every layer."""

    def take(self, sentences: Tensor) -> "Memory":
        """Keep `sentences` [B'], in this order, and no more positions than they need."""
        mask = self.mask.index_select(0, sentences)
        size = _rounded(int(mask.sum(dim=1).max())) if len(sentences) else 0
        values, keys = (part[:, :size].index_select(0, sentences) for part in (self.values, self.keys))
        return Memory(values, keys, mask[:, :size], self.summary.index_select(0, sentences))

    def padded(self) -> "Memory":
        """Fill up to multiples of SOURCE_MULTIPLE positions and CELL_MULTIPLE cells; all but real outputs are zero."""
        size, real = _rounded(self.mask.shape[1]), self.mask[:, :, None]
        more = size - self.mask.shape[1]
        values, keys = (
            nn.functional.pad(part.where(real, 0.0), (0, -part.shape[2] % CELL_MULTIPLE, 0, more))
            for part in (self.values, self.keys)
        )
        return Memory(values, keys, padded(self.mask, size, dim=1), self.summary)


@dataclass(frozen=True)
class Memories:
    """The encoded sources of B sentences in parts, one after the other.

    On a CPU parts are joined without a copy, and each is as long as its own sentences need.
    """

    parts: tuple[Memory, ...]

    @property
    def size(self) -> int:
        """S of the longest part."""
        return max(part.mask.shape[1] for part in self.parts)

    def take(self, sentences: Tensor) -> "Memories":
        """Keep `sentences` [B'], in this order."""
        if len(self.parts) == 1 or not bool((sentences.diff() > 0).all()) or not len(sentences):
            return Memories((reduce(Memory.join, self.parts).take(sentences),))
        parts, first = [], 0
        for part in self.parts:
            kept = sentences[(sentences >= first) & (sentences < first + len(part.mask))] - first
            if len(kept):
                parts.append(part if len(kept) == len(part.mask) else part.take(kept))
            first += len(part.mask)
        return Memories(tuple(parts))

    def join(self, other: "Memories") -> "Memories":
        """Append the sentences of `other`."""
        parts = [*self.parts, *other.parts]
        while len(parts) > (_PARTS if parts[0].mask.is_cpu else 1):
            counts = [len(part.mask) for part in parts]
            least = min(range(len(parts) - 1), key=lambda i: counts[i] + counts[i + 1])
            parts[least : least + 2] = [parts[least].join(parts[least + 1])]
        return Memories(tuple(parts))


def _rounded(size: int) -> int:
    return -(-size // SOURCE_MULTIPLE) * SOURCE_MULTIPLE


AttentionKind = Literal["dot", "scaled_dot", "general", "additive", "none"]


class Attention(nn.Module):
    """Dot-product attention (Luong et al., 2015, eq. 8, "dot"); the other kinds change `queries`, `keys` or `scores`.

    Queries come as [B, Q, H], where Q counts target steps in training and beams in search; M is the size of encoder
    outputs, for dot products the same. The cells of a memory may be filled up with zeros after the real ones
    (`Memory.padded`).

    Several heads (after Vaswani et al., 2017, sec. 3.2.2) cut queries, keys and values into as many parts, each
    compared and read by itself. Values are not projected: what a bidirectional encoder has read from left to right and
    what it has read from right to left are read by different heads.
    """

    def __init__(self, context_size: int, *, heads: int = 1) -> None:
        super().__init__()
        self.context_size = context_size
        """Cells of a context."""
        self.heads = heads

    def values(self, outputs: Tensor) -> Tensor:
        """Choose of encoder outputs [B, S, M] what contexts are made from."""
        return outputs

    def keys(self, values: Tensor) -> Tensor:
        """Make from encoder outputs [B, S, M], once per sentence, what queries are compared with, [B, S, H]."""
        return values

    def queries(self, queries: Tensor) -> Tensor:
        """Make from what the decoder puts out, [B, Q, H], what is compared with keys, [B, Q, H]."""
        return queries

    def scores(self, queries: Tensor, keys: Tensor, *, head: int = 0) -> Tensor:
        """Compare what a head has of queries, [B, Q, D], with what it has of keys, [B, S, D]: [B, Q, S]."""
        return batched_product(padded(queries, keys.shape[2], dim=2), keys.transpose(1, 2))

    def forward(self, queries: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Read from `memory` what `queries` [B, Q, H] ask for: contexts [B, Q, M] and their weights, of several heads
        the mean, [B, Q, S]."""
        asked = self.queries(queries)
        if self.heads == 1:
            contexts, weights = self._read(asked, memory.keys, memory.values, mask=memory.mask)
            return contexts[:, :, : self.context_size], weights
        size, cells = asked.shape[2] // self.heads, self.context_size // self.heads
        parts = zip(
            asked.chunk(self.heads, dim=2), self._cut(memory.keys, size), self._cut(memory.values, cells), strict=True
        )
        read = [self._read(*part, mask=memory.mask, head=head) for head, part in enumerate(parts)]
        contexts = torch.cat([context[:, :, :cells] for context, _ in read], dim=2)
        return contexts, torch.stack([weights for _, weights in read]).mean(dim=0)

    def _cut(self, x: Tensor, size: int) -> list[Tensor]:
        """Cut what is read, [B, S, *], into so many cells for each head, filled up as `Memory.padded` does."""
        real = torch.split(x[:, :, : self.heads * size], size, dim=2)
        return [padded(part, size + -size % CELL_MULTIPLE, dim=2) for part in real]

    def _read(
        self, queries: Tensor, keys: Tensor, values: Tensor, *, mask: Tensor, head: int = 0
    ) -> tuple[Tensor, Tensor]:
        scores = self.scores(queries, keys, head=head).float()
        weights = scores.masked_fill(~mask[:, None, :], -math.inf).softmax(dim=2)
        return batched_product(weights.to(values.dtype), values).to(values.dtype), weights

    def read(self, queries: Tensor, memories: "Memories") -> tuple[Tensor, Tensor]:
        """Do so where sentences have their memories in several parts."""
        if len(memories.parts) == 1:
            return self(queries, memories.parts[0])  # type: ignore[no-any-return]
        shares = torch.split(queries, [len(part.mask) for part in memories.parts])
        found = [self(some, part) for some, part in zip(shares, memories.parts, strict=True)]
        weights = [padded(weights, memories.size, dim=2) for _, weights in found]
        return torch.cat([contexts for contexts, _ in found]), torch.cat(weights)


class ScaledDotAttention(Attention):
    """Dot product divided by the square root of the size, that of a head (Vaswani et al., 2017, sec. 3.2.1)."""

    def scores(self, queries: Tensor, keys: Tensor, *, head: int = 0) -> Tensor:
        """Compare queries [B, Q, D] with keys [B, S, D]: [B, Q, S]."""
        return super().scores(queries / math.sqrt(queries.shape[2]), keys)


class GeneralAttention(Attention):
    """A bilinear form (Luong et al., 2015, eq. 8, "general"), its matrix applied to the keys once."""

    def __init__(self, *, query_size: int, value_size: int, heads: int = 1) -> None:
        super().__init__(value_size, heads=heads)
        self.key_projection = Linear(value_size, query_size, bias=False)

    def keys(self, values: Tensor) -> Tensor:
        """Project encoder outputs [B, S, M]: [B, S, H]."""
        return self.key_projection(values)  # type: ignore[no-any-return]


class AdditiveAttention(Attention):
    """A one-layer network (Bahdanau et al., 2015, sec. A.1.2): v . tanh(W q + U k). Costs [B, Q, S, H] cells."""

    def __init__(self, *, query_size: int, value_size: int, heads: int = 1) -> None:
        super().__init__(value_size, heads=heads)
        self.query_projection = Linear(query_size, query_size, bias=False)
        self.key_projection = Linear(value_size, query_size)
        self.energy = nn.Linear(query_size // heads, heads, bias=False)
        """A row is the v of a head."""

    def keys(self, values: Tensor) -> Tensor:
        """Project encoder outputs [B, S, M]: [B, S, H]."""
        return self.key_projection(values)  # type: ignore[no-any-return]

    def queries(self, queries: Tensor) -> Tensor:
        """Project what the decoder puts out, [B, Q, H]: [B, Q, H]."""
        return self.query_projection(queries)  # type: ignore[no-any-return]

    def scores(self, queries: Tensor, keys: Tensor, *, head: int = 0) -> Tensor:
        """Compare queries [B, Q, D] with keys [B, S, D]: [B, Q, S].

        What would fill a GPU's memory is computed for some queries at a time, and for their gradients once more.
        """
        keys = keys[:, :, : queries.shape[2]]
        at_once = max(1, _KEPT_CELLS[queries.device.type] // max(1, keys.numel() * self.heads))
        if at_once >= queries.shape[1] or not torch.is_grad_enabled():
            return self._compared(queries, keys, head)
        from torch.utils.checkpoint import checkpoint  # late: few need it

        parts = torch.split(queries, at_once, dim=1)
        again = partial(checkpoint, self._compared, use_reentrant=False, preserve_rng_state=False)
        return torch.cat([again(part, keys, head) for part in parts], dim=1)

    def _compared(self, queries: Tensor, keys: Tensor, head: int) -> Tensor:
        hidden = torch.tanh(queries[:, :, None] + keys[:, None])  # [B, Q, S, D]
        return self.energy(hidden)[..., head]  # type: ignore[no-any-return]


class NoAttention(Attention):
    """The plain encoder-decoder (Sutskever et al., 2014): contexts have no cells, and no position any weight."""

    def __init__(self) -> None:
        super().__init__(context_size=0)

    def values(self, outputs: Tensor) -> Tensor:
        """Keep nothing of encoder outputs [B, S, M]: [B, S, 0]."""
        return outputs[:, :, :0]

    def forward(self, queries: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Read nothing for `queries` [B, Q, H]; return contexts, [B, Q, 0], and weights of zero, [B, Q, S]."""
        weights = queries.new_zeros(*queries.shape[:2], memory.mask.shape[1], dtype=torch.float32)
        return queries[:, :, :0], weights


def make_attention(kind: AttentionKind, *, query_size: int, value_size: int, heads: int = 1) -> Attention:
    """Make the attention of this name; for dot products both sizes are one. Heads divide both."""
    if kind == "none":
        return NoAttention()
    if kind in ("dot", "scaled_dot"):
        return (Attention if kind == "dot" else ScaledDotAttention)(value_size, heads=heads)
    make = GeneralAttention if kind == "general" else AdditiveAttention
    return make(query_size=query_size, value_size=value_size, heads=heads)
