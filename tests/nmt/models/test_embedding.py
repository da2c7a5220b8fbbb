from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from nmt.config import ModelSettings
from nmt.models.build import build_language_model, build_model, count_parameters
from nmt.models.embedding import Dropout, VariationalDropout, WordEmbedding, drop_cells, dropout_mask
from nmt.models.folder import load_tensors, model_tensors
from nmt.training.update import MovingAverage


def embedding_of(rows: list[list[float]], *, keeps_given: bool = False, word_dropout: float = 0.0) -> WordEmbedding:
    table = nn.Embedding.from_pretrained(torch.tensor(rows), freeze=False)
    return WordEmbedding(table, dropout=Dropout(0.0), word_dropout=word_dropout, keeps_given=keeps_given)


def look_up(embedding: WordEmbedding, *ids: int) -> list[list[float]]:
    return embedding(torch.tensor([ids]))[0].tolist()  # type: ignore[no-any-return]


# The entries of this table deviate by 2: the squares of their distances from 0 sum to 12, over 4 - 1.
TABLE = [[3.0**0.5, -(3.0**0.5)], [3.0**0.5, -(3.0**0.5)]]


@pytest.mark.parametrize("keeps_given", [False, True])
def test_given_vectors_are_scaled_to_the_deviation_of_the_table(keeps_given: bool) -> None:
    embedding = embedding_of([*TABLE], keeps_given=keeps_given)
    embedding.give(torch.tensor([1]), torch.tensor([[0.1, 0.7]]))  # mean square 0.25, so a deviation of 0.5
    assert look_up(embedding, 1) == [pytest.approx([0.4, 2.8])]
    assert look_up(embedding, 0) == [pytest.approx(TABLE[0])]


def test_all_vectors_are_scaled_by_one_number() -> None:
    embedding = embedding_of([*TABLE])
    embedding.give(torch.tensor([0, 1]), torch.tensor([[1.0, 1.0], [7.0, 7.0]]))  # mean square 25, deviation 5
    assert look_up(embedding, 0, 1) == [pytest.approx([0.4, 0.4]), pytest.approx([2.8, 2.8])]


def test_only_an_embedding_that_keeps_vectors_has_a_second_table() -> None:
    assert set(embedding_of(TABLE).state_dict()) == {"table.weight"}
    assert set(embedding_of(TABLE, keeps_given=True).state_dict()) == {"table.weight", "given"}


def test_a_second_table_that_is_given_nothing_changes_nothing() -> None:
    ids = torch.tensor([[1, 0]])
    assert torch.equal(embedding_of(TABLE)(ids), embedding_of(TABLE, keeps_given=True)(ids))


def test_words_of_given_vectors_are_dropped_like_others() -> None:
    embedding = embedding_of([[1.0], [2.0]], keeps_given=True, word_dropout=0.5)
    embedding.give(torch.tensor([1]), torch.tensor([[3.0]]))
    torch.manual_seed(0)
    zeroed = (embedding(torch.ones(1, 1000, dtype=torch.long)) == 0).float().mean().item()
    assert 0.4 < zeroed < 0.6


