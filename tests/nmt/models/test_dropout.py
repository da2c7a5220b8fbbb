import pytest
import torch
from torch import Tensor
from torch.nn import functional

from nmt.models.embedding import Dropout, VariationalDropout, drop_cells, dropout_mask

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


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("kind", KINDS)
def test_a_gpu_drops_the_same_share(kind: type[Dropout]) -> None:
    torch.manual_seed(0)
    y = kind(0.25)(torch.ones(100, 3, 1000, device="cuda"))
    assert abs((y == 0).float().mean().item() - 0.25) < 5 * (0.1875 / 1e5) ** 0.5
    torch.testing.assert_close(y.unique().cpu(), torch.tensor([0.0, 4 / 3]))
