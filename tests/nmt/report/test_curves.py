import json
import sys
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from nmt.errors import ModelError
from nmt.report.curves import Curve, curves_figure, draw_curves, kept_step, read_curves, thin
from nmt.training.observers import Records

TITLES = [
    "Loss (nats a piece)",
    "Validation perplexity (log scale)",
    "Validation BLEU",
    "Learning rate",
    "Speed (target pieces a second)",
    "Gradient norm",
]
TRAIN = {"epoch": 0.0, "loss": 4.0, "tokens_per_second": 1500.0, "learning_rate": 0.001, "gradient_norm": 2.0}
VALID = {"loss": 3.0, "perplexity": 20.0}


def train(step: int, **values: float) -> dict[str, Any]:
    return {"kind": "train", "step": step, **TRAIN, **values}


def valid(step: int, **values: float) -> dict[str, Any]:
    return {"kind": "valid", "step": step, **VALID, **values}


def write(folder: Path, *records: dict[str, Any], end: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    text = "".join(json.dumps(record) + "\n" for record in records)
    (folder / "metrics.jsonl").write_text(text + end, encoding="utf-8")
    return folder


def figure_of(folder: Path) -> Figure:
    return curves_figure(read_curves(folder), title=folder.name, kept=kept_step(folder))


def points(axes: Axes, line: int = 0) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in zip(*axes.lines[line].get_data(), strict=True)]


