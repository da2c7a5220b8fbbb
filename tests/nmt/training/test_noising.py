import subprocess
import sys
from dataclasses import replace
from functools import cache
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmt.config import load_settings
from nmt.errors import ConfigError
from nmt.prepared import PreparedData
from nmt.text.noises import NOISES, OF_CASE
from nmt.text.sequences import FlatSequences
from nmt.text.tokenizer import Tokenizer, Tokenizers
from nmt.text.tokenizer_training import TokenizerPlan, train_tokenizer
from nmt.text.vocab import UNK
from nmt.training.feeding import TrainingPairs
from nmt.training.noising import Noiser, make_noiser

LINES = [
    "a man runs, and [NUM] dogs sleep.",
    "THE CAT SITS!",
    "<news> Why does it rain?",
    "A man.",
    "q z x w v j k (0123456789)",
]
ALL = np.arange(len(LINES) * 20)
Kind = Literal["unigram", "bpe", "char", "byte"]
KINDS: tuple[Kind, ...] = ("unigram", "bpe", "char", "byte")


@cache
def tokenizers(kind: Kind) -> Tokenizers:
    model = train_tokenizer([*LINES, *map(str.upper, LINES)] * 3, TokenizerPlan(kind, 80, symbols=["[NUM]", "<news>"]))
    joint = Tokenizer(model)
    return Tokenizers(joint, joint)


def noiser(kind: Kind = "unigram", *kinds: str, share: float = 1.0) -> Noiser:
    shares = [(2**62, share)]
    return Noiser(
        tokenizers(kind), shares, kinds or tuple(NOISES), max_pieces=200, tags=("<news>",), masked=("number",)
    )


def encoded(kind: Kind, lines: list[str]) -> FlatSequences:
    return tokenizers(kind).src.encode_flat(lines)


def texts(kind: Kind, rows: FlatSequences) -> list[str]:
    return tokenizers(kind).src.decode([rows.row(index) for index in range(len(rows))])


