from types import SimpleNamespace
from typing import Any

import numpy as np

from nmt.text.sequences import FlatSequences
from nmt.training.alike import Beside, Pair, changes

PIECES = ["<pad>", "<unk>", "<s>", "</s>", "▁woman", "▁Woman", "▁lady", "▁a", "▁runs", "▁sits"]
WOMAN, CAPITAL, LADY, A, RUNS, SITS = range(4, 10)
FRAU, DAME, EINE, LÄUFT, SITZT = range(20, 25)
(CHANGE,) = changes([EINE, FRAU], [EINE, DAME])


def beside(*pairs: Pair) -> Beside:
    src, tgt = (FlatSequences.from_lists([pair[side] for pair in pairs]) for side in (0, 1))
    counts = np.bincount(src.flat(), minlength=len(PIECES))
    tokenizers = SimpleNamespace(src=SimpleNamespace(pieces=PIECES))
    data: Any = SimpleNamespace(train_src=src, train_tgt=tgt, source_counts=counts, tokenizers=tokenizers)
    return Beside(data)


def test_pairs_alike_have_the_word_that_is_translated_otherwise_small_or_capital() -> None:
    small, capital = ([A, WOMAN, RUNS], [EINE, FRAU, LÄUFT]), ([CAPITAL, SITS], [FRAU, SITZT])
    lady, neither = ([A, LADY, RUNS], [EINE, FRAU, LÄUFT]), ([A, RUNS], [EINE, LÄUFT])
    alike, others = beside(small, capital, lady, neither).alike([A, WOMAN], CHANGE, 4, others=4)
    assert alike == [small, capital]
    assert others == [lady]


def test_a_quarter_of_the_pairs_alike_are_the_nearest_and_the_rest_come_from_all_over_the_data() -> None:
    far = [([WOMAN, A, *[SITS] * number], [FRAU, SITZT]) for number in range(1, 9)]
    near = [([WOMAN, RUNS], [FRAU, LÄUFT])] * 4
    alike, _ = beside(*far, *near).alike([WOMAN, RUNS], CHANGE, 8, others=0)
    assert alike == [*near[:2], far[0], *(far[row] for row in (1, 3, 5, 7)), near[-1]]


def test_what_a_larger_tokenizer_cuts_otherwise_is_passed_over() -> None:
    pair = [A, WOMAN], [EINE, FRAU]
    assert beside(pair).alike([A, WOMAN, len(PIECES)], CHANGE, 2, others=2)[0] == [pair]


def test_what_no_pair_holds_has_none_alike() -> None:
    assert beside(([A], [EINE])).alike([A, WOMAN], CHANGE, 2, others=2) == ([], [])


def test_where_pieces_only_go_or_come_those_around_them_are_asked_for() -> None:
    gone, come, last = (changes([5, 6, 7], after) for after in ([5, 7], [5, 9, 6, 7], [5, 6]))
    assert [change.asked for change in (*gone, *come, *last)] == [(5, 7), (5, 9, 6), (6, 3)]
