import lzma

import pytest

from tools.phrasebook.__main__ import SEED, TEXTS, texts
from tools.phrasebook.grammar import FOLDER, read_grammar
from tools.phrasebook.pairs import build_phrasebook
from tools.phrasebook.tagged import tagged_sentences


def shipped(name: str) -> str:
    return lzma.decompress((TEXTS / name).read_bytes()).decode("utf-8")


def test_the_texts_of_the_package_begin_with_what_the_grammar_says() -> None:
    train = build_phrasebook(train_pairs=1000, valid_pairs=0, test_pairs=0, seed=SEED).train
    tagged = tagged_sentences(read_grammar(FOLDER), 200, seed=SEED)
    for name, rows in (("train", train), ("tagged", tagged)):
        assert shipped(f"{name}.tsv.xz").startswith("".join(f"{left}\t{right}\n" for left, right in rows))


@pytest.mark.slow
def test_the_texts_of_the_package_are_what_the_grammar_says() -> None:
    assert {path.name: shipped(path.name) for path in TEXTS.iterdir()} == texts()
