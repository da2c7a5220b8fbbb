"""Beam search over many sentences at once.

The rules, for K beams and one sentence (what shares its batch changes nothing):

- A step looks at the 2K most probable continuations of the K live hypotheses; equal ones go by lower beam, then id.
- Those among the first K of them that end in `</s>` are finished. The first K others live on: `</s>` takes no live
  hypothesis its place.
- After the last step allowed the live hypotheses are finished as they are: their log-probability has no `</s>` in it,
  and their length counts the pieces alone.
- The score of a finished hypothesis is that of `Scoring`; of equal ones the earlier finished is better, then the more
  probable, then the one of the lower beam. The K best are kept.
- A sentence is over when no live hypothesis can come to rank among its n best finished ones. As log-probabilities only
  fall, none can do better than to keep its own and to reach the penalty of the last step allowed. So stopping early
  changes no result.
"""

import math
from dataclasses import dataclass, replace
from functools import reduce
from typing import ClassVar, Self

import torch
from torch import Tensor

from nmt.models.tensors import Rows, joined, padded
from nmt.search.frontier import Candidates, Limits, Written, best_candidates, piece_ids
from nmt.search.protocol import Hypothesis, SearchState
from nmt.search.rules import Scoring
from nmt.text.vocab import BOS, EOS


@dataclass(frozen=True)
class _Finished(Rows):
    """The K best finished hypotheses of each sentence, best first; missing ones score -inf."""

    scores: Tensor
    """[B, K] float64."""
    log_probs: Tensor
    """[B, K] float32."""
    lengths: Tensor
    """How many pieces they have, [B, K]."""
    written: Written

    def merge(self, *newly: "_Finished") -> "_Finished":
        """Keep the best of these and those that came after them, [B, M] each; among equals, the earlier."""
        if not newly:
            return self
        all_of = (self, *newly)
        scores = torch.cat([part.scores for part in all_of], dim=1)
        order = scores.argsort(dim=1, descending=True, stable=True)[:, : self.scores.shape[1]]
        log_probs = torch.cat([part.log_probs for part in all_of], dim=1).gather(1, order)
        lengths = torch.cat([part.lengths for part in all_of], dim=1).gather(1, order)
        written = reduce(Written.beside, (part.written for part in all_of)).select(order)
        return _Finished(scores.gather(1, order), log_probs, lengths, written)


