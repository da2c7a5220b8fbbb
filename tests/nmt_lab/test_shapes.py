import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from nmt_lab import shapes
from nmt_lab.common import Options, make_network
from nmt_lab.shapes import MOST, TURNS, complete, draw_first, errors, go_on, learn, lengths_of, read

ALL = torch.arange(len(TURNS))
SQUARE = list(TURNS).index("square")


def test_every_shape_ends_where_it_began() -> None:
    strokes = complete(ALL, torch.tensor([[0.3, -0.4]]).expand(len(ALL), 2))
    torch.testing.assert_close(strokes.sum(dim=1), torch.zeros(len(ALL), 2), atol=1e-5, rtol=0)
    for row, length in zip(strokes, lengths_of(ALL).tolist(), strict=True):
        torch.testing.assert_close(row.norm(dim=1), torch.tensor([0.5] * length + [0.0] * (MOST - length)))


def test_a_square_turns_left_four_times() -> None:
    strokes = complete(torch.tensor([SQUARE]), torch.tensor([[2.0, 0.0]]))
    expected = torch.tensor([[2.0, 0.0], [0.0, 2.0], [-2.0, 0.0], [0.0, -2.0]])
    torch.testing.assert_close(strokes[0, :4], expected, atol=1e-6, rtol=0)


def test_the_points_of_a_star_are_tips_and_corners_by_turns() -> None:
    points = complete(torch.tensor([list(TURNS).index("star")]), torch.tensor([[1.0, 0.0]]))[0, :10].cumsum(dim=0)
    distances = (points - points.mean(dim=0)).norm(dim=1)
    inner, outer = sorted({round(distance, 3) for distance in distances.tolist()})
    assert outer / inner == pytest.approx(2 * math.cos(math.radians(36)) + 1, abs=0.01)  # of a pentagram


def test_first_strokes_have_all_directions_and_fit_their_circumference() -> None:
    torch.manual_seed(0)
    kinds = torch.randint(len(TURNS), (200,))
    strokes = draw_first(kinds)
    around = strokes.norm(dim=1) * lengths_of(kinds)
    assert around.min() >= 3
    assert around.max() <= 5
    assert all(((strokes[:, 0] * x > 0) & (strokes[:, 1] * y > 0)).any() for x in (-1, 1) for y in (-1, 1))


def test_an_error_is_the_distance_of_the_worst_corner_in_circumferences() -> None:
    strokes = complete(torch.tensor([SQUARE]), torch.tensor([[1.0, 0.0]])).clone()
    assert errors(strokes, torch.tensor([SQUARE])).item() == 0
    strokes[0, 2] += torch.tensor([0.0, 0.2])
    strokes[0, 3] += torch.tensor([0.0, 0.2])
    strokes[0, 4] = 9.0  # behind the last one
    assert errors(strokes, torch.tensor([SQUARE])).item() == pytest.approx(0.4 / 4)


class Squares(nn.Module):
    """Always turns left, and says that it is done after the fourth stroke."""

    def forward(self, inputs: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        count = torch.zeros(len(inputs), 1) if state is None else state
        x, y = inputs[..., 0], inputs[..., 1]
        return torch.stack([-y, x, count - 2.5], dim=2), count + 1


def test_a_drawing_goes_on_from_the_given_stroke_until_the_network_is_done() -> None:
    strokes, counts = go_on(Squares(), torch.tensor([SQUARE]), torch.tensor([[0.6, 0.8]]))  # type: ignore[arg-type]
    assert counts.tolist() == [4]
    assert errors(strokes, torch.tensor([SQUARE])).item() < 1e-6


def test_a_few_updates_bring_strokes_nearer() -> None:
    losses: list[float] = []
    options = Options(units=16, steps=80, on_update=losses.append)
    network = make_network(options, input_size=2 + len(TURNS), output_size=3)
    assert read(torch.zeros(2, 1, 2), torch.tensor([0, 1])).shape == (2, 1, 2 + len(TURNS))
    learn(network, options)
    assert losses[-1] < losses[0] / 2


@pytest.mark.slow
def test_nearly_all_drawings_are_right(run: Callable[..., list[str]]) -> None:
    assert float(run(shapes)[-1].split(": ")[1].split("%")[0]) > 95