def legend_of(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def title_of(axes: Axes) -> str:
    return axes.get_title(loc="left")


def test_every_number_has_its_panel_over_the_steps(tmp_path: Path) -> None:
    run = write(tmp_path / "run", train(50), train(100, loss=3.5, gradient_norm=1.0), valid(100, bleu=12.0), valid(200))
    figure = figure_of(run)
    assert [title_of(axes) for axes in figure.axes] == TITLES
    loss, perplexity, bleu, rate, speed, norm = figure.axes
    assert points(loss) == [(50, 4.0), (100, 3.5)]
    assert points(loss, 1) == [(100, 3.0), (200, 3.0)]
    assert points(perplexity) == [(100, 20.0), (200, 20.0)]
    assert perplexity.get_yscale() == "log"
    assert points(bleu) == [(100, 12.0)]
    assert points(rate) == [(50, 0.001), (100, 0.001)]
    assert points(speed) == [(50, 1500), (100, 1500)]
    assert points(norm) == [(50, 2.0), (100, 1.0)]
    assert {axes.get_xlabel() for axes in figure.axes} == {"step"}
    assert {axes.get_xlim()[0] for axes in figure.axes} == {0}
    assert len({axes.get_xlim()[1] for axes in figure.axes}) == 1
    assert legend_of(figure) == ["training", "validation"]


def test_the_step_of_the_model_that_was_kept_is_marked_whatever_its_bleu(tmp_path: Path) -> None:
    scores = {1000: 12.0, 2000: 30.5, 3000: 30.5, 4000: 29.0}
    run = write(tmp_path / "run", *(valid(step, bleu=bleu) for step, bleu in scores.items()))
    (run / "model.json").write_text('{"training": {"step": 4000}}')
    figure = figure_of(run)
    star = figure.axes[2].lines[1]
    assert (star.get_marker(), points(figure.axes[2], 1)) == ("*", [(4000, 29.0)])
    assert legend_of(figure) == ["validation", "kept: step 4,000, BLEU 29.0"]


@pytest.mark.parametrize("card", ["", "[]", '{"training": 1}', '{"training": {"step": "1000"}}', '{"training": {}}'])
def test_no_step_is_marked_where_the_card_names_none(tmp_path: Path, card: str) -> None:
    run = write(tmp_path / "run", valid(1000, bleu=12.0))
    (run / "model.json").write_text(card)
    assert legend_of(figure_of(run)) == ["validation"]


def test_a_run_without_validation_says_so(tmp_path: Path) -> None:
    figure = figure_of(write(tmp_path / "run", train(50), train(100)))
    assert [[text.get_text() for text in axes.texts] for axes in figure.axes] == [
        [],
        ["no validation record yet"],
        ["no validation record yet"],
        [],
        [],
        [],
    ]
    assert legend_of(figure) == ["training"]


def test_a_language_model_has_no_bleu_to_show(tmp_path: Path) -> None:
    figure = figure_of(write(tmp_path / "run", train(50), valid(50)))
    assert [text.get_text() for text in figure.axes[2].texts] == ["none: a language model translates nothing"]
    assert figure.axes[4].get_title(loc="left") == "Speed (pieces a second)"
    assert points(figure.axes[1]) == [(50, 20.0)]


def test_a_single_record_is_a_point_within_the_panel(tmp_path: Path) -> None:
    figure = figure_of(write(tmp_path / "run", valid(1, bleu=0.0)))
    for axes in figure.axes[:3]:
        assert axes.lines[0].get_marker() == "o"
        (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
        ((step, value),) = points(axes)
        assert left < step < right
        assert low <= value < high
    assert figure.axes[3].texts[0].get_text() == "no training record yet"


def test_thinning_keeps_mean_and_range() -> None:
    curve = Curve(np.array([10.0, 20, 30, 40, 50]), np.array([1.0, 3, 2, 8, 7]))
    mean, low, high = thin(curve, 2)
    assert mean.steps.tolist() == low.steps.tolist() == high.steps.tolist() == [15, 35, 50]
    assert mean.values.tolist() == [2, 5, 7]
    assert low.values.tolist() == [1, 2, 7]
    assert high.values.tolist() == [3, 8, 7]


def test_a_long_run_is_thinned_and_says_so(tmp_path: Path) -> None:
    records = [train(50 * number, loss=number % 3) for number in range(1, 1802)]
    figure = figure_of(write(tmp_path / "run", *records, valid(90_050, bleu=1.0)))
    assert legend_of(figure)[:2] == ["training (mean and range of every 4 records)", "validation"]
    loss = figure.axes[0]
    assert len(points(loss)) == 451  # 1,801 / 4, rounded up
    assert points(loss)[0] == (125, 1.0)  # the mean of 1, 2, 0, 1
    band = loss.collections[0].get_datalim(loss.transData)
    assert (band.ymin, band.ymax) == (0, 2)


def test_600_records_are_drawn_one_by_one(tmp_path: Path) -> None:
    figure = figure_of(write(tmp_path / "run", *(train(number) for number in range(1, 601))))
    assert legend_of(figure) == ["training"]
    assert len(points(figure.axes[0])) == 600


def test_a_gradient_norm_with_a_high_peak_gets_a_log_scale(tmp_path: Path) -> None:
    norms = [1.0, 1.0, 1.0, 29.0]
    figure = figure_of(write(tmp_path / "calm", *(train(step, gradient_norm=norm) for step, norm in enumerate(norms))))
    assert (title_of(figure.axes[5]), figure.axes[5].get_yscale()) == ("Gradient norm", "linear")
    norms[-1] = 31.0
    figure = figure_of(write(tmp_path / "peak", *(train(step, gradient_norm=norm) for step, norm in enumerate(norms))))
    assert (title_of(figure.axes[5]), figure.axes[5].get_yscale()) == ("Gradient norm (log scale)", "log")


@pytest.mark.parametrize("perplexities", [[5.31, 5.27], [16.8], [900.0, 12.0], [3e5, 4.0], [5e21, 1e4]])
def test_a_log_scale_has_ticks_to_read_it_by(tmp_path: Path, perplexities: list[float]) -> None:
    records = [valid(10 * step, perplexity=value) for step, value in enumerate(perplexities, start=1)]
    axes = figure_of(write(tmp_path / "run", *records)).axes[1]
    low, high = axes.get_ylim()
    assert low < min(perplexities) <= max(perplexities) < high
    shown = [tick for tick in axes.get_yticks() if low <= tick <= high]
    assert 2 <= len(shown) <= 12
    labels = [axes.yaxis.get_major_formatter()(tick) for tick in shown]
    assert [float(label.replace(",", "")) for label in labels] == pytest.approx(shown)


@pytest.mark.parametrize(("value", "label"), [(0.00005, "0.00005"), (12_500, "12,500"), (0.1 + 0.2, "0.3"), (0, "0")])
def test_ticks_are_written_in_full(tmp_path: Path, value: float, label: str) -> None:
    axes = figure_of(write(tmp_path / "run", train(50))).axes[0]
    assert axes.xaxis.get_major_formatter()(value) == label
    assert axes.yaxis.get_major_formatter()(value) == label


def test_labels_do_not_touch_each_other(tmp_path: Path) -> None:
    steps = [50_000, 2_500_000, 4_990_000]
    records = [train(step, tokens_per_second=123_456) for step in steps]
    figure = figure_of(write(tmp_path / "run", *records, valid(steps[-1], bleu=38.0)))
    figure.draw_without_rendering()
    texts = [axes.xaxis.label for axes in figure.axes]
    texts += [text for axes in figure.axes for text in axes.findobj(Text) if text.get_text() in TITLES]
    for axes in figure.axes:
        for axis, limits in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
            texts += [tick.label1 for tick in axis.get_major_ticks() if limits[0] <= tick.get_loc() <= limits[1]]
    boxes = [text.get_window_extent() for text in texts if text.get_text()]
    boxes += [figure.legends[0].get_window_extent()]
    for number, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:number])
        assert figure.bbox.x0 <= box.x0
        assert box.x1 <= figure.bbox.x1


def test_the_picture_is_a_png_and_no_window_is_involved(tmp_path: Path) -> None:
    run = write(tmp_path / "run", train(50), valid(50, bleu=1.0))
    draw_curves(run, tmp_path / "new.png")
    with Image.open(tmp_path / "new.png") as picture:
        assert (picture.format, picture.size) == ("PNG", (1440, 1200))
    assert "matplotlib.pyplot" not in sys.modules


