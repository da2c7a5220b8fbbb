from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from nmt.batching import SourceBatch, source_batch
from nmt.config import load_settings
from nmt.models.build import build_model
from nmt.models.devices import for_inference
from nmt.models.prepacked import SearchPrecision
from nmt.models.seq2seq import Seq2Seq
from nmt.models.shortlisted import ShortlistedModel, ShortlistedOutput, ShortlistedState
from nmt.search.frontier import Limits
from nmt.search.protocol import Hypothesis
from nmt.search.rules import Scoring
from nmt.text.sequences import FlatSequences
from nmt.text.vocab import EOS
from tests.nmt.search.alone import greedy_search

VOCAB_SIZE = 1000
LISTED = 48
BEAMS = 3
pytestmark = pytest.mark.usefixtures("without_gradients")


@pytest.fixture(scope="module")
def model() -> Seq2Seq:
    settings = load_settings(overrides=["model.embedding_size=32", "model.hidden_size=64", "model.encoder_layers=1"])
    made = build_model(settings.model, src_vocab_size=VOCAB_SIZE, tgt_vocab_size=VOCAB_SIZE, joint=False, seed=3)
    torch.nn.init.normal_(made.output.bias, generator=torch.Generator().manual_seed(1))
    return made.eval()


def of_first_word(src_ids: Tensor) -> Tensor:
    """Choose at random, as the first word of each sentence wants it."""
    rows = []
    for row in src_ids.tolist():
        rng = torch.Generator().manual_seed(row[0])
        others = 4 + torch.randperm(VOCAB_SIZE - 4, generator=rng)[: LISTED - 4]
        rows.append(torch.cat([torch.arange(4), others.sort().values]))
    return torch.stack(rows)


def shortlisted(model: Seq2Seq, precision: SearchPrecision) -> ShortlistedModel:
    return ShortlistedModel(
        for_inference(model, precision), ShortlistedOutput(model.output, precision), choose=of_first_word
    )


def batch_of(sources: list[list[int]]) -> SourceBatch:
    return source_batch(FlatSequences.from_lists(sources), np.arange(len(sources)), reverse_source=False)


def random_sources(count: int, *, seed: int) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [rng.integers(4, VOCAB_SIZE, rng.integers(1, 20)).tolist() for _ in range(count)]


def begin(model: ShortlistedModel, sources: list[list[int]]) -> tuple[Tensor, ShortlistedState]:
    """Make the first step, and BEAMS beams of the best words: their logits [B, 1, L], the ids [B, K], the state."""
    state = model.start(model.encode(batch_of(sources)))
    logits, state = model.step(torch.full((len(sources), 1), 2), state)
    return logits, state.select(torch.zeros(len(sources), BEAMS, dtype=torch.int64))


def follow(model: ShortlistedModel, logits: Tensor, state: ShortlistedState) -> tuple[Tensor, ShortlistedState]:
    """Go on from each sentence's first beam with its best words, in another order of beams."""
    ids = state.pieces.gather(1, logits[:, 0].topk(BEAMS).indices)
    return model.step(ids, state.select(torch.tensor([1, 0, 2]).expand(len(ids), -1)))


def translated(model: Any, state: Any) -> list[Hypothesis]:
    """Translate 20 sentences into at most 8 words each."""
    return greedy_search(model, state, limits=Limits.start(torch.full((20,), 8)), scoring=Scoring())


def alone(model: ShortlistedModel, source: list[int], *, steps: int) -> list[Tensor]:
    """The logits of a sentence by itself, step by step."""
    logits, state = begin(model, [source])
    found = [logits[0]]
    for _ in range(steps):
        logits, state = follow(model, logits, state)
        found.append(logits[0])
    return found


def test_the_logits_are_those_of_the_listed_words_without_a_shortlist(
    model: Seq2Seq, precision: SearchPrecision
) -> None:
    sources = random_sources(7, seed=1)
    inner, outer = for_inference(model, precision), shortlisted(model, precision)
    prev_ids = torch.full((7, 1), 2)
    full, _ = inner.step(prev_ids, inner.start(inner.encode(batch_of(sources))))
    logits, state = outer.step(prev_ids, outer.start(outer.encode(batch_of(sources))))
    assert logits.shape == (7, 1, LISTED)
    torch.testing.assert_close(logits, full.gather(2, state.pieces[:, None]), rtol=1e-5, atol=1e-5)


