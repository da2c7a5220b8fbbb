"""Tokenizers trained in a process of their own: where its memory runs out, SentencePiece ends the process it is in."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from nmt.errors import NmtError
from nmt.memory import describe_out_of_memory, is_out_of_memory
from nmt.subword.training import VocabularyTooLargeError, train_tokenizer
from nmt.workers import map_in_processes


@dataclass(frozen=True)
class _Sample:
    """Lines on disk."""

    path: Path
    lines: int

    def __len__(self) -> int:
        return max(1, self.lines)  # nothing is done for a block of none, but this has to fail as always

    def read(self) -> Iterator[str]:
        with self.path.open(encoding="utf-8", newline="\n") as file:
            for line in file:
                yield line.removesuffix("\n")


def train_apart(lines: Iterable[str], sample: Path, **options: Any) -> bytes:
    """Do as `train_tokenizer`, which takes the same options, in a process of its own.

    Args:
        lines: The text.
        sample: Where it is put for that process, and removed.
        options: Those of `train_tokenizer`.

    Raises:
        NmtError: As for `train_tokenizer`, or the memory ran out.
    """
    try:
        with sample.open("w", encoding="utf-8", newline="\n") as file:
            count = 0
            for line in lines:
                file.write(f"{line}\n")
                count += 1
        with closing(map_in_processes(partial(_make_trainer, options), [_Sample(sample, count)], workers=1)) as results:
            [result] = results
    except Exception as error:
        has_ended = type(error) is NmtError  # the process, without a word of its own
        if not has_ended and (isinstance(error, NmtError) or not is_out_of_memory(error)):
            raise
        raise NmtError(f"the tokenizer cannot be trained: {describe_out_of_memory()}") from error
    finally:
        sample.unlink(missing_ok=True)
    if isinstance(result, bytes):
        return result
    raise VocabularyTooLargeError(asked=result[0], largest=result[1])


def _make_trainer(options: dict[str, Any]) -> Callable[[_Sample], bytes | tuple[int, int]]:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what C++ says where it ends a process is no line for a user
    return partial(_train_or_count, options)


def _train_or_count(options: dict[str, Any], sample: _Sample) -> bytes | tuple[int, int]:
    """Train; where fewer pieces are to be had, return how many were asked for, and the largest number."""
    try:
        return train_tokenizer(sample.read(), **options)
    except VocabularyTooLargeError as error:
        return error.asked, error.largest
