import re
import sys
import warnings
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from nmt.errors import ConfigError
from nmt.io.files import written
from nmt.report.curves import draw_curves
from nmt.report.pictures import attention_figure, draw_attention, drawing, printable

NEEDED = re.escape("drawing needs matplotlib, which is not installed; in a checkout of nmt: pip install '.[plot]'")


def test_the_picture_is_there_once_it_is_finished(tmp_path: Path) -> None:
    path = tmp_path / "new.png"
    with drawing(written(path)) as file:
        file.write(b"a picture")
        assert not path.exists()
    assert path.read_bytes() == b"a picture"


def test_the_old_picture_stays_when_drawing_fails(tmp_path: Path) -> None:
    path = tmp_path / "old.png"
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match="no"), drawing(written(path)) as file:
        file.write(b"half")
        raise ValueError("no")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("old.png", b"old")]


def test_the_style_is_on_top_of_matplotlibs_own_and_gone_afterwards(tmp_path: Path) -> None:
    with matplotlib.rc_context({"figure.facecolor": "red", "axes.grid": False}):
        with drawing(written(tmp_path / "new.png"), {"axes.grid": True}):
            assert (matplotlib.rcParams["figure.facecolor"], matplotlib.rcParams["axes.grid"]) == ("white", True)
        with drawing(written(tmp_path / "new.png")):
            assert matplotlib.rcParams["axes.grid"] is False
        assert matplotlib.rcParams["figure.facecolor"] == "red"


def test_a_character_without_a_glyph_is_no_warning_but_others_are(tmp_path: Path) -> None:
    figure = Figure()
    figure.suptitle("\U0001f3f3", fontfamily=["DejaVu Sans"])
    with drawing(written(tmp_path / "new.png")) as file:
        figure.savefig(file, format="png")
        with pytest.raises(UserWarning, match="another"):
            warnings.warn("another", UserWarning, stacklevel=1)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("x" * 24, "x" * 24),
        ("x" * 25, "x" * 23 + "\u2026"),
        ("a\nb\0\u2028", "a\ufffdb\ufffd\ufffd"),
        ("\udcff", "\ufffd"),
        ("$\u6211 \U0001f600$", "$\u6211 \U0001f600$"),
    ],
)
def test_what_has_no_shape_is_marked_and_what_is_too_long_cut_off(text: str, shown: str) -> None:
    assert printable(text, 24) == shown


def test_without_matplotlib_every_picture_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"kind": "train", "step": 50, "loss": 2.5}\n')
    for module in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError, match=f"^{NEEDED}$"):
        draw_curves(tmp_path, tmp_path / "new.png")
    with pytest.raises(ConfigError, match=f"^{NEEDED}$"):
        draw_attention(
            tmp_path / "new.png", src_pieces=["a"], tgt_pieces=["x"], weights=np.ones((1, 1), np.float32), title=""
        )
    assert not (tmp_path / "new.png").exists()


MARK = "\u2581"


def words(number: int) -> list[str]:
    return [f"{MARK}extraordinarily{index}" for index in range(number)]


def figure_of(src: list[str], tgt: list[str], title: str = "sentence 1") -> Figure:
    weights = np.full((len(tgt), len(src)), 0.5, dtype=np.float32)
    return attention_figure(src_pieces=src, tgt_pieces=tgt, weights=weights, title=title)


def draw(path: Path, src: list[str], tgt: list[str], title: str = "sentence 1") -> frozenset[str]:
    weights = np.full((len(tgt), len(src)), 0.5, dtype=np.float32)
    return draw_attention(path, src_pieces=src, tgt_pieces=tgt, weights=weights, title=title)


def labels_of(figure: Figure) -> tuple[list[Text], list[Text]]:
    axes = figure.axes[0]
    return [tick.label2 for tick in axes.xaxis.get_major_ticks()], axes.get_yticklabels()


def test_every_weight_is_a_cell_under_its_source_and_beside_its_target_piece() -> None:
    weights = np.array([[0.1, 0.2, 0.7], [0.8, 0.2, 0.0]], dtype=np.float32)
    figure = attention_figure(src_pieces=["a", "b", "c"], tgt_pieces=["x", "y"], weights=weights, title="sentence 3")
    cells, bar = figure.axes
    assert np.array_equal(cells.images[0].get_array(), weights)
    assert tuple(cells.images[0].get_extent()) == (0, 3, 2, 0)
    top, side = labels_of(figure)
    assert [(label.get_text(), label.get_position()[0]) for label in top] == [("a", 0.5), ("b", 1.5), ("c", 2.5)]
    assert [(label.get_text(), label.get_position()[1]) for label in side] == [("x", 0.5), ("y", 1.5)]
    assert cells.get_ylim() == (2, 0)  # the first target piece on top
    assert cells.get_title(loc="left") == "sentence 3"
    assert bar.get_ylabel() == "attention weight"


def test_colours_mean_the_same_in_all_pictures() -> None:
    assert figure_of(["a"], ["x"]).axes[0].images[0].get_clim() == (0, 1)


