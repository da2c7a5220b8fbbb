import fcntl
from pathlib import Path

import pytest

from nmt.errors import ConfigError, DataError, ModelError, NmtError
from nmt.io.work import forget, is_whole, keyed, locked, put_in_place, recover, whole


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_work_that_ends_well_leaves_no_trace(tmp_path: Path) -> None:
    with locked(tmp_path / "new" / "data") as home, keyed(home, 1) as folder:
        assert home == tmp_path / "new" / ".data.work"
        (folder / "file").touch()
    assert names(tmp_path) == []


@pytest.mark.parametrize("error", [ConfigError("a"), DataError("b"), ModelError("c")])
def test_work_that_would_fail_again_leaves_no_trace(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(type(error)), locked(tmp_path / "new" / "data") as home, keyed(home, 1) as folder:
        (folder / "file").touch()
        raise error
    assert names(tmp_path) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError("disk full"), NmtError("a worker was killed")])
def test_work_that_was_interrupted_is_there_for_the_same_run(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)), locked(tmp_path / "data") as home, keyed(home, {"a": 1, "b": 2}) as folder:
        (folder / "file").touch()
        raise error
    with locked(tmp_path / "data") as home, keyed(home, {"b": 2, "a": 1}) as folder:
        assert names(folder) == ["file"]


def test_another_run_starts_afresh(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), locked(tmp_path / "data") as home, keyed(home, 1) as folder:
        (folder / "file").touch()
        raise KeyboardInterrupt
    with locked(tmp_path / "data") as home, keyed(home, 2) as folder:
        assert names(folder) == []
        assert names(home) == [folder.name]


def test_an_error_before_the_work_leaves_earlier_work_alone(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), locked(tmp_path / "data") as home, keyed(home, 1):
        raise KeyboardInterrupt
    with pytest.raises(DataError), locked(tmp_path / "data"):
        raise DataError("no such file")
    assert len(names(tmp_path / ".data.work")) == 1


def test_a_second_run_is_refused_at_once(tmp_path: Path) -> None:
    with (
        locked(tmp_path / "data"),
        pytest.raises(DataError, match=r"^another process is preparing .*data; wait for it, or stop it, or choose an"),
        locked(tmp_path / "data"),
    ):
        pass
    with locked(tmp_path / "data"):
        pass


def test_a_lock_on_a_folder_that_has_just_been_removed_is_no_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, flock = tmp_path / ".data.work", fcntl.flock
    removed = []

    def remove_before(file: int, how: int) -> None:
        if not removed:
            home.rmdir()
            removed.append(home)
        flock(file, how)

    monkeypatch.setattr("fcntl.flock", remove_before)
    with locked(tmp_path / "data") as given:
        assert given.is_dir()
    assert removed == [home]


def test_a_folder_is_whole_or_absent(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), whole(tmp_path / "part") as folder:
        (folder / "one").touch()
        raise KeyboardInterrupt
    assert names(tmp_path) == []
    with whole(tmp_path / "part") as folder:
        assert names(folder) == []
    assert names(tmp_path) == ["part"]


def test_a_folder_that_lost_anything_to_a_power_failure_is_removed(tmp_path: Path) -> None:
    def tear(name: str, data: bytes | None) -> bool:
        with whole(tmp_path / "part") as folder:
            (folder / "file").write_bytes(b"text")
        assert is_whole(tmp_path / "part")
        if data is None:
            (tmp_path / "part" / name).unlink()
        else:
            (tmp_path / "part" / name).write_bytes(data)
        return is_whole(tmp_path / "part") or (tmp_path / "part").exists()

    cases = [("file", b""), ("file", b"\0\0\0\0"), ("file", None), ("sums.json", b""), ("sums.json", None)]
    assert [case for case in cases if tear(*case)] == []
    assert not is_whole(tmp_path / "part")


def test_the_first_of_two_writers_of_the_same_folder_wins(tmp_path: Path) -> None:
    with whole(tmp_path / "part") as folder:
        (folder / "mine").touch()
        (tmp_path / "part").mkdir()
        (tmp_path / "part" / "theirs").touch()
    assert (names(tmp_path), names(tmp_path / "part")) == (["part"], ["theirs"])


def make(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "file").write_text(text)
    return folder


def test_a_result_takes_the_place_of_nothing_an_empty_folder_or_old_data(tmp_path: Path) -> None:
    for text in ("first", "second"):
        with locked(tmp_path / "data") as home:
            put_in_place(make(home / "result", text), tmp_path / "data")
        assert (tmp_path / "data" / "file").read_text() == text
    (tmp_path / "empty").mkdir()
    with locked(tmp_path / "empty") as home:
        put_in_place(make(home / "result", "third"), tmp_path / "empty")
    assert names(tmp_path) == ["data", "empty"]


def test_a_link_to_a_folder_stays_a_link(tmp_path: Path) -> None:
    make(tmp_path / "real", "old")
    (tmp_path / "link").symlink_to("real")
    with locked(tmp_path / "link") as home:
        put_in_place(make(home / "result", "new"), tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "file").read_text() == "new"


def test_old_data_come_back_when_the_new_ones_cannot_take_their_place(tmp_path: Path) -> None:
    make(tmp_path / "data", "old")
    with pytest.raises(FileNotFoundError), locked(tmp_path / "data") as home:
        put_in_place(home / "missing", tmp_path / "data")
    assert (tmp_path / "data" / "file").read_text() == "old"
    assert names(tmp_path) == ["data"]


def test_a_kill_between_the_two_renames_loses_nothing(tmp_path: Path) -> None:
    make(tmp_path / ".data.work" / "old", "old")
    recover(tmp_path / "data")
    assert (tmp_path / "data" / "file").read_text() == "old"
    make(tmp_path / ".data.work" / "old", "older")  # the second one was done
    recover(tmp_path / "data")
    assert (tmp_path / "data" / "file").read_text() == "old"
    assert names(tmp_path) == ["data"]


def test_what_a_kill_after_the_last_step_left_is_removed_and_other_work_is_not(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), locked(tmp_path / "data") as home, keyed(home, 1):
        raise KeyboardInterrupt
    forget(tmp_path / "data", 2)
    assert names(tmp_path) == [".data.work"]
    forget(tmp_path / "data", 1)
    assert names(tmp_path) == []


def test_a_linked_work_folder_is_refused_and_what_it_names_stays(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    (theirs / "thesis").mkdir(parents=True)
    (tmp_path / ".data.work").symlink_to(theirs)
    expected = r"\.data\.work is a link, expected a folder or nothing: remove it$"
    with pytest.raises(DataError, match=expected), locked(tmp_path / "data") as home, keyed(home, "key"):
        pass
    assert names(theirs) == ["thesis"]