def test_the_same_records_give_the_same_picture_whatever_matplotlib_is_set_to(tmp_path: Path) -> None:
    run = write(tmp_path / "run", train(50))
    draw_curves(run, tmp_path / "one.png")
    with matplotlib.rc_context({"figure.facecolor": "red", "savefig.dpi": 30}):
        draw_curves(run, tmp_path / "two.png")
        assert matplotlib.rcParams["figure.facecolor"] == "red"
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


@pytest.mark.parametrize("name", ["$x_1", "$\\frac$", "\u65e5\u672c", "two\nlines", "x" * 200])
def test_any_folder_name_can_be_drawn(tmp_path: Path, name: str) -> None:
    draw_curves(write(tmp_path / name, train(50)), tmp_path / "curves.png")
    title = figure_of(tmp_path / name).get_suptitle()
    assert title.isprintable()
    assert len(title) <= 80


def test_a_name_that_is_not_utf_8_can_be_drawn() -> None:
    assert (
        curves_figure({"train/loss": Curve(np.ones(1), np.ones(1))}, title="a\udcff", kept=None).get_suptitle()
        == "a\ufffd"
    )


def test_what_the_recorder_writes_is_read(tmp_path: Path) -> None:
    with Records(tmp_path, step=0, tensorboard=False) as records:
        records.add("train", 50, {"loss": 2.0, "epoch": 1.0})
        records.add("valid", 100, {"bleu": 12.5})
    curves = read_curves(tmp_path)
    assert {name: (curve.steps.tolist(), curve.values.tolist()) for name, curve in curves.items()} == {
        "train/loss": ([50], [2.0]),
        "valid/bleu": ([100], [12.5]),
    }


def test_numbers_that_are_not_finite_are_left_out(tmp_path: Path) -> None:
    run = write(
        tmp_path / "run", train(50, gradient_norm=float("nan")), train(100, gradient_norm=float("inf")), train(150)
    )
    curves = read_curves(run)
    assert curves["train/gradient_norm"].steps.tolist() == [150]
    assert curves["train/loss"].steps.tolist() == [50, 100, 150]


def test_records_of_another_kind_are_passed_over(tmp_path: Path) -> None:
    run = write(tmp_path / "run", {"kind": "event", "step": 10, "loss": "none"}, train(50))
    assert read_curves(run)["train/loss"].steps.tolist() == [50]


@pytest.mark.parametrize("end", ['{"kind": "train", "st', json.dumps(train(100))[:-1]])
def test_a_line_cut_off_by_a_kill_is_left_out(tmp_path: Path, end: str) -> None:
    assert read_curves(write(tmp_path / "run", train(50), end=end))["train/loss"].steps.tolist() == [50]


def test_a_last_line_without_its_end_of_line_counts(tmp_path: Path) -> None:
    run = write(tmp_path / "run", train(50), end=json.dumps(train(100)))
    assert read_curves(run)["train/loss"].steps.tolist() == [50, 100]


@pytest.mark.parametrize(
    "line",
    [
        '{"kind": "train", "st',
        "",
        "[]",
        '{"kind": "train"}',
        '{"kind": "train", "step": Infinity}',
        '{"kind": "train", "step": 60, "loss": null}',
        '{"kind": ["train"], "step": 60, "loss": 1.0}',
        '{"kind": "train", "step": 60, "loss": ' + "9" * 400 + "}",
        "[" * 100_000,
    ],
)
def test_a_spoilt_line_is_left_out(tmp_path: Path, line: str) -> None:
    run = write(tmp_path / "run", train(50), end=f"{line}\n{json.dumps(train(100))}\n")
    assert read_curves(run)["train/loss"].steps.tolist() == [50, 100]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="nowhere does not exist"):
        draw_curves(tmp_path / "nowhere", tmp_path / "curves.png")


@pytest.mark.parametrize("text", [None, "", '{"kind": "train", "st', '{"kind": "event", "step": 1}\n'])
def test_a_run_without_records_says_so(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "metrics.jsonl").write_text(text)
    with pytest.raises(ModelError, match=r"metrics\.jsonl: no records of a run; nmt train writes one every"):
        draw_curves(tmp_path, tmp_path / "curves.png")
    assert not (tmp_path / "curves.png").exists()


def test_a_link_in_the_place_of_the_picture_is_replaced_and_a_named_one_followed(tmp_path: Path) -> None:
    run, theirs = write(tmp_path / "m", train(50), valid(50), train(100), valid(100)), tmp_path / "thesis.txt"
    theirs.write_text("mine")
    (run / "curves.png").symlink_to(theirs)
    assert draw_curves(run) == run / "curves.png"
    assert theirs.read_text() == "mine"
    (tmp_path / "link.png").symlink_to(theirs)
    draw_curves(run, tmp_path / "link.png")
    assert theirs.read_bytes().startswith(b"\x89PNG")


def test_numbers_beyond_all_reason_are_left_out(tmp_path: Path) -> None:
    folder = write(tmp_path / "m", train(1), train(2, gradient_norm=1e308), valid(2, perplexity=1e308))
    assert len(read_curves(folder)["train/gradient_norm"].values) == 1
    draw_curves(folder)
