"""Translations drawn at random from what the model finds probable."""

from dataclasses import dataclass, replace
from typing import ClassVar, Final, Self

import torch
from torch import Tensor

from nmt.errors import UsageError
from nmt.models.tensors import Rows
from nmt.search.frontier import Limits, Written, best_candidates, piece_ids
from nmt.search.protocol import Hypothesis, SearchState
from nmt.search.rules import Scoring
from nmt.text.vocab import BOS, EOS

_LOOKED_AT: Final = 64
"""Pieces among which the most probable ones that have `top_p` together are looked for first."""


@dataclass(frozen=True)
class Sampling:
    """The distribution that pieces are sampled from, and the seed."""

    temperature: float = 1.0
    """Log-probabilities are divided by it: below 1 the probable pieces become more probable still."""
    top_k: int = 0
    """Sample only from this many of the most probable pieces (Fan et al., 2018, sec. 5.1); 0: all."""
    top_p: float = 1.0
    """Only the fewest of the most probable pieces that have this probability together, after `temperature` and `top_k`
    (Holtzman et al., 2020, sec. 3.1)."""
    seed: int = 1
    """Each seed draws other translations."""

    def __post_init__(self) -> None:
        for name, valid, expected in (
            ("temperature", 1e-6 <= self.temperature <= 1e6, "from 1e-6 to 1e6"),
            ("top_k", self.top_k >= 0, "0 or more"),
            ("top_p", 0 < self.top_p <= 1, "above 0 and at most 1"),
            ("seed", 0 <= self.seed < 2**63, "from 0 to 2^63 - 1"),
        ):
            if not valid:
                raise UsageError(f"{name} = {getattr(self, name)} of sampling: expected {expected}")

    def draw(self, log_probs: Tensor, uniform: Tensor) -> Tensor:
        """Draw from R distributions `log_probs` [R, V], -inf for what is impossible: [R, N].

        Each piece is what one of the numbers `uniform`, from 0 up to 1, [R, N] float64, draws from its distribution.
        """
        # the most probable piece becomes 0, so that no temperature is too low
        heated = (log_probs - log_probs.amax(dim=1, keepdim=True)) / self.temperature
        weights = heated.softmax(dim=1)
        if not self.top_k and self.top_p == 1:
            return _inverse(weights.cumsum(dim=1, dtype=torch.float64), uniform)
        looked_at = _LOOKED_AT if weights.is_cpu else weights.shape[1]  # no one waits for the device
        return self._draw(log_probs, weights, uniform, min(self.top_k or looked_at, weights.shape[1]))

    def _draw(self, log_probs: Tensor, weights: Tensor, uniform: Tensor, count: int) -> Tensor:
        """Draw from the `count` most probable pieces, or from more of them where those have not `top_p` together."""
        if count == weights.shape[1]:
            best = log_probs.sort(dim=1, descending=True, stable=True).indices
        else:
            best = best_candidates(log_probs[:, None], torch.zeros_like(weights[:, :1]), count).ids  # [R, count]
        mass = weights.gather(1, best).cumsum(dim=1, dtype=torch.float64)
        total = mass[:, -1:]
        enough = self.top_p * (total if self.top_k else torch.ones_like(total))
        last = torch.searchsorted(mass, enough).clamp(max=count - 1)  # the first piece that makes it enough
        drawn = best.gather(1, _inverse(mass.minimum(mass.gather(1, last)), uniform))
        if self.top_k or count == weights.shape[1]:
            return drawn
        rows = (total < enough).squeeze(1).nonzero().squeeze(1)
        if len(rows):
            more = min(8 * count, weights.shape[1])
            drawn[rows] = self._draw(log_probs[rows], weights[rows], uniform[rows], more)
        return drawn