def noised(made: Noiser, lines: list[str], kind: Kind = "unigram", *, seed: int = 1) -> list[tuple[str, str]]:
    rows = encoded(kind, lines)
    return list(
        zip(*(texts(kind, side) for side in made.noise(rows, rows, np.arange(len(rows)), seed=seed)), strict=True)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_pairs_are_noised_as_text_and_cut_again(kind: Kind) -> None:
    assert noised(noiser(kind, "upper"), ["A man."], kind) == [("A MAN.", "A man.")]
    assert noised(noiser(kind, "lower"), ["A man."], kind) == [("a man.", "A man.")]


@pytest.mark.parametrize("kind", KINDS)
def test_tags_and_placeholders_stay_whole_and_tags_first(kind: Kind) -> None:
    line = "<news> [NUM] dogs sleep, a man runs."
    for seed in range(20):
        for src, tgt in noised(noiser(kind), [line] * 5, kind, seed=seed):
            assert src.startswith("<news> ")
            assert src.count("[NUM]") == tgt.count("[NUM]")
            assert set(src) & set("<[") <= set("<[")
    assert noised(noiser(kind, "title"), [line], kind)[0][0] == "<news> [NUM] Dogs Sleep, A Man Runs."


def test_a_number_more_is_masked_where_numbers_are() -> None:
    for src, tgt in noised(noiser("unigram", "numbers"), ["A man."] * 20):
        assert src == tgt
        assert src.count("[NUM]") == 1


def test_what_the_vocabulary_lacks_leaves_a_pair_as_it_is() -> None:
    assert noised(noiser("unigram", "emoji"), ["A man."] * 20) == [("A man.", "A man.")] * 20
    assert noised(noiser("byte", "emoji"), ["A man."] * 20, "byte") != [("A man.", "A man.")] * 20
    rows = encoded("unigram", ["the cat 猫 sits"])
    assert UNK in rows.row(0)
    src, tgt = noiser("unigram", "upper").noise(rows, rows, np.arange(1), seed=1)
    assert src.row(0) == tgt.row(0) == rows.row(0)


def test_a_pair_that_would_become_too_long_stays_as_it_is() -> None:
    long = len(encoded("char", ["A man. (7)"]).row(0))
    made = replace(noiser("char", "numbers"), max_pieces=long - 1, masked=())
    assert any(len(src) > long - 1 for src, _ in noised(replace(made, max_pieces=99), ["A man."] * 20, "char"))
    assert all(len(src) <= long - 1 for src, _ in noised(made, ["A man."] * 20, "char"))


def test_a_share_of_the_pairs_is_noised_others_in_each_epoch() -> None:
    line = "A man runs."
    changed = [
        {row for row, pair in enumerate(noised(noiser(share=0.2), [line] * 500, seed=seed)) if pair != (line, line)}
        for seed in (1, 2)
    ]
    assert all(50 < len(rows) < 120 for rows in changed)  # a hundred, less some doubled spaces
    assert len(changed[0] & changed[1]) < 40
    assert noised(noiser(share=0.0), [line] * 50) == [(line, line)] * 50


def test_each_corpus_has_a_share_of_its_own() -> None:
    made = replace(noiser("unigram", "upper"), shares=[(10, 0.0), (5, 1.0), (85, 0.0)])
    changed = [row for row, (src, _) in enumerate(noised(made, ["A man runs."] * 100)) if src != "A man runs."]
    assert changed == [10, 11, 12, 13, 14]


def test_small_letters_stay_small(toy_data: PreparedData) -> None:
    small = load_settings(None, ["training.noise=0.3", "data.lowercase=true"], base=toy_data.settings)
    assert make_noiser(toy_data, small).kinds == tuple(kind for kind in NOISES if kind not in OF_CASE)
    upper = load_settings(None, ["training.noise_kinds=['upper', 'title']"], base=small)
    with pytest.raises(
        ConfigError, match=r"^training\.noise_kinds changes nothing but the case of letters, and the data"
    ):
        make_noiser(toy_data, upper)


def test_corpora_that_are_noised_are_named(toy_data: PreparedData) -> None:
    name = toy_data.corpora[0].name
    settings = load_settings(None, [f"training.noise={{'{name}' = 0.3}}"], base=toy_data.settings)
    assert make_noiser(toy_data, settings).shares == ((len(toy_data.train_src), 0.3),)
    settings = load_settings(None, ["training.noise={other = 0.3}"], base=toy_data.settings)
    with pytest.raises(ConfigError, match=rf"^training\.noise names 'other', expected a corpus of the data: {name}$"):
        make_noiser(toy_data, settings)
    with pytest.raises(ConfigError, match="expected a share from 0 to 1, or a table of shares by corpus"):
        load_settings(None, ["training.noise={other = 1.3}"])


@given(st.lists(st.text(max_size=30), min_size=1, max_size=5), st.integers(0, 2**63 - 1), st.sampled_from(KINDS))
def test_what_a_pair_becomes_depends_on_its_number_and_the_seed_alone(lines: list[str], seed: int, kind: Kind) -> None:
    rows, made = encoded(kind, lines), noiser(kind, share=0.7)
    src, tgt = made.noise(rows, rows, np.arange(len(rows)), seed=seed)
    for number in reversed(range(len(rows))):
        wanted = np.array([number])
        alone = made.noise(rows.take(wanted), rows.take(wanted), wanted, seed=seed)
        assert (alone[0].row(0), alone[1].row(0)) == (src.row(number), tgt.row(number))


def test_another_process_noises_alike() -> None:
    code = """
import sys
import numpy as np
from nmt.text.noises import NOISES
from nmt.text.tokenizer import Tokenizer, Tokenizers
from nmt.training.noising import Noiser

model, *lines = sys.stdin.read().splitlines()
joint = Tokenizer(bytes.fromhex(model))
rows = joint.encode_flat(lines)
kinds = tuple(NOISES)
made = Noiser(Tokenizers(joint, joint), [(999, 0.5)], kinds, max_pieces=200, tags=("<news>",), masked=("number",))
found = made.noise(rows, rows, np.arange(len(rows)), seed=1)
print([[side.row(index) for index in range(len(rows))] for side in found])
"""
    lines = LINES * 20
    given = "\n".join([tokenizers("unigram").src.serialized.hex(), *lines])
    done = subprocess.run([sys.executable, "-c", code], input=given, capture_output=True, check=True, text=True)
    rows = encoded("unigram", lines)
    found = noiser(share=0.5).noise(rows, rows, ALL, seed=1)
    assert done.stdout.strip() == str([[side.row(index) for index in range(len(rows))] for side in found])


def test_pairs_are_noised_before_they_are_cut_anew_and_planned_by_the_lengths_they_have_then() -> None:
    class Twice:
        def resample(self, rows: FlatSequences, numbers: np.ndarray, *, seed: int) -> FlatSequences:
            return FlatSequences.from_lists([2 * rows.row(index) for index in range(len(rows))])

    rows = encoded("unigram", LINES * 20)
    pairs = TrainingPairs(rows, rows, reverse_source=False, noiser=noiser())
    once, twice = (made.take(ALL, seed=1) for made in (pairs, replace(pairs, resamplers=(Twice(), Twice()))))
    assert [2 * once.src.row(row) for row in ALL] == [twice.src.row(row) for row in ALL]
    src, tgt = pairs.lengths(seed=1)
    assert (src.tolist(), tgt.tolist()) == (once.src.lengths.tolist(), once.tgt.lengths.tolist())
    assert src.tolist() != rows.lengths.tolist()


def test_the_settings_make_the_noise(toy_data: PreparedData) -> None:
    settings = load_settings(None, ["training.noise=0.5", 'training.noise_kinds=["lower"]'], base=toy_data.settings)
    made = make_noiser(toy_data, settings)
    pairs = len(toy_data.train_src)
    assert (made.shares, made.kinds, made.tags, made.masked) == (((pairs, 0.5),), ("lower",), (), ())
    words = Tokenizer(train_tokenizer(LINES, TokenizerPlan("word", 99)))
    with pytest.raises(ConfigError, match=r"^training\.noise spells words in other ways: .* is of the kind word$"):
        make_noiser(replace(toy_data, tokenizers=Tokenizers(words, words)), settings)
