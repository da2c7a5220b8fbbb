import math
from functools import reduce

import pytest
import torch
from torch import Tensor

from nmt.models import attention
from nmt.models.attention import AttentionKind, Memories, Memory, make_attention

KINDS: list[AttentionKind] = ["dot", "scaled_dot", "general", "additive"]


def memory_of(values: torch.Tensor, keys: torch.Tensor, mask: torch.Tensor) -> Memory:
    return Memory(values, keys, mask, summary=values[:, 0])


def test_padding_gets_no_weight_and_equal_scores_share() -> None:
    values = torch.tensor([[[2.0], [4.0], [100.0]]])
    memory = memory_of(values, torch.ones(1, 3, 1), torch.tensor([[True, True, False]]))
    context, weights = make_attention("dot", query_size=1, value_size=1)(torch.ones(1, 1, 1), memory)
    assert weights.tolist() == [[[0.5, 0.5, 0.0]]]
    assert context.tolist() == [[[3.0]]]


def test_dot_scores_are_products_and_scaled_ones_are_divided_by_the_root_of_the_size() -> None:
    queries, keys = torch.tensor([[[1.0, 2.0, 3.0, 4.0]]]), torch.tensor([[[1.0, 1.0, 1.0, 1.0], [2.0, 0.0, 0.0, 1.0]]])
    assert make_attention("dot", query_size=4, value_size=4).scores(queries, keys).tolist() == [[[10.0, 6.0]]]
    assert make_attention("scaled_dot", query_size=4, value_size=4).scores(queries, keys).tolist() == [[[5.0, 3.0]]]


def test_general_scores_are_bilinear() -> None:
    attention = make_attention("general", query_size=2, value_size=2)
    with torch.no_grad():
        next(attention.parameters()).copy_(torch.tensor([[1.0, 2.0], [0.0, 1.0]]))
    keys = attention.keys(torch.tensor([[[3.0, 4.0]]]))  # W k = [3 + 8, 4]
    assert attention.scores(torch.tensor([[[1.0, 10.0]]]), keys).tolist() == [[[51.0]]]


def test_additive_scores_are_a_small_network() -> None:
    attention = make_attention("additive", query_size=1, value_size=1)
    with torch.no_grad():
        for parameter, value in zip(attention.parameters(), (2.0, 3.0, 0.5, 4.0), strict=True):
            parameter.fill_(value)  # query weight, key weight, key bias, energy
    scores = attention.scores(attention.queries(torch.tensor([[[0.1]]])), attention.keys(torch.tensor([[[0.2]]])))
    assert scores.item() == pytest.approx(4 * math.tanh(2 * 0.1 + 3 * 0.2 + 0.5))


@pytest.mark.parametrize("kind", KINDS)
def test_many_queries_at_once_equal_one_at_a_time(kind: AttentionKind) -> None:
    torch.manual_seed(0)
    attention, values = make_attention(kind, query_size=4, value_size=4), torch.randn(2, 5, 4)
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    memory = memory_of(values, attention.keys(values), mask)
    queries = torch.randn(2, 3, 4)
    contexts, weights = attention(queries, memory)
    torch.testing.assert_close(weights.sum(dim=2), torch.ones(2, 3))
    for q in range(3):
        context, _ = attention(queries[:, q : q + 1], memory)
        torch.testing.assert_close(contexts[:, q : q + 1], context)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_filled", [False, True])
def test_each_head_reads_its_part_of_the_values_by_its_part_of_keys_and_queries(
    kind: AttentionKind, is_filled: bool
) -> None:
    torch.manual_seed(0)
    heads = make_attention(kind, query_size=6, value_size=6, heads=3)
    queries, values = torch.randn(2, 4, 6), torch.randn(2, 5, 6)
    mask = torch.arange(5) < torch.tensor([[5], [2]])
    memory = memory_of(values, heads.keys(values), mask)
    contexts, weights = heads(queries, memory.padded() if is_filled else memory)
    found = []
    for head in range(3):
        part = slice(2 * head, 2 * head + 2)
        scores = heads.scores(heads.queries(queries)[:, :, part], memory.keys[:, :, part], head=head)
        shares = scores.masked_fill(~mask[:, None], -math.inf).softmax(dim=2)
        torch.testing.assert_close(contexts[:, :, part], shares @ values[:, :, part])
        found.append(shares)
    torch.testing.assert_close(weights[:, :, :5], sum(found) / 3)
    assert not torch.allclose(found[0], found[1])


