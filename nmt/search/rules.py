"""What may not come next in a translation, one class for each rule; and what finished hypotheses are ranked by."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol, Self

import torch
from torch import Tensor

from nmt.config import SearchSettings
from nmt.models.tensors import Rows, Takable
from nmt.search.forbidden import ForbiddenWords, last_pieces
from nmt.search.protocol import Sentence
from nmt.text.vocab import PAD

_FRACTIONS: Final = 2**32
"""Logarithms of coverage are added up as whole numbers, of parts of one: a sum that no order of its terms changes."""


@dataclass(frozen=True)
class Scoring:
    """Score = log-probability / length penalty + coverage penalty (Wu et al., 2016, eq. 14)."""

    length_penalty: float = 0.0
    """Alpha: the length penalty is ((5 + |Y|) / 6) ** alpha; |Y| counts `</s>`."""
    coverage_penalty: float = 0.0
    """Beta: the coverage penalty is beta times the sum of log(min(how much was read of it, 1)) over the source."""

    def divisors(self, lengths: Tensor) -> Tensor:
        """Return the length penalty of each length: float64, never falling with the length."""
        # not `**`: that computes the last few of a tensor in another way, and rounds them otherwise
        return ((5 + lengths.double()) / 6).log_().mul_(self.length_penalty).exp_()

    def score(self, log_probs: Tensor, lengths: Tensor, coverage: Tensor | None) -> Tensor:
        """Score hypotheses: [B, N] float64.

        Args:
            log_probs: [B, N].
            lengths: Steps that they took, [B, N].
            coverage: How much was read of each source position in all, [B, N, S]; -1 on padding.
        """
        scores = log_probs.double() / self.divisors(lengths)
        if coverage is None:
            return scores
        logs = coverage.double().clamp(min=1e-6, max=1.0).log_().masked_fill_(coverage < 0, 0.0)
        total = logs.mul_(_FRACTIONS).round_().long().sum(dim=2)  # [B, N]
        return scores + self.coverage_penalty / _FRACTIONS * total.double()


@dataclass(frozen=True)
class Asked:
    """What rules have to know beyond the settings, of all sentences of a search."""

    forbidden: ForbiddenWords | None = None
    """What may not appear, in tables on the device of the search."""
    with_prefixes: bool = False
    """Heed the sentences' prefixes."""
    copied: tuple[int, ...] = ()
    """Pieces that come at most as often as a sentence requires them, whatever follows them: placeholders."""


class Rule(Takable, Protocol):
    """Makes pieces impossible, for each of B sentences by itself; `RULES` lists the kinds there are."""

    @classmethod
    def of(cls, sentences: Sequence[Sentence], longest: Tensor, settings: SearchSettings, asked: Asked) -> Self | None:
        """Bind new sentences, of at most `longest` steps each, [B]; None: of no search with these settings."""

    def apply(self, log_probs: Tensor, *, pieces: Tensor | None, written: Tensor, lengths: Tensor) -> None:
        """Set the log-probabilities of pieces that may not come next to -inf, in place.

        Args:
            log_probs: Of the next pieces, [B, K, V].
            pieces: The piece that each of them is of, [B, V]; None: all pieces in order.
            written: What each hypothesis consists of so far, [B, K, T], PAD after the last piece.
            lengths: How many pieces that is, [B].
        """


@dataclass(frozen=True)
class NoRepeatNgram(Rows):
    """No sequence of `size` pieces comes twice in a hypothesis (Paulus et al., 2018, sec. 2.5)."""

    size: int
    """At least 1."""

    @classmethod
    def of(cls, sentences: Sequence[Sentence], longest: Tensor, settings: SearchSettings, asked: Asked) -> Self | None:
        """Bind all sentences alike, if the settings say so."""
        return cls(settings.no_repeat_ngram) if settings.no_repeat_ngram else None

    def apply(self, log_probs: Tensor, *, pieces: Tensor | None, written: Tensor, lengths: Tensor) -> None:
        """Make each piece impossible that has followed the last `size` - 1 pieces before."""
        before = self.size - 1
        count = written.shape[2] - before  # places where an n-gram may begin
        if count < 1:
            return
        begins = torch.arange(count, device=written.device)
        repeated = (begins + before < lengths[:, None])[:, None].expand(-1, written.shape[1], -1)  # [B, K, N]
        for n, last in enumerate(last_pieces(written, lengths, before).unbind(dim=2)):
            repeated = repeated & (written[:, :, n : n + count] == last[:, :, None])
        _forbid(log_probs, written[:, :, before:].where(repeated, PAD), pieces)