@dataclass(frozen=True)
class Beams(Rows):
    """A frontier of K live hypotheses a sentence, most probable first, and of the best finished ones."""

    limits: Limits
    log_probs: Tensor
    """Of live hypotheses, [B, K] float32 (before the first step, [B, 1]); -inf where there is none."""
    ids: Tensor
    """Their last pieces, [B, K]."""
    written: Written
    coverage: Tensor | None
    """How much they have read of each source position, [B, K, S], -1 on padding; only with a coverage penalty."""
    finished: _Finished
    scoring: Scoring
    last_divisors: Tensor
    """The length penalty of the last step allowed, [B] float64."""
    n_best: int
    replayable: ClassVar[bool] = True

    @classmethod
    def start(
        cls,
        limits: Limits,
        *,
        beam_size: int,
        n_best: int,
        scoring: Scoring,
        src_lengths: Tensor | None = None,
        with_attention: bool = False,
    ) -> Self:
        """Begin with one live hypothesis a sentence, `<s>`, and nothing finished; after a step there are K.

        Only a coverage penalty asks for `src_lengths`, the source positions of each sentence, [B].
        """
        if not 1 <= n_best <= beam_size:
            raise ValueError(f"a beam of {beam_size} gives 1 to {beam_size} hypotheses, not {n_best}")
        written = Written.start(limits.longest, with_attention=with_attention)
        ids = torch.full_like(written.pieces[:, :, 0], BOS)  # [B, 1]
        coverage = None
        if scoring.coverage_penalty and src_lengths is not None:
            padding = torch.arange(int(src_lengths.max()), device=ids.device) >= src_lengths[:, None]
            coverage = -padding.float()[:, None]  # [B, 1, S]
        none = ids.new_zeros(len(ids), beam_size)  # [B, K]
        nothing = torch.full_like(none, -math.inf, dtype=torch.float32)
        finished = _Finished(nothing.double(), nothing, none, written.select(none))
        log_probs = torch.zeros(ids.shape, device=ids.device)
        divisors = scoring.divisors(limits.longest)
        return cls(limits, log_probs, ids, written, coverage, finished, scoring, divisors, n_best)

    @property
    def beam_size(self) -> int:
        """K."""
        return self.finished.scores.shape[1]

    def grow(self, logits: Tensor, state: SearchState) -> tuple[Self, Tensor]:
        """Make a step from logits [B, K, V]."""
        log_probs = self.limits.log_probs(logits, state, self.written)
        candidates = best_candidates(log_probs, self.log_probs, 2 * self.beam_size)
        return self.advance(candidates._replace(ids=piece_ids(candidates.ids, state)), state.attention)

    def over(self) -> Tensor:
        """Tell which sentences have reached their last step, or have `n_best` that no live hypothesis can beat: [B]."""
        # log-probabilities only fall, and penalties only cost
        attainable = self.log_probs[:, 0].double() / self.last_divisors
        return (self.limits.lengths == self.limits.longest) | (self.finished.scores[:, self.n_best - 1] >= attainable)

    def join(self, other: Self) -> Self:
        """Append the sentences of `other`."""
        both = super().join(other)
        if self.coverage is None or other.coverage is None:
            return both
        return replace(both, coverage=joined(self.coverage, other.coverage, fill=-1.0))

    def hypotheses(self) -> list[list[Hypothesis]]:
        """Return the best finished hypotheses of each sentence."""
        finished = self.finished
        ranked = (part[:, : self.n_best] for part in (finished.lengths, finished.log_probs, finished.scores))
        return finished.written.hypotheses(*ranked)

    def advance(self, candidates: Candidates, attention: Tensor) -> tuple[Self, Tensor]:
        """Make the next frontier from the step's 2K candidates."""
        ends = candidates.ids == EOS  # [B, 2K]
        # at most one candidate a beam ends, so at least K of the 2K do not
        going = ends.to(torch.int8).argsort(dim=1, stable=True)[:, : self.beam_size]
        log_probs, parents, ids = (part.gather(1, going) for part in candidates)
        limits = self.limits.step()
        read, written = attention, self.written.select(parents)
        if written.attention is not None:
            read = attention.gather(1, parents[:, :, None].expand(-1, -1, attention.shape[2]))  # [B, K, S]
        grown = replace(
            self,
            limits=limits,
            log_probs=log_probs,
            ids=ids,
            written=written.write(self.limits.lengths, ids, read),
            coverage=self._covered(parents, attention),
        )
        newly, ends = list[_Finished](), ends[:, : self.beam_size]
        if not ends.is_cpu or bool(ends.any()):
            newly.append(self._ended(candidates, ends, attention))
        last = self.limits.lengths == limits.longest - 1  # [B]
        if not last.is_cpu or bool(last.any()):
            newly.append(grown._closed(last))
        return replace(grown, finished=self.finished.merge(*newly)), parents

    def _ended(self, candidates: Candidates, ends: Tensor, attention: Tensor) -> _Finished:
        """Finish the candidates among the first K that end in `</s>`, as `ends` [B, K] says."""
        beam_size = self.beam_size
        possible = (self.limits.lengths < self.limits.longest)[:, None]  # [B, 1]
        ended = candidates.log_probs[:, :beam_size].masked_fill(~(ends & possible), -math.inf)
        parents = candidates.parents[:, :beam_size]
        lengths = self.limits.lengths[:, None].expand_as(parents)
        scores = self.scoring.score(ended, lengths + 1, self._covered(parents, attention))
        return _Finished(scores, ended, lengths, self.written.select(parents))

    def _closed(self, last: Tensor) -> _Finished:
        """Finish the live hypotheses of sentences that have made their `last` step, [B]."""
        log_probs = self.log_probs.masked_fill(~last[:, None], -math.inf)
        lengths = self.limits.lengths[:, None].expand_as(self.ids)
        return _Finished(self.scoring.score(log_probs, lengths, self.coverage), log_probs, lengths, self.written)

    def _covered(self, parents: Tensor, attention: Tensor) -> Tensor | None:
        """Return how much each of `parents` [B, N] has read of each source position with this step's attention."""
        if self.coverage is None:
            return None
        size = max(self.coverage.shape[2], attention.shape[2])
        covered = padded(self.coverage, size, dim=2, fill=-1.0) + padded(attention, size, dim=2)
        return covered.gather(1, parents[:, :, None].expand(-1, -1, covered.shape[2]))