@pytest.mark.needs("int8")
def test_in_8_bits_the_sums_are_exact(model: Seq2Seq, weight_limit: int) -> None:
    sources = random_sources(5, seed=2)
    inner, outer = for_inference(model, "int8"), shortlisted(model, "int8")
    prev_ids = torch.full((5, 1), 2)
    features, _ = inner.decoder.step(inner.tgt_embedding(prev_ids), inner.start(inner.encode(batch_of(sources))))
    logits, state = outer.step(prev_ids, outer.start(outer.encode(batch_of(sources))))
    scales = model.output.weight.abs().amax(dim=1) / weight_limit
    integers = (model.output.weight / scales[:, None]).round().long()
    for row, words in enumerate(state.pieces):
        sums = integers[words] @ (features[row, 0] * 127).round().long()
        assert torch.equal(logits[row, 0], sums.float() * (scales[words] / 127) + model.output.bias[words])


def test_a_sentence_has_the_same_logits_in_any_company(model: Seq2Seq, precision: SearchPrecision) -> None:
    sources = random_sources(40, seed=3)
    searched = shortlisted(model, precision)
    expected = [alone(searched, source, steps=2) for source in sources]
    rng = np.random.default_rng(4)
    for _ in range(40):
        rows = rng.permutation(40)[: rng.integers(1, 41)].tolist()
        logits, state = begin(searched, [sources[row] for row in rows])
        for step in range(3):
            for row, found in zip(rows, logits, strict=True):
                assert torch.equal(found, expected[row][step])
            logits, state = follow(searched, logits, state)


def test_a_word_listed_alone_has_the_logit_that_it_has_among_others(model: Seq2Seq, precision: SearchPrecision) -> None:
    inner, batch, prev_ids = for_inference(model, precision), batch_of(random_sources(7, seed=8)), torch.full((7, 1), 2)
    output = ShortlistedOutput(model.output, precision)
    found = []
    for words in ([500], [0, 1, 2, 3, 500], [*range(400), 500]):
        listed = torch.tensor(words).repeat(7, 1)
        outer = ShortlistedModel(inner, output, choose=lambda _, listed=listed: listed)
        found.append(outer.step(prev_ids, outer.start(outer.encode(batch)))[0][:, :, -1])
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_sentences_that_come_and_go_take_their_words_along(model: Seq2Seq, precision: SearchPrecision) -> None:
    sources = random_sources(12, seed=5)
    searched = shortlisted(model, precision)
    expected = [alone(searched, source, steps=2) for source in sources]
    first_logits, first = begin(searched, sources[:8])
    logits, state = follow(searched, first_logits, first)
    later_logits, later = follow(searched, *begin(searched, sources[8:]))
    kept = torch.tensor([6, 1, 4])
    state, logits = state.take(kept).join(later), torch.cat([logits[kept], later_logits])
    rows = [6, 1, 4, 8, 9, 10, 11]
    assert torch.equal(state.pieces, of_first_word(torch.tensor([sources[row][:1] for row in rows])))
    logits, state = follow(searched, logits, state)
    for row, found in zip(rows, logits, strict=True):
        assert torch.equal(found, expected[row][2])


def test_the_attention_is_that_of_the_decoder(model: Seq2Seq) -> None:
    _, state = begin(shortlisted(model, "fp32"), [[5, 6, 7], [8]])
    assert state.attention is state.decoder.attention
    torch.testing.assert_close(state.attention.sum(dim=2), torch.ones(2, BEAMS))


def test_a_shortlist_of_all_words_changes_no_translation(model: Seq2Seq) -> None:
    sources = random_sources(20, seed=6)
    inner = for_inference(model, "fp32")
    outer = ShortlistedModel(
        inner, ShortlistedOutput(model.output, "fp32"), choose=lambda ids: torch.arange(VOCAB_SIZE).repeat(len(ids), 1)
    )
    batch = batch_of(sources)
    without = translated(inner, inner.start(inner.encode(batch)))
    with_all = translated(outer, outer.start(outer.encode(batch)))
    assert [found.ids for found in with_all] == [found.ids for found in without]
    assert [found.score for found in with_all] == pytest.approx([found.score for found in without])


def test_translations_are_made_of_listed_words(model: Seq2Seq) -> None:
    sources = random_sources(20, seed=7)
    searched = shortlisted(model, "fp32")
    memory = searched.encode(batch_of(sources))
    found = translated(searched, searched.start(memory))
    for hypothesis, words in zip(found, memory[1].tolist(), strict=True):
        assert hypothesis.ids
        assert set(hypothesis.ids) <= set(words) - {EOS}


def test_training_the_model_further_does_not_change_what_was_made_of_it(model: Seq2Seq) -> None:
    searched = shortlisted(model, "fp32")
    before = alone(searched, [5, 6], steps=1)
    model.output.weight.data.add_(1.0)
    after = alone(searched, [5, 6], steps=1)
    model.output.weight.data.sub_(1.0)
    assert torch.equal(before[1], after[1])


def test_the_device_is_that_of_the_model(model: Seq2Seq) -> None:
    assert shortlisted(model, "fp32").device == torch.device("cpu")
