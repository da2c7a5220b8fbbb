import errno
import subprocess
import sys

import pytest
import torch

from nmt import errors
from nmt.errors import (
    describe_out_of_memory,
    describe_out_of_processes,
    is_out_of_memory,
    is_out_of_processes,
    memory_limit,
)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("no"),
        RuntimeError("CUBLAS_STATUS_ALLOC_FAILED"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
        OSError("std::bad_alloc"),
        BaseException("PyObject pointer is null"),
        ImportError("lib.so: failed to map segment from shared object"),
    ],
)
def test_memory_that_runs_out_is_known_whoever_says_so(error: BaseException) -> None:
    assert is_out_of_memory(error)


@pytest.mark.parametrize(
    "error", [RuntimeError("could not create a primitive"), SystemError("error return without exception set")]
)
def test_what_may_have_other_reasons_counts_under_a_limit_only(
    error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(errors, "memory_limit", lambda: None)
    assert not is_out_of_memory(error)
    monkeypatch.setattr(errors, "memory_limit", lambda: 3 << 30)
    assert is_out_of_memory(error)


def test_other_errors_are_other_errors() -> None:
    assert not is_out_of_memory(RuntimeError("shapes do not match"))


def test_nothing_has_to_be_loaded_to_say_that_memory_ran_out() -> None:
    code = "import sys, nmt.errors as m; n = len(sys.modules); m.describe_out_of_memory(); print(len(sys.modules) - n)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"


def test_a_limit_of_the_shell_is_named() -> None:
    pytest.importorskip("resource")
    code = (
        "import resource; from nmt.errors import *; print(memory_limit())\n"
        "resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))\n"
        "print(memory_limit(), describe_out_of_memory())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, after = done.stdout.splitlines()
    assert before == str(memory_limit())
    expected = "out of memory: the limit of this process is 3,072 MiB (ulimit); smaller batches"
    assert after.startswith(f"{3 << 30} {expected}")
    if memory_limit() is None:
        assert describe_out_of_memory().startswith("out of memory; smaller batches")


@pytest.mark.parametrize(
    ("error", "is_it"),
    [
        (RuntimeError("Resource temporarily unavailable"), True),  # torch
        (RuntimeError("can't start new thread"), True),
        (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), True),  # a fork
        (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable", "<stdout>"), False),
        (RuntimeError("shapes do not match"), False),
    ],
)
def test_a_thread_or_process_that_cannot_be_started_is_known_whoever_says_so(error: Exception, is_it: bool) -> None:
    assert is_out_of_processes(error) is is_it


def test_what_may_have_kept_a_process_from_starting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (resource.RLIM_INFINITY,) * 2)
    assert describe_out_of_processes() == (
        "a thread or a process could not be started; use fewer (--workers, training.threads, OMP_NUM_THREADS) or "
        "raise the limit"
    )
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (3 << 30 if kind == resource.RLIMIT_AS else 1 << 40,) * 2)
    assert "; the limits here are 1,099,511,627,776 processes (ulimit -u) and 3,072 MiB of memory" in (
        describe_out_of_processes()
    )
