"""`nmt run --parallel`: several stages at a time, each of them `nmt run --stage` in a process of its own."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import SimpleQueue
from types import FrameType
from typing import TYPE_CHECKING, Final

import typer

from nmt_cli.terminal import on_signals, say

if TYPE_CHECKING:
    from nmt.graph.order import StageNode

_LOOK: Final = 1.0
"""Seconds between two looks at whether the process is still there that a stage is done for."""


class SideBySide:
    """Does stages, so many at a time, each as soon as what it needs is done, the first ones first.

    Each has its share of the cores, and one GPU, where there are some. What it says is told with its name before it.
    Where one fails, those under way go on to their end, and no other is begun. After Ctrl-C or SIGTERM all of them stop
    as one alone does.
    """

    def __init__(self, command: Callable[[str], list[str]], *, at_once: int) -> None:
        """Take what gives the command line that does the stage of a name."""
        from nmt.io.limits import share_cores

        self._command = command
        self._free = dict(enumerate(share_cores(at_once)))
        """Places where nothing is done, and the cores of each."""
        self._running: dict[str, tuple[subprocess.Popen[str], int, list[int]]] = {}
        """Stages with their places and cores."""
        self._ended: SimpleQueue[tuple[str, int]] = SimpleQueue()
        self._is_stopped = False

    def do(self, nodes: "Sequence[StageNode]") -> None:
        """Do what is not done; a failure, which has been told, is that of this command."""
        from nmt.graph.records import look

        waiting, done, failure = list(nodes), set[str](), 0
        with on_signals(self._stop):
            while True:
                ready = [node for node in waiting if all(need.name in done for need in node.needs)]
                if ready and self._free and not (self._is_stopped or failure):
                    waiting.remove(ready[0])
                    if look(ready[0]).is_done:
                        say(f"{ready[0].name}: {ready[0].result} is up to date")
                        done.add(ready[0].name)
                    else:
                        self._start(ready[0].name)
                elif self._running:
                    name, code = self._wait()
                    if code == 0:
                        done.add(name)
                    elif not self._is_stopped:
                        failure = failure or max(1, code)
                        how = f"was ended by signal {-code}" if code < 0 else "failed"
                        others = f"; {' and '.join(self._running)} will be finished" if self._running else ""
                        say(f"{name} {how}: no other stage is begun{others}")
                else:
                    break
        if self._is_stopped:
            raise KeyboardInterrupt
        if failure:
            raise typer.Exit(failure)

    def _start(self, name: str) -> None:
        place = min(self._free)
        cores, devices = self._free.pop(place), _devices()
        environment = os.environ | {"OMP_NUM_THREADS": str(min(len(cores), _threads(os.environ)))}
        if devices:
            environment["CUDA_VISIBLE_DEVICES"] = devices[place % len(devices)]
        process = subprocess.Popen(
            self._command(name),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # the table of results
            stderr=subprocess.PIPE,
            env=environment,
            text=True,
            errors="backslashreplace",
            start_new_session=True,  # a terminal's Ctrl-C is passed on once, and not twice
        )
        self._running[name] = process, place, cores
        if hasattr(os, "sched_setaffinity"):
            with suppress(ProcessLookupError):
                os.sched_setaffinity(process.pid, cores)
        threading.Thread(target=self._tell, args=(name, process), daemon=True).start()
        if self._is_stopped:  # meanwhile
            process.terminate()

    def _tell(self, name: str, process: "subprocess.Popen[str]") -> None:
        with process:
            for line in process.stderr or ():
                say(f"{name}: {line.rstrip()}")
        self._ended.put((name, process.returncode))

    def _wait(self) -> tuple[str, int]:
        """Wait until a stage has ended; return its name and exit code."""
        name, code = self._ended.get()
        _, place, cores = self._running.pop(name)
        self._free[place] = cores
        return name, code

    def _stop(self, number: int, frame: FrameType | None) -> None:
        """Pass a signal on to all stages."""
        self._is_stopped = True
        for process, _, _ in list(self._running.values()):
            process.terminate()


def command_of(arguments: Sequence[str], name: str) -> list[str]:
    """Return the command line that does a stage alone, by the arguments of `nmt` that name the recipe."""
    return [sys.executable, "-m", "nmt_cli.side_by_side", *arguments, "--stage", name]


def _threads(environment: "os._Environ[str]") -> int:
    said = environment.get("OMP_NUM_THREADS", "").strip()
    return int(said) if said.isdecimal() and int(said) else sys.maxsize


def _devices() -> list[str]:
    """Name the GPUs that this process may use."""
    import torch

    said = os.environ.get("CUDA_VISIBLE_DEVICES")
    return said.split(",") if said else list(map(str, range(torch.cuda.device_count())))


def _do_one() -> None:
    """Do what the arguments say; stop as after Ctrl-C on SIGTERM, and when the process is gone that asked for it."""
    caller = os.getppid()

    def watch() -> None:
        while os.getppid() == caller:
            time.sleep(_LOOK)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # nobody reads what would be said
        os.kill(os.getpid(), signal.SIGTERM)

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    threading.Thread(target=watch, daemon=True).start()
    from nmt_cli.main import app

    app(prog_name="nmt")


if __name__ == "__main__":
    _do_one()
