"""How well words are translated that are rare in the training text, or long, as compounds are (Neubig et al., 2019)."""

import argparse
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

from nmt.io.lines import read_lines

FREQUENCIES: Final = (0, 1, 2, 5, 10, 100, 1000)
"""Where a group of words begins that occur so often in the training text."""
LENGTHS: Final = (1, 5, 10, 15, 20)
"""Where a group of words of so many characters begins."""
_tokens: Final = Tokenizer13a()  # type: ignore[no-untyped-call]


class Found(NamedTuple):
    """The words of one group."""

    name: str
    words: int
    """In the references."""
    f1: float
    """Harmonic mean of precision and recall, 0 to 100."""


def score_words(
    references: Sequence[str], hypotheses: Sequence[str], *, value: Callable[[str], int], starts: Sequence[int]
) -> list[Found]:
    """Compare the words of each hypothesis with those of its reference, wherever in the line they stand.

    Args:
        value: What a word is grouped by.
        starts: The least value of each group.
    """
    group = partial(_group, value=value, starts=starts)
    asked, written, right = Counter[int](), Counter[int](), Counter[int]()
    for reference, hypothesis in zip(references, hypotheses, strict=True):
        there, here = (Counter(_tokens(line).split()) for line in (reference, hypothesis))
        for counted, words in ((asked, there), (written, here), (right, there & here)):
            for word, count in words.items():
                counted[group(word)] += count
    names = [
        *(f"{low}" if low == high - 1 else f"{low}-{high - 1}" for low, high in pairwise(starts)),
        f"{starts[-1]}+",
    ]
    return [Found(name, asked[i], 200 * right[i] / max(1, asked[i] + written[i])) for i, name in enumerate(names)]


def _group(word: str, *, value: Callable[[str], int], starts: Sequence[int]) -> int:
    found = value(word)
    return sum(start <= found for start in starts) - 1


def tables(training: Iterator[str], references: Sequence[str], systems: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Write a table of each grouping, with a row for each system."""
    counts = Counter(word for line in training for word in _tokens(line).split())
    groupings = (("times in the training text", counts.__getitem__, FREQUENCIES), ("characters", len, LENGTHS))
    for title, value, starts in groupings:
        rows = {
            name: score_words(references, hypotheses, value=value, starts=starts)
            for name, hypotheses in systems.items()
        }
        head = next(iter(rows.values()))
        yield f"| {title} | " + " | ".join(found.name for found in head) + " |"
        yield "|---|" + "---|" * len(starts)
        for name, row in rows.items():
            yield f"| {name} | " + " | ".join(f"{found.f1:.1f}" for found in row) + " |"
        yield "| words of the references | " + " | ".join(f"{found.words:,}" for found in head) + " |"
        yield ""


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("training", type=Path, help="the target side of the training text")
    parser.add_argument("reference", type=Path)
    parser.add_argument("hypotheses", nargs="+", metavar="NAME=FILE")
    options = parser.parse_args()
    systems = {
        name: list(read_lines(Path(path))) for name, _, path in (each.partition("=") for each in options.hypotheses)
    }
    print("\n".join(tables(read_lines(options.training), list(read_lines(options.reference)), systems)), end="")


if __name__ == "__main__":
    main()
