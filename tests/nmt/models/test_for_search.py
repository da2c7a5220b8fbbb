"""Models in prepacked form: they compute what they computed, and nothing in it depends on the batch."""

import random
from collections.abc import Sequence
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nmt.batching import source_batch
from nmt.config import ModelSettings
from nmt.config.model import Cell
from nmt.models import kernels
from nmt.models.build import build_language_model, build_model
from nmt.models.devices import for_inference
from nmt.models.language_model import LanguageModel
from nmt.models.prepacked import PrepackedLinear, SearchPrecision
from nmt.models.seq2seq import Seq2Seq
from nmt.search.beam import Beams
from nmt.search.engine import Engine, Start
from nmt.search.frontier import Frontier, Limits
from nmt.search.greedy import Greedy
from nmt.search.protocol import Hypothesis, Sentence
from nmt.search.rules import Scoring
from nmt.text.sequences import FlatSequences
from nmt.text.vocab import EOS

TOLERANCES = {"fp32": 1e-5, "bf16": 0.1, "int8": 0.1}
SHAPES: dict[str, tuple[int, dict[str, object]]] = {
    "whole vectors": (64, {"hidden_size": 64, "embedding_size": 32}),
    "additive": (53, {"hidden_size": 24, "embedding_size": 20, "attention": "additive"}),
    "heads": (65, {"hidden_size": 128, "embedding_size": 20, "attention_heads": 4}),
    "small additive heads": (53, {"hidden_size": 24, "attention_heads": 3, "attention": "additive"}),
    "heads, input feeding": (53, {"hidden_size": 24, "attention_heads": 2, "input_feeding": True}),
    "general, gru": (300, {"hidden_size": 40, "embedding_size": 33, "attention": "general", "cell": "gru"}),
    "rnn, one direction": (65, {"hidden_size": 33, "embedding_size": 6, "bidirectional": False, "cell": "rnn"}),
    "input feeding": (77, {"hidden_size": 6, "embedding_size": 5, "input_feeding": True, "attention": "dot"}),
    "deep, residual": (101, {"hidden_size": 54, "residual": True, "encoder_layers": 2, "decoder_layers": 2}),
    "free output, deep gru": (63, {"hidden_size": 34, "tied_embeddings": "none", "cell": "gru", "decoder_layers": 2}),
    "peepholes, deep": (65, {"hidden_size": 34, "cell": "peephole_lstm", "decoder_layers": 2}),
    "layer norm, residual": (77, {"hidden_size": 54, "cell": "layer_norm_lstm", "residual": True}),
    "ssru, input feeding": (77, {"hidden_size": 38, "embedding_size": 5, "cell": "ssru", "input_feeding": True}),
    "no attention": (65, {"hidden_size": 24, "attention": "none", "decoder_layers": 2}),
    "no attention, copied lstm": (53, {"hidden_size": 38, "attention": "none", "decoder_init": "copy"}),
    "no attention, copied ssru": (53, {"hidden_size": 34, "attention": "none", "decoder_init": "copy", "cell": "ssru"}),
    "zeros": (53, {"hidden_size": 24, "decoder_init": "zeros", "cell": "gru"}),
    "wide decoder, general": (65, {"hidden_size": 24, "decoder_size": 70, "bidirectional": "first"}),
    "wide encoder, additive": (53, {"encoder_size": 70, "decoder_size": 24, "attention": "additive", "cell": "gru"}),
    "gnmt's encoder": (77, {"hidden_size": 34, "bidirectional": "first", "encoder_layers": 3, "residual": True}),
    "cho's gru, input feeding": (65, {"hidden_size": 38, "cell": "cho_gru", "input_feeding": True}),
    "ssru below lstm": (53, {"hidden_size": 34, "encoder_cell": "ssru", "decoder_layers": 2}),
    "gru below rnn, bridged": (53, {"encoder_cell": "gru", "cell": "rnn", "encoder_size": 40, "decoder_size": 33}),
    "peepholes copied": (
        65,
        {
            **{"hidden_size": 34, "attention": "none", "decoder_init": "copy", "encoder_cell": "peephole_lstm"},
            **{"bidirectional": "first", "encoder_layers": 2, "decoder_layers": 2},
        },
    ),
    "relu, one direction": (53, {"hidden_size": 33, "bidirectional": False, "cell": "rnn_relu"}),
}


