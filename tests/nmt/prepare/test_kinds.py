import numpy as np
import pytest

from nmt.config import load_settings
from nmt.errors import DataError
from nmt.prepare import kinds
from nmt.prepare.kinds import LineKind, PairKind, draw

SETTINGS = load_settings(None, ["data.heldout_pairs=5"])
PAIRS = PairKind(SETTINGS)
TEXT = LineKind(SETTINGS)


def test_as_many_are_held_out_as_the_settings_say_but_at_most_a_tenth() -> None:
    assert [PAIRS.heldout_size(accepted) for accepted in (10, 49, 50, 1000)] == [1, 4, 5, 5]
    assert TEXT.heldout_size(49) == 4


def test_too_few_to_hold_some_out_is_an_error_that_names_the_options() -> None:
    with pytest.raises(DataError, match=r"^9 training pairs are too few .* text with --valid-src and --valid-tgt$"):
        PAIRS.heldout_size(9)
    with pytest.raises(
        DataError, match=r"^9 training lines are too few to hold out a tenth .* text with --valid-text$"
    ):
        TEXT.heldout_size(9)


def test_as_many_as_asked_for_are_chosen_and_the_seed_decides_which() -> None:
    chosen = [draw(np.random.default_rng(seed), 100, 30) for seed in (1, 1, 2)]
    assert [len(set(one.tolist())) for one in chosen] == [30, 30, 30]
    assert all(one.min() >= 0 and one.max() < 100 for one in chosen)
    assert chosen[0].tolist() == sorted(chosen[1].tolist()) != chosen[2].tolist()


def test_a_sample_as_large_as_the_corpus_is_the_corpus() -> None:
    assert draw(np.random.default_rng(1), 5, 5).tolist() == draw(np.random.default_rng(1), 5, 9).tolist() == [*range(5)]


def test_what_fits_into_a_chunk_is_drawn_at_once() -> None:
    at_once = np.random.default_rng(1).choice(1000, size=20, replace=False, shuffle=False)
    assert draw(np.random.default_rng(1), 1000, 20).tolist() == sorted(at_once.tolist())


def test_over_several_chunks_every_set_is_as_likely_as_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "_CHUNK", 2)
    rng = np.random.default_rng(1)
    counts: dict[tuple[int, ...], int] = {}
    for _ in range(10_000):
        chosen = tuple(draw(rng, 5, 2).tolist())
        counts[chosen] = counts.get(chosen, 0) + 1
    assert len(counts) == 10  # 5 over 2
    # 1000 each, with a standard deviation of 30
    assert all(abs(count - 1000) < 150 for count in counts.values())
