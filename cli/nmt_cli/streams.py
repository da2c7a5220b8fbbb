"""Where commands read lines from and write lines to: files, stdin and stdout."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from io import BufferedReader

    from nmt.corpus.reading import OnBadUtf8
    from nmt.streams import LineSource

STREAM: Final = Path("-")
"""Names stdin, or stdout."""
_STDIN: Final = "<stdin>"

STREAM_BLOCK: Final = 500
"""Lines of a stream, and of a worker's share, that are taken together: few, so that the first are not kept waiting."""


def block_of(source: Path) -> int:
    """Return how many lines are taken together."""
    return STREAM_BLOCK if source == STREAM else 4000


def open_lines(source: Path, on_bad_utf8: "OnBadUtf8", *, in_sections: bool = False) -> "tuple[str, LineSource]":
    """Open the input; give what messages call it, and its lines, very long ones in sections if they are to be."""
    from nmt.corpus.reading import read_in_sections, read_lines
    from nmt.corpus.sources.compressed import SECTION_BYTES
    from nmt.corpus.sources.documents import refuse_documents
    from nmt.errors import DataError
    from nmt.streams import ArrivingLines, FileLines

    if source != STREAM:
        refuse_documents(source)
        return str(source), FileLines((read_in_sections if in_sections else read_lines)(source, on_bad_utf8))
    if sys.stdin is None:
        raise DataError("stdin is closed, so no text can be read from it; name a file, or pipe text into the command")
    stdin = cast("BufferedReader", sys.stdin.buffer)
    return _STDIN, ArrivingLines(stdin, _STDIN, on_bad_utf8, longest=SECTION_BYTES if in_sections else None)


def refuse_replacing(inputs: Iterable[Path], outputs: Iterable[Path]) -> None:
    """Refuse outputs that would take the place of a file that is read, under whatever name.

    Raises:
        UsageError: One of them is one of the inputs.
    """
    from nmt.errors import UsageError

    files = [path for path in inputs if path != STREAM and path.is_file()]
    for output in outputs:
        if output != STREAM and output.is_file() and any(output.samefile(path) for path in files):
            raise UsageError(f"{output} is an input, so it cannot be written: the result would replace it")


@contextmanager
def open_output(path: Path) -> Iterator[IO[bytes]]:
    """Open stdout, or a file that gets its name when all is done; devices and named pipes are written in place.

    Raises:
        ConfigError: The folder of the file does not exist.
    """
    from nmt.errors import ConfigError
    from nmt.files import written

    if path == STREAM:
        yield sys.stdout.buffer
    elif not path.parent.is_dir():
        raise ConfigError(f"{path} cannot be written: there is no folder {path.parent}")
    else:
        with written(path) as file:
            yield file
