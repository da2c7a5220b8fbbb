"""Several processes on one machine, over gloo, started by torchrun as a user would."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import distributed, nn

from nmt.errors import NmtError, TrainingError
from nmt.prepared import PreparedData, PreparedText
from nmt.training.checkpoint import list_checkpoints
from nmt.training.distributed import Ranks, joined_ranks
from nmt.training.observers import read_metrics

LIMIT = 120
Launch = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def launch(start_process: Callable[..., "subprocess.Popen[Any]"], toy_data: PreparedData, toy_text: Path) -> Launch:
    def launch(
        model: Path,
        *,
        processes: int,
        restarts: int = 0,
        recipe: Path = toy_text / "toy.toml",
        data: Path = toy_data.folder,
        **training: object,
    ) -> "subprocess.Popen[str]":
        settings = [f"training.{name}={value}" for name, value in training.items()]
        options = [part for setting in settings for part in ("--set", setting)]
        options += ["--recipe", str(recipe), "--set", "model.dropout=0.0"]  # each process draws its own
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        command.append(f"--max-restarts={restarts}")
        command += ["-m", "nmt_cli", "train", str(data), str(model), *options]
        paths = os.pathsep.join(path for path in sys.path if path)
        environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
        return start_process(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)

    return launch


def curve(model: Path) -> dict[float | str, float | str]:
    return {record.step: record.values["loss"] for record in read_metrics(model / "metrics.jsonl")}


BASICS = {
    "max_steps": 40,
    "log_every": 5,
    "validate_every": 20,
    "checkpoint_every": 20,
    "accumulate": 2,
    "clip_value": 0.02,
}


def test_two_processes_learn_as_one_does(launch: Launch, tmp_path: Path) -> None:
    alone = launch(tmp_path / "alone", processes=1, **BASICS)
    both = launch(tmp_path / "both", processes=2, threads=2, **BASICS)
    for process in (alone, both):
        stdout, stderr = process.communicate(timeout=LIMIT)
        assert process.returncode == 0, stderr
        assert stdout.count("best at step") == 1  # only the first one speaks
    assert stderr.count("step 40: train loss") == 1
    assert "1 thread, 2 processes" in stderr
    assert stderr.count("warning: training.threads = 2 has no effect on several processes") == 1
    assert curve(tmp_path / "both") == pytest.approx(curve(tmp_path / "alone"), rel=1e-3)


@pytest.mark.slow
def test_another_number_of_processes_goes_on(launch: Launch, tmp_path: Path) -> None:
    for round_of, steps in (({"alone": 1, "both": 2}, 40), ({"alone": 2, "both": 1}, 60)):
        more = {**BASICS, "max_steps": steps}
        for process in [launch(tmp_path / name, processes=number, **more) for name, number in round_of.items()]:
            _, stderr = process.communicate(timeout=LIMIT)
            assert process.returncode == 0, stderr
            assert steps == 40 or "at step 40" in stderr
    assert curve(tmp_path / "both") == pytest.approx(curve(tmp_path / "alone"), rel=2e-3)


@pytest.mark.slow
def test_a_dead_process_ends_all_with_a_message(launch: Launch, tmp_path: Path) -> None:
    model = tmp_path / "m"
    process = launch(model, processes=2, max_steps=10**6, log_every=1, checkpoint_every=10)
    wait_for(lambda: len(list_checkpoints(model)) > 1)
    victim = max(children(process.pid))
    os.kill(victim, signal.SIGKILL)
    _, stderr = process.communicate(timeout=LIMIT)
    assert process.returncode == 1
    assert "another of the 2 processes has ended, so this one cannot go on; its own message says why" in stderr
    assert list_checkpoints(model)


@pytest.mark.slow
def test_processes_that_start_again_where_one_dies_train_the_same_weights(launch: Launch, tmp_path: Path) -> None:
    killed, straight = (
        launch(tmp_path / name, processes=2, restarts=2, max_steps=60, checkpoint_every=10, validate_every=60)
        for name in ("killed", "straight")
    )
    for step, choose in ((10, min), (30, max)):  # the first process, then the other one, of those that began again
        wait_for((tmp_path / "killed" / "checkpoints" / f"step-{step:08}.safetensors").exists)
        os.kill(choose(children(killed.pid)), signal.SIGKILL)
    for process in (killed, straight):
        _, stderr = process.communicate(timeout=LIMIT)
        assert process.returncode == 0, stderr
    ends = [load_file(tmp_path / name / "checkpoints" / "step-00000060.safetensors") for name in ("killed", "straight")]
    assert ends[0].keys() == ends[1].keys()
    assert [name for name, tensor in ends[0].items() if not torch.equal(tensor, ends[1][name])] == []


def test_a_signal_to_torchrun_saves_and_stops(launch: Launch, tmp_path: Path) -> None:
    model = tmp_path / "m"
    process = launch(model, processes=2, max_steps=10**6, log_every=1, checkpoint_every=10**6)
    wait_for(lambda: (model / "metrics.jsonl").exists() and (model / "metrics.jsonl").stat().st_size > 0)
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=LIMIT)
    assert "the same command continues from there" in stderr
    assert max(int(path.stem.removeprefix("step-")) for path in list_checkpoints(model)) > 0


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def children(parent: int) -> list[int]:
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(parent)], capture_output=True, text=True, check=True)
    return [int(line) for line in listed.stdout.split()]


def test_one_process_is_alone_and_says_so() -> None:
    with joined_ranks() as ranks:
        assert ranks == Ranks(0, 1, 0)
    assert ranks.is_first
    assert ranks.sum(2.5) == 2.5
    assert ranks.any(True) is True
    assert ranks.from_first((1.0, 2.0)) == (1.0, 2.0)
    module = nn.Linear(1, 1)
    assert ranks.wrap(module, torch.device("cpu")) is module


def test_processes_meet_once_each_has_its_device_and_over_nccl_on_gpus_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    met = list[tuple[str, torch.device | None]]()
    monkeypatch.setattr(
        distributed, "init_process_group", lambda backend, *, device_id, **others: met.append((backend, device_id))
    )
    monkeypatch.setattr(Ranks, "_meet", lambda ranks: distributed.HashStore())
    for name, value in {"TORCHELASTIC_RUN_ID": "1", "RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    with joined_ranks() as ranks:
        assert (ranks, met) == (Ranks(5, 8, 1), [])
        ranks.join(torch.device("cpu"))  # on a machine with GPUs too
        ranks.join(torch.device("cuda", 1))
        monkeypatch.setattr(distributed, "is_initialized", lambda: True)
        ranks.join(torch.device("cpu"))
        monkeypatch.undo()
    assert met == [("gloo", None), ("cpu:gloo,cuda:nccl", torch.device("cuda", 1))]


def test_processes_that_are_started_again_meet_each_other_and_not_those_before(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    store = distributed.HashStore()  # which torchrun keeps
    monkeypatch.setattr("nmt.training.distributed.rendezvous", lambda url: iter([(store, 0, 0)]))
    monkeypatch.setattr("nmt.training.distributed._LOOK", 0.001)
    told = set[tuple[str, ...]]()
    with ThreadPoolExecutor(3) as threads:
        for start in ("first", "second"):

            def meet(rank: int, start: str = start) -> str:
                if rank == 0:
                    time.sleep(0.05)  # so that the others look at what those before have left
                found = Ranks(rank, 3)._meet()
                found.set(str(rank), start)
                found.wait([str((rank + 1) % 3)])
                return found.get(str((rank + 1) % 3)).decode()

            told.add(tuple(threads.map(meet, range(3))))
    assert told == {("first",) * 3, ("second",) * 3}


def test_processes_that_see_no_common_folder_say_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Ranks, "_meet", lambda ranks: distributed.HashStore())
    expected = "is not the folder that process 0 sees under this name, so they cannot share the work; machines without"
    with pytest.raises(NmtError, match=expected), Ranks(1, 2).met(tmp_path):
        pass
    with Ranks(0, 2).met(tmp_path), Ranks(1, 2).met(tmp_path):
        pass


def test_on_gpus_torch_does_not_complain_of_gradients_that_come_from_another_stream(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told, wrapped = list[bool](), list[dict[str, object]]()
    monkeypatch.setattr(torch.autograd.graph, "set_warn_on_accumulate_grad_stream_mismatch", told.append)
    monkeypatch.setattr(
        "nmt.training.distributed.DistributedDataParallel", lambda module, **options: wrapped.append(options)
    )
    for device in (torch.device("cpu"), torch.device("cuda", 1)):
        Ranks(0, 2).wrap(nn.Linear(1, 1), device)
    assert [options["device_ids"] for options in wrapped] == [None, [torch.device("cuda", 1)]]
    assert told == [False]


@pytest.mark.parametrize(
    "message", ["[pair.cc:534] Connection closed by peer [127.0.0.1]:4711", "writev: Broken pipe", "Socket closed"]
)
def test_a_lost_connection_is_said_in_one_line(message: str) -> None:
    with pytest.raises(TrainingError, match="another of the 3 processes has ended"), Ranks(1, 3).together():
        raise RuntimeError(message)


def test_other_errors_are_left_alone() -> None:
    with pytest.raises(RuntimeError, match="shape"), Ranks(1, 3).together():
        raise RuntimeError("shape mismatch")
    with pytest.raises(RuntimeError, match="Connection"), Ranks().together():
        raise RuntimeError("Connection closed")


@pytest.mark.slow
def test_two_processes_share_the_rows_of_a_text_and_another_number_goes_on(
    launch: Launch, counting_data: PreparedText, counting_text: Path, tmp_path: Path
) -> None:
    def start(name: str, processes: int, steps: int) -> "subprocess.Popen[str]":
        basics = {"max_steps": steps, "log_every": 5, "validate_every": 25, "checkpoint_every": 25}
        recipe, data = counting_text / "counting.toml", counting_data.folder
        return launch(tmp_path / name, processes=processes, recipe=recipe, data=data, **basics)

    for round_of in ({"alone": 1, "both": 2}, {"alone": 2, "both": 1}):  # step 25 is in the middle of the first pass
        steps = 25 if round_of["alone"] == 1 else 40
        for process in [start(name, number, steps) for name, number in round_of.items()]:
            _, stderr = process.communicate(timeout=LIMIT)
            assert process.returncode == 0, stderr
        assert len(curve(tmp_path / "both")) == steps // 5
        assert curve(tmp_path / "both") == pytest.approx(curve(tmp_path / "alone"), rel=2e-3)


def test_a_tensor_alone_is_its_own_sum() -> None:
    assert Ranks().sum_of(torch.tensor([1.0, 2.0])).tolist() == [1.0, 2.0]
