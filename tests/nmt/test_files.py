import errno
import hashlib
import os
from pathlib import Path

import pytest

from nmt.files import (
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


def test_a_file_that_is_being_written_bears_the_name_of_a_leftover(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "model.safetensors") as file:
        file.write(b"half")
        file.flush()
        remove_leftovers(tmp_path)
        assert names(tmp_path) == []
    assert names(tmp_path) == []


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
        (tmp_path / f".f.{number}.tmp").symlink_to(theirs)
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
