import numpy as np
import pytest

from nmt.prepared import selection
from nmt.prepared.selection import draw, within


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
    monkeypatch.setattr(selection, "_CHUNK", 2)
    rng = np.random.default_rng(1)
    counts: dict[tuple[int, ...], int] = {}
    for _ in range(10_000):
        chosen = tuple(draw(rng, 5, 2).tolist())
        counts[chosen] = counts.get(chosen, 0) + 1
    assert len(counts) == 10  # 5 over 2
    # 1000 each, with a standard deviation of 30
    assert all(abs(count - 1000) < 150 for count in counts.values())


def test_positions_are_counted_from_where_a_block_starts() -> None:
    positions = np.array([0, 4, 5, 9])
    assert [within(positions, start, 5).tolist() for start in (0, 5, 10)] == [[0, 4], [0, 4], []]
