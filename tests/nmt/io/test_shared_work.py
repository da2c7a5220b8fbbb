import multiprocessing
import os
import signal
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from nmt.io.shared_work import Blocks, Claim, is_whole, whole
from nmt.io.work import shared

FORK = multiprocessing.get_context("fork")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def claimed(blocks: Blocks, number: int) -> Claim:
    claim = blocks.claim(number)
    assert claim is not None
    return claim


def do(blocks: Blocks, number: int) -> None:
    claim = claimed(blocks, number)
    claim.files[0].write(str(number).encode())
    claim.finish()


def test_a_block_that_is_taken_or_done_cannot_be_taken(tmp_path: Path) -> None:
    with shared(tmp_path / "out", "key") as folder:
        blocks, others = Blocks(folder, range(3), 1), Blocks(folder, range(3), 1)
        claim = claimed(blocks, 1)
        assert others.claim(1) is None
        assert [others.is_free(number) for number in range(3)] == [True, False, True]
        claim.finish()
        assert (others.claim(1), others.missing()) == (None, [0, 2])


def test_a_block_that_is_given_up_is_free_and_begun_anew(tmp_path: Path) -> None:
    with shared(tmp_path / "out", "key") as folder:
        blocks = Blocks(folder, range(1), 1)
        claim = claimed(blocks, 0)
        claim.files[0].write(b"half")
        claim.give_up()
        do(blocks, 0)
        with blocks.result() as parts:
            assert parts is not None
            assert [path.read_text() for [path] in parts] == ["0"]


def _take_and_wait(target: Path, taken: Event) -> None:
    with shared(target, "key") as folder:
        claimed(Blocks(folder, range(2), 1), 0).files[0].write(b"half")
        taken.set()
        signal.pause()


def test_the_block_of_a_process_that_is_killed_is_taken_up(tmp_path: Path) -> None:
    taken = FORK.Event()
    process = FORK.Process(target=_take_and_wait, args=(tmp_path / "out", taken))
    process.start()
    assert taken.wait(20)
    with shared(tmp_path / "out", "key") as folder:
        blocks = Blocks(folder, range(2), 1)
        assert blocks.claim(0) is None
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        for number in blocks.missing():
            do(blocks, number)
        with blocks.result() as parts:
            assert [path.read_text() for [path] in parts or []] == ["0", "1"]
    assert names(tmp_path) == []


def test_a_process_whose_lock_was_lost_while_it_was_stopped_changes_no_block(tmp_path: Path) -> None:
    with shared(tmp_path / "out", "key") as folder:
        blocks = Blocks(folder, range(2), 1)
        stopped = [claimed(blocks, 0), claimed(blocks, 1)]
        for number, claim in enumerate(stopped):
            claim.files[0].write(b"half")
            (folder / f"{number:06}.lock").unlink()  # as if the disk had ended the lock
        do(blocks, 0)
        other = claimed(blocks, 1)
        for claim in stopped:
            claim.files[0].write(b" and half")
            claim.finish()
        other.files[0].write(b"1")
        other.finish()
        with blocks.result() as parts:
            assert [path.read_text() for [path] in parts or []] == ["0", "half and half"]  # the first to finish
    assert names(tmp_path) == []


def test_the_result_is_made_once_while_anybody_is_there(tmp_path: Path) -> None:
    with shared(tmp_path / "out", "key") as folder:
        with shared(tmp_path / "out", "key") as same:
            assert same == folder
            blocks = Blocks(folder, range(1), 1)
            do(blocks, 0)
            with blocks.result() as parts:
                assert parts is not None
        assert folder.is_dir()
        with blocks.result() as parts:
            assert parts is None
    assert names(tmp_path) == []


def test_a_result_is_made_again_where_whoever_made_it_could_not_clean_up(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), shared(tmp_path / "out", "key") as folder:
        do(blocks := Blocks(folder, range(1), 1), 0)
        with blocks.result():
            pass
        raise KeyboardInterrupt
    with shared(tmp_path / "out", "key"), blocks.result() as parts:
        assert parts is not None


def test_what_a_power_failure_took_is_missing_again(tmp_path: Path) -> None:
    with shared(tmp_path / "out", "key") as folder:
        blocks = Blocks(folder, range(2), 1)
        do(blocks, 0)
        do(blocks, 1)
        (folder / "000001" / "0").write_bytes(b"\0")
        with blocks.result() as parts:
            assert parts is None
        assert blocks.missing() == [1]


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
