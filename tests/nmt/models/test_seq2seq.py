from dataclasses import replace

import numpy as np
import pytest
import torch

from nmt.batching import Batch, source_batch, target_batch
from nmt.config import ModelSettings
from nmt.models.build import build_model
from nmt.models.cells.layer import Recurrence
from nmt.models.embedding import Dropout
from nmt.models.seq2seq import RecurrentEncoder, Seq2Seq, StateEncoder, gather_positions
from nmt.text.sequences import FlatSequences

SRC = FlatSequences.from_lists([[4, 5, 6], [7], [8, 9, 4, 5, 6]])
TGT = FlatSequences.from_lists([[4, 5], [6, 7, 8, 9], [5]])


def model_of(**changes: object) -> Seq2Seq:
    small = {"embedding_size": 6, "hidden_size": 8, "decoder_layers": 2, "dropout": 0.5}
    settings = ModelSettings.model_validate({**small, **changes})
    return build_model(settings, src_vocab_size=10, tgt_vocab_size=10, joint=True, seed=3).eval()


def batch_of(rows: list[int]) -> Batch:
    chosen = np.array(rows)
    return Batch(source_batch(SRC, chosen, reverse_source=True), target_batch(TGT, chosen))


@pytest.mark.parametrize("noise", [{}, {"variational_dropout": True, "recurrent_dropout": 0.5, "word_dropout": 0.5}])
@pytest.mark.parametrize("input_feeding", [False, True])
def test_teacher_forcing_scores_what_search_would_score(input_feeding: bool, noise: dict[str, object]) -> None:
    model, batch = model_of(input_feeding=input_feeding, **noise), batch_of([0, 1, 2])
    whole = model.output(model(batch))  # [B, T, V]
    state = model.start(model.encode(batch.src))
    for t in range(batch.tgt.inputs.shape[1]):
        logits, state = model.step(batch.tgt.inputs[:, t : t + 1], state)
        torch.testing.assert_close(whole[:, t : t + 1], logits)


def test_a_sentence_is_scored_alike_in_any_batch() -> None:
    model = model_of()
    together = model(batch_of([0, 1, 2]))
    for row in range(3):
        alone = model(batch_of([row]))
        torch.testing.assert_close(together[row : row + 1, : alone.shape[1]], alone)


def test_the_mask_covers_the_padding() -> None:
    memory = model_of().encode(batch_of([1, 0]).src)
    assert memory.mask.tolist() == [[True, True, False, False], [True] * 4]
    assert memory.take(torch.tensor([1])).mask.tolist() == [[True] * 4]


def test_search_begins_with_sources_filled_up() -> None:
    model = model_of()
    state = model.start(model.encode(batch_of([0, 1, 2]).src))
    assert state.memory.parts[0].values.shape == (3, 16, 32)
    assert state.attention.shape == (3, 1, 16)


NOISES = [
    {"embedding_dropout": 0.5},
    {"encoder_dropout": 0.5},
    {"decoder_dropout": [0.5]},
    {"readout_dropout": 0.5},
    {"word_dropout": 0.5},
    {"recurrent_dropout": 0.5},
]


@pytest.mark.parametrize("variational", [False, True])
@pytest.mark.parametrize("noise", NOISES, ids=lambda noise: next(iter(noise)))
def test_dropout_is_for_training_only(noise: dict[str, object], variational: bool) -> None:
    model, batch = model_of(dropout=0.0, variational_dropout=variational, **noise), batch_of([0, 1])
    assert torch.equal(model(batch), model(batch))
    model.train()
    torch.manual_seed(0)
    first = model(batch)
    assert not torch.equal(model(batch), first)
    torch.manual_seed(0)
    assert torch.equal(model(batch), first)


def test_without_any_rate_training_is_evaluation() -> None:
    model, batch = model_of(dropout=0.0, variational_dropout=True), batch_of([0, 1])
    assert torch.equal(model.train()(batch), model.eval()(batch))


def test_variational_dropout_gives_a_word_the_same_holes_wherever_it_stands() -> None:
    model = model_of(variational_dropout=True).train()
    torch.manual_seed(0)
    vectors = model.src_embedding(torch.full((9, 4), 5))
    assert torch.equal(vectors, vectors[:, :1].expand(9, 4, 6))
    assert any(not torch.equal(vectors[0], other) for other in vectors[1:])


@pytest.mark.needs("gpu")
def test_a_gpu_gives_the_same_features() -> None:
    model, batch = model_of(), batch_of([0, 1, 2])
    expected = model(batch)
    device = torch.device("cuda")
    torch.testing.assert_close(model.to(device)(batch.to(device)).cpu(), expected, rtol=1e-3, atol=1e-3)


