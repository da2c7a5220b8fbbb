"""Lines of a large corpus that are like a small one, found by two language models (Moore & Lewis, 2010).

One model has read text of the domain, the other text of all kinds. The lower the cross-entropy of a line under the
first, less that under the second, the more the line is like the domain (sec. 2). For pairs the differences of both
sides are added (Axelrod et al., 2011).
"""

import math
import shlex
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest
from pathlib import Path
from typing import IO, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray

from nmt.errors import DataError, ModelError, counted
from nmt.io.files import sha256
from nmt.io.lines import OnBadUtf8, read_lines, unequal
from nmt.lm.scorer import LanguageScorer
from nmt.text.tokenizer import tokenizer_files

_BLOCK: Final = 250
"""Lines that are scored together: more of them are no faster, and the count would stand still for seconds."""


@dataclass(frozen=True)
class Difference:
    """How unlike a domain lines are."""

    in_domain: LanguageScorer
    general: LanguageScorer

    @classmethod
    def load(
        cls,
        in_domain: Path,
        general: Path,
        *,
        device: Literal["auto", "cpu", "cuda"] = "auto",
        precision: Literal["auto", "fp32", "bf16"] = "fp32",
    ) -> Self:
        """Load two language models that cut text into the same pieces.

        Raises:
            ModelError: A folder is no language model, or they cut text differently.
            ConfigError: A GPU is asked for and there is none.
        """
        scorers = [LanguageScorer.load(folder, device=device, precision=precision) for folder in (in_domain, general)]
        hashes = [[sha256(path) for path in tokenizer_files(folder)] for folder in (in_domain, general)]
        if hashes[0] != hashes[1]:
            raise ModelError(
                f"{general} has another tokenizer than {in_domain}; cross-entropies compare only where text is cut in "
                f"the same way: prepare its text with `nmt prepare DATA_DIR --text FILE --tokenizer "
                f"{shlex.quote(str(in_domain))}`"
            )
        return cls(*scorers)

    def of(self, lines: Sequence[str]) -> list[float]:
        """Return the cross-entropies of lines in the domain less those in general, in nats a piece, of which `</s>` is
        one; that of a blank line is infinite."""
        pairs = zip(self.in_domain.score(lines), self.general.score(lines), strict=True)
        return [
            (general.log_probability - own.log_probability) / own.pieces if own.pieces else math.inf
            for own, general in pairs
        ]


def differences(
    rows: Iterable[tuple[str, ...]],
    judges: Sequence[Difference | None],
    *,
    on_rows: Callable[[int], None] = lambda done: None,
) -> NDArray[np.float64]:
    """Sum the scores of each row of a corpus, [N]; rows pass by in blocks, what stays in memory is a number for each.

    `judges` score each side, None: nothing; `on_rows` is told how many rows are done.
    """
    found = array("d")
    rows = iter(rows)
    while block := list(islice(rows, _BLOCK)):
        sides = zip(judges, zip(*block, strict=True), strict=True)
        scores = [judge.of(lines) for judge, lines in sides if judge]
        found.extend(math.fsum(row) for row in zip(*scores, strict=True))
        on_rows(len(found))
    return np.array(found)


def lowest(scores: NDArray[np.float64], share: float) -> NDArray[np.bool_]:
    """Tell which scores are among the lowest `share` of all, [N]; of equal ones the earlier; no infinite one is."""
    count = math.floor(share * len(scores) + 0.5)
    chosen = np.zeros(len(scores), dtype=np.bool_)
    chosen[scores.argsort(kind="stable")[:count]] = True
    return chosen & np.isfinite(scores)


def read_sides(sides: Sequence[Sequence[Path]], on_bad_utf8: OnBadUtf8 = "error") -> Iterator[tuple[str, ...]]:
    """Read files that match line by line, one of each side after the other, as they are: twice where they do not match.

    Raises:
        DataError: A file cannot be read, or files do not match.
    """
    for paths in zip(*sides, strict=True):
        for lines in zip_longest(*(read_lines(path, on_bad_utf8) for path in paths)):
            if None in lines:
                first, second, *_ = (sum(1 for _ in read_lines(path, on_bad_utf8)) for path in paths)
                raise unequal(paths[0], first, paths[1], second)
            yield lines


def copy_chosen(
    sides: Sequence[Sequence[Path]],
    outputs: Sequence[IO[bytes]],
    chosen: NDArray[np.bool_],
    on_bad_utf8: OnBadUtf8 = "error",
) -> None:
    """Write the chosen rows of a corpus, in their order, to a file for each side.

    Raises:
        DataError: The files have changed since they were scored.
    """
    count = 0
    for count, lines in enumerate(read_sides(sides, on_bad_utf8), start=1):
        if count <= len(chosen) and chosen[count - 1]:
            for file, line in zip(outputs, lines, strict=True):
                file.write(f"{line}\n".encode())
    if count != len(chosen):
        had = counted(len(chosen), "line")
        raise DataError(f"{sides[0][0]} and what follows it had {had} to score, but has {count:,} now")
