"""Beam search for translations that contain given sequences of pieces.

Grid beam search (Hokamp & Liu, 2017) with dynamic beam allocation (Post & Vilar, 2018): the hypotheses that have met
equally many of the required pieces form a bank, and the places of the beam are shared out among the banks, for what has
met more of them is less probable. The rules, for K beams and one sentence:

- The candidates of a step are the 2K most probable pieces after each live hypothesis, and each piece that a required
  sequence needs next. Those that have met everything may end, the others not.
- The banks take turns, the one that has met most first: each takes its best candidate that goes on, until K are taken.
- Candidates that end are finished if they are among the K best of their bank.
- After the last step allowed the live hypotheses that have met everything are finished as they are. If a sentence then
  has no finished hypothesis at all, those that have met most are finished instead.
- All else is as in `nmt.search.beam`. A sentence that requires nothing has a single bank, and gets what it gets there.

A required sequence is met where its pieces stand side by side. If one breaks off, its pieces are no longer met, but for
those that begin it anew; so it is with one that the next piece continues, as a piece without a mark continues the word
before it: who asks for "eine" does not mean "einem". Where scripts have no spaces, the first piece of a text has a mark
that the same piece has nowhere else: either begins a sequence. The same one required twice has to come twice, the
second time after the first; different ones may overlap. One that is impossible (it holds an unknown piece, or is
forbidden too) is never met.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import ClassVar, NamedTuple, Self

import torch
from torch import Tensor

from nmt.search.beam import Beams
from nmt.search.frontier import Candidates, best_candidates, piece_ids
from nmt.search.protocol import SearchState
from nmt.search.rules import places
from nmt.text.vocab import EOS, PAD


class Progress(NamedTuple):
    """How far a hypothesis is with each required sequence."""

    met: tuple[int, ...]
    """Pieces of it that have been met, of all its occurrences in a row."""
    just_met: tuple[bool, ...]
    """Whether the last piece has completed it."""


class _Sequence:
    """A required sequence, followed as Knuth, Morris & Pratt (1977) do."""

    def __init__(self, pieces: tuple[int, ...], count: int) -> None:
        self.pieces = pieces
        self.wanted = len(pieces) * count
        """Pieces of all its occurrences."""
        self.borders = [0]
        """For each of its beginnings the length of the longest shorter one that it ends in."""
        for piece in pieces[1:]:
            self.borders.append(self.longer(self.borders[-1], piece, piece))

    def longer(self, part: int, piece: int, first: int) -> int:
        """Return how many of the pieces stand one after the other when `piece` follows the first `part` of them; where
        none would be left it counts as `first`."""
        while part and self.pieces[part] != piece:
            part = self.borders[part - 1]
        return part + (self.pieces[part] == (piece if part else first))


class Required:
    """The sequences of pieces that the translation of one sentence has to contain."""

    def __init__(
        self,
        sequences: Sequence[Sequence[int]],
        continuing: Set[int] = frozenset(),
        copied: Set[int] = frozenset(),
        opening: Mapping[int, int] = MappingProxyType({}),
    ) -> None:
        """Require sequences, none of them empty or with an end.

        Behind none of them comes a `continuing` piece, unless it is a single one that is `copied`. An `opening` piece
        begins them as well as the one that it stands for.
        """
        if not all(sequences) or any(EOS in sequence for sequence in sequences):
            raise ValueError("a required sequence has at least one piece, and none of its pieces is </s>")
        counts = Counter(tuple(sequence) for sequence in sequences)
        self._sequences = [_Sequence(pieces, count) for pieces, count in counts.items()]
        self._continuing, self._copied, self._opening = continuing, copied, opening
        self.total = sum(sequence.wanted for sequence in self._sequences)
        """Pieces that are required."""
        self.begin = Progress((0,) * len(counts), (False,) * len(counts))

    def advance(self, progress: Progress, piece: int) -> Progress:
        """Return the progress of a hypothesis that `piece` continues."""
        states = zip(self._sequences, *progress, strict=True)
        steps = [self._advance(sequence, met, just_met, piece) for sequence, met, just_met in states]
        return Progress(tuple(met for met, _ in steps), tuple(just_met for _, just_met in steps))

    def _advance(self, sequence: _Sequence, met: int, just_met: bool, piece: int) -> tuple[int, bool]:
        size, part = len(sequence.pieces), met % len(sequence.pieces)
        copied = size == 1 and sequence.pieces[0] in self._copied
        if just_met and piece in self._continuing and not copied:
            met, part = met - size, sequence.borders[-1]  # it breaks off
        elif met == sequence.wanted:
            return met, False
        whole = met - met % size
        part = sequence.longer(part, piece, self._opening.get(piece, piece))
        return whole + part, part == size

    def needed(self, progress: Progress) -> set[int]:
        """Return the pieces that would bring a hypothesis on."""
        states = zip(self._sequences, progress.met, strict=True)
        return {one.pieces[met % len(one.pieces)] for one, met in states if met < one.wanted}

    def met(self, progress: Progress) -> int:
        """Count the pieces that a hypothesis has met: whole sequences, and the longest part of another one.

        Counted so, each piece needed next makes it more.
        """
        parts = [met % len(one.pieces) for one, met in zip(self._sequences, progress.met, strict=True)]
        return sum(progress.met) - sum(parts) + max(parts, default=0)


class _Option(NamedTuple):
    """A candidate of one sentence; the best one is the least."""

    cost: float
    """The negative log-probability of the whole hypothesis."""
    parent: int
    piece: int


@dataclass(frozen=True)
class ConstrainedBeams(Beams):
    """A frontier of K live hypotheses a sentence and the best finished ones, bound to contain what is required."""

    common = frozenset({"required", "progress"})  # no tensors: taken and joined below
    required: tuple[Required, ...]
    """Of each sentence."""
    progress: tuple[tuple[Progress, ...], ...]
    """Of each sentence's live hypotheses."""
    replayable: ClassVar[bool] = False

    @classmethod
    def of(cls, beams: Beams, required: Sequence[Required]) -> Self:
        """Bind hypotheses that have made no step yet to what each sentence requires."""
        return cls(**vars(beams), required=tuple(required), progress=tuple((one.begin,) for one in required))

    def grow(self, logits: Tensor, state: SearchState) -> tuple[Self, Tensor]:
        """Make a step from logits [B, K, V]."""
        options = self._options(logits, state)
        last = (self.limits.lengths == self.limits.longest - 1).tolist()
        found = (self.finished.scores[:, 0] > -math.inf).tolist()
        chosen, progress = [], []
        for b, over in enumerate(self.over().tolist()):
            ended, going = self._choose(b, [] if over else options[b])
            if last[b]:
                going = self._closable(b, going, nothing=not (ended or found[b]))
            # K candidates that end before K that go on, those that are missing being impossible
            ends = [_Option(math.inf, 0, EOS)] * (self.beam_size - len(ended))
            goes = [_Option(math.inf, 0, PAD)] * (self.beam_size - len(going))
            chosen.append([*ended, *ends, *going, *goes])
            progress.append((*(self._followed(b, option) for option in going), *[self.required[b].begin] * len(goes)))
        parts = ([[option[part] for option in row] for row in chosen] for part in range(3))
        costs, parents, pieces = (torch.tensor(part, device=logits.device) for part in parts)
        beams, parents = self.advance(Candidates(-costs, parents, pieces), state.attention)
        return replace(beams, progress=tuple(progress)), parents

    def take(self, sentences: Tensor) -> Self:
        """Keep `sentences` [B'], in this order."""
        rows = sentences.tolist()
        required, progress = tuple(self.required[row] for row in rows), tuple(self.progress[row] for row in rows)
        return replace(super().take(sentences), required=required, progress=progress)

    def join(self, other: Self) -> Self:
        """Append the sentences of `other`."""
        required, progress = self.required + other.required, self.progress + other.progress
        return replace(super().join(other), required=required, progress=progress)

    def _options(self, logits: Tensor, state: SearchState) -> list[list[_Option]]:
        """List the candidates of each sentence, best first: equal ones go by lower beam, then by lower id."""
        log_probs = self.limits.log_probs(logits, state, self.written)
        batch, beams, _ = log_probs.shape
        totals = self.log_probs  # [B, K]
        # [B * K, 2K]: of each hypothesis alone
        best = best_candidates(log_probs.flatten(0, 1)[:, None], totals.reshape(-1, 1), 2 * self.beam_size)
        likely = piece_ids(best.ids.view(batch, -1), state).view(batch, beams, -1)
        needed = self._needed(likely.device)  # [B, K, N]
        index = places(needed.flatten(1), state.pieces).view(needed.shape)
        log_probs = torch.cat([best.log_probs.view(likely.shape), log_probs.gather(2, index) + totals[:, :, None]], 2)
        pieces = torch.cat([likely, needed], dim=2)
        options = []
        for costs, ids in zip((-log_probs).tolist(), pieces.tolist(), strict=True):
            rows = enumerate(zip(costs, ids, strict=True))
            every = {_Option(cost, parent, piece) for parent, row in rows for cost, piece in zip(*row, strict=True)}
            options.append(sorted(option for option in every if option.cost < math.inf))
        return options

    def _needed(self, device: torch.device) -> Tensor:
        """Return the pieces that bring each live hypothesis on, PAD after the last one, [B, K, N]."""
        rows = [
            [sorted(required.needed(progress)) for progress in live]
            for required, live in zip(self.required, self.progress, strict=True)
        ]
        size = max(len(pieces) for row in rows for pieces in row)
        filled = [[pieces + [PAD] * (size - len(pieces)) for pieces in row] for row in rows]
        return torch.tensor(filled, dtype=torch.int64, device=device)

    def _choose(self, sentence: int, options: list[_Option]) -> tuple[list[_Option], list[_Option]]:
        """Choose among candidates, best first: those that end, and those that go on."""
        beam_size, total = self.beam_size, self.required[sentence].total
        banks: dict[int, list[_Option]] = {}
        for option in options:
            met = self._met(sentence, option)
            if option.piece != EOS or met == total:
                banks.setdefault(met, []).append(option)
        ended = [option for option in banks.get(total, [])[:beam_size] if option.piece == EOS]
        turns = [
            (turn, -met, option)
            for met, bank in banks.items()
            for turn, option in enumerate(option for option in bank if option.piece != EOS)
        ]
        return ended, sorted(option for _, _, option in sorted(turns)[:beam_size])

    def _closable(self, sentence: int, going: list[_Option], *, nothing: bool) -> list[_Option]:
        """Keep those that have met everything; where `nothing` has been finished, those that have met most."""
        met = [self._met(sentence, option) for option in going]
        wanted = max(met, default=0) if nothing else self.required[sentence].total
        return [option for option, count in zip(going, met, strict=True) if count == wanted]

    def _met(self, sentence: int, option: _Option) -> int:
        return self.required[sentence].met(self._followed(sentence, option))

    def _followed(self, sentence: int, option: _Option) -> Progress:
        return self.required[sentence].advance(self.progress[sentence][option.parent], option.piece)
