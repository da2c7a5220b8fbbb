"""Which pairs are fit for training, and why the others are not."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal, get_args

import numpy as np

from nmt.config.data import DataSettings
from nmt.corpus.hashes import Keys, Overlap, Side
from nmt.corpus.languages import is_foreign, known_language
from nmt.io.lines import Pair
from nmt.text.characters import CHARACTERS, script_shares, scripts_of, symbol_shares
from nmt.text.placeholders import without_urls
from nmt.text.sequences import Flags

Reason = Literal[
    "broken",
    "empty",
    "too_long",
    "length_ratio",
    "copy",
    "repetition",
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

_JUDGING: Final = ("max_characters", "max_length_ratio", "drop_copies", "max_repeats", "max_symbol_share")
_BY_LANGUAGE: Final = ("min_script_share", "identify_languages", "src_lang", "tgt_lang")
RULES_OF_PAIRS: Final = tuple(f"data.{name}" for name in (*_JUDGING, *_BY_LANGUAGE))
"""The settings of which it depends whether a single pair is fit."""

_BATCH: Final = 1024
"""Pairs whose characters lie side by side in memory at a time."""
_WORD: Final = re.compile(rf"[{CHARACTERS}]|[^\W\d_{CHARACTERS}]+")
"""A word of letters, or a character of a script without spaces: numbers have a right to their zeros."""


Rule = Callable[[Sequence[Pair]], Flags]
"""Says which pairs should not be trained on, each by itself alone; none has an empty side."""


@dataclass(frozen=True)
class Cleaner:
    """Judges pairs, each by itself alone; it remembers nothing, and can be sent to another process."""

    max_characters: int
    max_length_ratio: float
    drop_copies: bool
    rules: tuple[tuple[Reason, Rule], ...]
    """Tried in their order, after those of the fields above."""

    def reasons(self, pairs: Sequence[Pair]) -> list[Reason | None]:
        """Say why each pair should not be trained on; None: it should."""
        reasons = [pair.fault or self._reason(pair.src, pair.tgt) for pair in pairs]
        if not self.rules:
            return reasons
        for start in range(0, len(pairs), _BATCH):
            left = [row for row in range(start, min(start + _BATCH, len(pairs))) if reasons[row] is None]
            for reason, rule in self.rules:
                for row in np.asarray(left)[rule([pairs[row] for row in left])].tolist():
                    reasons[row] = reason
                left = [row for row in left if reasons[row] is None]
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


def make_cleaner(data: DataSettings, heldout: Overlap) -> Cleaner:
    """Make the cleaner that the settings ask for; `data.drop_overlap` keeps `heldout` out of the training text.

    A ConfigError says that a rule needs `data.src_lang` and `data.tgt_lang`, or a package that is not installed.
    """
    languages = {"data.src_lang": data.src_lang, "data.tgt_lang": data.tgt_lang}
    rules: list[tuple[Reason, Rule]] = []
    if data.max_repeats:
        rules.append(("repetition", partial(_repeats, most=data.max_repeats)))
    if data.max_symbol_share < 1:
        of_side = partial(_has_symbols, max_share=data.max_symbol_share)
        rules.append(("symbols", partial(_either_side, of_side, of_side)))
    if data.min_script_share > 0:
        scripts = [scripts_of(language, setting=setting) for setting, language in languages.items()]
        src, tgt = (partial(_has_other_script, scripts=own, min_share=data.min_script_share) for own in scripts)
        rules.append(("script", partial(_either_side, src, tgt)))
    if data.identify_languages:
        codes = [known_language(language, setting=setting) for setting, language in languages.items()]
        is_foreign_src, is_foreign_tgt = (partial(is_foreign, language=code) for code in codes)
        rules.append(("language", partial(_either_side, is_foreign_src, is_foreign_tgt)))
    if data.drop_overlap:
        rules.append(("overlap", partial(_overlaps, heldout, data.drop_overlap)))
    return Cleaner(data.max_characters, data.max_length_ratio, data.drop_copies, tuple(rules))


def _either_side(
    of_src: Callable[[list[str]], Flags], of_tgt: Callable[[list[str]], Flags], pairs: Sequence[Pair]
) -> Flags:
    return of_src([pair.src for pair in pairs]) | of_tgt([pair.tgt for pair in pairs])


def _repeats(pairs: Sequence[Pair], most: int) -> Flags:
    """Whether one side of a pair, and not the other, has a phrase more than `most` times in a row."""
    return np.array([_is_repetitive(pair.src, most) != _is_repetitive(pair.tgt, most) for pair in pairs], np.bool_)


def _is_repetitive(text: str, most: int) -> bool:
    words = _WORD.findall(text.casefold())
    if max(Counter(words).values(), default=0) <= most:
        return False
    for size in range(1, len(words) // (most + 1) + 1):
        run = 0
        for word, later in zip(words, words[size:], strict=False):
            run = run + 1 if word == later else 0
            if run == size * most:
                return True
    return False


def _has_symbols(texts: Sequence[str], max_share: float) -> Flags:
    """Whether too large a share of a text, spaces aside, is neither a letter nor a mark."""
    return np.asarray(symbol_shares(texts) > max_share)


def _has_other_script(texts: Sequence[str], scripts: Sequence[str], min_share: float) -> Flags:
    """Whether too small a share of the letters of a text, URLs aside, is of the scripts of its language."""
    return np.asarray(script_shares([without_urls(text) for text in texts], scripts) < min_share)


def _overlaps(heldout: Overlap, sides: Sequence[Side], pairs: Sequence[Pair]) -> Flags:
    """Whether the source, the target or both (`sides`) of a pair stand in a held-out set."""
    return heldout.flag(Keys.of(pairs), sides)
