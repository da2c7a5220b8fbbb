import errno
import fcntl
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO

import pytest

from nmt.io.files import (
    appending,
    building,
    make_folder,
    naming,
    remove_leftovers,
    replacing,
    sha256,
    write_text,
    written,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_block_that_ends_well_replaces_the_file(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("old")
    with replacing(path) as file:
        file.write(b"new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert names(tmp_path) == ["f"]


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_a_failing_block_leaves_the_old_file_and_nothing_else(tmp_path: Path, failure: type[BaseException]) -> None:
    path = tmp_path / "f"
    path.write_text("old")
    with pytest.raises(failure), replacing(path) as file:
        file.write(b"half")
        raise failure
    assert path.read_text() == "old"
    assert names(tmp_path) == ["f"]


def test_a_failing_block_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="stop"), replacing(tmp_path / "f") as file:
        file.write(b"half")
        raise ValueError("stop")
    assert names(tmp_path) == []


def test_the_bytes_are_on_disk_before_the_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f"
    seen = []
    fsync = os.fsync

    def spy(descriptor: int) -> None:
        seen.append((os.fstat(descriptor).st_size, path.exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", spy)
    write_text(path, "abc")
    assert seen == [(3, False)]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f"
    path.write_text("old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["f"]


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_text(tmp_path / "no" / "f", "x")


def test_text_is_written_as_utf_8_with_its_line_ends(tmp_path: Path) -> None:
    write_text(tmp_path / "f", "é\r\n\n")
    assert (tmp_path / "f").read_bytes() == b"\xc3\xa9\r\n\n"


def test_the_checksum_is_the_sha_256_of_the_bytes(tmp_path: Path) -> None:
    data = bytes(range(256)) * 5000
    (tmp_path / "f").write_bytes(data)
    assert sha256(tmp_path / "f") == hashlib.sha256(data).hexdigest()


def test_an_error_names_the_file_that_was_wanted(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as missing, replacing(tmp_path / "no" / "a.txt"):
        pass
    assert missing.value.filename == str(tmp_path / "no" / "a.txt")
    with pytest.raises(OSError, match="No space left on device") as full, replacing(tmp_path / "a.txt"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert full.value.filename == str(tmp_path / "a.txt")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_writer_leaves_is_removed_and_nothing_else(tmp_path: Path) -> None:
    kept = [".a.12.tmp.txt", ".a.tmp", ".a.x12.tmp", ".tmp", "a.12.tmp", "a.bin", "train.log"]
    for name in [*kept, ".a.bin.12.tmp", ".step-00000100.safetensors.4242.tmp", ".zwölf.é.1.tmp"]:
        (tmp_path / name).write_text("half")
    (tmp_path / ".folder.12.tmp").mkdir()
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / ".a.12.tmp").write_text("half")
    remove_leftovers(tmp_path)
    assert names(tmp_path) == sorted([*kept, ".folder.12.tmp", "sub"])
    assert names(tmp_path / "sub") == [".a.12.tmp"]


_WRITER = """
import os, pathlib, signal, sys
from nmt.io.files import building, replacing
path = pathlib.Path(sys.argv[2])
with {"file": replacing, "folder": building}[sys.argv[1]](path) as made:
    (made / "inside").write_text("half") if sys.argv[1] == "folder" else made.write(b"half")
    print("ready", flush=True)
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(("kind", "make"), [("file", replacing), ("folder", building)])
def test_what_is_being_written_stays_until_its_writer_is_dead(
    tmp_path: Path, kind: str, make: Callable[[Path], AbstractContextManager[IO[bytes] | Path]]
) -> None:
    path = tmp_path / "made"
    command = [sys.executable, "-c", _WRITER, kind, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        (temporary,) = names(tmp_path)
        remove_leftovers(tmp_path)
        with pytest.raises(ValueError, match="stop"), make(path):
            raise ValueError("stop")
        assert names(tmp_path) == [temporary]
        writer.communicate(b"")
    assert names(tmp_path) == [temporary]
    with make(path):
        pass
    assert names(tmp_path) == ["made"]


def test_what_others_have_left_and_what_only_looks_like_a_leftover_stays(tmp_path: Path) -> None:
    number, theirs = "12345678901234567890", tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "kept").touch()
    kept = [f".other.{number}.tmp", ".f.2024.tmp", f".f.g.{number}.tmp", f".f.{number}.tmp.txt", f"f.{number}.tmp"]
    for name in [*kept, f".f.{number}.tmp"]:
        (tmp_path / name).touch()
    (tmp_path / f".f.{number[::-1]}.tmp").symlink_to(theirs)
    write_text(tmp_path / "f", "new")
    assert names(tmp_path) == sorted([*kept, f".f.{number[::-1]}.tmp", "f", "theirs"])
    assert names(theirs) == ["kept"]


def test_a_temporary_file_that_is_taken_for_dead_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock, taken = fcntl.flock, []

    def take_the_first(descriptor: int, how: int) -> None:
        if not taken:
            taken.extend(names(tmp_path))
            (tmp_path / taken[0]).unlink()
        flock(descriptor, how)

    monkeypatch.setattr("fcntl.flock", take_the_first)
    write_text(tmp_path / "f", "new")
    assert (len(taken), names(tmp_path), (tmp_path / "f").read_text()) == (1, ["f"], "new")


def test_without_locks_files_are_written_and_nothing_is_taken_for_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    left = ".f.12345678901234567890.tmp"
    (tmp_path / left).touch()
    write_text(tmp_path / "f", "new")
    assert names(tmp_path) == [left, "f"]


def test_on_a_read_only_disk_an_error_names_the_folder_that_was_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, mode: int) -> None:
        raise PermissionError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr("os.mkdir", refuse)
    with pytest.raises(PermissionError) as caught, building(tmp_path / "new"):
        pytest.fail("nothing may be made")
    assert caught.value.filename == str(tmp_path / "new")


def test_an_error_within_a_temporary_folder_names_the_folder_that_was_wanted(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught, building(tmp_path / "new") as folder:
        (folder / "weights").read_bytes()
    assert caught.value.filename == str(tmp_path / "new")
    with pytest.raises(FileNotFoundError) as caught, building(tmp_path / "new"):
        (tmp_path / "other").read_bytes()
    assert caught.value.filename == str(tmp_path / "other")


def test_a_folder_that_is_not_there_has_no_leftovers(tmp_path: Path) -> None:
    remove_leftovers(tmp_path / "no")
    (tmp_path / "file").write_text("x")
    remove_leftovers(tmp_path / "file")
    assert names(tmp_path) == ["file"]


def test_an_error_of_an_open_file_gets_its_name(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"No space left on device: '.*log'"), naming(tmp_path / "log"):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_an_error_that_names_its_file_keeps_the_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught, naming(tmp_path / "log"):
        (tmp_path / "other").read_bytes()
    assert caught.value.filename == str(tmp_path / "other")


def test_a_named_pipe_is_written_in_place_and_stays_what_it_is(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with written(pipe) as file:
            file.write(b"text")
            file.flush()
            assert os.read(reader, 100) == b"text"
    finally:
        os.close(reader)
    assert pipe.is_fifo()


def test_a_link_stays_and_its_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "file").write_text("old")
    with pytest.raises(ValueError, match="stop"), written(tmp_path / "link") as file:
        file.write(b"half")
        raise ValueError("stop")
    assert (tmp_path / "file").read_text() == "old"
    with written(tmp_path / "link") as file:
        file.write(b"new")
    assert (tmp_path / "file").read_text() == "new"
    assert (tmp_path / "link").is_symlink()


def test_a_folder_is_no_file_to_write(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError) as caught, written(tmp_path):
        pytest.fail("nothing may be written")
    assert caught.value.filename == str(tmp_path)


def test_a_folder_appears_when_the_block_ends(tmp_path: Path) -> None:
    with building(tmp_path / "new" / "folder") as folder:
        (folder / "f").touch()
        assert not (tmp_path / "new" / "folder").exists()
    assert (names(tmp_path / "new"), names(tmp_path / "new" / "folder")) == (["folder"], ["f"])


@pytest.mark.parametrize("failure", [KeyboardInterrupt, ValueError])
def test_a_folder_whose_block_fails_is_left_empty(tmp_path: Path, failure: type[BaseException]) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(failure), building(tmp_path / "folder") as folder:
        (folder / "f").touch()
        raise failure
    assert (names(tmp_path), names(tmp_path / "folder")) == (["folder"], [])


def test_what_has_come_into_a_folder_in_the_meantime_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="not empty"), building(tmp_path / "folder") as folder:
        (folder / "new").touch()
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / "old").touch()
    assert (names(tmp_path), names(tmp_path / "folder")) == (["folder"], ["old"])


def test_a_link_to_an_empty_folder_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with building(tmp_path / "link") as folder:
        (folder / "f").touch()
    assert (tmp_path / "link").is_symlink()
    assert names(tmp_path / "real") == ["f"]


def test_links_that_wait_under_temporary_names_are_not_written_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = tmp_path / "theirs"
    theirs.write_text("mine")
    for number in (os.getpid(), 7):
        (tmp_path / f".f.{number:020}.tmp").symlink_to(theirs)
    write_text(tmp_path / "f", "new")
    assert theirs.read_text() == "mine"
    monkeypatch.setattr("secrets.randbits", lambda bits: 7)  # even where somebody could guess
    with pytest.raises(FileExistsError):
        write_text(tmp_path / "f", "newer")
    assert (theirs.read_text(), (tmp_path / "f").read_text()) == ("mine", "new")


def test_a_link_in_the_place_of_a_file_is_replaced(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.write_text("mine")
    (tmp_path / "f").symlink_to(theirs)
    write_text(tmp_path / "f", "new")
    assert (theirs.read_text(), (tmp_path / "f").read_text()) == ("mine", "new")
    assert not (tmp_path / "f").is_symlink()


def test_nothing_is_appended_through_a_link_or_to_a_pipe(tmp_path: Path) -> None:
    theirs, pipe = tmp_path / "theirs", tmp_path / "pipe"
    theirs.write_text("mine\n")
    (tmp_path / "train.log").symlink_to(theirs)
    os.mkfifo(pipe)
    for path in (tmp_path / "train.log", pipe):
        with pytest.raises(OSError, match="is a link or no regular file: nothing is written to it"):
            appending(path)
    assert theirs.read_text() == "mine\n"
    for line in ("one\n", "twö\n"):
        with appending(tmp_path / "new") as file:
            file.write(line)
    assert (tmp_path / "new").read_text(encoding="utf-8") == "one\ntwö\n"


def test_no_folder_is_entered_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "checkpoints").symlink_to(tmp_path / "theirs")
    with pytest.raises(OSError, match="is a link, expected a folder: nothing is written or removed through it"):
        make_folder(tmp_path / "checkpoints")
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
