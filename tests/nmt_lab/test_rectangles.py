import math
from collections.abc import Callable

import pytest
import torch

from nmt_lab import rectangles
from nmt_lab.rectangles import TOLERANCE, corners, draw_rectangles, errors, generate, negative_log_likelihood


def test_what_is_learnt_from_are_rectangles() -> None:
    torch.manual_seed(0)
    points = corners(draw_rectangles(50))
    (left, bottom), (right, top) = points[:, 0].T, points[:, 2].T
    assert ((right - left >= 0.4) & (top - bottom >= 0.4) & (right - left <= 1.6) & (top - bottom <= 1.6)).all()
    expected = [(left, bottom), (right, bottom), (right, top), (left, top), (left, bottom)]
    for number, (x, y) in enumerate(expected):
        torch.testing.assert_close(points[:, number], torch.stack([x, y], dim=1), atol=1e-6, rtol=0)


def test_an_error_is_the_difference_of_opposite_sides_as_a_share_and_the_cosine_of_the_corner() -> None:
    right = [[2.0, 0.0], [0.0, 1.0], [-2.0, 0.0], [0.0, -1.0]]
    short = [[2.0, 0.0], [0.0, 1.0], [-1.5, 0.0], [0.0, -1.0]]
    sheared = [[2.0, 0.0], [0.6, 0.8], [-2.0, 0.0], [-0.6, -0.8]]
    found = errors(torch.tensor([right, short, sheared]))
    torch.testing.assert_close(found, torch.tensor([[0.0, 0.0, 0.0], [0.25, 0.0, 0.0], [0.0, 0.0, 0.6]]))


def test_the_likelihood_is_that_of_two_normal_distributions() -> None:
    outputs = torch.tensor([[[1.0, 2.0, math.log(2.0), 0.0]]])  # means 1 and 2, deviations 2 and 1
    strokes = torch.tensor([[[3.0, 2.0]]])  # one deviation away, and none
    density = math.exp(-0.5) / (2 * math.sqrt(2 * math.pi)) / math.sqrt(2 * math.pi)
    assert negative_log_likelihood(outputs, strokes).item() == pytest.approx(-math.log(density))


def test_a_generated_stroke_is_the_input_of_the_next() -> None:
    torch.manual_seed(0)
    network = rectangles.Network("lstm", input_size=2, hidden_size=4, output_size=4)
    torch.nn.init.zeros_(network.output.weight)
    network.output.bias.data.copy_(torch.tensor([3.0, -1.0, -20.0, -20.0]))  # sure of (3, -1)
    inputs: list[torch.Tensor] = []
    network.register_forward_pre_hook(lambda _, arguments: inputs.append(arguments[0]))
    strokes = generate(network, 2)
    torch.testing.assert_close(strokes, torch.tensor([3.0, -1.0]).expand(2, 4, 2))
    torch.testing.assert_close(torch.cat(inputs, dim=1), torch.cat([torch.zeros(2, 1, 2), strokes[:, :-1]], dim=1))


def test_the_lab_says_what_it_has_found(run: Callable[..., list[str]]) -> None:
    lines = run(rectangles, steps=5)
    assert lines[1].startswith("consistent within 2%: ")


@pytest.mark.slow
def test_nearly_all_rectangles_are_consistent() -> None:
    strokes = generate(rectangles.learn(rectangles.DEFAULTS), 1000)
    assert (errors(strokes) <= TOLERANCE).all(dim=1).float().mean() >= 0.95
    assert 0.2 < strokes[:, :2].norm(dim=2).std() < 0.3  # they are not all the same
