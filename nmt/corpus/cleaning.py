"""Which pairs are fit for training, and why the others are not."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Literal, Protocol, get_args

import numpy as np

from nmt.config.data import DataSettings
from nmt.corpus.hashes import Keys, Overlap, Side
from nmt.corpus.languages import LanguageFilter
from nmt.io.lines import Pair
from nmt.text.characters import script_shares, scripts_of, symbol_shares
from nmt.text.placeholders import without_urls
from nmt.text.sequences import Flags

Reason = Literal[
    "broken",
    "empty",
    "too_long",
    "length_ratio",
    "copy",
    "symbols",
    "script",
    "language",
    "overlap",
    "duplicate",
    "too_many_pieces",
]

REASONS: Final[tuple[Reason, ...]] = get_args(Reason)
"""Why a pair is rejected, in the order in which the reasons are tried.

A `Cleaner` finds all but the last two: one needs the pairs before, the other the encoded pair.
"""

_BATCH: Final = 1024
"""Pairs whose characters lie side by side in memory at a time."""


class Filter(Protocol):
    """A rule that judges many pairs at a time, each by itself alone; it can be sent to another process."""

    @property
    def reason(self) -> Reason:
        """What it rejects pairs for."""

    def rejects(self, pairs: Sequence[Pair]) -> Flags:
        """Say which pairs should not be trained on; none has an empty side."""


@dataclass(frozen=True)
class SymbolFilter:
    """Rejects pairs with a side of digits, punctuation and symbols."""

    reason: ClassVar[Reason] = "symbols"
    max_share: float

    def rejects(self, pairs: Sequence[Pair]) -> Flags:
        """Reject a pair when too large a share of a side, spaces aside, is neither a letter nor a mark."""
        return np.asarray(
            (symbol_shares([pair.src for pair in pairs]) > self.max_share)
            | (symbol_shares([pair.tgt for pair in pairs]) > self.max_share)
        )


@dataclass(frozen=True)
class ScriptFilter:
    """Rejects pairs with a side in letters that its language is not written in."""

    reason: ClassVar[Reason] = "script"
    min_share: float
    src_scripts: tuple[str, ...]
    tgt_scripts: tuple[str, ...]

    def rejects(self, pairs: Sequence[Pair]) -> Flags:
        """Reject a pair when too small a share of a side's letters, URLs aside, is of the scripts of its language."""
        src, tgt = [without_urls(pair.src) for pair in pairs], [without_urls(pair.tgt) for pair in pairs]
        return np.asarray(
            (script_shares(src, self.src_scripts) < self.min_share)
            | (script_shares(tgt, self.tgt_scripts) < self.min_share)
        )


@dataclass(frozen=True)
class OverlapFilter:
    """Rejects pairs that the validation or test text holds."""

    reason: ClassVar[Reason] = "overlap"
    heldout: Overlap
    sides: tuple[Side, ...]

    def rejects(self, pairs: Sequence[Pair]) -> Flags:
        """Reject a pair whose source, target or both (`sides`) stand in a held-out set."""
        return self.heldout.flag(Keys.of(pairs), self.sides)


@dataclass(frozen=True)
class Cleaner:
    """Judges pairs, each by itself alone; it remembers nothing, and can be sent to another process."""

    max_characters: int
    max_length_ratio: float
    drop_copies: bool = True
    filters: tuple[Filter, ...] = ()
    """Tried in their order, after the rules above."""

    def reasons(self, pairs: Sequence[Pair]) -> list[Reason | None]:
        """Say why each pair should not be trained on; None: it should."""
        reasons = [pair.fault or self._reason(pair.src, pair.tgt) for pair in pairs]
        if self.filters:
            for start in range(0, len(pairs), _BATCH):
                self._filter(pairs, reasons, range(start, min(start + _BATCH, len(pairs))))
        return reasons

    def _reason(self, src: str, tgt: str) -> Reason | None:
        shorter, longer = sorted((len(src), len(tgt)))
        if shorter == 0:
            return "empty"
        if longer > self.max_characters:
            return "too_long"
        if longer > self.max_length_ratio * shorter:
            return "length_ratio"
        if self.drop_copies and src == tgt:
            return "copy"
        return None

    def _filter(self, pairs: Sequence[Pair], reasons: list[Reason | None], rows: Sequence[int]) -> None:
        """Fill in the reasons against the pairs of these rows that have none yet."""
        left = [row for row in rows if reasons[row] is None]
        for rule in self.filters:
            flags = rule.rejects([pairs[row] for row in left])
            for row in np.asarray(left)[flags].tolist():
                reasons[row] = rule.reason
            left = [row for row in left if reasons[row] is None]


def make_cleaner(data: DataSettings, heldout: Overlap) -> Cleaner:
    """Make the cleaner that the settings ask for.

    Args:
        data: Which rules there are, and how strict each is.
        heldout: The validation and test text, which `data.drop_overlap` keeps out of the training text.

    Raises:
        ConfigError: A rule needs `data.src_lang` and `data.tgt_lang`, or a package that is not installed.
    """
    filters: list[Filter] = []
    if data.max_symbol_share < 1:
        filters.append(SymbolFilter(data.max_symbol_share))
    if data.min_script_share > 0:
        src_scripts = scripts_of(data.src_lang, setting="data.src_lang")
        tgt_scripts = scripts_of(data.tgt_lang, setting="data.tgt_lang")
        filters.append(ScriptFilter(data.min_script_share, src_scripts, tgt_scripts))
    if data.identify_languages:
        filters.append(LanguageFilter.make(data.src_lang, data.tgt_lang))
    if data.drop_overlap:
        filters.append(OverlapFilter(heldout, data.drop_overlap))
    return Cleaner(
        max_characters=data.max_characters,
        max_length_ratio=data.max_length_ratio,
        drop_copies=data.drop_copies,
        filters=tuple(filters),
    )
