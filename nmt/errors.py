"""What can go wrong for a user: an `NmtError`, whose message is one line; memory that runs out; amounts in words."""

import resource  # now: when memory has run out, it could not be loaded
from datetime import timedelta
from typing import Final


class NmtError(Exception):
    """An expected failure; the message says where, what was found and what was expected."""


class ConfigError(NmtError):
    """A setting, recipe or combination of settings that cannot be used."""


class UsageError(ConfigError):
    """Options that contradict or lack each other, whatever the data, the settings and the model are."""


class DataError(NmtError):
    """A text file or a prepared data folder that cannot be used."""


class ModelError(NmtError):
    """A model folder or checkpoint that cannot be used."""


class TrainingError(NmtError):
    """A training run that cannot go on; the last good checkpoint is kept."""


NOT_FINITE: Final = "the model gives scores that are not finite numbers; its weights cannot be used"


class NmtWarning(UserWarning):
    """What a user should know though the work goes on; the message is one line, which `nmt` writes to stderr."""


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Say how many there are: "1 line", "2,000 lines"; `plural` is for a noun that takes more than an s."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def clock(seconds: float) -> str:
    """Write a duration as hours, minutes and seconds."""
    return str(timedelta(seconds=round(seconds)))


def install(extra: str) -> str:
    """Say how an optional extra of this package is installed, which no package index has."""
    return f"in a checkout of nmt: pip install '.[{extra}]'"


_SIGNS: Final = (
    "ALLOC_FAILED",
    "out of memory",
    "allocate memory",
    "not enough memory",
    "bad_alloc",
    "failed to map",
    "PyObject pointer is null",  # safetensors, as an exception that is no `Exception`
)
"""What libraries write where they raise no `MemoryError`."""
_VAGUE: Final = (
    "could not create a primitive",  # oneDNN
    "error return without exception set",  # Python, of code in C
)
"""What they write then too, but for other reasons as well: under a limit, that is the likely one."""


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether memory ran out: Python's, torch's, or that of a library below them, or for loading one."""
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"  # the latter is torch's
    signs = _SIGNS if memory_limit() is None else _SIGNS + _VAGUE
    return named or any(sign in str(error) for sign in signs)


def memory_limit() -> int | None:
    """Return the bytes of address space or data that this process may take (`ulimit -v`, `ulimit -d`); None: all."""
    limits = [resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA)]
    return min((limit for limit in limits if limit != resource.RLIM_INFINITY), default=None)


def describe_out_of_memory() -> str:
    """Say in a line that memory ran out, and what needs less."""
    limit = memory_limit()
    may = f": the limit of this process is {limit >> 20:,} MiB (ulimit)" if limit is not None else ""
    return (
        f"out of memory{may}; smaller batches (training.batch_tokens, search.batch_tokens), fewer workers and fewer "
        "lines for the tokenizer (tokenizer.max_training_lines) need less"
    )


def is_out_of_processes(error: BaseException) -> bool:
    """Tell whether a thread or a process could not be started: by Python, or by a library in C++."""
    signs = ("Resource temporarily unavailable", "can't start new thread")
    of_a_file = isinstance(error, OSError) and error.filename is not None  # which would block
    return isinstance(error, OSError | RuntimeError) and not of_a_file and any(sign in str(error) for sign in signs)


def describe_out_of_processes() -> str:
    """Say in a line that no thread or process could be started, and what to do."""
    processes, memory = resource.getrlimit(resource.RLIMIT_NPROC)[0], memory_limit()
    limits = (
        [] if processes == resource.RLIM_INFINITY else [f"{counted(processes, 'process', 'processes')} (ulimit -u)"]
    )
    limits += [] if memory is None else [f"{memory >> 20:,} MiB of memory (ulimit -v)"]
    may = f"; the limits here are {' and '.join(limits)}" if limits else ""
    return (
        f"a thread or a process could not be started{may}; use fewer (--workers, training.threads, OMP_NUM_THREADS) "
        "or raise the limit"
    )
