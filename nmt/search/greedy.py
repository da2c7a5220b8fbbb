"""Greedy search: the best piece at every step."""

from dataclasses import dataclass, replace
from typing import ClassVar, Self

import torch
from torch import Tensor

from nmt.models.tensors import Rows
from nmt.search.frontier import Limits, Written, best_pieces, piece_ids
from nmt.search.protocol import Hypothesis, SearchState
from nmt.search.rules import Scoring
from nmt.text.vocab import BOS, EOS


@dataclass(frozen=True)
class Greedy(Rows):
    """A frontier of one hypothesis a sentence: the most probable piece follows, the lowest id among equals."""

    limits: Limits
    log_probs: Tensor
    """[B] float32."""
    ids: Tensor
    """Last pieces, [B, 1]."""
    ended: Tensor
    """Whether the last piece is `</s>`, [B]."""
    written: Written
    scoring: Scoring
    replayable: ClassVar[bool] = True

    @classmethod
    def start(cls, limits: Limits, *, scoring: Scoring, with_attention: bool = False) -> Self:
        """Begin with `<s>`."""
        written = Written.start(limits.longest, with_attention=with_attention)
        ids = torch.full_like(written.pieces[:, :, 0], BOS)
        log_probs = torch.zeros(len(ids), device=ids.device)
        return cls(limits, log_probs, ids, torch.zeros_like(log_probs, dtype=torch.bool), written, scoring)

    def grow(self, logits: Tensor, state: SearchState) -> tuple["Greedy", None]:
        """Make a step from logits [B, 1, V]."""
        log_probs = self.limits.log_probs(logits, state, self.written)
        best, ids = best_pieces(log_probs.squeeze(1))  # [B, 1]
        over = self.over()
        ids = torch.where(over[:, None], self.ids, piece_ids(ids, state))
        grown = replace(
            self,
            limits=self.limits.step(~over),
            log_probs=self.log_probs + best.squeeze(1).masked_fill(over, 0.0),
            ids=ids,
            ended=ids.squeeze(1) == EOS,
            written=self.written.write(self.limits.lengths, ids, state.attention),
        )
        return grown, None

    def over(self) -> Tensor:
        """Tell which sentences have come to `</s>` or to their last step, [B]."""
        return self.ended | (self.limits.lengths == self.limits.longest)

    def hypotheses(self) -> list[list[Hypothesis]]:
        """Return the hypothesis of each sentence."""
        lengths, log_probs = self.limits.lengths[:, None], self.log_probs[:, None]  # [B, 1]
        scores = self.scoring.score(log_probs, lengths, None)
        return self.written.hypotheses(lengths - self.ended[:, None].long(), log_probs, scores)
