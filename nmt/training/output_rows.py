"""Rows of an output layer that are learnt alone, so that what the others score hardly changes.

Nothing below the output layer moves, so the features of a text are computed once. Nor do the other rows: all that
matters of them is how much they weigh together at each piece. So a step costs as much as a few rows, not as the whole
vocabulary, and the problem is convex. Tied embeddings move with the rows, which is why a solution is only near: read
the texts again, and solve again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import torch
from torch import Tensor

from nmt.batching import Batch, cut_batches, source_batch, target_batch
from nmt.models.seq2seq import Seq2Seq
from nmt.text.sequences import FlatSequences
from nmt.training.alike import Pair
from nmt.training.translation import piece_features
from nmt.training.update import spare_compiler, step

_BATCH_TOKENS: Final = 1000
_STEPS: Final = 30


@dataclass(frozen=True)
class OutputRows:
    """Some rows of a model's output layer."""

    model: Seq2Seq
    ids: Tensor
    """The pieces whose rows they are, [R]."""

    def copy(self) -> tuple[Tensor, Tensor]:
        """Return the rows, [R, F], and their biases, [R]."""
        output = self.model.output
        return output.weight.detach()[self.ids], output.bias.detach()[self.ids]

    @torch.no_grad()
    def put(self, weight: Tensor, bias: Tensor) -> None:
        """Replace the rows and their biases."""
        self.model.output.weight[self.ids] = weight
        self.model.output.bias[self.ids] = bias


@dataclass(frozen=True)
class Seen:
    """The target pieces of pairs as few rows of an output layer see them: the others are one, "something else"."""

    features: Tensor
    """[N, F]."""
    others: Tensor
    """The log of what all other rows weigh together, [N]."""
    right: Tensor
    """Which of the R rows is right, or R: something else, [N]."""
    gold: Tensor
    """The pieces, [N]."""
    rivals: Tensor
    """The most probable pieces without a row here, [N]."""
    pair: Tensor
    """Of which pair each piece is, [N]."""

    @classmethod
    @torch.no_grad()
    def of(cls, rows: OutputRows, pairs: Sequence[Pair], *, reverse_source: bool) -> Self:
        """Read pairs with teacher forcing."""
        src, tgt = (FlatSequences.from_lists([pair[side] for pair in pairs]) for side in (0, 1))
        order = np.lexsort((src.lengths, tgt.lengths))
        bounds = cut_batches(np.maximum(src.lengths, tgt.lengths)[order] + 1, batch_tokens=_BATCH_TOKENS)
        output, size = rows.model.output, len(rows.ids)
        place = torch.full((output.out_features,), size).index_copy(0, rows.ids, torch.arange(size))
        parts = list[tuple[Tensor, ...]]()
        for batch_rows in np.split(order, bounds[1:-1]):
            sources = source_batch(src, batch_rows, reverse_source=reverse_source)
            features, gold = piece_features(rows.model, Batch(sources, target_batch(tgt, batch_rows)))
            logits = output(features).index_fill_(1, rows.ids, -torch.inf)
            parts.append((features, logits.logsumexp(dim=1), place[gold], gold, logits.argmax(dim=1)))
        pair = torch.from_numpy(np.repeat(order, tgt.lengths[order] + 1))
        features, others, right, golds, rivals = map(torch.cat, zip(*parts, strict=True))
        return cls(features, others, right, golds, rivals, pair)

    def log_probabilities(self, weight: Tensor, bias: Tensor) -> Tensor:
        """Score the rows [R, F] and, last, something else: [N, R + 1]."""
        return torch.cat([self.features @ weight.t() + bias, self.others[:, None]], dim=1).log_softmax(dim=1)

    def after_rows(self, count: int) -> Tensor:
        """Tell which pieces have none of `count` rows and come right after one that has, [N]."""
        has_row, found = self.right < count, torch.zeros_like(self.right, dtype=torch.bool)
        found[1:] = has_row[:-1] & ~has_row[1:] & (self.pair[1:] == self.pair[:-1])
        return found

    def share_right(self, weight: Tensor, bias: Tensor) -> float:
        """Return the share of the pieces whose row is right, and the most probable of the rows and something else."""
        has_row = self.right < len(weight)
        best = self.log_probabilities(weight, bias).argmax(dim=1)
        return float((best == self.right)[has_row].float().mean()) if has_row.any() else 1.0


@dataclass(frozen=True)
class Fit:
    """What rows of an output layer are to learn, and what to keep.

    Minimised is the cross-entropy of what is to be learnt, weighed piece by piece; and the divergence of what is to be
    kept from what it was at first; and the squared distance of each row from where it was at first.
    """

    taught: Seen
    weights: Tensor
    """Of each piece that is to be learnt, [N]."""
    kept: Seen
    before: Tensor
    """Log-probabilities of what is kept as they were, [M, R + 1]."""
    keeping: float
    """What a nat of divergence counts."""
    origin: Tensor
    """The rows as they were, [R, F]."""
    stiffness: Tensor
    """What distance counts, of each row, [R]."""

    def solve(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Return the best rows [R, F] and biases [R], looked for from those of now."""
        weight, bias = weight.clone().requires_grad_(), bias.clone().requires_grad_()
        spare_compiler()
        optimizer = torch.optim.LBFGS([weight, bias], max_iter=_STEPS, line_search_fn="strong_wolfe")

        def loss() -> Tensor:
            optimizer.zero_grad()
            right = self.taught.log_probabilities(weight, bias).gather(1, self.taught.right[:, None]).squeeze(1)
            kept = self.kept.log_probabilities(weight, bias)
            total = self.keeping * (self.before.exp() * (self.before - kept)).sum() - right @ self.weights
            total = total + self.stiffness @ (weight - self.origin).square().sum(dim=1)
            total.backward()  # type: ignore[no-untyped-call]
            return total.detach()

        step(optimizer, loss)
        return weight.detach(), bias.detach()
