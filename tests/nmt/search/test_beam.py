import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nmt.search.beam import Beams
from nmt.search.frontier import Limits
from nmt.search.protocol import Hypothesis
from nmt.search.rules import Scoring
from nmt.text.vocab import BOS, EOS, PAD, UNK
from tests.nmt.search.alone import beam_search, run

RandomDecoder = Callable[..., Any]
SEARCHES = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def hypothesis_of(pieces: tuple[int, ...], total: float, *, length: int, alpha: float) -> Hypothesis:
    return Hypothesis(pieces, total, total / math.pow((5 + length) / 6, alpha))


def slow_beam_search(
    decoder: Any, sentence: int, *, limit: int, beams: int, alpha: float, beta: float = 0.0, shortest: int = 0
) -> list[Hypothesis]:
    """Search one sentence to the last step allowed, with lists."""
    finished: list[Hypothesis] = []

    def finish(pieces: tuple[int, ...], total: np.float32, length: int) -> None:
        hypothesis = hypothesis_of(pieces, float(total), length=length, alpha=alpha)
        penalty = beta * slow_coverage(decoder, sentence, pieces, length) if beta else 0.0
        finished.append(replace(hypothesis, score=hypothesis.score + penalty))

    live: list[tuple[np.float32, tuple[int, ...]]] = [(np.float32(0), ())]
    for length in range(1, limit + 1):
        candidates = []
        for beam, (total, pieces) in enumerate(live):
            for piece, log_prob in enumerate(decoder.next_log_probs(sentence, pieces).numpy()):
                if piece not in (PAD, UNK, BOS) and (piece != EOS or length > min(shortest, limit - 1)):
                    candidates.append((-(total + log_prob), beam, piece))
        best = sorted(candidates)[: 2 * beams]
        for cost, beam, piece in best[:beams]:
            if piece == EOS:
                finish(live[beam][1], -cost, length)
        live = [(-cost, (*live[beam][1], piece)) for cost, beam, piece in best if piece != EOS][:beams]
    for total, pieces in live:
        finish(pieces, total, limit)
    return sorted(finished, key=lambda hypothesis: -hypothesis.score)


def slow_coverage(decoder: Any, sentence: int, pieces: tuple[int, ...], steps: int) -> float:
    """Add up the logarithms of how much each source position was read, at most once, in the steps of a hypothesis."""
    read = sum(decoder.next_attention(sentence, pieces[:step]).double() for step in range(steps))
    return sum(math.log(min(max(share, 1e-6), 1.0)) for share in read.tolist())


def all_hypotheses(decoder: Any, *, limit: int, vocab_size: int, alpha: float) -> list[Hypothesis]:
    """List everything that can be said within `limit` steps."""
    found = []
    for length in range(limit + 1):
        for pieces in itertools.product(range(EOS + 1, vocab_size), repeat=length):
            produced = pieces if length == limit else (*pieces, EOS)
            total = sum(decoder.next_log_probs(0, pieces[:i])[piece].item() for i, piece in enumerate(produced))
            found.append(hypothesis_of(pieces, total, length=len(produced), alpha=alpha))
    return sorted(found, key=lambda hypothesis: -hypothesis.score)


def search(
    decoder: Any, sentences: Sequence[int], limits: Sequence[int], *, beams: int, alpha: float, n_best: int = 1
) -> list[list[Hypothesis]]:
    return beam_search(
        decoder,
        decoder.start(sentences),
        limits=Limits.start(torch.tensor(limits)),
        beam_size=beams,
        scoring=Scoring(alpha),
        n_best=n_best,
    )


@given(
    seed=st.integers(0, 2**32),
    levels=st.sampled_from([0, 0, 2, 4]),
    vocab_size=st.sampled_from([4, 5, 9, 300]),
    beams=st.integers(1, 6),
    alpha=st.sampled_from([0.0, 0.6, 1.0, 3.0]),
    end=st.sampled_from([-2.0, 0.0, 3.0]),
)
@SEARCHES
def test_a_batch_gives_what_a_slow_search_of_each_sentence_gives(
    random_decoder: RandomDecoder, seed: int, levels: int, vocab_size: int, beams: int, alpha: float, end: float
) -> None:
    decoder = random_decoder(seed, vocab_size=vocab_size, sentences=4, levels=levels)
    decoder.table[:, :, EOS] += end
    limits = [5, 1, 8, 3]
    for n_best in (1, beams):
        found = search(decoder, range(4), limits, beams=beams, alpha=alpha, n_best=n_best)
        for sentence, limit in enumerate(limits):
            expected = slow_beam_search(decoder, sentence, limit=limit, beams=beams, alpha=alpha)[:n_best]
            assert [(h.ids, h.log_probability) for h in found[sentence]] == [
                (h.ids, h.log_probability) for h in expected
            ]
            assert [h.score for h in found[sentence]] == pytest.approx([h.score for h in expected], rel=1e-12)


