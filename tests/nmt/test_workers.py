"""The workers are real processes; what they run is in this module, which they import."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import pytest

from nmt.corpus.reading import read_lines
from nmt.errors import ConfigError, DataError, ModelError, NmtError, TrainingError
from nmt.workers import translate_in_processes

ROOT = Path(__file__).parents[2]


class TwoNumbersError(Exception):
    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} and {second}")


def shout(lines: list[str]) -> list[str]:
    return [line.upper() for line in lines]


def make_shouter() -> Callable[[list[str]], list[str]]:
    return shout


def make_pid_teller(log: Path) -> Callable[[list[str]], int]:
    """Write down that this worker was made."""
    (log / str(os.getpid())).touch()
    return lambda lines: os.getpid()


def make_sleeper() -> Callable[[list[str]], list[str]]:
    def sleep(lines: list[str]) -> list[str]:
        time.sleep(float(lines[0]))
        return lines

    return sleep


def make_failing(error: Exception) -> Callable[[list[str]], list[str]]:
    raise error


def make_failing_at(line: str, error: Exception) -> Callable[[list[str]], list[str]]:
    def translate(lines: list[str]) -> list[str]:
        if line in lines:
            raise error
        return lines

    return translate


def make_raising_two_numbers() -> Callable[[list[str]], list[str]]:
    raise TwoNumbersError(1, 2)


def make_missing(path: Path) -> Callable[[list[str]], list[str]]:
    list(read_lines(path))
    return shout


def make_dying() -> Callable[[list[str]], list[str]]:
    def translate(lines: list[str]) -> list[str]:
        if lines == ["die"]:
            os.kill(os.getpid(), signal.SIGKILL)
        return lines

    return translate


def blocks_of(count: int, asked: list[int]) -> Iterator[list[str]]:
    for number in range(count):
        asked.append(number)
        yield [str(number)]


def exists(pid: int) -> bool:
    """Tell whether there is a process that has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def eventually(what: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 10
    while not what() and time.monotonic() < deadline:
        time.sleep(0.01)
    return what()


def test_results_come_in_the_order_of_the_blocks() -> None:
    blocks = [["0.3"], ["0"], ["0.1"], ["0"], ["0"]]
    assert list(translate_in_processes(make_sleeper, blocks, workers=2)) == blocks


def test_a_worker_is_made_once_and_no_more_are_made_than_there_are_blocks(tmp_path: Path) -> None:
    make = partial(make_pid_teller, tmp_path)
    pids = set(translate_in_processes(make, [["a"]] * 6, workers=2))
    assert len(pids) in {1, 2}
    assert {int(path.name) for path in tmp_path.iterdir()} <= pids | {int(path.name) for path in tmp_path.iterdir()}
    assert os.getpid() not in pids
    [only] = translate_in_processes(make, [["a"]], workers=8)
    assert len(list(tmp_path.iterdir())) <= 3
    assert (tmp_path / str(only)).exists()


def test_no_blocks_need_no_process() -> None:
    assert list(translate_in_processes(partial(make_failing, NmtError("made")), [], workers=2)) == []


def test_two_blocks_for_each_worker_are_asked_for_ahead_of_the_results() -> None:
    asked: list[int] = []
    with closing(translate_in_processes(make_shouter, blocks_of(50, asked), workers=2)) as results:
        assert asked == []
        for number in range(5):
            assert next(results) == [str(number)]
            assert len(asked) <= number + 4


def test_blocks_may_be_larger_than_a_pipe_holds() -> None:
    block = ["abcdefgh" * 128] * 4000  # 4 MB
    results = list(translate_in_processes(make_shouter, [block] * 5, workers=2))
    assert results == [[line.upper() for line in block]] * 5


def test_results_are_given_while_no_more_has_arrived() -> None:
    finished: list[str] = []

    def blocks() -> Iterator[list[str] | None]:
        yield ["a"]
        yield ["b"]
        for expected in ("A", "B"):
            yield None
            assert finished.pop(0) == expected
        yield None
        yield ["c"]

    for [line] in translate_in_processes(make_shouter, blocks(), workers=2):
        finished.append(line)
    assert finished == ["C"]


@pytest.mark.parametrize("kind", [NmtError, ConfigError, DataError, ModelError, TrainingError])
def test_an_error_of_ours_comes_through_as_it_is(kind: type[NmtError]) -> None:
    results = translate_in_processes(partial(make_failing, kind("what is wrong")), [["a"]], workers=1)
    with pytest.raises(NmtError, match=r"^what is wrong$") as caught:
        list(results)
    assert type(caught.value) is kind


def test_the_results_before_an_error_of_a_worker_come_first() -> None:
    make = partial(make_failing_at, "2", ModelError("not finite"))
    results = translate_in_processes(make, blocks_of(9, []), workers=2)
    assert [next(results), next(results)] == [["0"], ["1"]]
    with pytest.raises(ModelError, match=r"^not finite$"):
        next(results)


def test_an_unexpected_error_says_where_in_the_worker_it_was_raised() -> None:
    results = translate_in_processes(partial(make_failing, ValueError("odd")), [["a"]], workers=1)
    with pytest.raises(ValueError, match=r"^odd$") as caught:
        list(results)
    [note] = caught.value.__notes__
    assert note.startswith("In a worker process:\nTraceback")
    assert "in make_failing" in note


def test_an_error_that_cannot_be_pickled_keeps_its_name_and_its_message(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError, match=r"^TwoNumbersError: 1 and 2$") as caught:
        list(translate_in_processes(make_raising_two_numbers, [["a"]], workers=1))
    assert "in make_raising_two_numbers" in caught.value.__notes__[0]
    assert capfd.readouterr().err == ""


def test_an_error_with_a_cause_is_not_noisy(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    results = translate_in_processes(partial(make_missing, tmp_path / "none"), [["a"]] * 4, workers=2)
    with pytest.raises(DataError, match=r"none: No such file or directory$"):
        list(results)
    assert capfd.readouterr() == ("", "")


def test_a_result_that_cannot_be_pickled_is_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Exception, match="pickle"):
        list(translate_in_processes(partial(partial, make_sleeper), [[]], workers=1))  # type: ignore[arg-type]
    assert capfd.readouterr().err == ""


def test_the_results_before_an_error_of_the_blocks_come_first() -> None:
    def blocks() -> Iterator[list[str]]:
        yield from blocks_of(3, [])
        raise DataError("line 4")

    results = translate_in_processes(make_sleeper, blocks(), workers=2)
    assert [next(results) for _ in range(3)] == [["0"], ["1"], ["2"]]
    with pytest.raises(DataError, match=r"^line 4$"):
        next(results)


def test_a_worker_that_dies_is_one_clear_error(capfd: pytest.CaptureFixture[str]) -> None:
    results = translate_in_processes(make_dying, [["a"], ["b"], ["die"], ["c"], ["d"]], workers=2)
    assert [next(results), next(results)] == [["a"], ["b"]]
    message = r"^a worker process ended unexpectedly \(killed\? out of memory\?\); fewer workers need less memory$"
    with pytest.raises(NmtError, match=message):
        list(results)
    assert capfd.readouterr() == ("", "")


def test_closing_early_ends_the_workers_at_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    blocks = [["0"], ["60"], ["60"], ["60"], ["60"]]
    results = translate_in_processes(partial(make_recorded_sleeper, tmp_path), blocks, workers=2)
    assert next(results) == ["0"]
    assert eventually(lambda: len(list(tmp_path.iterdir())) == 2)
    start = time.monotonic()
    results.close()
    assert time.monotonic() - start < 5
    assert not any(exists(int(path.name)) for path in tmp_path.iterdir())
    assert capfd.readouterr() == ("", "")


def make_recorded_sleeper(log: Path) -> Callable[[list[str]], list[str]]:
    make_pid_teller(log)
    return make_sleeper()


PROGRAM = """
import sys
from functools import partial
from pathlib import Path
from nmt.workers import translate_in_processes
from tests.nmt.test_workers import make_recorded_sleeper

try:
    for result in translate_in_processes(partial(make_recorded_sleeper, Path(sys.argv[1])), [["60"]] * 9, workers=2):
        pass
except KeyboardInterrupt:
    sys.exit(130)
"""


def start_program(log: Path) -> subprocess.Popen[str]:
    """Start a program with two workers, in a process group of its own, and wait until they are at work."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(log)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert eventually(lambda: len(list(log.iterdir())) == 2)
    return process


def test_ctrl_c_ends_all_processes_quietly(tmp_path: Path) -> None:
    process = start_program(tmp_path)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    assert process.communicate(timeout=10) == ("", "")
    assert process.returncode == 130
    assert not any(exists(int(path.name)) for path in tmp_path.iterdir())


@pytest.mark.parametrize("delay", [0.02, 0.05, 0.1, 0.15, 0.2, 0.3])
def test_ctrl_c_while_workers_start_is_quiet(tmp_path: Path, delay: float) -> None:
    program = PROGRAM.replace("try:", "print('ready', flush=True)\ntry:", 1)
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(delay)
    os.killpg(process.pid, signal.SIGINT)
    assert process.communicate(timeout=10) == ("", "")
    assert process.returncode == 130
    with suppress(ProcessLookupError):
        os.killpg(process.pid, 0)
        assert not eventually(lambda: False)