@pytest.mark.parametrize("kind", [torch.optim.AdamW, torch.optim.Adam, torch.optim.SGD])
def test_kept_vectors_stay_bit_for_bit_while_the_others_learn(kind: type[torch.optim.Optimizer]) -> None:
    torch.manual_seed(0)
    embedding = embedding_of(torch.randn(6, 8).tolist(), keeps_given=True)
    embedding.give(torch.tensor([4, 5]), torch.randn(2, 8))
    ids, average = torch.arange(6)[None], MovingAverage(embedding, decay=0.9)
    before = embedding(ids).detach()[0]
    optimizer = kind(embedding.parameters(), lr=0.1, weight_decay=0.1, fused=True)  # type: ignore[call-arg]
    for step in range(1, 6):
        (embedding(ids) - 3.0).square().sum().backward()
        torch.nn.utils.clip_grad_norm_(embedding.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        average.update(step=step)
    after = embedding(ids).detach()[0]
    assert torch.equal(after[4:], before[4:])
    assert (after[:4] != before[:4]).all()
    with average.in_place():
        averaged = embedding(ids).detach()[0]
    assert torch.equal(averaged[4:], before[4:])
    assert (averaged[:4] != before[:4]).all()


def test_vectors_that_learn_on_leave_where_they_started() -> None:
    embedding = embedding_of(TABLE)
    embedding.give(torch.tensor([1]), torch.tensor([[1.0, 2.0]]))
    embedding(torch.tensor([[1]])).sum().backward()
    assert embedding.table.weight.grad is not None
    assert embedding.table.weight.grad.tolist() == [[0.0, 0.0], [1.0, 1.0]]


def small(**changes: object) -> ModelSettings:
    sizes = {"embedding_size": 4, "hidden_size": 6, "encoder_layers": 1, "tied_embeddings": "none"}
    files = (
        {"tgt_vectors": "v.vec"} if changes.get("kind") == "lm" else {"src_vectors": "v.vec", "tgt_vectors": "v.vec"}
    )
    return ModelSettings.model_validate({**sizes, **files, **changes})


def test_a_model_keeps_the_vectors_of_the_sides_that_are_frozen() -> None:
    def sides(**changes: object) -> list[bool]:
        model = build_model(small(**changes), src_vocab_size=9, tgt_vocab_size=9, joint=True, seed=1)
        return [embedding.given is not None for embedding in (model.src_embedding, model.tgt_embedding)]

    assert sides() == [False, False]
    assert sides(freeze_src_vectors=True) == [True, False]
    assert sides(freeze_tgt_vectors=True) == [False, True]
    lm = build_language_model(small(kind="lm", freeze_tgt_vectors=True), vocab_size=9, seed=1)
    assert lm.embedding.given is not None


def test_freezing_changes_no_weight_and_adds_none_that_learns() -> None:
    for changes in ({}, {"init_range": 0.1}):
        free, frozen = (
            build_model(
                small(freeze_src_vectors=freeze, **changes), src_vocab_size=9, tgt_vocab_size=9, joint=True, seed=1
            )
            for freeze in (False, True)
        )
        assert count_parameters(free) == count_parameters(frozen)
        weights = model_tensors(frozen)
        assert not weights.pop("src_embedding.given").any()
        assert all(torch.equal(weight, weights[name]) for name, weight in model_tensors(free).items())


def test_kept_vectors_are_saved_and_loaded_with_the_weights(tmp_path: Path) -> None:
    settings = small(freeze_src_vectors=True)
    model, loaded = (
        build_model(settings, src_vocab_size=9, tgt_vocab_size=9, joint=True, seed=seed) for seed in (1, 2)
    )
    model.src_embedding.give(torch.tensor([5]), torch.ones(1, 4))
    load_tensors(loaded, model_tensors(model), where=tmp_path)
    ids = torch.arange(9)[None]
    assert torch.equal(model.eval().src_embedding(ids), loaded.eval().src_embedding(ids))
    assert len(loaded.src_embedding(ids)[0, 5].unique()) == 1


KINDS = [Dropout, VariationalDropout]
COUNT = 400_000


def kept(p: float, *, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return which of COUNT ones a dropout leaves, checking what it makes of them."""
    torch.manual_seed(1)
    cells = drop_cells(torch.ones(COUNT, dtype=dtype), p)
    expected = torch.tensor([0.0, 1 / (1 - p)])
    torch.testing.assert_close(cells.unique().float(), expected, rtol=1e-4 if dtype == torch.float32 else 4e-3, atol=0)
    return cells != 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("p", [0.01, 0.3, 0.5, 0.9])
def test_a_share_p_of_the_cells_is_zeroed_and_the_rest_scaled(p: float, dtype: torch.dtype) -> None:
    five_deviations = 5 * (p * (1 - p) / COUNT) ** 0.5
    ours = 1 - kept(p, dtype=dtype).float().mean().item()
    theirs = (functional.dropout(torch.ones(COUNT), p) == 0).float().mean().item()
    assert abs(ours - p) < five_deviations
    assert abs(theirs - p) < five_deviations  # the bound is fair: torch's own dropout keeps to it


def test_each_of_the_four_cells_that_a_random_word_decides_has_the_same_chance() -> None:
    shares = kept(0.3).view(-1, 4).float().mean(dim=0)
    torch.testing.assert_close(shares, torch.full((4,), 0.7), rtol=0, atol=5 * (0.21 / (COUNT / 4)) ** 0.5)


@pytest.mark.parametrize("distance", [1, 2, 3, 4, 256])
def test_near_cells_are_drawn_independently(distance: int) -> None:
    cells = kept(0.3).float()
    both = (cells[:-distance] * cells[distance:]).mean().item()
    assert abs(both - 0.49) < 5 * (0.49 * 0.51 / COUNT) ** 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_pass_where_cells_passed(kind: type[Dropout]) -> None:
    x = torch.ones(3, 5, 7, requires_grad=True)
    y = kind(0.4)(x)
    y.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, y)
    assert 0 < (y == 0).sum() < y.numel()


@pytest.mark.parametrize("kind", KINDS)
def test_no_rate_and_evaluation_leave_everything_as_it_is(kind: type[Dropout]) -> None:
    x = torch.randn(2, 3, 4)
    before = torch.get_rng_state()
    assert kind(0.0)(x) is x
    assert kind(0.5).eval()(x) is x
    assert kind(0.0).draw(2, 4, like=x) is None
    assert kind(0.5).eval().draw(2, 4, like=x) is None
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("kind", KINDS)
def test_the_generator_of_torch_decides(kind: type[Dropout]) -> None:
    dropout, x = kind(0.5), torch.ones(4, 5, 6)
    torch.manual_seed(3)
    first, second = dropout(x), dropout(x)
    assert not torch.equal(first, second)
    torch.manual_seed(3)
    assert torch.equal(dropout(x), first)


def test_a_rate_close_to_one_still_gives_numbers() -> None:
    assert dropout_mask((1000,), 1 - 1e-9, like=torch.ones(1)).isfinite().all()


def test_a_shape_need_not_be_whole_words() -> None:
    assert drop_cells(torch.ones(3, 1, 7), 0.5).shape == (3, 1, 7)
    assert drop_cells(torch.ones(0, 4), 0.5).shape == (0, 4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", KINDS)
def test_the_type_stays(kind: type[Dropout], dtype: torch.dtype) -> None:
    assert kind(0.5)(torch.ones(2, 3, 4, dtype=dtype)).dtype == dtype


def test_variational_dropout_zeroes_the_same_cells_at_all_positions_of_a_sentence() -> None:
    torch.manual_seed(0)
    y = VariationalDropout(0.5)(torch.ones(4, 6, 50))
    assert torch.equal(y, y[:, :1].expand(4, 6, 50))
    assert not torch.equal(y[0], y[1])
    assert y.unique().tolist() == [0.0, 2.0]


def test_only_variational_dropout_has_a_mask_to_share() -> None:
    like = torch.ones(1, dtype=torch.bfloat16)
    assert Dropout(0.5).draw(2, 8, like=like) is None
    mask = VariationalDropout(0.5).draw(2, 8, like=like)
    assert mask is not None
    assert (mask.shape, mask.dtype) == ((2, 1, 8), torch.bfloat16)


@pytest.mark.needs("gpu")
@pytest.mark.parametrize("kind", KINDS)
def test_a_gpu_drops_the_same_share(kind: type[Dropout]) -> None:
    torch.manual_seed(0)
    y = kind(0.25)(torch.ones(100, 3, 1000, device="cuda"))
    assert abs((y == 0).float().mean().item() - 0.25) < 5 * (0.1875 / 1e5) ** 0.5
    torch.testing.assert_close(y.unique().cpu(), torch.tensor([0.0, 4 / 3]))
