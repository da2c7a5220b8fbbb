"""A long file translated in blocks of lines, which outlive a kill and which several processes share."""

import hashlib
import time
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import IO, Final

from nmt.errors import DataError, NmtWarning, counted
from nmt.io.arriving import FileLines
from nmt.io.compressed import BegunBytes, read_raw_sections
from nmt.io.files import Stamp, append_all, sha256, written
from nmt.io.lines import OnBadUtf8, decode_lines
from nmt.io.shards import Header, Shard
from nmt.io.shared_work import Blocks, Claim
from nmt.io.work import shared
from nmt.markup.scanning import Region, scan
from nmt.models.devices import choose_device, choose_search_precision
from nmt.models.folder import identity, read_settings
from nmt.translate.flow import Flow, OnLines, Translations, translate_source, whole_lines
from nmt.translate.options import Options
from nmt.translate.translator import Job
from nmt.translation_memory import CARD

LINES: Final = 2000
"""Of a block: some seconds of work."""
_MOST_BLOCKS: Final = 10_000
"""Of a file; longer ones have larger blocks."""
_LOOK: Final = 1.0
"""Seconds between two looks at whether others have finished their blocks, or have died."""

Watch = Callable[[list[str]], None]


@dataclass(frozen=True)
class LongText:
    """A file of text, with more lines than one block has, or fewer."""

    path: Path
    lines: int
    on_bad_utf8: OnBadUtf8 = "error"
    stamp: Stamp | None = None
    """Of the file before its lines were counted; None: nobody else writes it."""

    @property
    def block(self) -> int:
        """Lines of a block."""
        return max(LINES, -(-self.lines // _MOST_BLOCKS))

    @property
    def blocks(self) -> int:
        """How many blocks there are."""
        return -(-self.lines // self.block)

    def lines_of(self, number: int) -> int:
        """Return how many lines a block has."""
        return min(self.block, self.lines - number * self.block)

    def lines_in(self, shard: Shard) -> int:
        """Return how many lines a shard has."""
        return sum(map(self.lines_of, shard.numbers(self.blocks)))


@dataclass
class _Begun:
    """A block whose translations are being written."""

    claim: Claim
    next: int
    """The line, counted from 0, whose translations come next."""
    end: int


@dataclass(frozen=True)
class BlockPart:
    """Translations of some lines of a block, and where they go."""

    found: Translations
    first: int
    """The number of the first line, counted from 0."""
    files: Sequence[IO[bytes]]
    """One for each output."""


class BlockLines(FileLines):
    """The lines of all blocks that this process takes of a file: those that no other has, until all are done.

    What is taken together is of one block, and the flow is told where it begins.
    """

    def __init__(self, flow: Flow, text: LongText, blocks: Blocks, options: Options, watch: Watch | None) -> None:
        """Begin with no block; `watch` is shown the first block's lines, or with markup, which has to be followed
        through all blocks, every line once."""
        super().__init__(())
        self._flow, self._text, self._blocks, self._options = flow, text, blocks, options
        self._watch = watch
        self._passing = self._go_through()
        self._first_time = True
        self._opened: Region | None = None
        """What of the markup is open where the file has been read to."""
        self._count = 0
        """How many sections have been read of it."""
        self._given = self._over = False
        self._looked = 0.0
        self._stamp = text.stamp or Stamp.of(text.path)
        self.begun: deque[_Begun] = deque()
        """Blocks that are taken and not finished, in the order of their translations."""
        self.elsewhere = 0
        """Lines of blocks of this work that were done before, or that others have taken."""

    @property
    def ended(self) -> bool:
        """See `LineSource`."""
        return self._over and super().ended

    def _next(self, *, wait: bool) -> str | None:
        if self._ahead is None and (self._given or not self._begin(wait=wait)):
            self._given = False
            return None
        self._given = True
        return super()._next(wait=wait)

    def _begin(self, *, wait: bool) -> bool:
        """Go on to the next block that is free; tell whether there is one, or, if nobody is to wait, one now."""
        while True:
            for lines in self._passing:
                self._lines, self._ahead = lines, next(lines)
                return True
            if not wait and time.monotonic() < self._looked + _LOOK:
                return False
            self._looked = time.monotonic()
            missing = self._blocks.missing()
            if any(map(self._blocks.is_free, missing)):
                self._passing = self._go_through()
                self._first_time = False
            elif missing and wait:
                time.sleep(_LOOK)
            else:
                self._over = not missing
                return False

    def _go_through(self) -> Iterator[Iterator[str]]:
        """Give the lines of the blocks that can be taken, each of which is read to its end before the next."""
        text, raw = self._text, read_raw_sections(self._text.path)
        self._opened, self._count = None, 0
        for number in range(text.blocks):
            first, size, opened = number * text.block, text.lines_of(number), self._opened
            is_ours = number in self._blocks.numbers
            claim = self._blocks.claim(number) if is_ours else None
            sections = self._sections(raw, size)
            lines = self._read(sections, number)
            if claim is None:
                self.elsewhere += size if is_ours and self._first_time else 0
                deque(lines if self._options.markup else sections, maxlen=0)
                continue
            self.elsewhere -= 0 if self._first_time else size
            self.begun.append(_Begun(claim, first, first + size))
            self._flow.move_to(self._count, opened)
            yield lines
        if next(raw, None) is not None:
            raise self._changed()

    def _sections(self, raw: Iterator[bytes], lines: int) -> Iterator[bytes]:
        """Take so many lines, in sections."""
        while lines:
            section = next(raw, None)
            if section is None:
                raise self._changed()
            self._count += 1
            lines -= not isinstance(section, BegunBytes)
            yield section

    def _read(self, sections: Iterator[bytes], number: int) -> Iterator[str]:
        """Read the lines of a block, and follow their markup."""
        options, text = self._options, self._text
        for line in decode_lines(sections, str(text.path), text.on_bad_utf8, first=number * text.block + 1):
            if options.markup:
                self._opened = scan(options.text_of(line)[0], self._opened, options.keep).opened
            if self._watch and self._first_time and (options.markup or number == 0):
                self._watch([line])
            yield line

    def check(self) -> None:
        """Refuse to begin or to finish a block of a file that has been written since."""
        self._stamp.check()

    def _changed(self) -> DataError:
        lines = counted(self._text.lines, "line")
        return DataError(f"{self._text.path} no longer has {lines}: it was changed while it was translated")


def translate_in_blocks(
    job: Job,
    text: LongText,
    outputs: Sequence[Path],
    key: dict[str, str],
    *,
    shard: Shard | None = None,
    meet: Callable[[Path], AbstractContextManager[object]] = nullcontext,
    on_lines: OnLines = lambda lines, pieces: None,
    watch: Watch | None = None,
) -> Generator[BlockPart, None, None]:
    """Translate a file block by block, and put the blocks together in the end, in order.

    Whoever is given a piece writes it to its files, one for each of `outputs`, before the next is asked for. Finished
    blocks lie in a hidden folder beside the first output. After a kill, the same call goes on from there; and several
    processes that make it at once share the blocks. Close the generator when it is left early.

    Args:
        key: All else that what is written depends on; see `key_of`.
        shard: Do only its blocks, and write `OUTPUT.I-of-N` for each output, for `join_shards`.
        meet: Waits, in the folder of the work, for all processes that were started together to share it: a late one
            would find it done, and do it again.
        on_lines: Is told how many lines are done, those that others have done or taken too.
        watch: Is shown the lines of the first block, or with markup all lines.

    Raises:
        DataError: The file cannot be read or has other lines now, or another process makes the output otherwise.
        NmtError: The file was written meanwhile; finished blocks stay, for the same call if what it says is the same.
    """
    if text.on_bad_utf8 == "error":  # now, and not after hours of work
        deque(decode_lines(read_raw_sections(text.path), str(text.path)), maxlen=0)
    which = shard or Shard(1, 1)
    targets = [which.name(path) for path in outputs] if shard else outputs
    with shared(targets[0], key) as folder, meet(folder):
        blocks = Blocks(folder, which.numbers(text.blocks), len(outputs))
        headers = [key | {"output": str(number)} for number in range(len(outputs))] if shard else None
        while blocks.missing() or not _put_together(blocks, targets, which, headers, text.blocks):
            yield from _translate_missing(job, text, blocks, on_lines, watch)


def key_of(text: LongText, job: Job, **more: str) -> dict[str, str]:
    """Name what the translations of a text depend on: files by their digests, so that it is the same on all machines.

    Args:
        job: It loads with a partial call of `Translator.load`.
        more: What else there is, by its name in messages.
    """
    assert isinstance(job.load, partial)
    options, how = job.options, job.load.keywords
    memory, models = how.get("memory"), list(map(Path, filter(None, [*job.load.args, how.get("language_model")])))
    rescoring, reverse = how.get("rescoring", ()), how.get("reverse")
    device = choose_device(how.get("device", "auto"), index=how.get("gpu", 0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NmtWarning)  # loading says the same
        precision = how.get("precision") or read_settings(models[0]).search.precision
        arithmetic = choose_search_precision(precision, device)
    given = {name: getattr(options, name) for name in sorted(options.model_fields_set - {"batch_tokens"})}
    if options.keep:
        given["keep"] = options.keep.pattern  # its repr may be cut
    return {
        "version of nmt": version("nmt-toolkit"),
        "input": f"{sha256(text.path)} {text.on_bad_utf8}",
        "models": " ".join(map(identity, models)),
        "models that rescore": " ".join(map(identity, map(Path, rescoring))),
        "reverse model": identity(Path(reverse)) if reverse else "",
        "memory": sha256(Path(memory) / CARD) if memory else "",
        "arithmetic": f"{arithmetic} on {device.type}",
        "options": hashlib.sha256(repr(given).encode("utf-8", "surrogatepass")).hexdigest(),
        "size of blocks": str(text.block),
        **more,
    }


def _translate_missing(
    job: Job, text: LongText, blocks: Blocks, on_lines: OnLines, watch: Watch | None
) -> Iterator[BlockPart]:
    """Translate blocks that nobody has, until all are done."""
    with job.flow() as flow:
        source = BlockLines(flow, text, blocks, job.options, watch)
        source.check()  # loading a model takes its time
        found = translate_source(
            flow,
            source,
            block=2 * text.block,  # so that the end of a block is seen with its last line
            on_lines=lambda lines, pieces: on_lines(lines + source.elsewhere, pieces),
        )
        try:
            for translations in whole_lines(found, markup=job.options.markup):
                yield from _by_block(translations, source)
        finally:
            for block in source.begun:
                block.claim.give_up()


def _by_block(found: Translations, source: BlockLines) -> Iterator[BlockPart]:
    """Cut translations where blocks end, and finish these blocks."""
    done, begun = 0, source.begun
    while done < len(found):
        block = begun[0]
        taken = found[done : done + block.end - block.next]
        yield BlockPart(taken, block.next, block.claim.files)
        done += len(taken)
        block.next += len(taken)
        if block.next == block.end:
            source.check()
            block.claim.finish()
            begun.popleft()


def _put_together(
    blocks: Blocks, targets: Sequence[Path], shard: Shard, keys: Sequence[dict[str, str]] | None, count: int
) -> bool:
    """Make the outputs of the blocks, unless another process has; tell whether that has been done."""
    with blocks.result() as parts, ExitStack() as files:
        if parts is not None:
            for number, target in enumerate(targets):
                out = files.enter_context(written(target))
                of_this = [files_of_block[number] for files_of_block in parts]
                if keys:
                    Header.of(shard, of_this, key=keys[number], blocks=count).write(out)
                append_all(of_this, out)
    return not blocks.missing()