def tolerance_of(precision: SearchPrecision) -> float:
    """How far results may be off: weights of 7 bits are twice as coarse as those of 8."""
    coarse = precision == "int8" and kernels.weight_limit() < kernels.INT8_LIMIT
    return TOLERANCES[precision] * (1.5 if coarse else 1)


@pytest.fixture(autouse=True)
def few_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let products of few rows change to their own way in the midst of a search."""
    monkeypatch.setattr("nmt.models.prepacked.FEW_PRODUCTS", 20)


def model_of(vocab_size: int, **changes: object) -> Seq2Seq:
    """Make a model that is surer of its words than a fresh one, and comes to an end now and then."""
    small = {"embedding_size": 24, "encoder_layers": 1, "decoder_layers": 1, "dropout": 0.3}
    settings = ModelSettings.model_validate({**small, **changes})
    model = build_model(settings, src_vocab_size=vocab_size, tgt_vocab_size=vocab_size, joint=True, seed=3)
    rng = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn(parameter.shape, generator=rng), alpha=0.3)
            else:
                parameter.mul_(1.5)
        model.output.bias[EOS] += model.output.weight.norm(dim=1).mean()
    return model.eval()


def sentences_of(vocab_size: int, *, count: int, lengths: Sequence[int], rng: random.Random) -> list[Sentence]:
    return [
        Sentence(tuple(rng.randrange(4, vocab_size) for _ in range(rng.choice(lengths))), number)
        for number in range(count)
    ]


def start_of(beam_size: int) -> Start:
    def start(_: Sequence[Sentence], src_lengths: Tensor) -> Frontier:
        limits = Limits.start(src_lengths // 3 + 4, src_lengths // 8)
        scoring = Scoring(0.6, 0.2)
        if beam_size == 1:
            return Greedy.start(limits, scoring=scoring, with_attention=True)
        return Beams.start(
            limits, beam_size=beam_size, n_best=2, scoring=scoring, src_lengths=src_lengths, with_attention=True
        )

    return start


def search(
    model: Seq2Seq, sentences: Sequence[Sentence], *, beam_size: int, batch_tokens: int, rng: random.Random
) -> dict[int, list[Hypothesis]]:
    """Search for translations of sentences that arrive a few at a time."""
    engine = Engine(model, start_of(beam_size), batch_tokens=batch_tokens, reverse_source=True)
    waiting, found = list(sentences), {}
    while waiting or engine.busy:
        if waiting and (engine.hungry or rng.random() < 0.2):
            count = rng.choice([1, 2, 5, 40])
            engine.add(waiting[:count])
            del waiting[:count]
        found.update(engine.step())
    return found


def assert_same(found: Sequence[Hypothesis], alone: Sequence[Hypothesis]) -> None:
    assert found == alone  # words, log-probabilities and scores, to the last bit
    for one, other in zip(found, alone, strict=True):
        assert one.attention is not None
        assert other.attention is not None
        assert torch.equal(one.attention, other.attention)


def assert_the_company_changes_nothing(
    model: Seq2Seq, sentences: Sequence[Sentence], *, beam_size: int, groupings: int
) -> None:
    rng = random.Random(beam_size)
    alone: dict[int, list[Hypothesis]] = {}
    for sentence in sentences:
        alone |= search(model, [sentence], beam_size=beam_size, batch_tokens=1, rng=rng)
    assert len({len(hypotheses[0].ids) for hypotheses in alone.values()}) > 2
    assert any(len(hypotheses[0].ids) < len(sentences[i].ids) // 3 + 4 for i, hypotheses in alone.items())
    for _ in range(groupings):
        company = rng.sample(sentences, rng.randint(1, len(sentences)))
        batch_tokens = int(10 ** rng.uniform(1.5, 4))
        found = search(model, company, beam_size=beam_size, batch_tokens=batch_tokens, rng=rng)
        assert found.keys() == {sentence.number for sentence in company}
        for number, hypotheses in found.items():
            assert_same(hypotheses, alone[number])


@pytest.mark.parametrize("beam_size", [1, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_translation_and_its_score_do_not_depend_on_the_batch(
    shape: str, precision: SearchPrecision, beam_size: int
) -> None:
    vocab_size, changes = SHAPES[shape]
    model = for_inference(model_of(vocab_size, **changes), precision)
    lengths = [0, 1, 2, 3, 5, 14, 15, 16, 17, 33]
    sentences = sentences_of(vocab_size, count=16, lengths=lengths, rng=random.Random(0))
    assert_the_company_changes_nothing(model, sentences, beam_size=beam_size, groupings=5)


@pytest.mark.slow
@pytest.mark.parametrize("beam_size", [1, 5])
@pytest.mark.parametrize("hidden_size", [256, 250])
def test_larger_models_and_longer_sentences_do_not_depend_on_it_either(
    hidden_size: int, precision: SearchPrecision, beam_size: int
) -> None:
    made = model_of(1501, hidden_size=hidden_size, embedding_size=130, encoder_layers=2, decoder_layers=2)
    model = for_inference(made, precision)
    sentences = sentences_of(1501, count=60, lengths=range(60), rng=random.Random(0))
    assert_the_company_changes_nothing(model, sentences, beam_size=beam_size, groupings=8)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_prepacked_model_scores_as_the_model_does(shape: str, precision: SearchPrecision) -> None:
    vocab_size, changes = SHAPES[shape]
    model = model_of(vocab_size, **changes)
    prepacked = for_inference(model, precision)
    src = source_batch(FlatSequences.from_lists([[4, 5, 6], [7], []]), np.arange(3), reverse_source=True)
    words = torch.randint(4, 40, (3, 5), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        states = [each.start(each.encode(src)) for each in (model, prepacked)]
        for column in words.split(1, dim=1):
            (expected, first), (found, second) = (
                each.step(column, state) for each, state in zip((model, prepacked), states, strict=True)
            )
            spread = expected.std().item()
            torch.testing.assert_close(found, expected, rtol=0, atol=3 * spread * tolerance_of(precision))
            torch.testing.assert_close(second.attention, first.attention, rtol=0, atol=3 * tolerance_of(precision))
            states = [first, second]


@pytest.mark.parametrize("cell", get_args(Cell))
def test_what_the_first_layer_makes_of_pieces_is_looked_up_to_the_last_bit(
    cell: Cell, precision: SearchPrecision, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of(70, hidden_size=40, cell=cell)
    looking_up = for_inference(model, precision)
    monkeypatch.setattr("nmt.models.devices._LARGEST_TABLE", 0)
    multiplying = for_inference(model, precision)
    assert isinstance(looking_up.decoder.first.projection, nn.Identity)
    assert isinstance(multiplying.decoder.first.projection, PrepackedLinear)
    src = source_batch(FlatSequences.from_lists([[4, 5, 6], [7], []]), np.arange(3), reverse_source=True)
    with torch.inference_mode():
        memory = multiplying.encode(src)
        found, expected = (
            each.step(torch.tensor([[4, 69], [0, 2], [17, 4]]), each.start(memory).select(torch.zeros(3, 2).long()))[0]
            for each in (looking_up, multiplying)
        )
        assert torch.equal(found, expected)


def test_a_decoder_that_reads_more_than_pieces_multiplies() -> None:
    fed = for_inference(model_of(40, hidden_size=32, input_feeding=True), "fp32")
    assert isinstance(fed.decoder.first.projection, PrepackedLinear)


def test_the_model_itself_is_left_as_it_was() -> None:
    model = model_of(40, hidden_size=32).train()
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    prepacked = for_inference(model, "fp32")
    assert model.training
    assert not prepacked.training
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert not any(parameter.requires_grad for parameter in prepacked.parameters())
    assert all(torch.equal(parameter, before[name]) for name, parameter in model.named_parameters())


@pytest.mark.parametrize("cell", get_args(Cell))
@pytest.mark.parametrize("changes", [{}, {"residual": True}, {"tied_embeddings": "none"}])
def test_linear_layers_know_whether_what_they_read_is_bounded(cell: Cell, changes: dict[str, object]) -> None:
    prepacked = for_inference(model_of(40, hidden_size=32, cell=cell, **changes), "fp32")
    assert prepacked.output.bounded  # it reads a tanh
    assert prepacked.decoder.readout.bounded == (cell not in ("rnn_relu", "ssru") and "residual" not in changes)
    assert not prepacked.decoder.attention.key_projection.bounded


@pytest.mark.parametrize(
    ("changes", "bounded"),
    [
        ({"encoder_cell": "ssru"}, False),
        ({"decoder_cell": "ssru"}, False),
        ({"encoder_cell": "gru"}, True),
        ({"encoder_cell": "ssru", "attention": "none"}, True),
    ],
)
def test_a_context_is_bounded_where_the_encoder_s_outputs_are(changes: dict[str, object], bounded: bool) -> None:
    prepacked = for_inference(model_of(40, hidden_size=32, **changes), "fp32")
    assert prepacked.decoder.readout.bounded == bounded


def text_model_of(**changes: object) -> LanguageModel:
    shape = {"kind": "lm", "embedding_size": 24, "hidden_size": 24, "decoder_layers": 2, "tied_embeddings": "none"}
    settings = ModelSettings.model_validate({**shape, **changes})
    return build_language_model(settings, vocab_size=70, seed=3).eval()


TEXT_MODELS: list[dict[str, object]] = [
    *({"cell": cell} for cell in get_args(Cell)),
    {"residual": True},
    {"decoder_cell": "gru", "decoder_size": 30},
    {"tied_embeddings": "target", "embedding_size": 20},
]


@pytest.mark.parametrize("changes", TEXT_MODELS)
def test_a_prepacked_language_model_says_what_the_model_says(
    changes: dict[str, object], precision: SearchPrecision
) -> None:
    model = text_model_of(**changes)
    prepacked = for_inference(model, precision)
    ids = torch.randint(4, 70, (3, 6), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        features, last = prepacked(ids)
        expected, after = model(ids)
        tolerance = 3 * expected.std().item() * tolerance_of(precision)
        torch.testing.assert_close(features, expected, rtol=0, atol=tolerance)
        state = prepacked.start(3)
        for column in ids.split(1, dim=1):
            logits, state = prepacked.step(column, state)
        torch.testing.assert_close(logits[:, 0], prepacked.output(features[:, -1]))
        for parts, stepped, exact in zip(last, state.layers, after, strict=True):
            for part, step, own in zip(parts, stepped, exact, strict=True):
                torch.testing.assert_close(part, step[:, 0], rtol=0, atol=1e-5)
                torch.testing.assert_close(part, own, rtol=0, atol=3 * tolerance_of(precision))


@pytest.mark.parametrize("changes", TEXT_MODELS)
def test_what_a_language_model_says_does_not_depend_on_the_batch(
    changes: dict[str, object], precision: SearchPrecision
) -> None:
    prepacked = for_inference(text_model_of(**changes), precision)
    ids = torch.randint(4, 70, (70, 5), generator=torch.Generator().manual_seed(1))

    def logits_of(rows: Sequence[int]) -> Tensor:
        state, found = prepacked.start(len(rows)), []
        for column in ids[rows].split(1, dim=1):
            logits, state = prepacked.step(column, state)
            found.append(logits)
        return torch.cat(found, dim=1)

    with torch.inference_mode():
        together = logits_of(range(70))
        for rows in ([0], [69, 3], list(range(1, 34)), list(range(69, 20, -1))):
            assert torch.equal(logits_of(rows), together[rows])


def test_what_a_language_model_reads_is_bounded_below_a_bounded_cell_only() -> None:
    prepacked = for_inference(text_model_of(), "fp32")
    assert prepacked.output.bounded  # nothing is between it and the last layer
    assert not for_inference(text_model_of(cell="ssru"), "fp32").output.bounded
    assert not for_inference(text_model_of(residual=True), "fp32").output.bounded
    projected = for_inference(text_model_of(tied_embeddings="target", embedding_size=20), "fp32")
    assert projected.readout.bounded
    assert not projected.output.bounded
