"""The corpus files of `nmt demo`, and the sentences that it shows."""

from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Final, Literal

from nmt.io.files import write_text
from nmt.io.lines import read_lines

SRC, TGT = "en", "fr"
PARTS: Final[tuple[Literal["train", "valid", "test"], ...]] = ("train", "valid", "test")
MOST_PAIRS: Final = 20_000
"""Training pairs of the phrasebook."""


def read_phrasebook(part: Literal["train", "valid", "test", "tagged"]) -> list[tuple[str, str]]:
    """Read English sentences and their French ones, or the tags of their words, from the package."""
    with as_file(files("nmt_data") / "phrasebook" / f"{part}.tsv.xz") as path:
        return [(left, right) for left, _, right in (line.partition("\t") for line in read_lines(path))]


def write_corpus(folder: Path, *, train_pairs: int = MOST_PAIRS) -> list[str]:
    """Write the phrasebook, with its first training pairs, as text; return the overrides that make a recipe read it."""
    folder.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        pairs = read_phrasebook(part)[: train_pairs if part == "train" else None]
        for side, language in enumerate((SRC, TGT)):
            write_text(folder / f"{part}.{language}", "".join(pair[side] + "\n" for pair in pairs))
    return [
        f'data.root="{folder}"',
        f'data.train_src=["train.{SRC}"]',
        f'data.train_tgt=["train.{TGT}"]',
        *(
            f'data.{part}_{side}="{part}.{language}"'
            for part in PARTS[1:]
            for side, language in (("src", SRC), ("tgt", TGT))
        ),
    ]


@dataclass(frozen=True)
class TranslatedSentence:
    """An unseen sentence, how it was translated, and how it should have been."""

    src: str
    hypothesis: str
    reference: str


def choose_examples(src: Path, hypotheses: Path, references: Path, *, count: int) -> list[TranslatedSentence]:
    """Pick `count` sentences spread over the whole test text, from first to last."""
    examples = [
        TranslatedSentence(*lines) for lines in zip(*map(read_lines, (src, hypotheses, references)), strict=True)
    ]
    step = max(1, len(examples) // count)
    return examples[::step][:count]