@pytest.mark.parametrize(("columns", "rows"), [(1, 1), (7, 3), (60, 60)])
def test_labels_do_not_touch_each_other(columns: int, rows: int) -> None:
    figure = figure_of(words(columns), words(rows))
    figure.draw_without_rendering()
    top, side = labels_of(figure)
    title = [text for text in figure.axes[0].findobj(Text) if text.get_text() == "sentence 1"]
    boxes = [text.get_window_extent() for text in (*top, *side, *title, figure.axes[1].yaxis.label)]
    for number, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:number])


def test_the_picture_grows_with_the_pieces() -> None:
    short, long = figure_of(words(10), words(10)), figure_of(words(60), words(30))
    width, height = long.get_size_inches() - short.get_size_inches()
    assert (width, height) == pytest.approx((50 * 0.27, 20 * 0.27))
    assert {label.get_fontsize() for figure in (short, long) for label in labels_of(figure)[0]} == {0.5 * 0.27 * 72}


def test_cells_shrink_where_there_are_too_many() -> None:
    figure = figure_of(["a"] * 400, ["x"])
    assert figure.get_size_inches()[0] == pytest.approx(40 + 0.2 + 0.16)
    assert labels_of(figure)[0][0].get_fontsize() == pytest.approx(0.5 * 0.1 * 72)


def test_the_picture_is_a_png_that_holds_its_labels_and_no_window_is_involved(tmp_path: Path) -> None:
    draw(tmp_path / "new.png", words(4), words(3))
    with Image.open(tmp_path / "new.png") as picture:
        assert picture.format == "PNG"
        pixels = np.asarray(picture.convert("L"))
    assert pixels.min() < 50
    assert (pixels[:10].min(), pixels[-10:].min(), pixels[:, :10].min(), pixels[:, -10:].min()) == (255, 255, 255, 255)
    assert "matplotlib.pyplot" not in sys.modules


def test_the_same_weights_give_the_same_picture_whatever_matplotlib_is_set_to(tmp_path: Path) -> None:
    draw(tmp_path / "one.png", ["a"], ["x"])
    with matplotlib.rc_context({"figure.facecolor": "red", "savefig.dpi": 30, "image.origin": "lower"}):
        draw(tmp_path / "two.png", ["a"], ["x"])
        assert matplotlib.rcParams["figure.facecolor"] == "red"
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_the_old_picture_stays_when_the_weights_have_another_shape(tmp_path: Path) -> None:
    (tmp_path / "old.png").write_bytes(b"old")
    with pytest.raises(ValueError, match=re.escape("attention weights of shape [2, 1]; expected [1, 2]")):
        draw_attention(
            tmp_path / "old.png",
            src_pieces=["a", "b"],
            tgt_pieces=["x"],
            weights=np.ones((2, 1), dtype=np.float32),
            title="",
        )
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("old.png", b"old")]


@pytest.mark.parametrize(("src", "tgt"), [([], []), (["a"], []), ([], ["x"])])
def test_no_pieces_give_no_cells(tmp_path: Path, src: list[str], tgt: list[str]) -> None:
    draw(tmp_path / "empty.png", src, tgt)
    assert not figure_of(src, tgt).axes[0].images


@pytest.mark.parametrize(
    "text",
    [
        "\u6211\u559c\u6b61",
        "\u0645\u0631\u062d\u0628\u0627",
        "\u0928\u092e\u0938\u094d\u0924\u0947",
        "\U0001f600",
        "\U0001f3f3\ufe0f\u200d\U0001f308",
        "\u4e2d\u0301",
        "\u29e8\u1ab0",  # a mark that no font has together with its letter
        "\u0301",
        "\U000e0100",
        "$x_1$",
        "\\frac{",
        "a\nb",
        "\0",
        "\udcff",
        "",
        " ",
    ],
)
def test_any_text_can_be_drawn(tmp_path: Path, text: str) -> None:
    draw(tmp_path / "odd.png", [text, MARK + text], [text], title=text)
    assert (tmp_path / "odd.png").exists()


def test_what_cannot_be_printed_is_shown_as_such() -> None:
    figure = figure_of(["a\u2028b", "x" * 24, "x" * 25], ["$x$"], title="a\0")
    top, side = labels_of(figure)
    assert [label.get_text() for label in top] == ["a\ufffdb", "x" * 24, "x" * 23 + "\u2026"]
    assert side[0].get_text() == "$x$"
    assert figure.axes[0].get_title(loc="left") == "a\ufffd"


def test_a_font_that_has_the_characters_is_chosen_from_those_installed() -> None:
    plain, rare = figure_of(["a"], ["x"]), figure_of(["a"], ["\U0001d400"])  # a letter that DejaVu Sans lacks
    assert labels_of(plain)[0][0].get_fontfamily() == ["DejaVu Sans"]
    first, *others = labels_of(rare)[0][0].get_fontfamily()
    assert first == "DejaVu Sans"
    assert len(others) == 1


def test_characters_without_a_font_are_told(tmp_path: Path) -> None:
    assert draw(tmp_path / "some.png", ["a\U00016800"], ["\u2581b", "\0"], title="\U00016801") == {
        "\U00016800",
        "\U00016801",
    }
    assert draw(tmp_path / "none.png", ["a"], ["b"], title="c") == set()


def test_a_last_resort_font_is_none_to_choose() -> None:
    figure = figure_of(["a"], ["\U00016800"])  # matplotlib's own has this letter of a rare script, as all others
    assert not [family for family in labels_of(figure)[0][0].get_fontfamily() if family.startswith("Last Resort")]
