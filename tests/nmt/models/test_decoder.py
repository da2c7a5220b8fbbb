import copy
from typing import get_args

import pytest
import torch

from nmt.config.model import Cell
from nmt.models.attention import Memory, make_attention
from nmt.models.cells.layer import Recurrence
from nmt.models.decoder import Bridges, DecoderSizes, InputFeedingDecoder, RecurrentDecoder, make_init
from nmt.models.embedding import Dropout, VariationalDropout

B, S, T, E, H, F = 2, 4, 5, 6, 8, 6


def decoder_of(
    kind: type[RecurrentDecoder] = RecurrentDecoder, *, cell: Cell = "lstm", num_layers: int = 2, residual: int = 0
) -> RecurrentDecoder:
    torch.manual_seed(0)
    decoder = kind(
        recurrence=Recurrence(cell, dropout=0.0),
        sizes=DecoderSizes(E, H, F, H),
        attention=make_attention("scaled_dot", query_size=H, value_size=H),
        residual=residual,
        dropouts=[Dropout(0.0) for _ in range(num_layers - 1)],
        readout_dropout=Dropout(0.0),
    )
    return decoder.eval()


def noisy_decoder(
    kind: type[RecurrentDecoder],
    *,
    dropout: type[Dropout] = VariationalDropout,
    rate: float = 0.5,
    recurrent: float = 0.5,
) -> RecurrentDecoder:
    torch.manual_seed(0)
    decoder = kind(
        recurrence=Recurrence("lstm", dropout=recurrent),
        sizes=DecoderSizes(E, H, F, H),
        attention=make_attention("scaled_dot", query_size=H, value_size=H),
        residual=0,
        dropouts=[dropout(rate), dropout(rate)],
        readout_dropout=dropout(rate),
    )
    return decoder.train()


def memory() -> Memory:
    torch.manual_seed(1)
    values = torch.randn(B, S, H)
    mask = torch.tensor([[True] * 4, [True, True, False, False]])
    return Memory(values, values, mask, summary=torch.randn(B, H))


@pytest.mark.parametrize("kind", [RecurrentDecoder, InputFeedingDecoder])
@pytest.mark.parametrize("cell", get_args(Cell))
@pytest.mark.parametrize("residual", [0, 1, 3])
def test_whole_sequences_equal_single_steps(kind: type[RecurrentDecoder], cell: Cell, residual: int) -> None:
    decoder = decoder_of(kind, cell=cell, num_layers=3, residual=residual)
    embedded = torch.randn(B, T, E)
    whole = decoder(embedded, memory())
    state = decoder.start(memory())
    for t in range(T):
        features, state = decoder.step(embedded[:, t : t + 1], state)
        torch.testing.assert_close(whole[:, t : t + 1], features)


def test_residual_layers_begin_where_they_are_told_to() -> None:
    embedded = torch.randn(B, T, E)
    plain, second, third, fourth = (decoder_of(num_layers=3, residual=n)(embedded, memory()) for n in (0, 2, 3, 4))
    assert torch.equal(plain, fourth)
    assert torch.equal(decoder_of(num_layers=3, residual=1)(embedded, memory()), second)  # the first layer has no equal
    assert not torch.allclose(plain, third)
    assert not torch.allclose(second, third)


def test_input_feeding_lets_a_step_see_the_attention_before_it() -> None:
    decoder = decoder_of(InputFeedingDecoder, num_layers=1)
    state = decoder.start(memory())
    assert state.feed.tolist() == [[[0.0] * F]] * B
    features, after = decoder.step(torch.randn(B, 1, E), state)
    assert torch.equal(after.feed, features)
    assert decoder.first.fused.input_size == E + F


def test_beams_share_the_memory_and_are_reordered_together() -> None:
    decoder = decoder_of()
    spread = decoder.start(memory()).select(torch.zeros(B, 3, dtype=torch.int64))
    _, state = decoder.step(torch.randn(B, 3, E), spread)
    parents = torch.tensor([[2, 0, 0], [1, 1, 2]])
    chosen = state.select(parents)
    assert chosen.memory is state.memory
    for before, after in zip(state.layers, chosen.layers, strict=True):
        for old, new in zip(before, after, strict=True):
            for b in range(B):
                assert torch.equal(new[b], old[b, parents[b]])


def test_sentences_can_leave() -> None:
    decoder = decoder_of()
    state = decoder.start(memory()).take(torch.tensor([1]))
    assert state.memory.parts[0].mask.tolist() == [[True, True, False, False]]
    alone = memory().take(torch.tensor([1]))
    embedded = torch.randn(1, 1, E)
    torch.testing.assert_close(decoder.step(embedded, state)[0], decoder.step(embedded, decoder.start(alone))[0])


@pytest.mark.parametrize("kind", [RecurrentDecoder, InputFeedingDecoder])
@pytest.mark.parametrize("cell", get_args(Cell))
def test_sentences_can_join(kind: type[RecurrentDecoder], cell: Cell) -> None:
    decoder, beams = decoder_of(kind, cell=cell), torch.zeros(B, 3, dtype=torch.int64)
    _, together = decoder.step(torch.randn(B, 3, E), decoder.start(memory().padded()).select(beams))
    second, first = (together.take(torch.tensor([row])) for row in (1, 0))
    joined = second.join(first)
    embedded = torch.randn(B, 3, E)
    expected, after = decoder.step(embedded, together)
    found, joined_after = decoder.step(embedded[[1, 0]], joined)
    torch.testing.assert_close(found[[1, 0]], expected)
    torch.testing.assert_close(joined_after.attention[[1, 0]], after.attention)
    assert torch.equal(joined.attention[[1, 0]], together.attention)


