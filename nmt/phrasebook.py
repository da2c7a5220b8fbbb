"""The corpus files of `nmt demo`, and the sentences that it shows."""

from importlib.resources import as_file, files
from pathlib import Path
from typing import Literal

from nmt.config import DataSettings
from nmt.io.files import write_text
from nmt.io.lines import read_lines

_LANGUAGES = {"src": "en", "tgt": "fr"}


def read_phrasebook(part: Literal["train", "valid", "test", "tagged"]) -> list[tuple[str, str]]:
    """Read English sentences and their French ones, or the tags of their words, from the package."""
    with as_file(files("nmt_data") / "phrasebook" / f"{part}.tsv.xz") as path:
        return [(left, right) for left, _, right in (line.partition("\t") for line in read_lines(path))]


def write_corpus(folder: Path, *, train_pairs: int) -> DataSettings:
    """Write the phrasebook, with its first training pairs, as text; return the settings that name the files."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = {"train": read_phrasebook("train")[:train_pairs]}
    parts |= {"valid": read_phrasebook("valid"), "test": read_phrasebook("test")}
    named: dict[str, object] = {"root": folder}
    for part, pairs in parts.items():
        for column, (side, language) in enumerate(_LANGUAGES.items()):
            file = f"{part}.{language}"
            write_text(folder / file, "".join(f"{pair[column]}\n" for pair in pairs))
            named[f"{part}_{side}"] = [file] if part == "train" else file
    return DataSettings.model_validate(named)


def choose_examples(src: Path, hypotheses: Path, references: Path, *, count: int) -> list[tuple[str, str, str]]:
    """Pick `count` sentences of a test text, from first to last, each with its translation and its reference."""
    examples = list(zip(*map(read_lines, (src, hypotheses, references)), strict=True))
    return examples[:: max(1, len(examples) // count)][:count]
