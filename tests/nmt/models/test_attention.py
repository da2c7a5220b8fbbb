import math

import pytest
import torch

from nmt.models.attention import AttentionKind, Memory, make_attention

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
    scores = attention.scores(torch.tensor([[[0.1]]]), attention.keys(torch.tensor([[[0.2]]])))
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


def test_no_attention_reads_no_cell_of_any_position() -> None:
    attention = make_attention("none", query_size=4, value_size=4)
    values = attention.values(torch.ones(2, 3, 4))
    assert values.shape == (2, 3, 0)
    mask = torch.tensor([[True, True, False], [True] * 3])
    context, weights = attention(torch.ones(2, 5, 4), Memory(values, attention.keys(values), mask, torch.ones(2, 4)))
    assert context.shape == (2, 5, 0)
    assert weights.tolist() == [[[0.0] * 3] * 5] * 2
