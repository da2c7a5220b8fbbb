import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from nmt.errors import ConfigError
from nmt.search.forbidden import ForbiddenWords
from nmt.search.frontier import Limits
from nmt.search.protocol import Hypothesis
from nmt.search.rules import Forbidden, NoRepeatNgram, Scoring
from nmt.search.sampling import Sampled, Sampling, streams_of, uniform_numbers
from nmt.text.vocab import EOS
from tests.nmt.search.alone import greedy_search, run

RandomDecoder = Callable[..., Any]
PLAIN = Sampling()


def sample(
    decoder: Any,
    numbers: Sequence[int],
    *,
    limits: Limits,
    sampling: Sampling = PLAIN,
    count: int = 3,
    with_attention: bool = False,
) -> list[list[Hypothesis]]:
    """Sample translations of the decoder's sentences of these numbers."""
    frontier = Sampled.start(
        limits,
        torch.tensor(numbers),
        count=count,
        sampling=sampling,
        scoring=Scoring(1.0),
        with_attention=with_attention,
    )
    with torch.inference_mode():
        return run(decoder, decoder.start(numbers), frontier)


def limits_of(*longest: int) -> Limits:
    return Limits.start(torch.tensor(longest))


def log_probs_of(*probabilities: float) -> Tensor:
    """Make one row, whose pieces are impossible up to the fourth, `</s>`."""
    return torch.tensor([[0.0, 0.0, 0.0, *probabilities]]).log()


EVENLY = (torch.arange(1000) + 0.5)[None].double() / 1000


def shares(sampling: Sampling, log_probs: Tensor) -> dict[int, float]:
    """Tell how often each piece is drawn by numbers that lie evenly between 0 and 1."""
    drawn = Counter(sampling.draw(log_probs, EVENLY).flatten().tolist())
    return {piece: count / 1000 for piece, count in sorted(drawn.items())}


FOUR = log_probs_of(0.1, 0.4, 0.2, 0.3)


def test_pieces_are_drawn_as_often_as_they_are_probable() -> None:
    assert shares(Sampling(), FOUR) == pytest.approx({3: 0.1, 4: 0.4, 5: 0.2, 6: 0.3})


def test_only_the_k_most_probable_pieces_are_drawn() -> None:
    assert shares(Sampling(top_k=2), FOUR) == pytest.approx({4: 4 / 7, 6: 3 / 7}, abs=1e-3)
    assert shares(Sampling(top_k=1), FOUR) == {4: 1.0}
    assert shares(Sampling(top_k=99), FOUR) == pytest.approx({3: 0.1, 4: 0.4, 5: 0.2, 6: 0.3})


def test_only_the_fewest_pieces_that_have_probability_p_together_are_drawn() -> None:
    halves = log_probs_of(0.5, 0.25, 0.125, 0.125)
    assert shares(Sampling(top_p=0.5), halves) == {3: 1.0}
    assert shares(Sampling(top_p=0.51), halves) == pytest.approx({3: 2 / 3, 4: 1 / 3}, abs=1e-3)
    assert shares(Sampling(top_p=0.8), halves) == pytest.approx({3: 4 / 7, 4: 2 / 7, 5: 1 / 7}, abs=1e-3)
    assert shares(Sampling(top_p=1e-9), FOUR) == {4: 1.0}


def test_p_is_the_share_of_what_k_leaves() -> None:
    # of 0.4 and 0.3 the first has 57 %
    assert shares(Sampling(top_k=2, top_p=0.5), FOUR) == {4: 1.0}
    assert shares(Sampling(top_k=2, top_p=0.6), FOUR) == pytest.approx({4: 4 / 7, 6: 3 / 7}, abs=1e-3)


def test_of_equal_pieces_at_the_edge_the_lowest_are_drawn() -> None:
    assert set(shares(Sampling(top_k=2), log_probs_of(0.25, 0.25, 0.25, 0.25))) == {3, 4}
    assert set(shares(Sampling(top_p=0.7), log_probs_of(0.25, 0.25, 0.25, 0.25))) == {3, 4, 5}


