import re
import sys
import warnings
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from nmt.errors import ConfigError
from nmt.io.files import written
from nmt.report.curves import draw_curves
from nmt.report.pictures import draw_attention, drawing, printable

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