def test_heads_of_additive_attention_have_energies_of_their_own() -> None:
    made = make_attention("additive", query_size=4, value_size=4, heads=2)
    assert isinstance(made, attention.AdditiveAttention)
    with torch.no_grad():
        made.energy.weight.copy_(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    queries, keys = torch.zeros(1, 1, 2), torch.tensor([[[0.1, 0.2]]])
    for head, (one, other) in enumerate([(1, 2), (3, 4)]):
        found = made.scores(queries, keys, head=head).item()
        assert found == pytest.approx(one * math.tanh(0.1) + other * math.tanh(0.2))


def test_no_attention_reads_no_cell_of_any_position() -> None:
    attention = make_attention("none", query_size=4, value_size=4)
    values = attention.values(torch.ones(2, 3, 4))
    assert values.shape == (2, 3, 0)
    mask = torch.tensor([[True, True, False], [True] * 3])
    context, weights = attention(torch.ones(2, 5, 4), Memory(values, attention.keys(values), mask, torch.ones(2, 4)))
    assert context.shape == (2, 5, 0)
    assert weights.tolist() == [[[0.0] * 3] * 5] * 2


def counting_memory(*lengths: int, cells: int = 3) -> Memory:
    """Make a memory whose values count from 1, padding too; its keys are their negatives."""
    size = max(lengths)
    values = torch.arange(1.0, len(lengths) * size * cells + 1).view(len(lengths), size, cells)
    mask = torch.arange(size) < torch.tensor(lengths)[:, None]
    return Memory(values, -values, mask, torch.arange(2.0 * len(lengths)).view(-1, 2))


def real(memory: Memory, sentence: int, *, cells: int = 3) -> Tensor:
    return memory.values[sentence, memory.mask[sentence], :cells]


def test_memory_is_filled_up_to_16_positions_and_32_cells_with_zeros() -> None:
    memory = counting_memory(2, 5)
    padded = memory.padded()
    assert padded.values.shape == padded.keys.shape == (2, 16, 32)
    assert padded.mask.sum(dim=1).tolist() == [2, 5]
    for sentence in (0, 1):
        assert torch.equal(real(padded, sentence), real(memory, sentence))
    assert padded.values.sum() == sum(real(memory, sentence).sum() for sentence in (0, 1))
    assert torch.equal(padded.keys, -padded.values)
    assert padded.summary is memory.summary


def test_values_and_keys_of_two_sizes_are_filled_up_each_to_its_own() -> None:
    memory = counting_memory(2, 5, cells=40)
    padded = Memory(memory.values, memory.keys[:, :, :3], memory.mask, memory.summary).padded()
    assert (padded.values.shape, padded.keys.shape) == ((2, 16, 64), (2, 16, 32))


def test_what_is_full_already_stays_as_wide() -> None:
    padded = counting_memory(32, cells=64).padded()
    assert padded.values.shape == (1, 32, 64)
    assert padded.padded().values.shape == (1, 32, 64)


def test_padding_that_is_no_number_becomes_zero() -> None:
    memory = counting_memory(1, 2)
    memory.values[0, 1] = torch.nan
    memory.keys[0, 1] = torch.inf
    assert memory.padded().values.isfinite().all()
    assert memory.padded().keys.isfinite().all()


def test_sentences_that_stay_keep_no_more_positions_than_they_need() -> None:
    memory = counting_memory(3, 40, 17).padded()
    assert memory.mask.shape == (3, 48)
    kept = memory.take(torch.tensor([2, 0]))
    assert kept.mask.shape == (2, 32)
    assert kept.mask.sum(dim=1).tolist() == [17, 3]
    assert torch.equal(real(kept, 0), real(memory, 2))
    assert torch.equal(real(kept, 1), real(memory, 0))
    assert kept.summary.tolist() == [[4.0, 5.0], [0.0, 1.0]]
    assert memory.take(torch.tensor([0])).keys.shape == (1, 16, 32)


def test_nobody_stays() -> None:
    assert counting_memory(3, 4).padded().take(torch.tensor([], dtype=torch.int64)).values.shape == (0, 0, 32)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_joined_sentences_are_as_wide_as_the_longest(order: tuple[int, int]) -> None:
    parts = [counting_memory(2, 1).padded(), counting_memory(20).padded()]
    first, second = (parts[i] for i in order)
    joined = first.join(second)
    assert joined.values.shape == joined.keys.shape == (3, 32, 32)
    sentences = [(part, row) for part in (first, second) for row in range(len(part.mask))]
    for sentence, (part, row) in enumerate(sentences):
        assert torch.equal(real(joined, sentence), real(part, row))
        assert torch.equal(joined.summary[sentence], part.summary[row])
        assert not joined.values[sentence, ~joined.mask[sentence]].any()


@pytest.mark.parametrize("kind", KINDS)
def test_a_memory_that_is_filled_up_is_read_as_before(kind: AttentionKind) -> None:
    torch.manual_seed(0)
    attention, values = make_attention(kind, query_size=6, value_size=6), torch.randn(2, 5, 6)
    mask = torch.arange(5) < torch.tensor([[5], [2]])
    memory = Memory(values, attention.keys(values), mask, torch.zeros(2, 6))
    queries = torch.randn(2, 3, 6)
    (contexts, weights), (filled_contexts, filled_weights) = (
        attention(queries, memory),
        attention(queries, memory.padded()),
    )
    torch.testing.assert_close(filled_contexts, contexts)
    torch.testing.assert_close(filled_weights[:, :, :5], weights)
    assert not filled_weights[:, :, 5:].any()


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_additive_attention_may_compare_some_queries_at_a_time(
    precision: torch.dtype, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    made = make_attention("additive", query_size=6, value_size=4)
    queries, values = torch.randn(3, 5, 6, requires_grad=True), torch.randn(3, 7, 4, requires_grad=True)

    def scores_and_gradients() -> list[Tensor]:
        with torch.autocast("cpu", precision, enabled=precision != torch.float32):
            scores = made.scores(made.queries(queries), made.keys(values))
        return [scores.detach(), *torch.autograd.grad(scores.float().square().sum(), [queries, values])]

    whole = scores_and_gradients()
    monkeypatch.setitem(attention._KEPT_CELLS, "cpu", at_once * 3 * 7 * 6)
    for found, expected in zip(scores_and_gradients(), whole, strict=True):
        near = 0.03 if precision == torch.bfloat16 else 1e-5
        torch.testing.assert_close(found, expected, rtol=near, atol=near)


def test_what_additive_attention_keeps_for_its_gradients_does_not_grow_with_the_queries(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, kept = make_attention("additive", query_size=6, value_size=4), list[int]()
    monkeypatch.setitem(attention._KEPT_CELLS, "cpu", 100)

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        made.scores(made.queries(torch.randn(3, 50, 6)), made.keys(torch.randn(3, 7, 4)))
    assert max(kept) == 160 * 6  # queries, filled up; 50 * 7 * 3 * 6 otherwise


@pytest.mark.parametrize("heads", [1, 2, 3])
def test_heads_keep_no_more_of_it_together_than_one(heads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_attention("additive", query_size=6, value_size=6, heads=heads)
    assert isinstance(made, attention.AdditiveAttention)
    monkeypatch.setitem(attention._KEPT_CELLS, "cpu", 3 * 7 * 6 * 5)
    values, queries, mask = torch.randn(3, 7, 6), torch.randn(3, 50, 6), torch.ones(3, 7, dtype=torch.bool)
    sizes, compared = list[int](), made._compared

    def counting(queries: Tensor, keys: Tensor, head: int) -> Tensor:
        sizes.append(queries.shape[1] * keys.numel())
        return compared(queries, keys, head)

    monkeypatch.setattr(made, "_compared", counting)
    made(queries, memory_of(values, made.keys(values), mask))
    assert max(sizes) * heads <= 3 * 7 * 6 * 5
    assert sum(sizes) == 50 * 3 * 7 * 6


def memories_of(*lengths: int) -> Memories:
    """Join memories of one sentence each."""
    parts = [counting_memory(length, cells=3).padded() for length in lengths]
    return reduce(Memories.join, [Memories((part,)) for part in parts])


def test_parts_are_read_as_the_whole() -> None:
    parts, made = memories_of(2, 20, 40), make_attention("dot", query_size=3, value_size=3)
    queries = torch.randn(3, 2, 3, generator=torch.Generator().manual_seed(0))
    assert [part.mask.shape[1] for part in parts.parts] == [16, 32, 48]
    assert parts.size == 48
    contexts, weights = made.read(queries, parts)
    expected, whole_weights = made(queries, reduce(Memory.join, parts.parts))
    torch.testing.assert_close(contexts, expected)
    torch.testing.assert_close(weights, whole_weights)


def test_parts_from_which_nobody_leaves_are_not_copied() -> None:
    parts = memories_of(2, 20, 40).join(Memories((counting_memory(3, 4).padded(),)))
    kept = parts.take(torch.tensor([1, 3]))
    assert kept.parts[0] is parts.parts[1]
    assert [part.mask.sum(dim=1).tolist() for part in kept.parts] == [[20], [3]]


@pytest.mark.parametrize("order", [[2, 0], [0, 0, 1], []])
def test_sentences_of_several_parts_may_be_taken_in_any_order(order: list[int]) -> None:
    parts, sentences = memories_of(2, 20, 40), torch.tensor(order, dtype=torch.int64)
    [taken], expected = parts.take(sentences).parts, reduce(Memory.join, parts.parts).take(sentences)
    for name in ("values", "keys", "mask", "summary"):
        assert torch.equal(getattr(taken, name), getattr(expected, name))


def test_there_are_only_so_many_parts_however_many_are_joined() -> None:
    lengths = list(range(1, 31))
    parts = memories_of(*lengths).parts
    assert len(parts) == 8
    assert [length for part in parts for length in part.mask.sum(dim=1).tolist()] == lengths