@given(
    seed=st.integers(0, 2**32),
    beams=st.integers(1, 4),
    alpha=st.sampled_from([0.0, 0.6]),
    beta=st.sampled_from([0.0, 0.2, 5.0]),
    shortest=st.lists(st.integers(0, 9), min_size=3, max_size=3),
)
@SEARCHES
def test_coverage_and_a_shortest_length_change_what_a_slow_search_says_they_change(
    random_decoder: RandomDecoder, seed: int, beams: int, alpha: float, beta: float, shortest: list[int]
) -> None:
    decoder = random_decoder(seed, vocab_size=9, sentences=3, sizes=[2, 1, 5])
    decoder.table[:, :, EOS] += 2.0
    longest = torch.tensor([4, 6, 7])
    frontier = Beams.start(
        Limits.start(longest, torch.tensor(shortest)),
        beam_size=beams,
        n_best=beams,
        scoring=Scoring(alpha, beta),
        src_lengths=decoder.sizes,
    )
    found = run(decoder, decoder.start(range(3)), frontier)
    for sentence, limit in enumerate(longest.tolist()):
        expected = slow_beam_search(
            decoder, sentence, limit=limit, beams=beams, alpha=alpha, beta=beta, shortest=shortest[sentence]
        )[:beams]
        assert [h.ids for h in found[sentence]] == [h.ids for h in expected]
        assert [h.score for h in found[sentence]] == pytest.approx([h.score for h in expected], rel=1e-6)


def test_the_attention_of_a_hypothesis_is_that_with_which_its_pieces_were_chosen(random_decoder: RandomDecoder) -> None:
    decoder = random_decoder(2, vocab_size=9, sentences=2, sizes=[4, 2])
    limits = Limits.start(torch.tensor([6, 6]))
    frontier = Beams.start(limits, beam_size=4, n_best=4, scoring=Scoring(1.0), with_attention=True)
    for sentence, found in enumerate(run(decoder, decoder.start([0, 1]), frontier)):
        assert len({hypothesis.ids for hypothesis in found}) == 4
        for hypothesis in found:
            expected = torch.zeros(len(hypothesis.ids), 4)
            for step, row in enumerate(expected):
                row[: decoder.sizes[sentence]] = decoder.next_attention(sentence, hypothesis.ids[:step])
            assert hypothesis.attention is not None
            assert torch.equal(hypothesis.attention, expected)


@pytest.mark.parametrize("alpha", [0.0, 1.0, 4.0])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_beam_as_wide_as_the_language_finds_the_best_of_all(
    random_decoder: RandomDecoder, seed: int, alpha: float
) -> None:
    decoder = random_decoder(seed, vocab_size=7)
    expected = all_hypotheses(decoder, limit=4, vocab_size=7, alpha=alpha)
    [found] = search(decoder, [0], [4], beams=len(expected), alpha=alpha, n_best=len(expected))
    assert len(found) == 1 + 3 + 9 + 27 + 81
    assert [hypothesis.ids for hypothesis in found] == [hypothesis.ids for hypothesis in expected]
    assert [hypothesis.score for hypothesis in found] == pytest.approx([h.score for h in expected], rel=1e-5)


@given(
    seed=st.integers(0, 2**32), order=st.permutations(range(9)), size=st.integers(1, 9), levels=st.sampled_from([0, 3])
)
@SEARCHES
def test_a_sentence_alone_and_in_any_company_is_the_same(
    random_decoder: RandomDecoder, seed: int, order: list[int], size: int, levels: int
) -> None:
    decoder = random_decoder(seed, vocab_size=12, sentences=9, levels=levels)
    limits = [1, 2, 3, 4, 5, 6, 7, 20, 20]
    company = order[:size]
    together = search(decoder, company, [limits[i] for i in company], beams=3, alpha=1.0, n_best=3)
    assert together == [search(decoder, [i], [limits[i]], beams=3, alpha=1.0, n_best=3)[0] for i in company]


@given(seed=st.integers(0, 2**32), alpha=st.sampled_from([0.0, 1.0]))
@SEARCHES
def test_n_best_are_sorted_and_distinct_and_begin_with_the_best(
    random_decoder: RandomDecoder, seed: int, alpha: float
) -> None:
    decoder = random_decoder(seed, vocab_size=10)
    [found] = search(decoder, [0], [10], beams=5, alpha=alpha, n_best=5)
    scores = [hypothesis.score for hypothesis in found]
    assert len({hypothesis.ids for hypothesis in found}) == len(found) == 5
    assert scores == sorted(scores, reverse=True)
    assert search(decoder, [0], [10], beams=5, alpha=alpha) == [found[:1]]


