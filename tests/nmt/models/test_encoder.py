import pytest
import torch

from nmt.models.cells.layer import Recurrence
from nmt.models.embedding import Dropout
from nmt.models.seq2seq import RecurrentEncoder, StateEncoder, gather_positions


def encoder_of(
    *, bidirectional: bool = True, num_layers: int = 2, residual: bool = False, dropout: float = 0.0
) -> RecurrentEncoder:
    torch.manual_seed(0)
    encoder = RecurrentEncoder(
        recurrence=Recurrence("lstm", dropout=0.0),
        embedding_size=6,
        hidden_size=8,
        bidirectional_layers=num_layers if bidirectional else 0,
        residual=residual,
        dropouts=[Dropout(dropout) for _ in range(num_layers - 1)],
    )
    return encoder.eval()


def test_positions_are_gathered_row_by_row() -> None:
    x = torch.arange(12.0).view(2, 3, 2)
    picked = gather_positions(x, torch.tensor([[2, 0], [1, 1]]))
    assert picked.tolist() == [[[4, 5], [0, 1]], [[8, 9], [8, 9]]]


@pytest.mark.parametrize("bidirectional", [True, False])
def test_padding_and_neighbours_change_nothing(bidirectional: bool) -> None:
    encoder = encoder_of(bidirectional=bidirectional)
    x = torch.randn(2, 7, 6)
    together, summary = encoder(x, torch.tensor([4, 7]))
    alone, alone_summary = encoder(x[:1, :4], torch.tensor([4]))
    torch.testing.assert_close(together[:1, :4], alone)
    torch.testing.assert_close(summary[:1], alone_summary)


def test_one_bidirectional_layer_equals_the_library_s_packed_one() -> None:
    encoder = encoder_of(num_layers=1)
    library = torch.nn.LSTM(6, 4, batch_first=True, bidirectional=True)
    for ours, suffix in ((encoder.forward_layers[0], "l0"), (encoder.backward_layers[0], "l0_reverse")):
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            getattr(library, f"{name}_{suffix}").data.copy_(getattr(ours.fused, f"{name}_l0"))
    x, lengths = torch.randn(3, 5, 6), torch.tensor([5, 2, 4])
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    outputs, (h, _) = library(packed)
    expected, _ = torch.nn.utils.rnn.pad_packed_sequence(outputs, batch_first=True)
    got, summary = encoder(x, lengths)
    for row, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(got[row, :length], expected[row, :length])
    torch.testing.assert_close(summary, torch.cat([h[0], h[1]], dim=1))


def test_residual_layers_add_their_input_where_sizes_agree() -> None:
    plain, residual = encoder_of(), encoder_of(residual=True)
    x, lengths = torch.randn(1, 3, 6), torch.tensor([3])
    first = encoder_of(num_layers=1)
    first.load_state_dict({name: plain.state_dict()[name] for name in first.state_dict()})
    torch.testing.assert_close(residual(x, lengths)[0], plain(x, lengths)[0] + first(x, lengths)[0])


def test_dropout_works_between_layers_only() -> None:
    x, lengths = torch.randn(2, 5, 6), torch.tensor([5, 3])
    torch.manual_seed(0)
    single = encoder_of(num_layers=1, dropout=0.5).train()
    assert torch.equal(single(x, lengths)[0], single(x, lengths)[0])
    stacked = encoder_of(num_layers=2, dropout=0.5).train()
    assert not torch.equal(stacked(x, lengths)[0], stacked(x, lengths)[0])
    nothing_passes = encoder_of(num_layers=2, dropout=1 - 1e-6).train()
    torch.testing.assert_close(nothing_passes(x, lengths)[0], nothing_passes(x + 1, lengths)[0])


@pytest.mark.parametrize("bidirectional", [True, False])
def test_the_whole_last_state_is_each_layer_s_and_no_padding_changes_it(bidirectional: bool) -> None:
    plain = encoder_of(bidirectional=bidirectional)
    encoder = StateEncoder(
        recurrence=Recurrence("lstm", dropout=0.0),
        embedding_size=6,
        hidden_size=8,
        bidirectional_layers=2 if bidirectional else 0,
        residual=False,
        dropouts=[Dropout(0.0)],
    )
    encoder.load_state_dict(plain.state_dict())
    x, lengths = torch.randn(2, 7, 6), torch.tensor([4, 7])
    outputs, summary = encoder(x, lengths)
    expected, last = plain(x, lengths)
    torch.testing.assert_close(outputs[0, :4], expected[0, :4])
    torch.testing.assert_close(outputs[1], expected[1])
    h_first, c_first, h_second, c_second = summary.chunk(4, dim=1)
    torch.testing.assert_close(h_second, last)
    torch.testing.assert_close(encoder(x[:1, :4], lengths[:1])[1], summary[:1])
    _, (h, c) = encoder.forward_layers[0].run(x[:1, :4])
    width = h.shape[1]
    torch.testing.assert_close(h_first[:1, :width], h)
    torch.testing.assert_close(c_first[:1, :width], c)
    assert not torch.equal(c_second, h_second)


def test_only_the_first_layer_reads_both_ways_in_the_encoder_of_gnmt() -> None:
    torch.manual_seed(0)
    encoder = RecurrentEncoder(
        recurrence=Recurrence("lstm", dropout=0.0),
        embedding_size=6,
        hidden_size=8,
        bidirectional_layers=1,
        residual=False,
        dropouts=[Dropout(0.0), Dropout(0.0)],
    )
    below, second, third = encoder_of(num_layers=1), encoder.forward_layers[1], encoder.forward_layers[2]
    below.load_state_dict({name: encoder.state_dict()[name] for name in below.state_dict()})
    assert len(encoder.backward_layers) == 1
    x, lengths = torch.randn(2, 5, 6), torch.tensor([5, 3])
    outputs, summary = encoder(x, lengths)
    expected = third(second(below(x, lengths)[0]))
    torch.testing.assert_close(outputs[1, :3], expected[1, :3])
    torch.testing.assert_close(outputs[0], expected[0])
    torch.testing.assert_close(summary, torch.stack([expected[0, 4], expected[1, 2]]))
