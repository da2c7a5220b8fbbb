"""The hypotheses of several sentences while they are written: what beam, greedy and sampled search have in common, down
to the choice of the best continuations in an order that leaves nothing to chance."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Final, NamedTuple, Protocol, Self

import torch
from torch import Tensor, nn

from nmt.models.tensors import Rows, Takable, joined, mapped, padded, picker
from nmt.search.protocol import Hypothesis, SearchState
from nmt.search.rules import Rule
from nmt.text.vocab import BOS, EOS, PAD, UNK

FORBIDDEN: Final = (PAD, UNK, BOS)
"""What no translation contains as a rule. The probability of these ids is lost, not shared out among the others."""

_BLOCK: Final = 64
"""Pieces of which only the best is looked at first."""


class Candidates(NamedTuple):
    """The best continuations of each sentence, best first; beyond the possible ones, scores are -inf."""

    log_probs: Tensor
    """Of the whole hypotheses, [B, C]."""
    parents: Tensor
    """The beam that is continued, [B, C]; 0 beyond the possible ones."""
    ids: Tensor
    """The piece that continues it, [B, C]; PAD beyond the possible ones."""


def forbidding(log_probs: Tensor, never: Sequence[int] = FORBIDDEN) -> Tensor:
    """Put -inf into log-probabilities [..., V] for what is `never` produced; all others stay as they are."""
    return log_probs.index_fill_(-1, _index(tuple(never), log_probs.device), -math.inf)


@cache
def _index(pieces: tuple[int, ...], device: torch.device) -> Tensor:
    return torch.tensor(pieces, dtype=torch.int64, device=device)


def best_candidates(log_probs: Tensor, totals: Tensor, count: int) -> Candidates:
    """Find the C = `count` best of all K x V continuations; equal ones go by lower beam, then by lower id.

    No piece is better than the best of its block, and all of a block stand before those of later ones: so the C first
    blocks, by their best pieces, hold the C first pieces. No value is looked at, and none of a whole sentence sorted.

    Args:
        log_probs: Those of each next piece, [B, K, V], none above 0.
        totals: Those of the hypotheses so far, [B, K].
        count: C.
    """
    vocab_size = log_probs.shape[2]
    best = _block_maxima(log_probs).add_(totals[:, :, None])  # [B, K, blocks]
    within = _blocks(totals.shape[1], vocab_size, best.device)
    blocks = _first(best.flatten(1), within[:, 0], min(count, len(within)))  # [B, N]
    parents = blocks.div(best.shape[2], rounding_mode="floor")
    flat = within.index_select(0, blocks.flatten()).view(len(blocks), -1)  # [B, N * 64]
    values = log_probs.flatten(1).gather(1, flat.clamp(min=0)).view(*blocks.shape, _BLOCK)
    values = values.add_(totals.gather(1, parents)[:, :, None]).flatten(1).masked_fill_(flat < 0, -math.inf)
    if values.shape[1] < count:
        missing = (0, count - values.shape[1])
        values, flat = nn.functional.pad(values, missing, value=-math.inf), nn.functional.pad(flat, missing)
    order = _first(values, flat, count)
    values, flat = values.gather(1, order), flat.gather(1, order)
    impossible = ~(values > -math.inf)  # NaN too
    flat = flat.masked_fill(impossible, 0)  # that is beam 0 and id 0, and that is PAD
    values = values.masked_fill(impossible, -math.inf)
    return Candidates(values, flat.div(vocab_size, rounding_mode="floor"), flat.remainder(vocab_size))


@cache
def _blocks(beams: int, vocab_size: int, device: torch.device) -> Tensor:
    """Number K x V continuations, and list those of each block, [K * blocks, 64]; -1 after the last of a beam."""
    ids = torch.arange(-(-vocab_size // _BLOCK) * _BLOCK)
    numbers = (torch.arange(beams)[:, None] * vocab_size + ids).masked_fill_(ids >= vocab_size, -1)
    return numbers.view(-1, _BLOCK).to(device)


def _first(values: Tensor, places: Tensor, count: int) -> Tensor:
    """Find the `count` best of `values` [B, N], none above 0; equal ones go by lower place: indices [B, count].

    Each is turned into a whole number, in which the bits that say how far below 0 it is stand over those of its place;
    NaN comes last.
    """
    below = values.view(torch.int32) & 0x7FFFFFFF
    return torch.add(places, below, alpha=2**31).topk(count, dim=1, largest=False).indices


def best_pieces(log_probs: Tensor) -> tuple[Tensor, Tensor]:
    """Find the best of V pieces in each row of [R, V], of equal ones the lowest: its log-probability and id, [R, 1]."""
    if not log_probs.is_cpu:
        return log_probs.max(dim=1, keepdim=True)
    # torch takes eight times as long to say where a maximum is as what it is
    blocks = _block_maxima(log_probs).max(dim=1, keepdim=True).indices
    ids = (blocks * _BLOCK + torch.arange(_BLOCK)).clamp_(max=log_probs.shape[1] - 1)  # [R, 64]
    best, places = log_probs.gather(1, ids).max(dim=1, keepdim=True)
    return best, ids.gather(1, places)


def _block_maxima(log_probs: Tensor) -> Tensor:
    """Return the best of every 64 pieces, and of the rest: [..., blocks] of [..., V]."""
    vocab_size = log_probs.shape[-1]
    whole = vocab_size - vocab_size % _BLOCK
    maxima = [log_probs[..., :whole].view(*log_probs.shape[:-1], -1, _BLOCK).amax(dim=-1)] if whole else []
    maxima += [log_probs[..., whole:].amax(dim=-1, keepdim=True)] if whole < vocab_size else []
    return torch.cat(maxima, dim=-1)


_ROOM_MULTIPLE: Final = 32
"""T is a multiple of this, so that shapes come again: a GPU records the steps of each."""


@dataclass(frozen=True)
class Written(Rows):
    """The pieces of B sentences' K hypotheses, and where asked for the attention with which each was chosen."""

    pieces: Tensor
    """[B, K, T], PAD after the last one."""
    attention: Tensor | None
    """[B, K, T, S], zero on padding."""
    room: Tensor
    """Places that each sentence may need, [B]."""

    @classmethod
    def start(cls, longest: Tensor, *, with_attention: bool) -> Self:
        """Begin a hypothesis a sentence, with room for `longest` [B] and for what comes when it is over."""
        room = longest + 1
        shape = (len(room), 1, _width(room))
        attention = torch.zeros(*shape, 1, device=longest.device) if with_attention else None
        return cls(torch.full(shape, PAD, device=longest.device), attention, room)

    def select(self, parents: Tensor) -> "Written":
        """Copy hypotheses: the new one k of sentence b is `parents[b, k]`; parents [B, K']."""
        pick = picker(parents, self.pieces.shape[1])
        return replace(self, pieces=pick(self.pieces), attention=mapped(pick, self.attention))

    def write(self, places: Tensor, ids: Tensor, attention: Tensor) -> "Written":
        """Put pieces [B, K] at `places` [B], and the attention [B, K, S] that they came with."""
        index = places[:, None, None].expand(-1, ids.shape[1], 1)
        pieces = self.pieces.scatter(2, index, ids[:, :, None])
        if self.attention is None:
            return Written(pieces, None, self.room)
        size = max(self.attention.shape[3], attention.shape[2])
        rows = padded(attention, size, dim=2)[:, :, None]  # [B, K, 1, S]
        wider = padded(self.attention, size, dim=3)  # [B, K, T, S]
        return Written(pieces, wider.scatter(2, index[..., None].expand_as(rows), rows), self.room)

    def beside(self, other: "Written") -> "Written":
        """Append to each sentence the hypotheses that `other` has of it."""
        attention = None
        if self.attention is not None and other.attention is not None:
            attention = joined(self.attention, other.attention, dim=1)
        return Written(joined(self.pieces, other.pieces, dim=1), attention, self.room)

    def hypotheses(self, lengths: Tensor, log_probs: Tensor, scores: Tensor) -> list[list[Hypothesis]]:
        """Return what is written, with its lengths, log-probabilities and scores, [B, K] each; -inf: it is left out."""
        written, attentions = mapped(Tensor.cpu, (self.pieces, self.attention))  # all at once
        found: list[list[Hypothesis]] = []
        for b, rows in enumerate(zip(lengths.tolist(), log_probs.tolist(), scores.tolist(), strict=True)):
            found.append([])
            for k, (length, log_prob, score) in enumerate(zip(*rows, strict=True)):
                if score > -math.inf:
                    attention = None if attentions is None else attentions[b, k, :length].clone()
                    pieces = tuple(written[b, k, :length].tolist())
                    found[b].append(Hypothesis(pieces, log_prob, score, attention))
        return found

    def take(self, sentences: Tensor) -> "Written":
        """Keep `sentences` [B'], in this order, and no more places than they may need."""
        width = _width(self.room.index_select(0, sentences))
        narrow = Written(self.pieces[:, :, :width], mapped(lambda part: part[:, :, :width], self.attention), self.room)
        return Rows.take(narrow, sentences)