def test_at_the_step_limit_live_hypotheses_end_without_the_probability_of_an_end(random_decoder: RandomDecoder) -> None:
    decoder = random_decoder(1, vocab_size=6)
    decoder.table[:] = torch.tensor([-math.inf, -math.inf, -math.inf, 0.1, 0.7, 0.2]).log()
    decoder.table[:, :, :3] = -math.inf
    [found] = search(decoder, [0], [2], beams=2, alpha=1.0, n_best=2)
    # 4 4 and 4 5 or 5 4 are closed with two pieces; `</s>` after 4 costs more
    assert [hypothesis.ids for hypothesis in found] == [(4, 4), (4, 5)]
    assert found[0].log_probability == pytest.approx(math.log(0.7 * 0.7))
    assert found[0].score == pytest.approx(math.log(0.7 * 0.7) / (7 / 6))
    assert found[1].log_probability == pytest.approx(math.log(0.7 * 0.2))


def test_an_end_in_the_first_step_is_an_empty_hypothesis(random_decoder: RandomDecoder) -> None:
    decoder = random_decoder(1, vocab_size=9)
    decoder.table[:, :, EOS] = 50.0
    [[found]] = search(decoder, [0], [9], beams=4, alpha=1.0)
    assert found.ids == ()
    assert found.log_probability == pytest.approx(0.0, abs=1e-6)
    assert decoder.steps == [(1, 1)]


def test_an_end_takes_no_live_hypothesis_its_place(random_decoder: RandomDecoder) -> None:
    decoder = random_decoder(1, vocab_size=6)
    decoder.table[:] = torch.tensor([0.0, 0.0, 0.0, 0.5, 0.3, 0.2]).log()
    [found] = search(decoder, [0], [2], beams=2, alpha=0.0, n_best=2)
    # the live ones after step 1 are 4 and 5, though `</s>` was better than both
    assert [hypothesis.ids for hypothesis in found] == [(), (4,)]
    assert decoder.steps == [(1, 1), (1, 2)]


def test_a_sentence_is_over_as_soon_as_nothing_can_beat_what_it_has(random_decoder: RandomDecoder) -> None:
    decoder = random_decoder(1, vocab_size=9, sentences=2)
    decoder.table[0, :, EOS] = 50.0
    decoder.table[1, :, EOS] = -50.0
    limits = Limits.start(torch.tensor([9, 4]))
    frontier, state = Beams.start(limits, beam_size=3, n_best=1, scoring=Scoring(1.0)), decoder.start([0, 1])
    over = []
    for _ in range(4):
        logits, state = decoder.step(frontier.ids, state)
        frontier, parents = frontier.grow(logits, state)
        state = state.select(parents)
        over.append(frontier.over().tolist())
    assert over == [[True, False]] * 3 + [[True, True]]


@given(
    seed=st.integers(0, 2**32),
    scoring=st.builds(Scoring, st.sampled_from([0.0, 1.0]), st.sampled_from([0.0, 0.5])),
    n_best=st.integers(1, 3),
)
@SEARCHES
def test_what_has_been_found_stays_when_a_sentence_that_is_over_goes_on(
    random_decoder: RandomDecoder, seed: int, scoring: Scoring, n_best: int
) -> None:
    decoder = random_decoder(seed, vocab_size=9, sentences=3)
    decoder.table[:, :, EOS] += 3.0
    limits = Limits.start(torch.tensor([4, 3, 7]))
    frontier = Beams.start(limits, beam_size=3, n_best=n_best, scoring=scoring, with_attention=True)
    state = decoder.start(range(3))
    found: dict[int, list[Hypothesis]] = {}
    for _ in range(10):
        logits, state = decoder.step(frontier.ids, state)
        frontier, parents = frontier.grow(logits, state)
        state = state.select(parents)
        for sentence, over in enumerate(frontier.over().tolist()):
            if over:
                now = frontier.hypotheses()[sentence]
                before = found.setdefault(sentence, now)
                assert now == before
                assert all(torch.equal(a.attention, b.attention) for a, b in zip(now, before, strict=True) if a.ids)
    assert len(found) == 3


def test_one_decoder_without_any_possible_piece_finds_nothing_and_its_neighbour_all(
    random_decoder: RandomDecoder,
) -> None:
    decoder = random_decoder(1, vocab_size=9, sentences=2)
    decoder.table[0] = math.nan
    nothing, something = search(decoder, [0, 1], [5, 5], beams=3, alpha=1.0, n_best=3)
    assert nothing == []
    assert len(something) == 3


def test_what_is_out_of_range_is_refused(random_decoder: RandomDecoder) -> None:
    decoder = random_decoder(1, vocab_size=9)
    with pytest.raises(ValueError, match=r"^a beam of 2 gives 1 to 2 hypotheses, not 3$"):
        search(decoder, [0], [5], beams=2, alpha=1.0, n_best=3)