@dataclass(frozen=True)
class Sampled(Rows):
    """A frontier of K samples a sentence, drawn piece by piece.

    The random number for a piece is made from the seed, the sentence's number, the sample and the step alone.
    """

    limits: Limits
    streams: Tensor
    """What the random numbers of each sample are made from, [B, K]."""
    log_probs: Tensor
    """Of the samples, by the model alone, [B, K] float32 (before the first step, [B, 1])."""
    ids: Tensor
    """Their last pieces, [B, K]."""
    lengths: Tensor
    """Their steps, [B, K]."""
    ended: Tensor
    """Whether they have come to `</s>`, [B, K]."""
    written: Written
    sampling: Sampling
    scoring: Scoring
    count: int
    """K"""
    replayable: ClassVar[bool] = True

    @classmethod
    def start(
        cls,
        limits: Limits,
        numbers: Tensor,
        *,
        count: int,
        sampling: Sampling,
        scoring: Scoring,
        with_attention: bool = False,
    ) -> Self:
        """Begin with one beam a sentence, `<s>`; after a step there are K = `count`. `scoring` changes no choice."""
        written = Written.start(limits.longest, with_attention=with_attention)
        ids = torch.full_like(written.pieces[:, :, 0], BOS)  # [B, 1]
        lengths = torch.zeros_like(ids)
        log_probs = torch.zeros(ids.shape, device=ids.device)
        streams = streams_of(sampling.seed, numbers[:, None], torch.arange(count, device=ids.device))
        return cls(limits, streams, log_probs, ids, lengths, lengths.bool(), written, sampling, scoring, count)

    def grow(self, logits: Tensor, state: SearchState) -> tuple["Sampled", Tensor | None]:
        """Make a step from logits [B, K, V], the first one from [B, 1, V]."""
        log_probs = self.limits.log_probs(logits, state, self.written)
        batch, beams, vocab_size = log_probs.shape
        samples = torch.arange(self.count, device=log_probs.device)
        uniform = uniform_numbers(self.streams, self.limits.lengths[:, None])
        drawn = self.sampling.draw(log_probs.flatten(0, 1), uniform.view(batch * beams, -1)).view(batch, -1)  # [B, K]
        parents = samples.div(self.count // beams, rounding_mode="floor")
        log_probs = log_probs.flatten(1).gather(1, parents * vocab_size + drawn)
        if beams == self.count:
            return self._with(piece_ids(drawn, state), log_probs, state.attention), None
        attention = state.attention.index_select(1, parents)
        return self._spread(parents)._with(piece_ids(drawn, state), log_probs, attention), parents.expand(batch, -1)

    def over(self) -> Tensor:
        """Tell in which sentences every sample has come to `</s>` or to its last step, [B]."""
        return self.ended.all(dim=1) | (self.limits.lengths == self.limits.longest)

    def hypotheses(self) -> list[list[Hypothesis]]:
        """Return the samples of each sentence in the order of their drawing; equal ones are not left out."""
        scores = self.scoring.score(self.log_probs, self.lengths, None)
        return self.written.hypotheses(self.lengths - self.ended.long(), self.log_probs, scores)

    def _spread(self, parents: Tensor) -> "Sampled":
        """Let sample k go on from beam `parents[k]`, [K]."""
        parts = (self.log_probs, self.ids, self.lengths, self.ended)
        log_probs, ids, lengths, ended = (part.index_select(1, parents) for part in parts)
        written = self.written.select(parents.expand(len(ids), -1))
        return replace(self, log_probs=log_probs, ids=ids, lengths=lengths, ended=ended, written=written)

    def _with(self, ids: Tensor, log_probs: Tensor, attention: Tensor) -> "Sampled":
        """Append pieces [B, K] with their log-probabilities and attention [B, K, S] to the samples that go on."""
        over = self.over()
        going = ~(self.ended | over[:, None])
        ids = ids.where(going, self.ids)
        return replace(
            self,
            limits=self.limits.step(~over),
            log_probs=self.log_probs + log_probs.where(going, 0.0),
            ids=ids,
            lengths=self.lengths + going,
            ended=ids == EOS,
            written=self.written.write(self.limits.lengths, ids, attention),
        )


def streams_of(seed: int, *parts: Tensor) -> Tensor:
    """Mix a seed below 2^63 and int64 numbers that broadcast: each combination has random numbers of its own."""
    bits = torch.full((), seed, dtype=torch.int64, device=parts[0].device)
    for part in parts:
        bits = _mixed(_mixed(bits) ^ part)
    return _mixed(bits)


def uniform_numbers(streams: Tensor, step: Tensor | int) -> Tensor:
    """Make a number of [0, 1), float64, of what `streams_of` gives, for each step another."""
    return _unsigned_shift(_mixed(streams ^ step), 11).double() * 2.0**-53


def _mixed(bits: Tensor) -> Tensor:
    """Take the step of SplitMix64 (Steele et al., 2014, fig. 17): one to one, and every bit depends on every other.

    Products and sums of int64 wrap around, as those of unsigned numbers would.
    """
    bits = bits + (0x9E3779B97F4A7C15 - 2**64)
    bits = (bits ^ _unsigned_shift(bits, 30)) * (0xBF58476D1CE4E5B9 - 2**64)
    bits = (bits ^ _unsigned_shift(bits, 27)) * (0x94D049BB133111EB - 2**64)
    return bits ^ _unsigned_shift(bits, 31)


def _unsigned_shift(bits: Tensor, count: int) -> Tensor:
    return torch.bitwise_and(bits >> count, 2 ** (64 - count) - 1)


def _inverse(mass: Tensor, uniform: Tensor) -> Tensor:
    """Find where cumulated weights [R, V] exceed the share `uniform` [R, N] of all: [R, N]; no weight of 0 is found."""
    total = mass[:, -1:].contiguous()
    found = torch.searchsorted(mass, uniform * total, right=True)
    return found.minimum(torch.searchsorted(mass, total)).clamp(max=mass.shape[1] - 1)
