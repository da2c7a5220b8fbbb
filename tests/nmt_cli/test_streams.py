import io
import sys
from pathlib import Path

import pytest

from nmt.errors import ConfigError, DataError
from nmt_cli.terminal import STREAM, open_lines, open_output, refuse_replacing


def test_a_file_is_read_under_its_name(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("one\ntwo\n")
    name, lines = open_lines(tmp_path / "in.txt", "error")
    assert name == str(tmp_path / "in.txt")
    assert lines.take(9, wait=True) == ["one", "two"]


def test_stdin_is_read_where_no_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"one\ntwo\n")))
    name, lines = open_lines(STREAM, "error")
    assert name == "<stdin>"
    assert lines.take(1, wait=True) == ["one"]


def test_a_file_gets_its_name_when_all_is_written(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    with open_output(path) as file:
        file.write(b"one\n")
        assert not path.exists()
    assert path.read_bytes() == b"one\n"


def test_stdout_is_written_to_at_once_and_stays_open(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    with open_output(STREAM) as file:
        file.write(b"one\n")
    sys.stdout.write("two\n")
    assert capsysbinary.readouterr().out == b"one\ntwo\n"


def test_a_file_that_is_read_is_not_replaced_under_another_name_either(tmp_path: Path) -> None:
    read, other, link = tmp_path / "in", tmp_path / "other", tmp_path / "link"
    read.write_text("text")
    other.write_text("text")
    link.symlink_to(read)
    for output in (read, link, tmp_path / "x" / ".." / "in"):
        (tmp_path / "x").mkdir(exist_ok=True)
        with pytest.raises(ConfigError, match=r"is an input, so it cannot be written: the result would replace it$"):
            refuse_replacing([other, read], [tmp_path / "new", output])
    refuse_replacing([read], [other, tmp_path / "new"])


def test_streams_and_devices_are_read_and_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-").write_text("a file of this name is no stream")
    refuse_replacing([STREAM, Path("/dev/null")], [STREAM, Path("/dev/null")])


def test_a_closed_stdin_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(DataError, match=r"^stdin is closed, so no text can be read from it; name a file, or pipe"):
        open_lines(STREAM, "error")


def test_an_output_without_its_folder_names_the_folder(tmp_path: Path) -> None:
    path = tmp_path / "no" / "out.txt"
    with pytest.raises(ConfigError, match=rf"out\.txt cannot be written: there is no folder {tmp_path / 'no'}$"):
        open_output(path).__enter__()


def test_a_document_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.docx is not plain text, by its name: save it as plain text"):
        open_lines(tmp_path / "a.docx", "error")