def test_the_temperature_sharpens_before_pieces_are_cut_off() -> None:
    # squares: 1, 16, 4 and 9 of 30
    assert shares(Sampling(temperature=0.5), FOUR) == pytest.approx(
        {3: 1 / 30, 4: 16 / 30, 5: 4 / 30, 6: 0.3}, abs=1e-3
    )
    assert set(shares(Sampling(temperature=0.5, top_p=0.8), FOUR)) == {4, 6}
    assert set(shares(Sampling(top_p=0.8), FOUR)) == {4, 5, 6}
    assert shares(Sampling(temperature=1e-6), FOUR) == {4: 1.0}


def test_a_flat_distribution_over_many_pieces_is_cut_at_the_same_place_as_any() -> None:
    log_probs = torch.full((2, 1000), -math.log(1000))
    log_probs[1, 500:] -= 20
    drawn = Sampling(top_p=0.5).draw(log_probs, EVENLY.expand(2, -1).contiguous())
    assert drawn.max(dim=1).values.tolist() == pytest.approx([499, 249], abs=1)
    assert len(set(drawn[0].tolist())) == pytest.approx(500, abs=1)


def test_what_is_impossible_is_never_drawn() -> None:
    edges = torch.tensor([[0.0, 1 - 2.0**-53]], dtype=torch.float64)
    log_probs = log_probs_of(0.0, 0.5, 0.5, 0.0)
    for sampling in (Sampling(), Sampling(top_k=4), Sampling(top_k=7), Sampling(top_p=0.999)):
        assert sampling.draw(log_probs, edges).tolist() == [[4, 5]]


def test_samples_are_as_frequent_as_they_are_probable(random_decoder: RandomDecoder) -> None:
    decoder = random_decoder(4, vocab_size=6)
    [found] = sample(decoder, [0], limits=limits_of(2), count=4000)
    counts = Counter(hypothesis.ids for hypothesis in found)
    chi_square = 0.0
    for pieces in [(), (4,), (5,), (4, 4), (4, 5), (5, 4), (5, 5)]:
        produced = pieces if len(pieces) == 2 else (*pieces, EOS)
        probability = 1.0
        for i, piece in enumerate(produced):
            possible = decoder.next_log_probs(0, pieces[:i])[EOS:].softmax(dim=0)
            probability *= float(possible[piece - EOS])
        chi_square += (counts[pieces] - 4000 * probability) ** 2 / (4000 * probability)
    assert sum(counts.values()) == 4000
    assert chi_square < 16.81  # 99 % of such numbers with 6 degrees of freedom


def test_the_log_probability_is_that_of_the_model_alone(random_decoder: RandomDecoder) -> None:
    decoder = random_decoder(5, vocab_size=9)
    sampling = Sampling(temperature=2.0, top_k=5, top_p=0.9)
    [found] = sample(decoder, [0], limits=limits_of(6), sampling=sampling, count=20)
    assert len({len(hypothesis.ids) for hypothesis in found}) > 2
    for hypothesis in found:
        produced = hypothesis.ids if len(hypothesis.ids) == 6 else (*hypothesis.ids, EOS)
        total = sum(decoder.next_log_probs(0, produced[:i])[piece].item() for i, piece in enumerate(produced))
        assert hypothesis.log_probability == pytest.approx(total, rel=1e-5)
        assert hypothesis.score == pytest.approx(total / ((5 + len(produced)) / 6), rel=1e-5)


