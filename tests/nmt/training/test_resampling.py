import subprocess
import sys
import threading
from dataclasses import replace
from functools import cache
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from nmt.errors import ConfigError
from nmt.prepared import PreparedData
from nmt.text.sequences import FlatSequences
from nmt.text.tokenizer import Tokenizer, Tokenizers
from nmt.text.tokenizer_training import TokenizerPlan, train_tokenizer
from nmt.text.vocab import UNK
from nmt.training.resampling import Resampler, make_resampler, make_resamplers

Kind = Literal["unigram", "bpe"]
KINDS: tuple[Kind, ...] = ("unigram", "bpe")
LINES = [
    "the cat sat on the mat [NUM] times",
    "a cat ran to the mats",
    "three rats sat there",
    "then the hat ran on",
] * 5
ALL = np.arange(len(LINES))
UNKNOWN = "猫"


@cache
def model(kind: Kind) -> bytes:
    return train_tokenizer(LINES, TokenizerPlan(kind, 25 if kind == "unigram" else 40, symbols=["[NUM]"]))


@cache
def tokenizer(kind: Kind) -> Tokenizer:
    return Tokenizer(model(kind))


@cache
def resampler(kind: Kind, alpha: float = 0.3, max_pieces: int = 1000) -> Resampler:
    return make_resampler(tokenizer(kind), alpha=alpha, max_pieces=max_pieces)


def encoded(kind: Kind, lines: list[str] = LINES) -> FlatSequences:
    return FlatSequences.from_lists(tokenizer(kind).encode(lines))


def lists(rows: FlatSequences) -> list[list[int]]:
    return [rows.row(index) for index in range(len(rows))]


def sampled(kind: Kind, *, seed: int = 1) -> list[list[int]]:
    return lists(resampler(kind).resample(encoded(kind), ALL, seed=seed))


@pytest.mark.parametrize("kind", KINDS)
def test_other_pieces_spell_the_same_text(kind: Kind) -> None:
    found = sampled(kind)
    assert tokenizer(kind).decode(found) == LINES
    assert sum(new != old for new, old in zip(found, lists(encoded(kind)), strict=True)) > len(LINES) / 2


@pytest.mark.parametrize("kind", KINDS)
def test_another_seed_gives_other_pieces(kind: Kind) -> None:
    assert sampled(kind, seed=1) != sampled(kind, seed=2)


@pytest.mark.parametrize("kind", KINDS)
def test_another_stream_gives_other_pieces(kind: Kind) -> None:
    other = replace(resampler(kind), stream=1)
    assert lists(other.resample(encoded(kind), ALL, seed=1)) != sampled(kind, seed=1)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_text_in_two_rows_is_cut_in_two_ways(kind: Kind) -> None:
    assert len({tuple(row) for row in sampled(kind)[::4]}) > 1


@pytest.mark.parametrize("kind", KINDS)
def test_the_pieces_of_a_row_depend_neither_on_its_batch_nor_on_earlier_calls(kind: Kind) -> None:
    rows, together = encoded(kind), sampled(kind)
    for wanted in (np.array([3]), np.array([17, 0, 3]), ALL[::-1], ALL[:7]):
        found = resampler(kind).resample(rows.take(wanted), wanted, seed=1)
        assert lists(found) == [together[row] for row in wanted]


@pytest.mark.parametrize("kind", KINDS)
def test_threads_that_sample_at_once_get_the_same_pieces(kind: Kind) -> None:
    found: dict[int, list[list[list[int]]]] = {}

    def work(seed: int) -> None:
        found[seed] = [sampled(kind, seed=seed) for _ in range(5)]

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {seed: [sampled(kind, seed=seed)] * 5 for seed in range(4)}


