import errno
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nmt.errors import ConfigError
from nmt.translate import Part, Translation
from nmt_cli.outputs import OutputOptions, warn_of_cuts_and_losses, writer
from nmt_cli.terminal import STREAM

Capture = pytest.CaptureFixture[bytes]

ATTENTION = np.array([[0.75, 0.25]], dtype=np.float32)
PARTS = (Part(("▁the", "▁cat"), ("▁dieKatze",), ATTENTION), Part(("▁the", "▁cat"), ("a",), ATTENTION))
BEST = Translation("die Katze", -1.5, -0.75, 1, alignment=((0, 0), (1, 1)), details=PARTS[:1])
SECOND = Translation("Katze", -3.0, -2.0, 1, alignment=((1, 0),), details=PARTS[1:])
BLANK = Translation("", 0.0, 0.0, 0, alignment=(), details=())
CUT = Translation('a "b"\u2028 ☃', -4.0, -1.0, 2, cut=True, alignment=(), details=PARTS)


def options(**chosen: Any) -> OutputOptions:
    nothing = {"output": STREAM, "format": "text", "scores": False, "n_best": False}
    return OutputOptions(**{**nothing, "alignment": None, "attention_plot": None, "memory": False, **chosen})


def written(capsysbinary: Capture, form: OutputOptions) -> str:
    """Write two blocks, three lines."""
    with writer(form) as write:
        write([[BEST, SECOND], [BLANK]], 0)
        write([[CUT]], 2)
    return capsysbinary.readouterr().out.decode()


def test_text_is_the_best_translation_a_line(capsysbinary: Capture) -> None:
    assert written(capsysbinary, options()) == 'die Katze\n\na "b"\u2028 ☃\n'


def test_scores_come_before_a_tab(capsysbinary: Capture) -> None:
    assert written(capsysbinary, options(scores=True)) == '-0.7500\tdie Katze\n0.0000\t\n-1.0000\ta "b"\u2028 ☃\n'


def test_n_best_lists_count_lines_from_0_through_all_blocks(capsysbinary: Capture) -> None:
    assert written(capsysbinary, options(n_best=True)) == (
        '0 ||| die Katze ||| -0.7500\n0 ||| Katze ||| -2.0000\n1 |||  ||| 0.0000\n2 ||| a "b"\u2028 ☃ ||| -1.0000\n'
    )


def test_json_lines_count_from_1_and_have_every_part(capsysbinary: Capture) -> None:
    first, blank, cut = (json.loads(line) for line in written(capsysbinary, options(format="json")).split("\n")[:-1])
    assert first == {
        "line": 1,
        "translations": [
            {
                "text": "die Katze",
                "score": -0.75,
                "log_probability": -1.5,
                "alignment": "0-0 1-1",
                "parts": [{"source_pieces": ["▁the", "▁cat"], "pieces": ["▁dieKatze"]}],
            },
            {
                "text": "Katze",
                "score": -2.0,
                "log_probability": -3.0,
                "alignment": "1-0",
                "parts": [{"source_pieces": ["▁the", "▁cat"], "pieces": ["a"]}],
            },
        ],
    }
    empty = {"text": "", "score": 0.0, "log_probability": 0.0, "alignment": "", "parts": []}
    assert blank == {"line": 2, "translations": [empty]}
    assert (cut["line"], cut["translations"][0]["text"]) == (3, 'a "b"\u2028 ☃')
    assert [part["pieces"] for part in cut["translations"][0]["parts"]] == [["▁dieKatze"], ["a"]]


def test_pieces_that_were_replaced_leave_no_empty_ones(capsysbinary: Capture) -> None:
    replaced = Translation("x", -1.0, -1.0, 1, details=(Part(("▁x",), ("▁x", ""), np.ones((2, 1), np.float32)),))
    with writer(options(format="json")) as write:
        write([[replaced]], 0)
    [record] = json.loads(capsysbinary.readouterr().out)["translations"]
    assert record["parts"] == [{"source_pieces": ["▁x"], "pieces": ["▁x"]}]


def test_each_block_is_written_at_once(capsysbinary: Capture) -> None:
    with writer(options()) as write:
        write([[BEST]], 0)
        assert capsysbinary.readouterr().out == b"die Katze\n"


def test_alignments_are_those_of_the_best_translations(capsysbinary: Capture, tmp_path: Path) -> None:
    links = tmp_path / "links.txt"
    written(capsysbinary, options(alignment=links, n_best=True))
    assert links.read_text() == "0-0 1-1\n\n\n"


def test_files_appear_when_all_is_written(tmp_path: Path) -> None:
    output, links = tmp_path / "out.txt", tmp_path / "links.txt"
    with writer(options(output=output, alignment=links)) as write:
        write([[BEST]], 0)
        assert not output.exists()
        assert not links.exists()
    assert (output.read_text(), links.read_text()) == ("die Katze\n", "0-0 1-1\n")


