"""Tokenizers trained in a process of their own: where its memory runs out, SentencePiece ends the process it is in."""

import os
from collections.abc import Callable, Iterable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from nmt.errors import NmtError
from nmt.memory import describe_out_of_memory, is_out_of_memory
from nmt.subword.training import VocabularyTooLargeError, train_tokenizer
from nmt.workers import map_in_processes


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
            file.writelines(f"{line}\n" for line in lines)
        with closing(map_in_processes(partial(_make_trainer, options), [[sample]], workers=1)) as results:
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


def _make_trainer(options: dict[str, Any]) -> Callable[[list[Path]], bytes | tuple[int, int]]:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what C++ says where it ends a process is no line for a user
    return partial(_train_or_count, options)


def _train_or_count(options: dict[str, Any], block: list[Path]) -> bytes | tuple[int, int]:
    """Train on a file; where fewer pieces are to be had, return how many were asked for, and the largest number."""
    [sample] = block
    try:
        with sample.open(encoding="utf-8", newline="\n") as file:
            return train_tokenizer((line.removesuffix("\n") for line in file), **options)
    except VocabularyTooLargeError as error:
        return error.asked, error.largest
