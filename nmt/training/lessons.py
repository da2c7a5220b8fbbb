"""Corrections learnt together: few rows of the output layer, pairs of the training data beside them, and a guard."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from threading import Event
from typing import Final

import numpy as np
import torch
from torch import Tensor

from nmt.config import Settings
from nmt.errors import DataError, counted
from nmt.io.lines import normaliser
from nmt.models.devices import for_search
from nmt.models.prepacked import SearchPrecision
from nmt.models.seq2seq import Seq2Seq
from nmt.prepared import PreparedData, ValidationSet
from nmt.search.engine import search_batches
from nmt.text.placeholders import mask_pair
from nmt.text.tokenizer import Tokenizers
from nmt.text.vocab import BOS, EOS, UNK
from nmt.training.alike import Beside, Change, Pair, changes, evenly, holds
from nmt.training.inheriting import ASLEEP
from nmt.training.observers import Scores
from nmt.training.output_rows import Fit, OutputRows, Seen
from nmt.training.translation import Validator

_MOST: Final = 8
"""Other pieces that a correction may ask for; one that asks for more is a rewrite."""
_ALIKE: Final = 24
"""Pairs of the training data to which the same is done, for each change."""
_WITH_PIECE: Final = 16
"""Pairs that stay as they are and hold a piece whose row changes, for each of them."""
_ANY: Final = 100
"""Pairs of any kind that stay as they are."""
_GUARDING: Final = 100
"""Validation pairs that guard, at most."""
_BOUND: Final = 0.02
"""Nats a piece by which their loss may rise."""
_PARTS: Final = (1.0, 0.5, 0.25)
"""How far towards what is best a round goes, one after the other until the guard does not object."""
_ROUNDS: Final = 4
_MOSTLY: Final = 0.9
"""Share of the pieces of corrected words that are the most probable ones, in the pairs that are learnt, at the end."""
_KEEPING: Final = 0.02
"""What a nat of divergence counts, where one of the corrected line counts 1."""
_STIFFNESS: Final = 1e-4
"""For each time that a piece occurs in the data, at first: tied embeddings move with the rows."""
_LOOSER: Final = 0.3
"""What the stiffness is multiplied by for the next round."""
_DROWSY: Final = 10.0
"""By how much a piece that has never been learnt is less probable at first than what it replaces, in nats."""
_RARE: Final = 200
"""A piece that occurs less often is as stiff as one that occurs so often."""

RULE: Final = (
    f"until all are learnt and {_MOSTLY:.0%} of what is like them, in {_ROUNDS} rounds at most; the loss of the "
    f"validation pairs that guard may rise by {_BOUND} nats a piece"
)
"""When learning ends."""


@dataclass(frozen=True)
class Lesson:
    """A correction, in pieces."""

    src: list[int]
    tgt: list[int]
    before: list[int]
    """The model's own translation."""

    @cached_property
    def changes(self) -> list[Change]:
        """What differs between the two."""
        return changes(self.before, self.tgt)

    @property
    def pieces(self) -> set[int]:
        """The pieces that come, or go, but of several that one replaces only the first: the others are not asked for
        after it."""
        return {
            piece
            for change in self.changes
            for piece in change.new + (change.old[:1] if len(change.new) == 1 else change.old)
        }

    @property
    def refused(self) -> str:
        """Why it is not to be learnt; empty: it is."""
        if not self.changes:
            return "it was translated so already"
        if any(UNK in change.new for change in self.changes):
            return "the model has no pieces for all of its words; `nmt vocabulary add` gives it more"
        pieces = sum(len(change.new) for change in self.changes)
        if pieces > _MOST:
            return f"it asks for {pieces} other pieces, more than {_MOST}: a rewrite, which takes fine-tuning"
        return ""

    def is_learnt(self, row: Sequence[int]) -> bool:
        """Tell whether the corrected words stand in a translation, and not those that they replace, nor what is left of
        them."""
        gone = [change.old for change in self.changes if change.old and not holds(self.tgt, change.old)]
        gone += [(piece,) for change in self.changes for piece in change.old if piece not in self.tgt]
        line = [BOS, *row, EOS]
        return all(holds(line, change.asked) for change in self.changes) and not any(holds(row, old) for old in gone)


