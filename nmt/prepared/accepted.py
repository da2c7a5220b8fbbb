"""The training records that have been accepted: blocks of them on disk, counted through from first to last."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Generic

from nmt.prepared.duplicates import Bits, read_bits
from nmt.prepared.encoding import Selected
from nmt.prepared.selection import Positions, within
from nmt.prepared.sifting import Sifted
from nmt.prepared.spool import R


@dataclass(frozen=True)
class Accepted(Generic[R]):
    """Blocks that have been through the first stage, and which of their records are duplicates."""

    record: type[R]
    blocks: Sequence[Sifted]
    duplicates: Bits | None

    @cached_property
    def total(self) -> int:
        """How many records there are, duplicates left aside."""
        return sum(self._fresh)

    def read(self, chosen: Positions, *, heldout: Positions) -> Iterator[tuple[int, list[R]]]:
        """Read records, block by block, with the number of the corpus that they are from.

        Args:
            chosen: Those to read, in the order of the ones that are not held out.
            heldout: Those that are, in the order of all.
        """
        start = 0
        for selected in self.select(heldout, folder=Path(), tags=()):
            rows = selected.training(self.duplicates)
            here = within(chosen, start, len(rows))
            start += len(rows)
            if len(here):
                yield selected.sifted.part, selected.sifted.records(self.record, rows[here])

    def select(self, heldout: Positions, *, folder: Path, tags: Sequence[str | None]) -> Iterator[Selected]:
        """Say of each block what is trained on.

        Args:
            heldout: Those that are held out, in the order of all.
            folder: Where the ids of each block will have a folder of its own.
            tags: Those of the corpora; none where nobody asks for them.
        """
        first = start = 0
        for number, (sifted, fresh) in enumerate(zip(self.blocks, self._fresh, strict=True)):
            tag = tags[sifted.part] if tags else None
            yield Selected(folder / f"{number:06}", sifted, first, within(heldout, start, fresh), tag)
            first += sifted.accepted
            start += fresh

    @cached_property
    def _fresh(self) -> list[int]:
        """How many records of each block are no duplicates."""
        if self.duplicates is None:
            return [block.accepted for block in self.blocks]
        counts, first = [], 0
        for block in self.blocks:
            counts.append(block.accepted - int(read_bits(self.duplicates, first, block.accepted).sum()))
            first += block.accepted
        return counts
