import fcntl
from pathlib import Path
from threading import Thread

import pytest

from nmt.errors import ConfigError, DataError, ModelError, NmtError
from nmt.io.work import alone, forget, locked, put_in_place, recover, shared, try_lock


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_work_that_ends_well_leaves_no_trace(tmp_path: Path) -> None:
    with shared(tmp_path / "new" / "data", 1) as folder:
        assert folder.parent == tmp_path / "new" / ".data.work"
        (folder / "file").touch()
    assert names(tmp_path) == []


@pytest.mark.parametrize("error", [ConfigError("a"), DataError("b"), ModelError("c")])
def test_work_that_would_fail_again_leaves_no_trace(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(type(error)), shared(tmp_path / "new" / "data", 1) as folder:
        (folder / "file").touch()
        raise error
    assert names(tmp_path) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError("disk full"), NmtError("a worker was killed")])
def test_work_that_was_interrupted_is_there_for_the_same_run(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)), shared(tmp_path / "data", {"a": 1, "b": 2}) as folder:
        (folder / "file").write_text("a")
        raise error
    with shared(tmp_path / "data", {"b": 2, "a": 1}) as folder:
        assert names(folder) == ["file", "used"]


def test_work_that_was_interrupted_before_anything_was_done_leaves_no_trace(tmp_path: Path) -> None:
    with pytest.raises(NmtError), shared(tmp_path / "data", 1) as folder:
        with locked(folder / "lock"):
            (folder / "block").mkdir()
        raise NmtError("the text was changed")
    assert names(tmp_path) == []


def test_work_alone_is_nobody_elses_while_it_is_done(tmp_path: Path) -> None:
    expected = r"^another process is making .*data; wait for it, or stop it, or choose another output"
    for first, second in ((alone, alone), (alone, shared), (shared, alone)):
        with first(tmp_path / "data", 1), pytest.raises(DataError, match=expected), second(tmp_path / "data", 1):
            pass
        with second(tmp_path / "data", 1):
            pass
    assert names(tmp_path) == []


def test_a_replacement_that_another_process_is_at_is_not_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "data", "old")
    replace, tried = Path.replace, list[Thread]()

    def look_in_between(path: Path, to: Path) -> None:
        replace(path, to)
        if path == tmp_path / "data":
            tried.append(Thread(target=recover, args=(path,)))
            tried[0].start()
            tried[0].join(0.05)

    monkeypatch.setattr(Path, "replace", look_in_between)
    with shared(tmp_path / "data", 1) as work:
        put_in_place(make(work / "result", "new"), tmp_path / "data")
        tried[0].join()
    assert (tmp_path / "data" / "file").read_text() == "new"
    assert names(tmp_path) == ["data"]


def test_a_lock_on_a_file_that_has_just_been_removed_is_no_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, flock = tmp_path / "lock", fcntl.flock
    removed = []

    def remove_before(file: int, how: int) -> None:
        if not removed:
            path.unlink()
            removed.append(path)
        flock(file, how)

    monkeypatch.setattr("fcntl.flock", remove_before)
    with locked(path):
        assert path.exists()
        assert try_lock(path) is None
    assert removed == [path]


def make(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "file").write_text(text)
    return folder


def test_a_result_takes_the_place_of_nothing_an_empty_folder_or_old_data(tmp_path: Path) -> None:
    for text in ("first", "second"):
        with shared(tmp_path / "data", 1) as work:
            put_in_place(make(work / "result", text), tmp_path / "data")
        assert (tmp_path / "data" / "file").read_text() == text
    (tmp_path / "empty").mkdir()
    with alone(tmp_path / "empty", 1) as work:
        put_in_place(make(work / "result", "third"), tmp_path / "empty")
    assert names(tmp_path) == ["data", "empty"]


def test_a_link_to_a_folder_stays_a_link(tmp_path: Path) -> None:
    make(tmp_path / "real", "old")
    (tmp_path / "link").symlink_to("real")
    with shared(tmp_path / "link", 1) as work:
        put_in_place(make(work / "result", "new"), tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "file").read_text() == "new"


def test_old_data_come_back_when_the_new_ones_cannot_take_their_place(tmp_path: Path) -> None:
    make(tmp_path / "data", "old")
    with pytest.raises(FileNotFoundError), shared(tmp_path / "data", 1) as work:
        put_in_place(work / "missing", tmp_path / "data")
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
    with pytest.raises(KeyboardInterrupt), shared(tmp_path / "data", 1) as work:
        make(work / "block", "done")
        raise KeyboardInterrupt
    forget(tmp_path / "data", 2)
    assert names(tmp_path) == [".data.work"]
    forget(tmp_path / "data", 1)
    assert names(tmp_path) == []


def test_a_linked_work_folder_is_refused_and_what_it_names_stays(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    (theirs / "thesis").mkdir(parents=True)
    (tmp_path / ".data.work").symlink_to(theirs)
    with (
        pytest.raises(OSError, match="is a link, expected a folder: nothing is written or removed through it"),
        shared(tmp_path / "data", 1),
    ):
        pass
    assert names(theirs) == ["thesis"]


def test_other_work_goes_unless_somebody_is_at_it(tmp_path: Path) -> None:
    expected = "^another process is making .*out of other input, with another model or with other options; wait for it"
    with shared(tmp_path / "out", "key"), pytest.raises(DataError, match=expected), shared(tmp_path / "out", "another"):
        pass
    with pytest.raises(KeyboardInterrupt), shared(tmp_path / "out", "key") as old:
        raise KeyboardInterrupt
    with shared(tmp_path / "out", "another") as folder:
        assert names(folder.parent) == sorted([folder.name, "door"])
        assert folder != old
