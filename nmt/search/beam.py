"""Beam search over many sentences at once.

The rules, for K beams and one sentence (what shares its batch changes nothing):

- A step looks at the 2K most probable continuations of the K live hypotheses; equal ones go by lower beam, then id.
- Those among the first K of them that end in `</s>` are finished. The first K others live on: `</s>` takes no live
  hypothesis its place.
- After the last step allowed the live hypotheses are finished as they are: their log-probability has no `</s>` in it,
  and their length counts the words alone.
- The score of a finished hypothesis is its log-probability over the length penalty; of equal ones the earlier finished
  is better, then the more probable, then the one of the lower beam. The K best are kept.
- A sentence is over when no live hypothesis can come to rank among its n best finished ones. As log-probabilities only
  fall, none can do better than to keep its own and to reach the penalty of the last step allowed. So stopping early
  changes no result.
"""

import math
from typing import NamedTuple, Self

import torch
from torch import Tensor

from nmt.search.candidates import Candidates, best_candidates, best_candidates_by_sorting, word_log_probs
from nmt.search.history import History
from nmt.search.hypothesis import Hypothesis
from nmt.search.penalties import length_penalties
from nmt.search.protocol import State, StepDecoder
from nmt.search.rows import longest_of, rows_where
from nmt.vocab import BOS, EOS


@torch.inference_mode()
def beam_search(
    decoder: StepDecoder[State],
    state: State,
    *,
    max_lengths: Tensor,
    beam_size: int,
    length_penalty: float,
    n_best: int = 1,
) -> list[list[Hypothesis]]:
    """Keep the `beam_size` most probable unfinished hypotheses of each sentence, and rank finished ones by score.

    The rules are those of the module. With one beam and no length penalty this is greedy search.

    Args:
        decoder: What scores the words.
        state: Its state before the first step, with one beam a sentence.
        max_lengths: Most steps of each sentence, `</s>` counted, [B], at least 1.
        beam_size: K.
        length_penalty: Alpha of the length penalty, not negative.
        n_best: Hypotheses wanted for each sentence, at most K.

    Returns:
        For each sentence its distinct hypotheses, best score first, the earlier finished first among equals. Fewer than
        `n_best` only where there are no more; none where the decoder gives no word a probability.

    Raises:
        ValueError: More hypotheses are wanted than beams kept, or a length or the penalty is out of range.
    """
    if not 1 <= n_best <= beam_size:
        raise ValueError(f"a beam of {beam_size} gives 1 to {beam_size} hypotheses, not {n_best}")
    longest, device = longest_of(max_lengths), max_lengths.device
    penalties = length_penalties(longest, alpha=length_penalty, device=device)
    history = History(places=len(max_lengths), longest=longest, beam_size=beam_size, device=device)
    beams = _Beams.start(max_lengths, beam_size)
    results: list[list[Hypothesis]] = [[] for _ in range(len(max_lengths))]
    while len(beams.places):
        logits, state = decoder.step(beams.ids, state)
        beams, over = _advance(beams, logits, penalties, n_best)
        history.write(beams.places, beams.lengths - 1, ids=beams.ids, parents=beams.parents)
        if any(over):
            done, kept = rows_where(over, device), rows_where([not flag for flag in over], device)
            beams.take(done).collect(history, n_best=n_best, into=results)
            beams, state = beams.take(kept), state.take(kept)
        state = state.select(beams.parents)
    return results


def _advance(beams: "_Beams", logits: Tensor, penalties: Tensor, n_best: int) -> tuple["_Beams", list[bool]]:
    """Make a step from the logits [B, K, V]; tell also which sentences are over. Waits for the device once."""
    totals = word_log_probs(logits).add_(beams.log_probs[:, :, None])  # [B, K, V]
    count = 2 * beams.finished.scores.shape[1]
    candidates, unsure = best_candidates(totals, count)
    grown = beams.grow(candidates, penalties)
    over, redo = torch.stack([grown.over(penalties, n_best), unsure]).tolist()
    if any(redo):
        rows = rows_where(redo, logits.device)
        sure = best_candidates_by_sorting(totals[rows], count)
        candidates = Candidates(*(part.index_copy(0, rows, new) for part, new in zip(candidates, sure, strict=True)))
        grown = beams.grow(candidates, penalties)
        over = grown.over(penalties, n_best).tolist()
    return grown, over


