"""The corpus files of `nmt demo`, and the sentences that it shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nmt.corpus.phrasebook import build_phrasebook
from nmt.corpus.reading import read_lines
from nmt.files import write_text

SRC, TGT = "en", "fr"
PARTS = ("train", "valid", "test")


def write_corpus(folder: Path, *, train_pairs: int, seed: int) -> list[str]:
    """Write the phrasebook as text files, and return the overrides that make a recipe read them.

    Raises:
        DataError: The grammar cannot give that many pairs.
    """
    phrasebook = build_phrasebook(train_pairs=train_pairs, seed=seed)
    folder.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        pairs: Sequence[tuple[str, str]] = getattr(phrasebook, part)
        for side, language in enumerate((SRC, TGT)):
            write_text(folder / f"{part}.{language}", "".join(pair[side] + "\n" for pair in pairs))
    return [
        f'data.root="{folder}"',
        f'data.train_src=["train.{SRC}"]',
        f'data.train_tgt=["train.{TGT}"]',
        *(f'data.{part}_{side}="{part}.{language}"' for part in PARTS[1:] for side, language in _SIDES),
    ]


_SIDES = (("src", SRC), ("tgt", TGT))


@dataclass(frozen=True)
class Example:
    """An unseen sentence, how it was translated, and how it should have been."""

    src: str
    hypothesis: str
    reference: str


def choose_examples(src: Path, hypotheses: Path, references: Path, *, count: int) -> list[Example]:
    """Pick `count` sentences spread over the whole test text, from first to last."""
    examples = [Example(*lines) for lines in zip(*map(read_lines, (src, hypotheses, references)), strict=True)]
    step = max(1, len(examples) // count)
    return examples[::step][:count]
