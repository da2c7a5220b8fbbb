"""The workers are real processes; what they run is in this module, which they import."""

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from nmt.errors import ConfigError, DataError, ModelError, NmtError, TrainingError
from nmt.io.lines import read_lines
from nmt.io.workers import map_blocks, map_in_processes


class TwoNumbersError(Exception):
    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} and {second}")


def shout(lines: list[str]) -> list[str]:
    return [line.upper() for line in lines]


def make_shouter() -> Callable[[list[str]], list[str]]:
    return shout


def make_pid_teller(log: Path) -> Callable[[list[str]], int]:
    """Write down that this worker was made, in a file with its number."""
    with (log / str(os.getpid())).open("a") as file:
        file.write("made\n")
    return lambda lines: os.getpid()


def make_mask_teller() -> Callable[[list[str]], bool]:
    return lambda lines: signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def make_sleeper() -> Callable[[list[str]], list[str]]:
    def sleep(lines: list[str]) -> list[str]:
        time.sleep(float(lines[0]))
        return lines

    return sleep


def make_recorded_worker(log: Path) -> Callable[[list[str]], list[str]]:
    make_pid_teller(log)

    def work(lines: list[str]) -> list[str]:
        end = time.thread_time() + float(lines[0])
        while time.thread_time() < end:
            pass
        return lines

    return work


def make_recorded_sleeper(log: Path) -> Callable[[list[str]], list[str]]:
    make_pid_teller(log)
    return make_sleeper()


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


def make_giving_functions() -> Callable[[list[str]], Callable[[], None]]:
    return lambda lines: lambda: None


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