def _width(room: Tensor) -> int:
    """Return T for sentences that need `room` [B]."""
    return -(-int(room.max()) // _ROOM_MULTIPLE) * _ROOM_MULTIPLE if len(room) else 0


class Frontier(Takable, Protocol):
    """The hypotheses of B sentences with K beams each, and the rule by which they grow; never changed in place."""

    @property
    def replayable(self) -> bool:
        """Whether all that changes as it grows are tensors, into which it does not look on a GPU."""

    @property
    def ids(self) -> Tensor:
        """The last pieces, [B, K]."""

    def grow(self, logits: Tensor, state: SearchState) -> tuple[Self, Tensor | None]:
        """Make a step from the logits of each next piece, [B, K, V], which are lost, and the state that came with them.

        Return the next frontier, and the beams that its beams continue, [B, K]; None where each continues itself. A
        sentence that is over may be grown further: what has been found for it then stays the same.
        """

    def over(self) -> Tensor:
        """Tell which sentences are over, [B]."""

    def hypotheses(self) -> list[list[Hypothesis]]:
        """Return what has been found for each sentence, best first."""


@dataclass(frozen=True)
class Limits(Rows):
    """How many steps each of B sentences has made and may make, and what else it is bound to."""

    lengths: Tensor
    """Steps made, [B]."""
    shortest: Tensor | None
    """Minimum pieces of a translation, without `</s>`, [B]; None: 0."""
    longest: Tensor
    """Most steps, [B]; after the last one a hypothesis ends as it is."""
    rules: tuple[Rule, ...]
    """What may not come next."""
    never: tuple[int, ...]
    """Pieces that may never come."""
    weighed: bool = False
    """Whether what the model gives are no logits but sums of weighted log-probabilities, which stay as they are."""

    @classmethod
    def start(
        cls,
        longest: Tensor,
        shortest: Tensor | None = None,
        rules: Sequence[Rule] = (),
        never: Sequence[int] = FORBIDDEN,
        *,
        weighed: bool = False,
    ) -> Self:
        """Begin with no step made; `longest` [B] is at least 1."""
        none = torch.zeros_like(longest)
        shortest = None if shortest is None else shortest.minimum(longest - 1)
        return cls(none, shortest, longest, tuple(rules), tuple(never), weighed)

    def log_probs(self, logits: Tensor, state: SearchState, written: Written) -> Tensor:
        """Turn logits [B, K, V], which are lost, into log-probabilities, -inf for pieces that may not come next.

        Where rules leave no piece at all, `</s>` may come.
        """
        log_probs = logits
        if not self.weighed:
            # in their place: another tensor of that size, 5 MB of 200 hypotheses, would drive much out of the cache
            place = logits if logits.is_cpu and logits.dtype == torch.float32 else None
            log_probs = torch.log_softmax(logits, dim=-1, dtype=torch.float32, out=place)
        log_probs = forbidding(log_probs, self.never)
        ends = log_probs[:, :, EOS].clone() if self.rules else None
        if self.shortest is not None:
            log_probs[:, :, EOS].masked_fill_((self.lengths < self.shortest)[:, None], -math.inf)
        if ends is not None:
            for rule in self.rules:
                rule.apply(log_probs, pieces=state.pieces, written=written.pieces, lengths=self.lengths)
            stuck = log_probs.amax(dim=2) == -math.inf
            log_probs[:, :, EOS] = torch.where(stuck, ends, log_probs[:, :, EOS])
        return log_probs

    def step(self, going: Tensor | None = None) -> "Limits":
        """Count a step, of the sentences `going` [B] or of all; beyond the last one nothing changes."""
        lengths = self.lengths + (1 if going is None else going.long())
        return replace(self, lengths=lengths.minimum(self.longest))


def piece_ids(chosen: Tensor, state: SearchState) -> Tensor:
    """Turn indices among the logits of a sentence, [B, N], into the ids of their pieces."""
    return chosen if state.pieces is None else state.pieces.gather(1, chosen)