@dataclass(frozen=True)
class Learner:
    """A model that learns lessons in place; nothing is drawn at random."""

    model: Seq2Seq
    tokenizers: Tokenizers
    settings: Settings
    data: PreparedData
    precision: SearchPrecision
    """In which it translates; it learns in fp32."""

    def lessons(self, corrections: Sequence[tuple[str, str]]) -> list[Lesson]:
        """Make lessons of sources and their corrected targets; a DataError names one that the model cannot read."""
        sources, targets = self.encode(corrections)
        most = self.settings.data.max_pieces
        for number, (src, tgt) in enumerate(zip(sources, targets, strict=True), start=1):
            for name, ids in (("source", src), ("target", tgt)):
                if not 0 < len(ids) <= most:
                    raise DataError(
                        f"the {name} of correction {number} has {counted(len(ids), 'piece')}, expected 1 to {most}, "
                        "which data.max_pieces lets the model read at once"
                    )
        return list(map(Lesson, sources, targets, self.translate(sources)))

    def encode(self, corrections: Sequence[tuple[str, str]]) -> tuple[list[list[int]], list[list[int]]]:
        """Cut sources and their corrected targets into pieces."""
        normalise = normaliser(self.settings.data)
        kinds = self.settings.tokenizer.placeholders
        masked = [mask_pair(normalise(src), normalise(tgt), kinds) for src, tgt in corrections]
        sources = self.tokenizers.src.encode([src for src, _ in masked])
        return sources, self.tokenizers.tgt.encode([tgt for _, tgt in masked])

    def translate(self, sources: Sequence[Sequence[int]]) -> list[list[int]]:
        """Return the translations of sources, searched for as the model's settings say."""
        reverse_source = self.settings.model.reverse_source
        with torch.inference_mode():
            searched = for_search(self.model, self.precision, device=self.model.device)
            found = search_batches(searched, sources, settings=self.settings.search, reverse_source=reverse_source)
        return [list(one.ids) for one in found]

    @torch.inference_mode()
    def scores(self, watch: Validator, loss: float) -> Scores:
        """Add BLEU of what the model translates to its loss on what guards."""
        bleu = watch.bleu(for_search(self.model, self.precision, device=self.model.device), Event())
        assert bleu is not None  # nobody asks it to stop
        return Scores(loss, bleu.score, signature=bleu.signature)

    @torch.inference_mode()
    def loss(self, guard: Validator) -> float:
        """Return the loss of the model on what guards, in fp32 and nats a piece."""
        loss = guard.loss(self.model, Event())
        assert loss is not None  # nobody asks it to stop
        return loss

    def guard(self, lessons: Sequence[Lesson]) -> Validator:
        """Choose validation pairs none of whose targets holds what lessons replace."""
        valid = self.data.valid
        free = [row for row in range(len(valid.tgt)) if _is_free(valid.tgt.row(row), lessons)]
        if not free:
            raise DataError(
                f"each of the {counted(len(valid.tgt), 'validation pair')} of {self.data.folder} holds what the "
                "corrections replace, so none can guard the rest"
            )
        rows = evenly(np.array(free), _GUARDING)
        src_texts, tgt_texts = ([texts[row] for row in rows.tolist()] for texts in (valid.src_texts, valid.tgt_texts))
        held = ValidationSet(valid.name, src_texts, tgt_texts, valid.src.take(rows), valid.tgt.take(rows))
        return Validator(held, self.tokenizers, self.settings, "fp32", self.settings.search.beam_size)

    def learn(self, lessons: Sequence[Lesson], guard: Validator, loss: float) -> tuple[str, float]:
        """Learn lessons together, until each is learnt or the guard, whose loss is known, objects.

        Returns:
            Why not all are learnt, or nothing; and the loss of the guard at the end.
        """
        taught, weights, others = self._beside(lessons)
        words = set[int]().union(*(lesson.pieces for lesson in lessons))
        pieces = sorted(words | self._rivals(sorted(words), lessons, taught))
        rows, kept = OutputRows(self.model, torch.tensor(pieces)), self._kept(lessons, pieces) + others
        last, limit = rows.copy(), loss + _BOUND
        self._wake(lessons)
        stiffness, origin = self._stiffness(pieces), rows.copy()[0]
        seen, seen_kept = self._see(rows, taught), self._see(rows, kept)
        before = seen_kept.log_probabilities(*rows.copy())
        for _ in range(_ROUNDS):
            fit = Fit(seen, weights[seen.pair], seen_kept, before, _KEEPING, origin, stiffness)
            moved = self._move(rows, *fit.solve(*rows.copy()), guard=guard, limit=limit)
            if moved is None:
                rows.put(*last)
                return f"it would cost the validation pairs that guard more than {_BOUND} nats a piece", loss
            last, loss = rows.copy(), moved
            seen = self._see(rows, taught)
            found = self.translate([lesson.src for lesson in lessons])
            learnt = all(lesson.is_learnt(row) for lesson, row in zip(lessons, found, strict=True))
            if learnt and seen.share_right(*rows.copy()) >= _MOSTLY:
                return "", loss
            seen_kept, stiffness = self._see(rows, kept), stiffness * _LOOSER
        return f"{_ROUNDS} rounds were not enough", loss

    @torch.no_grad()
    def _wake(self, lessons: Sequence[Lesson]) -> None:
        """Let pieces that the model has never learnt come where the first one comes of those that they replace, but
        seldom, and be read as the last one; tied embeddings cannot do both, and begin as the latter."""
        bias, table = self.model.output.bias, self.model.tgt_embedding.table.weight
        for change in (change for lesson in lessons for change in lesson.changes):
            for piece in (piece for piece in change.new if bias[piece] <= ASLEEP):
                if change.old:
                    self.model.output.weight[piece] = self.model.output.weight[change.old[0]]
                    table[piece] = table[change.old[-1]]
                bias[piece] = (bias[change.old[0]] if change.old else bias[bias > ASLEEP].mean()) - _DROWSY

    def _move(self, rows: OutputRows, weight: Tensor, bias: Tensor, *, guard: Validator, limit: float) -> float | None:
        """Move rows as far as the loss of the guard stays within a limit: all the way, a half or a quarter; return it,
        or None where a quarter is too far."""
        old_weight, old_bias = rows.copy()
        for part in _PARTS:
            rows.put(old_weight.lerp(weight, part), old_bias.lerp(bias, part))
            if (loss := self.loss(guard)) <= limit:
                return loss
        return None

    def _rivals(self, pieces: Sequence[int], lessons: Sequence[Lesson], pairs: Sequence[Pair]) -> set[int]:
        """Find what is most probable after corrected words and never follows them, such as endings of other words: a
        model does not know where words of several pieces end that it has not written before."""
        if all(len(change.new) < 2 for lesson in lessons for change in lesson.changes):
            return set()
        seen = self._see(OutputRows(self.model, torch.tensor(pieces)), pairs)
        after = seen.after_rows(len(pieces))
        return set(seen.rivals[after].tolist()) - set(seen.gold[after].tolist())

    def _see(self, rows: OutputRows, pairs: Sequence[Pair]) -> Seen:
        return Seen.of(rows, pairs, reverse_source=self.settings.model.reverse_source)

    def _beside(self, lessons: Sequence[Lesson]) -> tuple[list[Pair], Tensor, list[Pair]]:
        """Return what is to be learnt; what each pair of it counts, a corrected line 1, all pairs like it 2 together;
        and pairs that stay as they are though they hold what a lesson replaces, as they say it for something else.

        In what is learnt everything that any lesson replaces is replaced, or one would teach what another takes away.
        """
        every = [change for lesson in lessons for change in lesson.changes if change.old]
        taught, weights, others = list[Pair](), list[float](), list[Pair]()
        for lesson in lessons:
            taught.append((lesson.src, lesson.tgt))
            weights.append(1.0)
            rest = [other for other in lessons if other is not lesson]
            for change in lesson.changes:
                alike, unlike = Beside(self.data).alike(lesson.src, change, _ALIKE, others=_WITH_PIECE)
                taught += [(src, reduce(lambda row, one: one.made(row), every, tgt)) for src, tgt in alike]
                weights += [2 / len(alike) for _ in alike]
                others += [pair for pair in unlike if _is_free(pair[1], rest)]
        return taught, torch.tensor(weights), others

    def _kept(self, lessons: Sequence[Lesson], pieces: Sequence[int]) -> list[Pair]:
        """Return pairs that are to stay as they are: none whose target holds what lessons replace."""
        neighbours = Beside(self.data)
        pairs = neighbours.with_pieces(pieces, _WITH_PIECE) + neighbours.any_of(_ANY)
        return [pair for pair in pairs if _is_free(pair[1], lessons)]

    def _stiffness(self, pieces: Sequence[int]) -> Tensor:
        counts = self.data.target_counts + (self.data.source_counts if self.tokenizers.joint else 0)
        known = [counts[piece] if piece < len(counts) else 0 for piece in pieces]
        return torch.tensor(known).clamp_min(_RARE) * _STIFFNESS


def _is_free(row: Sequence[int], lessons: Sequence[Lesson]) -> bool:
    """Tell whether a target holds nothing that lessons replace."""
    return not any(change.old and holds(row, change.old) for lesson in lessons for change in lesson.changes)