@pytest.mark.parametrize("sampling", [Sampling(seed=3), Sampling(top_k=3, seed=3), Sampling(top_p=0.7, seed=3)])
def test_a_sentence_alone_and_in_any_company_is_the_same(random_decoder: RandomDecoder, sampling: Sampling) -> None:
    decoder = random_decoder(3, vocab_size=300, sentences=8)
    longest = [1, 9, 2, 8, 3, 7, 12, 5]
    alone = [
        sample(decoder, [i], limits=limits_of(longest[i]), sampling=sampling, with_attention=True)[0] for i in range(8)
    ]
    for order in ([7, 6, 5, 4, 3, 2, 1, 0], [3, 1], [0, 6, 2, 4]):
        limits = limits_of(*(longest[i] for i in order))
        together = sample(decoder, order, limits=limits, sampling=sampling, with_attention=True)
        assert together == [alone[i] for i in order]
        for got, number in zip(together, order, strict=True):
            for one, other in zip(got, alone[number], strict=True):
                assert one.attention is not None
                assert other.attention is not None
                assert torch.equal(one.attention, other.attention)


def test_sentences_that_come_and_go_draw_what_they_draw_alone(random_decoder: RandomDecoder) -> None:
    decoder = random_decoder(3, vocab_size=30, sentences=3)

    def begin(numbers: list[int]) -> tuple[Any, Any]:
        limits = limits_of(*[7] * len(numbers))
        frontier = Sampled.start(
            limits, torch.tensor(numbers), count=4, sampling=Sampling(), scoring=Scoring(1.0), with_attention=True
        )
        return grow(frontier, decoder.start(numbers))

    def grow(frontier: Any, state: Any) -> tuple[Any, Any]:
        logits, state = decoder.step(frontier.ids, state)
        frontier, parents = frontier.grow(logits, state)
        return frontier, state if parents is None else state.select(parents)

    frontier, state = grow(*begin([0, 1]))
    rest = torch.tensor([1])
    late, late_state = begin([2])
    frontier, state = frontier.take(rest).join(late), state.take(rest).join(late_state)
    found = run(decoder, state, frontier)
    assert found == sample(decoder, [1, 2], limits=limits_of(7, 7), count=4)


def test_each_sample_sentence_and_seed_draws_its_own_and_the_same_again(random_decoder: RandomDecoder) -> None:
    decoder = random_decoder(3, vocab_size=50, sentences=2)
    decoder.table[1] = decoder.table[0]
    decoder.table[:, :, EOS] = -50.0

    def drawn(seed: int) -> list[tuple[int, ...]]:
        found = sample(decoder, [0, 1], limits=limits_of(9, 9), sampling=Sampling(seed=seed))
        return [hypothesis.ids for hypotheses in found for hypothesis in hypotheses]

    assert drawn(1) == drawn(1)
    assert len(set(drawn(1) + drawn(2))) == 12


def test_fewer_samples_are_the_first_of_more(random_decoder: RandomDecoder) -> None:
    decoder = random_decoder(3, vocab_size=20)
    five = sample(decoder, [0], limits=limits_of(8), count=5)[0]
    assert sample(decoder, [0], limits=limits_of(8), count=1) == [five[:1]]
    assert sample(decoder, [0], limits=limits_of(8), count=3) == [five[:3]]


def test_a_low_temperature_and_a_single_piece_are_greedy_search(random_decoder: RandomDecoder) -> None:
    decoder = random_decoder(3, vocab_size=20, sentences=6)
    limits = limits_of(*[9] * 6)
    greedy = greedy_search(decoder, decoder.start(range(6)), limits=limits, scoring=Scoring(1.0))
    for sampling in (Sampling(temperature=1e-4), Sampling(top_k=1), Sampling(top_p=1e-6)):
        assert sample(decoder, range(6), limits=limits, sampling=sampling, count=2) == [[one, one] for one in greedy]


