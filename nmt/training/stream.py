"""A text as a language model reads it: one stream of words, cut into parts that are read side by side."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nmt.sequences import Sequences
from nmt.vocab import EOS, PAD

Places = NDArray[np.int64]


@dataclass(frozen=True)
class TextStream:
    """The sentences of a text end to end, `</s>` behind each one; nothing of them is copied before it is read."""

    sentences: Sequences

    @cached_property
    def _ends(self) -> Places:
        """Where the word after the `</s>` of each sentence is, [N]."""
        return np.cumsum(self.sentences.lengths + np.int64(1))

    def __len__(self) -> int:
        """Count the words, `</s>` included."""
        return int(self._ends[-1]) if len(self._ends) else 0

    def read(self, places: Places) -> NDArray[np.int64]:
        """Return the words at some places, of any shape; the one before the first is `</s>`."""
        sentence = np.searchsorted(self._ends, places, side="right")
        taken = self.sentences.take(sentence)
        within = places - (self._ends[sentence] - taken.lengths - 1)
        real = (within >= 0) & (within < taken.lengths)
        index = np.where(real, taken.starts + within, 0)
        return np.where(real, taken.values[index], EOS).astype(np.int64)


@dataclass(frozen=True)
class Segment:
    """The next words of several texts, which are read side by side."""

    inputs: Tensor
    """[B, T] int64: the word before each of `outputs`."""
    outputs: Tensor
    """[B, T] int64: the words to predict; PAD where a text has ended."""
    words: Tensor
    """[N] int64: where in the flattened batch they are real; known beforehand, so that nobody waits for a GPU."""
    first_row: int
    """Which of this process's texts the first row belongs to; the others follow."""
    is_fresh: bool
    """Whether the model forgets what it has read before."""

    @classmethod
    def of(cls, inputs: Tensor, outputs: Tensor, *, first_row: int, is_fresh: bool) -> "Segment":
        """Make a segment, its words those that are not PAD."""
        words = (outputs != PAD).flatten().nonzero().squeeze(1)
        return cls(inputs, outputs, words, first_row, is_fresh)

    def __len__(self) -> int:
        return len(self.outputs)

    def to(self, device: torch.device) -> "Segment":
        """Move every tensor to `device`; a GPU copies pinned ones without anyone waiting."""
        inputs, outputs, words = (part.to(device, non_blocking=True) for part in self._tensors())
        return Segment(inputs, outputs, words, self.first_row, self.is_fresh)

    def pinned(self) -> "Segment":
        """Copy every tensor into page-locked memory."""
        inputs, outputs, words = map(Tensor.pin_memory, self._tensors())
        return Segment(inputs, outputs, words, self.first_row, self.is_fresh)

    def halves(self) -> tuple["Segment", "Segment"]:
        """Cut the rows into two parts."""
        middle = len(self) // 2
        return self._rows(0, middle), self._rows(middle, len(self))

    def _rows(self, first: int, last: int) -> "Segment":
        part, row = slice(first, last), self.first_row + first
        return Segment.of(self.inputs[part], self.outputs[part], first_row=row, is_fresh=self.is_fresh)

    def _tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.inputs, self.outputs, self.words


@dataclass(frozen=True)
class Parts:
    """A stream cut into `rows` equal parts, the last of which may be shorter (Zaremba et al., 2015, sec. 4.1)."""

    stream: TextStream
    rows: int

    @property
    def columns(self) -> int:
        """Words of each part."""
        return -(-len(self.stream) // self.rows)

    def words(self, first: int, last: int) -> int:
        """Count the words in the columns from `first` to before `last`, over all parts."""
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
