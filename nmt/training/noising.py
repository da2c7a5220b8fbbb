"""Training pairs noised anew every time they are seen: decoded, noised as text, and cut as when they were prepared."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from random import Random
from typing import Final

import numpy as np

from nmt.config import Settings
from nmt.errors import ConfigError
from nmt.prepared import PreparedData
from nmt.text import placeholders
from nmt.text.noises import OF_CASE, Texts, noised
from nmt.text.sequences import FlatSequences, Rows
from nmt.text.tokenizer import Tokenizers
from nmt.text.vocab import UNK
from nmt.training.resampling import row_keys, uniform

_STREAM: Final = 2
"""Draws from another stream than the resamplers of source and target."""
_FIRST_CODE: Final = 0xD800
"""Symbols are counted from here while text is noised: surrogates, which no text has and no kind of noise touches."""


def make_noiser(data: PreparedData, settings: Settings) -> "Noiser":
    """Make what noises the pairs of prepared data as the settings say; a ConfigError if their pieces are words."""
    tokenizers = data.tokenizers
    if "word" in (tokenizers.src.kind, tokenizers.tgt.kind):
        raise ConfigError(
            "training.noise spells words in other ways: it needs tokenizers that know parts of words, but one of the "
            "data is of the kind word"
        )
    share, kinds = settings.training.noise, settings.training.noise_kinds
    if settings.data.lowercase and not (kinds := tuple(kind for kind in kinds if kind not in OF_CASE)):
        raise ConfigError(
            "training.noise_kinds changes nothing but the case of letters, and the data are in small ones "
            "(data.lowercase = true): expected another kind"
        )
    names = [corpus.name for corpus in data.corpora]
    if isinstance(share, dict):
        for name in share.keys() - set(names):
            raise ConfigError(f"training.noise names {name!r}, expected a corpus of the data: {', '.join(names)}")
    shares = [share.get(name, 0.0) if isinstance(share, dict) else share for name in names]
    return Noiser(
        tokenizers,
        shares=tuple(zip((corpus.train for corpus in data.corpora), shares, strict=True)),
        kinds=kinds,
        max_pieces=settings.data.max_pieces,
        tags=tuple({corpus.tag: None for corpus in data.corpora if corpus.tag}),
        masked=settings.tokenizer.placeholders,
    )


@dataclass(frozen=True)
class Noiser:
    """Noises some of the pairs.

    Which, and how, is a function of their numbers and the seed: the same in any process, whatever shares the batch.
    """

    tokenizers: Tokenizers
    shares: Sequence[tuple[int, float]]
    """Pairs of each corpus, in the order of their numbers, and the share of them that is noised."""
    kinds: Sequence[str]
    max_pieces: int
    """A pair that would come out longer stays as it was prepared, as does one with an unknown piece."""
    tags: Sequence[str] = ()
    """Pieces before the sources of corpora, which stay there."""
    masked: Sequence[placeholders.Kind] = ()
    """What the pairs have placeholders for."""

    def noise(
        self, src: FlatSequences, tgt: FlatSequences, numbers: Rows, *, seed: int
    ) -> tuple[FlatSequences, FlatSequences]:
        """Noise some pairs of `numbers`, [B], whose rows these are; `seed` is another one every time they are seen."""
        keys = row_keys(numbers, seed=seed, stream=_STREAM)
        ends, shares = np.cumsum([pairs for pairs, _ in self.shares]), np.array([share for _, share in self.shares])
        chosen = np.flatnonzero(uniform(keys) < shares[np.searchsorted(ends, numbers, side="right")])
        if not len(chosen):
            return src, tgt
        pairs = zip(
            self.tokenizers.src.decode(list(map(src.row, chosen.tolist()))),
            self.tokenizers.tgt.decode(list(map(tgt.row, chosen.tolist()))),
            map(Random, keys[chosen].tolist()),
            strict=True,
        )
        src_texts, tgt_texts = zip(*(self._noised(*pair) for pair in pairs), strict=True)
        new_src, new_tgt = self.tokenizers.src.encode_flat(src_texts), self.tokenizers.tgt.encode_flat(tgt_texts)
        fit = np.flatnonzero([self._fits(new_src.row(at)) and self._fits(new_tgt.row(at)) for at in range(len(chosen))])
        return src.with_rows(chosen[fit], new_src.take(fit)), tgt.with_rows(chosen[fit], new_tgt.take(fit))

    def _noised(self, src: str, tgt: str, rng: Random) -> Texts:
        tag = self._tag.match(src)
        assert tag is not None
        pair = noised(self._coded(src[tag.end() :]), self._coded(tgt), self.kinds, rng)
        src, tgt = (text.translate(self._names) for text in pair)
        src, tgt = placeholders.mask_pair(src, tgt, self.masked) if self.masked else (src, tgt)
        return tag[0] + src, tgt

    def _coded(self, text: str) -> str:
        return self._symbols.sub(lambda match: self._codes[match[0]], text)

    def _fits(self, row: list[int]) -> bool:
        return 0 < len(row) <= self.max_pieces and UNK not in row

    @cached_property
    def _tag(self) -> re.Pattern[str]:
        return re.compile(rf"(?:(?:{'|'.join(map(re.escape, self.tags))}) )?" if self.tags else "")

    @cached_property
    def _codes(self) -> dict[str, str]:
        symbols = self.tokenizers.src.symbols | self.tokenizers.tgt.symbols
        longest_first = sorted(symbols, key=lambda symbol: (-len(symbol), symbol))
        return {symbol: chr(_FIRST_CODE + number) for number, symbol in enumerate(longest_first)}

    @cached_property
    def _symbols(self) -> re.Pattern[str]:
        return re.compile("|".join(map(re.escape, self._codes)) or "(?!)")

    @cached_property
    def _names(self) -> dict[int, str]:
        return {ord(code): symbol for symbol, code in self._codes.items()}
