"""Which language a text is in, as far as that can be known; needs py3langid, the optional extra `langid`."""

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from itertools import pairwise
from math import log
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nmt.errors import ConfigError, install
from nmt.text.sequences import Flags

_SURE: Final = log(10)
"""Another language has to be this many times as likely as the expected one; docs/decisions/0016 says what that does."""
_NO_LANGUAGE: Final = "zxx"
"""What the model calls numbers, addresses and the like."""
_LABELS: Final = {"no": ("no", "nn"), "nb": ("no",), "fil": ("tl",)}
"""What the model calls languages with another code; other codes are their own labels."""


def is_foreign(texts: Sequence[str], language: str) -> Flags:
    """Say which texts are clearly not in a language; names and numbers, which could be in any, never are.

    Each is judged by itself alone; `language` is a code of `known_language`. The model is loaded at the first text.
    """
    leads = _model().lead_over(_LABELS.get(language, (language,)), texts)
    flags = np.asarray(leads > _SURE)
    for row in np.flatnonzero(flags).tolist():
        # else maybe a name
        flags[row] = any(word[0].isalpha() and not word[0].isupper() for word in texts[row].split())
    return flags


def known_language(language: str | None, *, setting: str) -> str:
    """Return the model's code of a language, given as one of ISO 639 such as "pt-BR"; a ConfigError if it has none."""
    labels = set(_model().labels) - {_NO_LANGUAGE} | set(_LABELS)
    if language is None:
        raise ConfigError(f'{setting} is not set, but data.identify_languages needs it; expected a code such as "en"')
    code = language.replace("_", "-").split("-")[0].lower()
    if code not in labels:
        raise ConfigError(
            f"{setting} is {language!r}, which data.identify_languages does not know; "
            f"expected one of {', '.join(sorted(labels))}"
        )
    return code


@cache
def _model() -> "_Model":
    try:
        langid = import_module("py3langid.langid")
    except ImportError as error:
        raise ConfigError(
            f"data.identify_languages needs py3langid, which is not installed; {install('langid')}"
        ) from error
    return _Model(langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE))


class _Model:
    """The naive Bayes classifier of py3langid over byte sequences, for many texts at a time.

    Its own `classify` goes from byte to byte in a Python loop; here every step is one for all texts.
    """

    def __init__(self, identifier: Any) -> None:
        self.labels: list[str] = identifier.nb_classes
        self._weights = np.asarray(identifier.nb_ptc, dtype=np.float32)  # [F, classes]
        self._prior = np.asarray(identifier.nb_pc, dtype=np.float32)
        self._next = np.asarray(identifier.tk_nextmove)  # 256 states that may follow, row after row
        self._row = np.asarray(identifier.tk_row, dtype=np.int64) << 8
        self._feature = np.asarray(identifier.tk_output, dtype=np.int64)  # by state; -1 for none

    def lead_over(self, labels: Sequence[str], texts: Sequence[str]) -> NDArray[np.float32]:
        """Return by how much the likeliest language leads over these, as the log of a ratio; 0 where one of them is it.

        As in py3langid, what a long text says is damped by the root of its bytes: they are not independent.
        """
        encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
        scores = self._scores(encoded)
        expected = scores[:, [label in labels for label in self.labels]].max(axis=1)
        best = scores[:, [label != _NO_LANGUAGE for label in self.labels]].max(axis=1)
        sizes = np.fromiter(map(len, encoded), dtype=np.float32, count=len(encoded))
        return np.asarray((best - expected) / np.sqrt(np.maximum(sizes, 1)), dtype=np.float32)

    def _scores(self, encoded: Sequence[bytes]) -> NDArray[np.float32]:
        """Return the log probability of each text and class but for a constant, [texts, classes]; zeros where none."""
        scores = np.zeros((len(encoded), len(self.labels)), dtype=np.float32)
        found, counts = np.unique(self._features(encoded), return_counts=True)
        rows, features = np.divmod(found, len(self._weights))
        damped = np.log1p(counts, dtype=np.float32)
        ends = np.searchsorted(rows, np.arange(len(encoded)), side="right").tolist()
        for row, (start, end) in enumerate(pairwise([0, *ends])):
            if start < end:
                scores[row] = damped[start:end] @ self._weights.take(features[start:end], axis=0) + self._prior
        return scores

    def _features(self, encoded: Sequence[bytes]) -> NDArray[np.int64]:
        """Return text * F + feature for everything that is found in the texts."""
        lengths = np.fromiter(map(len, encoded), dtype=np.int64, count=len(encoded))
        order = np.argsort(-lengths, kind="stable")  # so that the texts that still go on are the first ones
        starts = (np.cumsum(lengths) - lengths)[order]
        going_on = np.searchsorted(-lengths[order], -np.arange(lengths.max(initial=0)), side="left")
        letters = np.frombuffer(b"".join(encoded), dtype=np.uint8)
        states = np.zeros(len(encoded), dtype=np.int64)
        found: list[NDArray[np.int64]] = [np.zeros(0, dtype=np.int64)]
        for position, count in enumerate(going_on.tolist()):
            states = self._next[self._row[states[:count]] + letters[starts[:count] + position]]
            features = self._feature[states]
            hits = np.flatnonzero(features >= 0)
            found.append(order[hits] * len(self._weights) + features[hits])
        return np.concatenate(found)
