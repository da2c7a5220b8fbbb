import io
import sys
from pathlib import Path

import pytest

from nmt_cli.streams import STREAM, open_lines, open_output


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