@dataclass(frozen=True)
class Prefix(Rows):
    """The pieces that each translation begins with.

    They keep their log-probabilities. A piece that is impossible anyway, as an unknown one is, costs nothing: so a
    prefix comes whatever the other rules say, if this is the last one of them.
    """

    pieces: Tensor
    """[B, P]; the last pieces of shorter prefixes are of no meaning."""
    lengths: Tensor
    """Pieces in each prefix, [B]; 0: none."""

    @classmethod
    def of(cls, sentences: Sequence[Sentence], longest: Tensor, settings: SearchSettings, asked: Asked) -> Self | None:
        """Bind sentences to their prefixes, if those are heeded."""
        if not asked.with_prefixes:
            return None
        lengths = torch.tensor([len(sentence.prefix) for sentence in sentences])
        pieces = torch.zeros(len(sentences), int(lengths.max()), dtype=torch.int64)
        for row, sentence in enumerate(sentences):
            pieces[row, : len(sentence.prefix)] = torch.tensor(sentence.prefix, dtype=torch.int64)
        return cls(pieces.to(longest.device), lengths.to(longest.device))

    def apply(self, log_probs: Tensor, *, pieces: Tensor | None, written: Tensor, lengths: Tensor) -> None:
        """Make all pieces but the next one of the prefix impossible; of a shortlist, that one is a part."""
        running = (lengths < self.lengths)[:, None, None]  # [B, 1, 1]
        if not self.pieces.shape[1] or (running.is_cpu and not bool(running.any())):
            return
        forced = self.pieces.gather(1, lengths.clamp(max=self.pieces.shape[1] - 1)[:, None])  # [B, 1]
        index = places(forced, pieces)[:, :, None].expand(-1, log_probs.shape[1], -1)  # [B, K, 1]
        kept = log_probs.gather(2, index)
        log_probs.masked_fill_(running, -math.inf)
        log_probs.scatter_(2, index, kept.masked_fill(running & (kept == -math.inf), 0.0))


@dataclass(frozen=True)
class AtMost(Rows):
    """Some pieces come at most so many times."""

    common = frozenset({"pieces"})
    pieces: Tensor
    """[N]."""
    counts: Tensor
    """How often each may come in the translation of each sentence, [B, N]."""

    @classmethod
    def of(cls, sentences: Sequence[Sentence], longest: Tensor, settings: SearchSettings, asked: Asked) -> Self | None:
        """Bind sentences to what they require of the pieces that are copied, if any are."""
        if not asked.copied:
            return None
        counts = [[sentence.required.count((piece,)) for piece in asked.copied] for sentence in sentences]
        return cls(torch.tensor(asked.copied, device=longest.device), torch.tensor(counts, device=longest.device))

    def apply(self, log_probs: Tensor, *, pieces: Tensor | None, written: Tensor, lengths: Tensor) -> None:
        """Make each piece impossible that has come as often as it may."""
        came = torch.stack([(written == piece).sum(dim=2) for piece in self.pieces], dim=2)  # [B, K, N]
        _forbid(log_probs, self.pieces.where(came >= self.counts[:, None], PAD), pieces)


@dataclass(frozen=True)
class Forbidden(Rows):
    """Texts that may not appear as whole words."""

    table: ForbiddenWords
    longest: Tensor
    """Most steps of each sentence, [B]: with the last one the text ends, and with it a word."""

    @classmethod
    def of(cls, sentences: Sequence[Sentence], longest: Tensor, settings: SearchSettings, asked: Asked) -> Self | None:
        """Bind sentences to the texts that are forbidden, if any are."""
        return cls(asked.forbidden, longest) if asked.forbidden else None

    def apply(self, log_probs: Tensor, *, pieces: Tensor | None, written: Tensor, lengths: Tensor) -> None:
        """Make pieces impossible that would end a forbidden text, or leave no other way than to end it."""
        table = self.table
        rows = table.rows(written, lengths, pieces, last=lengths + 1 >= self.longest)
        if not log_probs.is_cpu:
            masks = table.masks[rows] if pieces is None else table.masks[rows[:, :, None], pieces[:, None]]
            log_probs.masked_fill_(masks, -math.inf)
            return
        if pieces is None:
            log_probs.index_fill_(2, table.always, -math.inf)
        else:
            log_probs.masked_fill_(table.never[pieces][:, None], -math.inf)
        b, k = table.bans[rows].nonzero(as_tuple=True)
        if len(b):
            chosen = rows[b, k]
            masks = table.masks[chosen] if pieces is None else table.masks[chosen[:, None], pieces[b]]
            log_probs[b, k] = log_probs[b, k].masked_fill_(masks, -math.inf)


RULES: Final[tuple[type[Rule], ...]] = (NoRepeatNgram, AtMost, Forbidden, Prefix)
"""All kinds of rules, in the order in which they are applied: a prefix comes whatever the others say."""


def places(ids: Tensor, pieces: Tensor | None) -> Tensor:
    """Find pieces [B, N] among the `pieces` [B, V] that are scored: [B, N], the place of PAD for those that are not."""
    if pieces is None:
        return ids
    found = torch.searchsorted(pieces.contiguous(), ids.contiguous()).clamp(max=pieces.shape[1] - 1)
    return found.where(pieces.gather(1, found) == ids, PAD)


def _forbid(log_probs: Tensor, ids: Tensor, pieces: Tensor | None) -> None:
    """Make pieces [B, K, N] impossible; PAD is so anyway."""
    log_probs.scatter_(2, places(ids.flatten(1), pieces).view(ids.shape), -math.inf)
