import json
from pathlib import Path

from matplotlib.axes import Axes

from nmt.training.plot import make_figure, read_curves


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
    figure = make_figure(curves, title="run")
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
        "best BLEU: 13.0 at step 200",
    ]