def test_another_process_gets_the_same_pieces() -> None:
    code = """
import sys
import numpy as np
from nmt.text.sequences import FlatSequences
from nmt.text.tokenizer import Tokenizer
from nmt.training.resampling import make_resampler

lines = sys.stdin.read().splitlines()
for model in lines[:2]:
    tokenizer = Tokenizer(bytes.fromhex(model))
    rows = FlatSequences.from_lists(tokenizer.encode(lines[2:]))
    resampler = make_resampler(tokenizer, alpha=0.3, max_pieces=1000)
    found = resampler.resample(rows, np.arange(len(rows)), seed=1)
    print([found.row(index) for index in range(len(found))])
"""
    lines = "\n".join([*(model(kind).hex() for kind in KINDS), *LINES])
    done = subprocess.run([sys.executable, "-c", code], input=lines, capture_output=True, check=True, text=True)
    assert done.stdout.splitlines() == [str(sampled(kind)) for kind in KINDS]


def test_bpe_without_dropout_gives_the_pieces_of_the_model() -> None:
    found = resampler("bpe", alpha=0.0).resample(encoded("bpe"), ALL, seed=1)
    assert lists(found) == lists(encoded("bpe"))


def test_a_unigram_model_with_a_large_exponent_gives_its_best_pieces() -> None:
    found = resampler("unigram", alpha=100.0).resample(encoded("unigram"), ALL, seed=1)
    assert lists(found) == lists(encoded("unigram"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_placeholder_stays_whole(kind: Kind) -> None:
    number = tokenizer(kind).pieces.index("[NUM]")
    for row, line in zip(sampled(kind), LINES, strict=True):
        assert row.count(number) == line.count("[NUM]")


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_character_stays_where_it_is_while_its_row_is_cut_anew(kind: Kind) -> None:
    rows = encoded(kind, [f"the cat{UNKNOWN}sat {UNKNOWN}"] * 20)
    found = lists(resampler(kind).resample(rows, np.arange(20), seed=1))
    assert len({tuple(row) for row in found}) > 1
    pieces = tokenizer(kind).pieces
    assert {"".join(pieces[token] for token in row) for row in found} == {"▁the▁cat<unk>sat▁<unk>"}
    assert all(row.count(UNK) == 2 for row in found)


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_that_would_become_too_long_keeps_its_pieces(kind: Kind) -> None:
    stored, free = lists(encoded(kind)), sampled(kind)
    limit = int(np.median([len(row) for row in free]))
    found = resampler(kind, max_pieces=limit).resample(encoded(kind), ALL, seed=1)
    expected = [new if len(new) <= limit else old for new, old in zip(free, stored, strict=True)]
    assert lists(found) == expected
    assert expected not in (free, stored)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_without_pieces_stay_without(kind: Kind) -> None:
    rows = encoded(kind, ["", "the cat", ""])
    found = resampler(kind).resample(rows.take(np.array([0, 2, 1, 0])), np.array([0, 2, 1, 0]), seed=1)
    assert tokenizer(kind).decode(lists(found)) == ["", "", "the cat", ""]
    assert lists(resampler(kind).resample(rows.take(np.array([0, 2])), np.array([0, 2]), seed=1)) == [[], []]
    assert lists(resampler(kind).resample(rows.take(ALL[:0]), ALL[:0], seed=1)) == []


ODD = [*"acehrst  [", UNKNOWN, "NUM]", "[NUM]", "▁", "\t", "\u2028", "<unk>"]
ODD_TEXT = st.lists(st.sampled_from(ODD), max_size=40).map("".join)


@hypothesis_settings(deadline=None)  # the first example trains the models
@given(st.lists(ODD_TEXT, max_size=6), st.integers(0, 2**63 - 1), st.sampled_from([0.0, 0.1, 1.0]))
def test_any_text_keeps_its_characters(texts: list[str], seed: int, alpha: float) -> None:
    for kind in KINDS:
        rows, pieces = encoded(kind, texts), tokenizer(kind).pieces
        found = resampler(kind, alpha).resample(rows, np.arange(len(texts)), seed=seed)
        for new, old in zip(lists(found), lists(rows), strict=True):
            assert "".join(pieces[token] for token in new) == "".join(pieces[token] for token in old)
            assert new.count(UNK) == old.count(UNK)
        if kind == "bpe" and alpha == 0.0:
            assert lists(found) == lists(rows)


def test_prepared_rows_are_cut_anew_where_they_lie(toy_data: PreparedData) -> None:
    src, tgt = make_resamplers(toy_data.tokenizers, alpha=0.2, max_pieces=100)
    wanted = np.array([5, len(toy_data.train_src) - 1, 0])
    for sampler, tokens, rows in (
        (src, toy_data.tokenizers.src, toy_data.train_src),
        (tgt, toy_data.tokenizers.tgt, toy_data.train_tgt),
    ):
        found = sampler.resample(rows.take(wanted), wanted, seed=3)
        assert (found.values.dtype, found.starts.dtype, found.lengths.dtype) == (np.int32, np.int64, np.int32)
        assert tokens.decode(lists(found)) == tokens.decode([rows.row(row) for row in wanted])
        assert lists(found) != [rows.row(row) for row in wanted]


def test_both_sides_of_a_joint_vocabulary_draw_apart(toy_data: PreparedData) -> None:
    src, tgt = make_resamplers(toy_data.tokenizers, alpha=0.2, max_pieces=100)
    assert src.cutter is tgt.cutter
    wanted = np.arange(50)
    found = [lists(sampler.resample(toy_data.train_src.take(wanted), wanted, seed=3)) for sampler in (src, tgt)]
    assert found[0] != found[1]


def test_separate_vocabularies_have_separate_samplers(toy_data: PreparedData) -> None:
    lines = [line.replace("[NUM] ", "") for line in LINES]
    tokenizers = Tokenizers(toy_data.tokenizers.src, Tokenizer(train_tokenizer(lines, TokenizerPlan("unigram", 23))))
    src, tgt = make_resamplers(tokenizers, alpha=0.2, max_pieces=100)
    assert src.cutter is not tgt.cutter
    assert (src.stream, tgt.stream) == (0, 1)


def test_a_dropout_above_1_is_an_error() -> None:
    with pytest.raises(
        ConfigError, match=r"training\.subword_sampling = 1\.5 is too large: .* kind bpe .* left out, at most 1"
    ):
        make_resampler(tokenizer("bpe"), alpha=1.5, max_pieces=10)
    assert resampler("unigram", alpha=1.5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_kind_and_the_symbols_are_those_of_the_tokenizers(toy_data: PreparedData, kind: Kind) -> None:
    tokenizers = Tokenizers(tokenizer(kind), tokenizer(kind))
    src, _ = make_resamplers(tokenizers, alpha=0.3, max_pieces=1000)
    assert lists(src.resample(encoded(kind), ALL, seed=1)) == sampled(kind)


@pytest.mark.parametrize("kind", ["word", "char", "byte"])
def test_what_is_no_subword_cannot_be_cut_anew(kind: Literal["word", "char", "byte"]) -> None:
    words = Tokenizer(train_tokenizer(LINES, TokenizerPlan(kind, 99)))
    with pytest.raises(ConfigError, match=rf"it needs tokenizers of the kind unigram or bpe, but one .* kind {kind}$"):
        make_resampler(words, alpha=0.1, max_pieces=10)


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_stay_where_they_are_while_their_row_is_cut_anew(kind: Kind) -> None:
    sizes = {"unigram": 25 + 256, "bpe": 40 + 256}
    model = train_tokenizer(LINES, TokenizerPlan(kind, sizes[kind], symbols=["[NUM]"], byte_fallback=True))
    tokenizer, line = Tokenizer(model), f"the {UNKNOWN} sat on {UNKNOWN}the mats [NUM] times"
    [ids] = tokenizer.encode([line])
    of_byte = set(range(5, 5 + 256))
    rows = FlatSequences.from_lists([ids] * 20)
    found = lists(make_resampler(tokenizer, alpha=0.3, max_pieces=1000).resample(rows, np.arange(20), seed=1))
    assert len({tuple(row) for row in found}) > 1
    assert tokenizer.decode(found) == [line] * 20
    assert [[index for index in row if index in of_byte] for row in found] == [
        [5 + b for b in UNKNOWN.encode()] * 2
    ] * 20