def test_samples_keep_to_the_rules(random_decoder: RandomDecoder) -> None:
    decoder = random_decoder(3, vocab_size=9)
    longest = torch.tensor([5])
    table = ForbiddenWords(["一", "二三"], ["", "", "", "", *"一二三四五"], longest.device)
    limits = Limits.start(longest, torch.tensor([2]), (NoRepeatNgram(1), Forbidden(table, longest)))
    [found] = sample(decoder, [0], limits=limits, count=50)
    for hypothesis in found:
        assert 2 <= len(hypothesis.ids) <= 4
        assert len(set(hypothesis.ids)) == len(hypothesis.ids)
        assert 4 not in hypothesis.ids
        assert (5, 6) not in zip(hypothesis.ids, hypothesis.ids[1:], strict=False)


def test_each_piece_of_a_sample_has_the_attention_that_it_came_with(random_decoder: RandomDecoder) -> None:
    decoder = random_decoder(3, vocab_size=9)
    [found] = sample(decoder, [0], limits=limits_of(5), count=4, with_attention=True)
    for hypothesis in found:
        state = decoder.start([0])
        previous = 2
        assert hypothesis.attention is not None
        assert len(hypothesis.attention) == len(hypothesis.ids)
        for piece, row in zip(hypothesis.ids, hypothesis.attention, strict=True):
            _, state = decoder.step(torch.tensor([[previous]]), state)
            assert torch.equal(row, state.attention[0, 0])
            previous = piece


def test_a_decoder_without_any_possible_piece_gives_no_sample(random_decoder: RandomDecoder) -> None:
    decoder = random_decoder(1, vocab_size=9, sentences=2)
    decoder.table[0] = math.nan
    for sampling in (Sampling(), Sampling(top_k=2), Sampling(top_p=0.5)):
        nothing, something = sample(decoder, [0, 1], limits=limits_of(5, 5), sampling=sampling)
        assert nothing == []
        assert len(something) == 3


def mixed(bits: int) -> int:
    """Take the step of SplitMix64 with Python's numbers."""
    bits = (bits + 0x9E3779B97F4A7C15) % 2**64
    bits = ((bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
    bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) % 2**64
    return bits ^ (bits >> 31)


def test_random_numbers_are_those_of_splitmix64() -> None:
    assert mixed(0) == 0xE220A8397B1DCDAF
    streams = streams_of(0, torch.tensor([7]))
    stream = mixed(mixed(mixed(0) ^ 7))
    assert (streams % 2**32).tolist() == [stream % 2**32]
    assert uniform_numbers(streams, 5).tolist() == [(mixed(stream ^ 5) >> 11) / 2**53]


def test_random_numbers_lie_evenly_between_0_and_1() -> None:
    streams = streams_of(2**63 - 1, torch.arange(300)[:, None], torch.arange(100))
    numbers = uniform_numbers(streams, torch.tensor([[2**62]]))
    assert numbers.shape == (300, 100)
    assert numbers.min() >= 0
    assert numbers.max() < 1
    counts = numbers.flatten().mul(20).long().bincount(minlength=20)
    assert ((counts - 1500) ** 2 / 1500).sum() < 36.19  # 99 % of such numbers with 19 degrees of freedom
    assert len(set(numbers.flatten().tolist())) == 30000


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"temperature": 0.0}, r"^temperature = 0.0 of sampling: expected from 1e-6 to 1e6$"),
        ({"temperature": math.inf}, r"^temperature = inf of sampling: expected from 1e-6 to 1e6$"),
        ({"temperature": math.nan}, r"^temperature = nan of sampling: expected from 1e-6 to 1e6$"),
        ({"top_k": -1}, r"^top_k = -1 of sampling: expected 0 or more$"),
        ({"top_p": 0.0}, r"^top_p = 0.0 of sampling: expected above 0 and at most 1$"),
        ({"top_p": 1.5}, r"^top_p = 1.5 of sampling: expected above 0 and at most 1$"),
        ({"seed": -1}, r"^seed = -1 of sampling: expected from 0 to 2\^63 - 1$"),
        ({"seed": 2**63}, r"^seed = 9223372036854775808 of sampling: expected from 0 to 2\^63 - 1$"),
    ],
)
def test_what_is_out_of_range_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Sampling(**values)