def test_a_state_tells_what_the_last_step_has_read() -> None:
    decoder, source = decoder_of(), memory()
    state = decoder.start(source).select(torch.zeros(B, 2, dtype=torch.int64))
    assert state.attention.shape == (B, 2, S)
    assert not state.attention.any()
    embedded = torch.randn(B, 2, E)
    _, state = decoder.step(embedded, state)
    torch.testing.assert_close(state.attention.sum(dim=2), torch.ones(B, 2))
    assert not state.attention[1, :, 2:].any()
    torch.testing.assert_close(state.attention[:, :1], decoder.read(embedded[:, :1], source)[1])
    swapped = state.select(torch.tensor([[1, 0], [1, 0]]))
    assert torch.equal(swapped.attention, state.attention.flip(1))
    assert state.pieces is None


def test_without_input_feeding_later_words_do_not_change_earlier_features() -> None:
    decoder = decoder_of()
    embedded = torch.randn(B, T, E)
    changed = embedded.clone()
    changed[:, 3:] += 1
    before, after = decoder(embedded, memory()), decoder(changed, memory())
    torch.testing.assert_close(before[:, :3], after[:, :3])
    assert not torch.allclose(before[:, 3:], after[:, 3:])


@pytest.mark.parametrize("kind", [RecurrentDecoder, InputFeedingDecoder])
def test_whole_sequences_equal_single_steps_under_variational_and_recurrent_dropout(
    kind: type[RecurrentDecoder],
) -> None:
    decoder, embedded, source = noisy_decoder(kind), torch.randn(B, T, E), memory()
    torch.manual_seed(7)
    whole = decoder(embedded, source)
    quiet = copy.deepcopy(decoder).eval()(embedded, source)
    assert not torch.allclose(whole, quiet)
    torch.manual_seed(7)
    state = decoder.start(source)
    drawn = torch.get_rng_state()
    for t in range(T):
        features, state = decoder.step(embedded[:, t : t + 1], state)
        torch.testing.assert_close(whole[:, t : t + 1], features)
    assert torch.equal(torch.get_rng_state(), drawn)  # a step draws nothing


def test_cell_by_cell_dropout_is_drawn_at_every_step() -> None:
    decoder = noisy_decoder(InputFeedingDecoder, dropout=Dropout, recurrent=0.0)
    state = decoder.start(memory())
    embedded = torch.randn(B, 1, E)
    assert not torch.equal(decoder.step(embedded, state)[0], decoder.step(embedded, state)[0])


def test_input_feeding_drops_the_same_recurrent_weights_at_all_steps() -> None:
    decoder, source = noisy_decoder(InputFeedingDecoder, rate=0.0), memory()
    torch.manual_seed(7)
    embedded = torch.randn(B, T, E)
    drawn = torch.get_rng_state()
    features = decoder(embedded, source)
    torch.set_rng_state(drawn)
    thinned = copy.deepcopy(decoder).eval()
    for layer, weights in zip([thinned.first, *thinned.upper], decoder.start(source).weights, strict=True):
        layer.fused.weight_hh_l0.data.copy_(weights[1])
    torch.testing.assert_close(thinned(embedded, source), features)


@pytest.mark.parametrize("kind", [RecurrentDecoder, InputFeedingDecoder])
@pytest.mark.parametrize("precision", ["fp32", pytest.param("bf16", marks=pytest.mark.needs("bf16"))])
def test_every_weight_learns_under_dropout(kind: type[RecurrentDecoder], precision: str) -> None:
    decoder = noisy_decoder(kind)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        features = decoder(torch.randn(B, T, E), memory())
    features.float().square().sum().backward()
    assert [name for name, p in decoder.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_sentences_that_stay_keep_their_masks() -> None:
    decoder = noisy_decoder(InputFeedingDecoder)
    state = decoder.start(memory())
    embedded = torch.randn(B, 3, E)
    together, _ = decoder.step(embedded, state.select(torch.zeros(B, 3, dtype=torch.int64)))
    second = torch.tensor([1])
    alone, _ = decoder.step(embedded[1:], state.take(second).select(torch.zeros(1, 3, dtype=torch.int64)))
    torch.testing.assert_close(alone, together[1:])


SUMMARY = torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]])


def test_a_copied_state_is_cut_into_layers_and_their_parts() -> None:
    first, second = make_init("copy", memory_size=2, hidden_size=2, state_parts=2, layers=2)(SUMMARY)
    assert [part.tolist() for part in first] == [[[1, 2]], [[3, 4]]]
    assert [part.tolist() for part in second] == [[[5, 6]], [[7, 8]]]


def test_zeros_know_nothing() -> None:
    states = make_init("zeros", memory_size=3, hidden_size=3, state_parts=1, layers=2)(SUMMARY)
    assert [[part.tolist() for part in state] for state in states] == [[[[0, 0, 0]]], [[[0, 0, 0]]]]


def test_a_bridge_squashes_what_its_layer_makes_of_the_last_outputs() -> None:
    bridges = make_init("bridge", memory_size=1, hidden_size=1, state_parts=2, layers=1)
    assert isinstance(bridges, Bridges)
    with torch.no_grad():
        bridges[0].weight.copy_(torch.tensor([[2.0], [0.0]]))
        bridges[0].bias.copy_(torch.tensor([0.0, 1.0]))
    [(h, c)] = bridges(torch.tensor([[0.5]]))
    torch.testing.assert_close(torch.cat([h, c], dim=1), torch.tanh(torch.tensor([[1.0, 1.0]])))