def test_a_failure_leaves_files_as_they_were(tmp_path: Path) -> None:
    output = tmp_path / "out.txt"
    output.write_text("before")
    with pytest.raises(KeyboardInterrupt), writer(options(output=output, alignment=tmp_path / "links.txt")) as write:
        write([[BEST]], 0)
        raise KeyboardInterrupt
    assert output.read_text() == "before"
    assert list(tmp_path.iterdir()) == [output]


def test_a_folder_in_the_place_of_a_file_is_found_out_at_once(tmp_path: Path) -> None:
    for place in ("output", "alignment"):
        with pytest.raises(IsADirectoryError) as caught, writer(options(**{place: tmp_path})):
            pytest.fail("nothing may be translated")
        assert caught.value.filename == str(tmp_path)


@pytest.fixture
def named_pipe(tmp_path: Path) -> Path:
    """What is special in the way of a device, but safe to lose."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


def test_a_device_or_a_named_pipe_is_written_to_and_stays_what_it_is(named_pipe: Path) -> None:
    reader = os.open(named_pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with writer(options(output=named_pipe)) as write:
            write([[BEST]], 0)
            assert os.read(reader, 100) == b"die Katze\n"
    finally:
        os.close(reader)
    assert named_pipe.is_fifo()


def test_a_device_that_is_full_is_named(named_pipe: Path) -> None:
    reader = os.open(named_pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with pytest.raises(OSError, match="No space left") as caught, writer(options(output=named_pipe)):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    finally:
        os.close(reader)
    assert caught.value.filename == str(named_pipe)
    assert named_pipe.is_fifo()


def test_a_link_stays_and_what_it_leads_to_is_written(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("out.txt")
    with writer(options(output=tmp_path / "link")) as write:
        write([[BEST]], 0)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "out.txt").read_text() == "die Katze\n"


def test_a_file_in_the_place_of_the_folder_for_pictures_is_named(tmp_path: Path) -> None:
    path = tmp_path / "plots"
    path.write_text("before")
    with pytest.raises(NotADirectoryError) as caught, writer(options(attention_plot=path)):
        pytest.fail("nothing may be translated")
    assert caught.value.filename == str(path)


@pytest.mark.parametrize("form", [{"format": "json"}, {"n_best": True}])
def test_scores_are_refused_where_they_are_written_anyway(form: dict[str, Any]) -> None:
    expected = "^--scores is for plain text; n-best lists and JSON have scores anyway, so leave it out$"
    with pytest.raises(ConfigError, match=expected), writer(options(scores=True, **form)):
        pytest.fail("nothing may be translated")


def test_pictures_are_numbered_by_line_and_by_part_where_there_are_several(
    capsysbinary: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[Path, dict[str, Any]]] = []
    monkeypatch.setattr("nmt.report.pictures.draw_attention", lambda path, **figure: drawn.append((path, figure)) or "")
    folder = tmp_path / "a" / "plots"
    written(capsysbinary, options(attention_plot=folder))
    assert folder.is_dir()
    assert [path for path, _ in drawn] == [folder / f"line-{name}.png" for name in ("1", "3-1", "3-2")]
    assert [figure["title"] for _, figure in drawn] == ["line 1", "line 3, part 1", "line 3, part 2"]
    [(_, first), *_] = drawn
    assert (first["src_pieces"], first["tgt_pieces"]) == (("▁the", "▁cat"), ("▁dieKatze",))
    assert first["weights"] is ATTENTION


def test_characters_that_no_font_has_are_named_once(
    capsysbinary: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nmt.report.pictures.draw_attention", lambda path, **figure: frozenset("क्खघग"))
    with writer(options(attention_plot=tmp_path / "plots")) as write:
        write([[BEST], [CUT]], 0)
    expected = "no installed font has क ख ग and 2 other characters: boxes stand for them in the pictures; "
    assert capsysbinary.readouterr().err.decode().count(expected) == 1


def test_translations_and_alignments_cannot_share_a_file(tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigError, match=r"^translations and alignments cannot both go to .*out$"),
        writer(options(output=tmp_path / "out", alignment=tmp_path / "." / "out")),
    ):
        pass
    assert not list(tmp_path.iterdir())


def test_numbers_without_a_place_are_named_with_their_line(capsys: pytest.CaptureFixture[str]) -> None:
    whole, lacking = Translation("a", 0.0, 0.0, 1), Translation("b", 0.0, 0.0, 1, lost=("7", "1 234"))
    warn_of_cuts_and_losses([[lacking], [whole], [whole, lacking]], 10, name="test.en", document=False)
    assert capsys.readouterr().err.splitlines() == [
        "warning: test.en, line 11: the translation found no place for 7, 1 234",
        "warning: test.en, line 13: translation 2 found no place for 7, 1 234",
    ]
