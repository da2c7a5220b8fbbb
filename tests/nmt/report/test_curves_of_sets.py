import json
from pathlib import Path

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nmt.report.curves import curves_figure, read_curves


def further(tmp_path: Path, *names: str) -> Figure:
    """The figure of a run whose further validation sets are called so."""
    losses = {f"{name}/loss": 5.0 for name in names}
    record = {"kind": "valid", "step": 100, "loss": 3.0, "perplexity": 20.0, "bleu": 12.0, **losses}
    (tmp_path / "metrics.jsonl").write_text(json.dumps(record) + "\n")
    return curves_figure(read_curves(tmp_path), title="run", kept=None)


def points(axes: Axes, line: int) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in zip(*axes.lines[line].get_data(), strict=True)]


def test_further_validation_sets_have_curves_of_their_own(tmp_path: Path) -> None:
    further = {"news/loss": 5.0, "news/bleu": 9.0, "a/b/loss": 6.0}
    records: list[dict[str, object]] = [{"kind": "train", "step": 50, "loss": 4.0}]
    records += [
        {"kind": "valid", "step": step, "loss": 3.0, "perplexity": 20.0, "bleu": bleu, **further}
        for step, bleu in ((100, 12.0), (200, 13.0))
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    curves = read_curves(tmp_path)
    assert curves.keys() >= {"valid/loss", "valid/news/loss", "valid/news/bleu", "valid/a/b/loss"}
    figure = curves_figure(curves, title="run", kept=200)
    loss, _, bleu, *_ = figure.axes
    assert [points(loss, line) for line in range(4)] == [
        [(50, 4.0)],
        [(100, 3.0), (200, 3.0)],
        [(100, 5.0), (200, 5.0)],
        [(100, 6.0), (200, 6.0)],
    ]
    assert len({line.get_color() for line in loss.lines}) == 4
    assert [points(bleu, line) for line in range(2)] == [[(100, 12.0), (200, 13.0)], [(100, 9.0), (200, 9.0)]]
    assert bleu.lines[1].get_color() == loss.lines[2].get_color()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "training",
        "validation",
        "validation on news",
        "validation on a/b",
        "kept: step 200, BLEU 13.0",
    ]


def test_more_sets_than_colours_are_told_apart_by_their_dashes(tmp_path: Path) -> None:
    loss = further(tmp_path, *(f"set{number}" for number in range(5))).axes[0]
    assert len({(line.get_color(), line.get_linestyle()) for line in loss.lines}) == 6
    assert loss.lines[5].get_color() == loss.lines[1].get_color()


@pytest.mark.parametrize("length", [22, 90])
def test_long_names_stay_within_the_picture(tmp_path: Path, length: int) -> None:
    figure = further(tmp_path, *(f"{number}{'n' * (length - 1)}" for number in range(4)))
    figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent()
    assert 0 <= box.x0 < box.x1 <= figure.bbox.width


def test_a_name_is_no_formula(tmp_path: Path) -> None:
    figure = further(tmp_path, r"$\no$")
    figure.draw_without_rendering()
    assert figure.legends[0].get_texts()[1].get_text() == r"validation on $\no$"
