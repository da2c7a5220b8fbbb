import pytest
import torch

from nmt.models.attention import make_attention
from nmt.models.cells import Cell
from nmt.models.decoder import InputFeedingDecoder, RecurrentDecoder
from nmt.models.memory import Memory

B, S, T, E, H, F = 2, 4, 5, 6, 8, 6


def decoder_of(
    kind: type[RecurrentDecoder] = RecurrentDecoder, *, cell: Cell = "lstm", num_layers: int = 2, residual: bool = False
) -> RecurrentDecoder:
    torch.manual_seed(0)
    decoder = kind(
        cell=cell,
        embedding_size=E,
        hidden_size=H,
        feature_size=F,
        num_layers=num_layers,
        attention=make_attention("scaled_dot", H),
        residual=residual,
        dropout=0.0,
    )
    return decoder.eval()


def memory() -> Memory:
    torch.manual_seed(1)
    values = torch.randn(B, S, H)
    mask = torch.tensor([[True] * 4, [True, True, False, False]])
    return Memory(values, values, mask, summary=torch.randn(B, H))


@pytest.mark.parametrize("kind", [RecurrentDecoder, InputFeedingDecoder])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("residual", [False, True])
def test_whole_sequences_equal_single_steps(kind: type[RecurrentDecoder], cell: Cell, residual: bool) -> None:
    decoder = decoder_of(kind, cell=cell, num_layers=3, residual=residual)
    embedded = torch.randn(B, T, E)
    whole = decoder(embedded, memory())
    state = decoder.start(memory())
    for t in range(T):
        features, state = decoder.step(embedded[:, t : t + 1], state)
        torch.testing.assert_close(whole[:, t : t + 1], features)


def test_input_feeding_lets_a_step_see_the_attention_before_it() -> None:
    decoder = decoder_of(InputFeedingDecoder, num_layers=1)
    state = decoder.start(memory())
    assert state.feed.tolist() == [[[0.0] * F]] * B
    features, after = decoder.step(torch.randn(B, 1, E), state)
    assert after.feed is features
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
    assert state.memory.mask.tolist() == [[True, True, False, False]]
    alone = memory().take(torch.tensor([1]))
    embedded = torch.randn(1, 1, E)
    torch.testing.assert_close(decoder.step(embedded, state)[0], decoder.step(embedded, decoder.start(alone))[0])


def test_without_input_feeding_later_words_do_not_change_earlier_features() -> None:
    decoder = decoder_of()
    embedded = torch.randn(B, T, E)
    changed = embedded.clone()
    changed[:, 3:] += 1
    before, after = decoder(embedded, memory()), decoder(changed, memory())
    torch.testing.assert_close(before[:, :3], after[:, :3])
    assert not torch.allclose(before[:, 3:], after[:, 3:])
