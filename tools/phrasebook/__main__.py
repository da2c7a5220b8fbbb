"""Write the texts of `nmt demo` and of two labs, compressed, where these read them."""

import lzma
from pathlib import Path
from typing import Final

from tools.phrasebook.grammar import FOLDER, read_grammar
from tools.phrasebook.pairs import build_phrasebook
from tools.phrasebook.tagged import tagged_sentences

TEXTS: Final = Path(__file__).parents[2] / "data" / "nmt_data" / "phrasebook"
SEED: Final = 1


def texts() -> dict[str, str]:
    """Return the texts by the names of their files: a sentence and its translation, or its tags, a line."""
    book = build_phrasebook(train_pairs=20_000, valid_pairs=500, test_pairs=500, seed=SEED)
    tagged = tagged_sentences(read_grammar(FOLDER), 5000, seed=SEED)
    parts = {"train": book.train, "valid": book.valid, "test": book.test, "tagged": tagged}
    return {f"{part}.tsv.xz": "".join(f"{left}\t{right}\n" for left, right in rows) for part, rows in parts.items()}


if __name__ == "__main__":
    TEXTS.mkdir(exist_ok=True)
    for name, text in texts().items():
        (TEXTS / name).write_bytes(lzma.compress(text.encode("utf-8"), preset=9))
