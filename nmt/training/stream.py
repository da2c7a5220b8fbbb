"""A text as a language model reads it: one stream of pieces, cut into parts that are read side by side."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from nmt.batching import Segment
from nmt.sequences import Sequences
from nmt.vocab import EOS, PAD

Places = NDArray[np.int64]


@dataclass(frozen=True)
class TextStream:
    """The sentences of a text end to end, `</s>` behind each one; nothing of them is copied before it is read."""

    sentences: Sequences

    @cached_property
    def _ends(self) -> Places:
        """Where the piece after the `</s>` of each sentence is, [N]."""
        return np.cumsum(self.sentences.lengths + np.int64(1))

    def __len__(self) -> int:
        """Count the pieces, `</s>` included."""
        return int(self._ends[-1]) if len(self._ends) else 0

    def read(self, places: Places) -> NDArray[np.int64]:
        """Return the pieces at some places, of any shape; the one before the first is `</s>`."""
        sentence = np.searchsorted(self._ends, places, side="right")
        taken = self.sentences.take(sentence)
        within = places - (self._ends[sentence] - taken.lengths - 1)
        real = (within >= 0) & (within < taken.lengths)
        index = np.where(real, taken.starts + within, 0)
        return np.where(real, taken.values[index], EOS).astype(np.int64)


@dataclass(frozen=True)
class Parts:
    """A stream cut into `rows` equal parts, the last of which may be shorter (Zaremba et al., 2015, sec. 4.1)."""

    stream: TextStream
    rows: int

    @property
    def columns(self) -> int:
        """Pieces of each part."""
        return -(-len(self.stream) // self.rows)

    def pieces(self, first: int, last: int) -> int:
        """Count the pieces in the columns from `first` to before `last`, over all parts."""
        starts = np.arange(self.rows) * self.columns
        ends = np.minimum(starts + min(last, self.columns), len(self.stream))
        return int(np.maximum(ends - (starts + first), 0).sum())

    def segment(self, first: int, last: int, *, rows: Places, is_fresh: bool) -> Segment:
        """Read the columns from `first` to before `last` of some parts; behind the end of the text is PAD."""
        places = rows[:, None] * self.columns + np.arange(first, min(last, self.columns))
        real = places < len(self.stream)
        known = np.where(real, places, 0)
        inputs, outputs = (np.where(real, self.stream.read(known - back), PAD) for back in (1, 0))
        return Segment.of(torch.from_numpy(inputs), torch.from_numpy(outputs), first_row=0, is_fresh=is_fresh)

    def segments(self, steps: int) -> Iterator[Segment]:
        """Read all parts from beginning to end, `steps` columns at a time."""
        rows = np.arange(self.rows)
        for first in range(0, self.columns, steps):
            yield self.segment(first, first + steps, rows=rows, is_fresh=first == 0)