PLAIN: list[dict[str, object]] = [
    {"attention": "none"},
    {"attention": "none", "decoder_init": "copy"},
    {"attention": "none", "decoder_init": "copy", "cell": "gru", "bidirectional": False},
    {"attention": "none", "decoder_init": "copy", "cell": "layer_norm_lstm"},
    {"decoder_init": "zeros"},
]
MIXED: list[dict[str, object]] = [
    {"bidirectional": "first", "encoder_layers": 3},
    {"bidirectional": "first", "encoder_layers": 2, "attention": "none", "decoder_init": "copy"},
    {"encoder_cell": "gru", "decoder_cell": "lstm"},
    {"encoder_cell": "lstm", "decoder_cell": "ssru", "attention": "none"},
    {"encoder_cell": "peephole_lstm", "attention": "none", "decoder_init": "copy"},
    {"encoder_cell": "gru", "decoder_cell": "rnn", "decoder_init": "copy", "attention": "dot"},
    *({"encoder_size": 12, "attention": kind} for kind in ("general", "additive", "none")),
    *({"attention_heads": 2, "attention": kind} for kind in ("dot", "scaled_dot", "general", "additive")),
    {"attention_heads": 4, "encoder_size": 12, "input_feeding": True},
    {"decoder_size": 12, "input_feeding": True},
    {"decoder_size": 12, "decoder_init": "zeros"},
]


@pytest.mark.parametrize("changes", PLAIN + MIXED)
def test_a_plain_or_mixed_model_scores_in_search_what_it_learns_and_in_any_batch(changes: dict[str, object]) -> None:
    model, batch = model_of(**changes), batch_of([0, 1, 2])
    whole = model(batch)
    state = model.start(model.encode(batch.src))
    for t in range(batch.tgt.inputs.shape[1]):
        features, state = model.decoder.step(model.tgt_embedding(batch.tgt.inputs[:, t : t + 1]), state)
        torch.testing.assert_close(whole[:, t : t + 1], features)
    for row in range(3):
        alone = model(batch_of([row]))
        torch.testing.assert_close(whole[row : row + 1, : alone.shape[1]], alone)


@pytest.mark.parametrize("init", ["bridge", "copy"])
def test_without_attention_the_decoder_knows_the_source_by_its_first_state_alone(init: str) -> None:
    model = model_of(attention="none", decoder_init=init)
    memory = model.encode(batch_of([0, 1, 2]).src)
    words = model.tgt_embedding(torch.tensor([[4, 5]]).expand(3, -1))
    features = model.decoder(words, memory)
    assert not torch.allclose(features[0], features[1])
    same = replace(memory, summary=memory.summary[:1].expand(3, -1))
    features = model.decoder(words, same)
    torch.testing.assert_close(features[0], features[1])


@pytest.mark.parametrize("changes", PLAIN + MIXED)
@pytest.mark.parametrize("precision", ["fp32", pytest.param("bf16", marks=pytest.mark.needs("bf16"))])
def test_every_weight_of_a_plain_or_mixed_model_learns(changes: dict[str, object], precision: str) -> None:
    model = model_of(recurrent_dropout=0.2, **changes).train()
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        features = model(batch_of([0, 1, 2]))
    features.float().square().sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == ["output.bias"]


def test_a_copied_state_is_the_encoder_s() -> None:
    model = model_of(decoder_init="copy", attention="none")
    memory = model.encode(batch_of([0]).src)
    parts = torch.cat([part[:, 0] for state in model.start(memory).layers for part in state], dim=1)
    assert torch.equal(parts, memory.summary)


@pytest.mark.parametrize("changes", [{"decoder_size": 12}, {"encoder_size": 12, "attention": "additive"}])
def test_the_decoder_reads_contexts_of_the_encoder_s_size(changes: dict[str, object]) -> None:
    model = model_of(**changes)
    memory = model.encode(batch_of([0, 1]).src)
    encoder, decoder = changes.get("encoder_size", 8), changes.get("decoder_size", 8)
    assert (memory.values.shape[2], memory.keys.shape[2]) == (encoder, decoder)
    contexts, _ = model.decoder.attention(torch.randn(2, 3, int(str(decoder))), memory)
    assert contexts.shape == (2, 3, encoder)
    assert model.decoder.readout.in_features == int(str(encoder)) + int(str(decoder))


def encoder_of(
    *, bidirectional: bool = True, num_layers: int = 2, residual: int = 0, dropout: float = 0.0
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
    plain, residual = encoder_of(), encoder_of(residual=1)
    x, lengths = torch.randn(1, 3, 6), torch.tensor([3])
    first = encoder_of(num_layers=1)
    first.load_state_dict({name: plain.state_dict()[name] for name in first.state_dict()})
    torch.testing.assert_close(residual(x, lengths)[0], plain(x, lengths)[0] + first(x, lengths)[0])
    for number, like in ((2, residual), (3, plain)):  # the sizes of the first layer differ
        assert torch.equal(encoder_of(residual=number)(x, lengths)[0], like(x, lengths)[0])


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
        residual=0,
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
        residual=0,
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
