"""A translation as a job, which worker processes can share: each takes blocks of lines."""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Literal

from nmt.markup import Region
from nmt.streams import FileLines, LineSource
from nmt.translate.flow import translate_source
from nmt.translate.options import DEFAULT, Options
from nmt.translate.result import Translation, whole_lines
from nmt.translate.translator import Precision, Translator

Translations = list[list[Translation]]


@dataclass(frozen=True)
class Block:
    """Lines that are translated together."""

    first_line: int
    """The number of the first one."""
    lines: list[str]
    opened: Region | None = None
    """What of the markup of a document is open before the first one."""

    def __len__(self) -> int:
        return len(self.lines)


def blocks_of(source: LineSource, size: int, options: Options = DEFAULT) -> Iterator[Block]:
    """Cut a source into blocks of at most `size` lines; an empty one says that no more has arrived yet."""
    done, opened, wait = 0, None, True
    while not source.ended:
        block = Block(done, source.take(size, wait=wait), opened)
        done += len(block)
        opened = options.left_open(block.lines, opened)
        wait = not block.lines and not wait
        yield block


@dataclass(frozen=True)
class Job:
    """Which models translate, where, and how."""

    folders: tuple[Path, ...]
    device: Literal["auto", "cpu", "cuda"]
    precision: Precision | None
    options: Options
    language_model: Path | None = None
    """A language model that has a say."""

    def load(self) -> Translator:
        """Load the models; see `Translator.load`."""
        return Translator.load(
            *self.folders, device=self.device, precision=self.precision, language_model=self.language_model
        )

    def translate(self, source: LineSource, *, block: int) -> Generator[Translations, None, None]:
        """Translate all lines of a source in this process; see `translate_source`."""
        found = translate_source(self.load().flow(self.options), source, block=block)
        yield from whole_lines(found, markup=self.options.markup)

    def start(self) -> Callable[[Block], Translations]:
        """Load the models in a worker process; return what translates a block there."""
        return partial(_translate, self.load(), self.options)


def _translate(translator: Translator, options: Options, block: Block) -> Translations:
    flow = translator.flow(options, first_line=block.first_line, opened=block.opened)
    return list(chain.from_iterable(translate_source(flow, FileLines(block.lines), block=len(block))))