class _Finished(NamedTuple):
    """The K best finished hypotheses of each sentence, best first; missing ones score -inf."""

    scores: Tensor
    """[B, K] float64."""
    log_probs: Tensor
    """[B, K] float32."""
    words: Tensor
    """How many words each has, [B, K]."""
    beams: Tensor
    """The beam of its last word, [B, K]."""

    def merge(self, others: "_Finished") -> "_Finished":
        """Keep the best of these and `others` [B, M]; among equals, these first."""
        pooled = [torch.cat(pair, dim=1) for pair in zip(self, others, strict=True)]
        order = pooled[0].argsort(dim=1, descending=True, stable=True)[:, : self.scores.shape[1]]
        return _Finished(*(part.gather(1, order) for part in pooled))


class _Beams(NamedTuple):
    """The hypotheses of B sentences: K live ones each, most probable first, and the best finished ones."""

    places: Tensor
    """Which sentence of the search each row is, [B]."""
    max_lengths: Tensor
    """[B]."""
    lengths: Tensor
    """Steps made, [B]."""
    log_probs: Tensor
    """Of live hypotheses, [B, K] float32; -inf where there is none."""
    ids: Tensor
    """Their last words, [B, K]."""
    parents: Tensor
    """The beams they continued, [B, K]."""
    finished: _Finished

    @classmethod
    def start(cls, max_lengths: Tensor, beam_size: int) -> Self:
        """Begin with one live hypothesis a sentence, `<s>`, and nothing finished."""
        none = max_lengths.new_zeros(len(max_lengths), beam_size)
        nothing = none.new_full(none.shape, -math.inf, dtype=torch.float32)
        return cls(
            places=torch.arange(len(max_lengths), device=max_lengths.device),
            max_lengths=max_lengths,
            lengths=torch.zeros_like(max_lengths),
            log_probs=torch.zeros_like(nothing[:, :1]),
            ids=torch.full_like(none[:, :1], BOS),
            parents=none[:, :1],
            finished=_Finished(nothing.double(), nothing, none, none),
        )

    def grow(self, candidates: Candidates, penalties: Tensor) -> "_Beams":
        """Make the next step from its 2K candidates."""
        beam_size = self.finished.scores.shape[1]
        lengths = self.lengths + 1
        ends = candidates.ids == EOS  # [B, 2K]
        # at most one candidate a beam ends, so at least K of the 2K do not
        going = ends.to(torch.int8).argsort(dim=1, stable=True)[:, :beam_size]
        log_probs, parents, ids = (part.gather(1, going) for part in candidates)
        ended = candidates.log_probs.masked_fill(~ends, -math.inf)[:, :beam_size]
        closed = log_probs.masked_fill((lengths < self.max_lengths)[:, None], -math.inf)
        own = torch.arange(beam_size, device=ids.device).expand_as(ids)
        words = lengths[:, None].expand_as(ids)
        finished_log_probs = torch.cat([ended, closed], dim=1)  # [B, 2K]
        newly = _Finished(
            scores=finished_log_probs.double() / penalties[lengths][:, None],
            log_probs=finished_log_probs,
            words=torch.cat([words - 1, words], dim=1),
            beams=torch.cat([candidates.parents[:, :beam_size], own], dim=1),
        )
        finished = self.finished.merge(newly)
        return _Beams(self.places, self.max_lengths, lengths, log_probs, ids, parents, finished)

    def over(self, penalties: Tensor, n_best: int) -> Tensor:
        """Tell which sentences have reached their last step, or have `n_best` that no live hypothesis can beat: [B]."""
        attainable = self.log_probs[:, 0].double() / penalties[self.max_lengths]
        return (self.lengths == self.max_lengths) | (self.finished.scores[:, n_best - 1] >= attainable)

    def take(self, sentences: Tensor) -> "_Beams":
        """Keep `sentences` [B'], in this order."""
        return _Beams(
            places=self.places[sentences],
            max_lengths=self.max_lengths[sentences],
            lengths=self.lengths[sentences],
            log_probs=self.log_probs[sentences],
            ids=self.ids[sentences],
            parents=self.parents[sentences],
            finished=_Finished(*(part[sentences] for part in self.finished)),
        )

    def collect(self, history: History, *, n_best: int, into: list[list[Hypothesis]]) -> None:
        """Read the `n_best` finished hypotheses of every sentence and put them in their places of `into`."""
        best = _Finished(*(part[:, :n_best] for part in self.finished))
        all_words = history.read(self.places, beams=best.beams, words=best.words)
        found = zip(self.places.tolist(), all_words, best.log_probs.tolist(), best.scores.tolist(), strict=True)
        for place, *hypotheses in found:
            into[place] = [
                Hypothesis(tuple(words), log_prob, score)
                for words, log_prob, score in zip(*hypotheses, strict=True)
                if score > -math.inf
            ]