def pids(log: Path) -> list[int]:
    return [int(path.name) for path in log.iterdir()]


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def eventually(what: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 120
    while not what() and time.monotonic() < deadline:
        time.sleep(0.01)
    return what()


def test_little_work_or_one_worker_needs_no_process(tmp_path: Path) -> None:
    make, here = partial(make_pid_teller, tmp_path), os.getpid()
    assert list(map_blocks(make, [["a", "b"], ["c"]], workers=4, alone=60.0)) == [here] * 2
    assert list(map_blocks(make, [["a"], ["b"], ["c"]], workers=1, alone=0.0)) == [here] * 3
    assert list(map_blocks(make, [], workers=4, alone=0.0)) == []
    [made] = tmp_path.iterdir()
    assert made.read_text() == "made\n" * 2


def test_several_blocks_are_shared_among_processes(tmp_path: Path) -> None:
    with closing(map_blocks(make_shouter, [["a"], ["b"], ["c"]], workers=2, alone=0.0)) as results:
        assert list(results) == [["A"], ["B"], ["C"]]
    told = set(map_blocks(partial(make_pid_teller, tmp_path), [["a"], ["b"]], workers=2, alone=0.0))
    assert os.getpid() not in told


def test_processes_are_started_when_the_first_blocks_have_taken_their_time(tmp_path: Path) -> None:
    blocks = [["0"], ["0.2"], ["0"]]
    assert list(map_blocks(partial(make_recorded_worker, tmp_path), blocks, workers=2, alone=0.1)) == blocks
    assert os.getpid() in pids(tmp_path)
    assert len(pids(tmp_path)) == 2


def test_results_come_in_the_order_of_the_blocks() -> None:
    blocks = [["0.2"], ["0"], ["0.05"], ["0"], ["0"]]
    assert list(map_in_processes(make_sleeper, blocks, workers=2)) == blocks


def test_a_worker_is_made_once_and_a_block_needs_one_worker(tmp_path: Path) -> None:
    make = partial(make_pid_teller, tmp_path)
    [first, *others] = map_in_processes(make, [["a"]], workers=8)
    assert (pids(tmp_path), others) == ([first], [])
    told = set(map_in_processes(make, [["a"]] * 6, workers=2))
    assert len(told) in {1, 2}  # one may do all before the other has started
    assert os.getpid() not in told
    assert {(tmp_path / str(pid)).read_text() for pid in told} == {"made\n"}


def test_no_blocks_need_no_process() -> None:
    assert list(map_in_processes(partial(make_failing, NmtError("made")), [], workers=2)) == []


def test_two_blocks_for_each_worker_are_asked_for_ahead_of_the_results() -> None:
    asked: list[int] = []
    with closing(map_in_processes(make_shouter, blocks_of(50, asked), workers=2)) as results:
        assert asked == []
        for number in range(5):
            assert next(results) == [str(number)]
            assert len(asked) <= number + 4


def test_blocks_may_be_larger_than_a_pipe_holds() -> None:
    block = ["abcdefgh" * 128] * 4000  # 4 MB
    results = list(map_in_processes(make_shouter, [block] * 3, workers=2))
    assert results == [[line.upper() for line in block]] * 3


def test_results_are_given_while_no_more_has_arrived() -> None:
    finished: list[list[str]] = []

    def blocks() -> Iterator[list[str]]:
        yield from (["a"], ["b"], [])
        assert finished == [["A"], ["B"]]
        yield from ([], ["c"])

    for result in map_in_processes(make_shouter, blocks(), workers=2):
        finished.append(result)
    assert finished == [["A"], ["B"], ["C"]]


@pytest.mark.parametrize("kind", [NmtError, ConfigError, DataError, ModelError, TrainingError])
def test_errors_of_ours_survive_the_way_between_processes(kind: type[NmtError]) -> None:
    copy = pickle.loads(pickle.dumps(kind("what is wrong")))
    assert (type(copy), str(copy)) == (kind, "what is wrong")


def test_the_results_before_an_error_of_a_worker_come_first() -> None:
    make = partial(make_failing_at, "2", ModelError("not finite"))
    results = map_in_processes(make, blocks_of(9, []), workers=2)
    assert [next(results), next(results)] == [["0"], ["1"]]
    with pytest.raises(ModelError, match=r"^not finite$"):
        next(results)


def test_an_error_shows_where_in_the_worker_it_was_raised() -> None:
    with pytest.raises(ValueError, match=r"^odd$") as caught:
        list(map_in_processes(partial(make_failing, ValueError("odd")), [["a"]], workers=1))
    cause = str(caught.value.__cause__)
    assert cause.startswith("in a worker process:\nTraceback")
    assert "in make_failing" in cause


def test_an_error_that_cannot_be_pickled_keeps_its_name_and_its_message(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError, match=r"^TwoNumbersError: 1 and 2$"):
        list(map_in_processes(make_raising_two_numbers, [["a"]], workers=1))
    assert capfd.readouterr() == ("", "")


def test_an_error_of_all_workers_is_one_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    results = map_in_processes(partial(make_missing, tmp_path / "none"), [["a"]] * 4, workers=2)
    with pytest.raises(DataError, match=r"none: No such file or directory$"):
        list(results)
    assert capfd.readouterr() == ("", "")


def test_a_result_that_cannot_be_pickled_is_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(AttributeError, match=r"^Can't pickle local object"):
        list(map_in_processes(make_giving_functions, [["a"]], workers=1))
    assert capfd.readouterr() == ("", "")


def test_the_results_before_an_error_of_the_blocks_come_first() -> None:
    def blocks() -> Iterator[list[str]]:
        yield from blocks_of(3, [])
        raise DataError("line 4")

    results = map_in_processes(make_shouter, blocks(), workers=2)
    assert [next(results) for _ in range(3)] == [["0"], ["1"], ["2"]]
    with pytest.raises(DataError, match=r"^line 4$"):
        next(results)


def test_a_worker_that_dies_is_one_clear_error(capfd: pytest.CaptureFixture[str]) -> None:
    results = map_in_processes(make_dying, [["a"], ["b"], ["die"], ["c"], ["d"]], workers=2)
    assert [next(results), next(results)] == [["a"], ["b"]]
    message = r"^a worker process ended unexpectedly \(killed\? out of memory\?\); fewer workers need less memory$"
    with pytest.raises(NmtError, match=message):
        list(results)
    assert capfd.readouterr() == ("", "")


def test_closing_early_ends_the_workers_at_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    blocks = [["0"], ["600"], ["600"], ["600"], ["600"]]
    results = map_in_processes(partial(make_recorded_sleeper, tmp_path), blocks, workers=2)
    assert next(results) == ["0"]
    assert eventually(lambda: len(pids(tmp_path)) == 2)
    start = time.monotonic()
    results.close()
    assert time.monotonic() - start < 60
    assert all(map(is_gone, pids(tmp_path)))
    assert capfd.readouterr() == ("", "")


ROOT = Path(__file__).parents[3]
StartProcess = Callable[..., "subprocess.Popen[str]"]

PROGRAM = """
import sys
from functools import partial
from pathlib import Path
from nmt.io.workers import map_in_processes
from tests.nmt.io.test_workers import make_recorded_sleeper

try:
    print("ready", flush=True)
    list(map_in_processes(partial(make_recorded_sleeper, Path(sys.argv[1])), [[sys.argv[2]]] * 1000, workers=2))
except KeyboardInterrupt:
    sys.exit(130)
"""


def start_program(start_process: StartProcess, log: Path, seconds: float) -> "subprocess.Popen[str]":
    """Start a program whose two workers spend `seconds` with each block, in a process group of its own."""
    command = [sys.executable, "-c", PROGRAM, str(log), str(seconds)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = start_process(command, cwd=ROOT, text=True, start_new_session=True, **pipes)
    assert process.stdout.readline() == "ready\n"
    return process


def end_of(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Wait until no process has the output of the program open any more."""
    stdout, stderr = process.communicate(timeout=120)
    return process.returncode, stdout, stderr


def test_ctrl_c_ends_all_processes_quietly(start_process: StartProcess, tmp_path: Path) -> None:
    process = start_program(start_process, tmp_path, seconds=60)
    assert eventually(lambda: len(pids(tmp_path)) == 2)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    assert end_of(process) == (130, "", "")
    assert all(map(is_gone, pids(tmp_path)))


def test_ctrl_c_while_workers_start_is_quiet(start_process: StartProcess, tmp_path: Path) -> None:
    process = start_program(start_process, tmp_path, seconds=60)
    time.sleep(0.15)
    os.killpg(process.pid, signal.SIGINT)
    assert end_of(process) == (130, "", "")


def test_the_first_worker_of_a_program_never_hears_of_ctrl_c_nor_does_its_parent_miss_it() -> None:
    program = """
from nmt.io.workers import map_in_processes
from tests.nmt.io.test_workers import make_mask_teller
print(list(map_in_processes(make_mask_teller, [["a"]], workers=1)), make_mask_teller()([]))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[True] False\n", "")


def test_workers_end_quietly_when_their_parent_is_killed(start_process: StartProcess, tmp_path: Path) -> None:
    process = start_program(start_process, tmp_path, seconds=0.05)
    assert eventually(lambda: len(pids(tmp_path)) == 2)
    process.kill()
    assert end_of(process) == (-signal.SIGKILL, "", "")


FORKS = """
import sys
import time
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from nmt.io.workers import Worker
from tests.nmt.io.test_workers import make_pid_teller

workers = [Worker(partial(make_pid_teller, Path(sys.argv[1])), get_context("fork")) for _ in range(2)]
for worker in workers:
    worker.work_on(["a"])
print("ready", flush=True)
time.sleep(600)
"""


def test_forks_end_quietly_when_their_parent_is_killed(start_process: StartProcess, tmp_path: Path) -> None:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = start_process([sys.executable, "-c", FORKS, str(tmp_path)], cwd=ROOT, text=True, **pipes)
    assert process.stdout.readline() == "ready\n"
    assert len(pids(tmp_path)) == 2
    process.kill()
    assert end_of(process) == (-signal.SIGKILL, "", "")
