"""Datasets of the Hugging Face hub, by name, and folders of the same make on this machine."""

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from os import SEEK_END
from pathlib import Path
from typing import Any, Final, Self

from nmt.corpus.base import Block, PairSource
from nmt.corpus.fields import Wanted, first_line
from nmt.corpus.parquet import cut_batch, find_tree
from nmt.errors import ConfigError, DataError
from nmt.io.lines import OnBadUtf8, Pair

PREFIX: Final = "hf:"
"""What the name of a dataset begins with in the settings."""

_SAVED, _SAVED_SPLITS = "state.json", "dataset_dict.json"
"""Files in folders that `save_to_disk` has written: of one split, and of several."""
_END: Final = b"\xff\xff\xff\xff\0\0\0\0"
"""How a stream of Arrow ends."""


@dataclass(frozen=True)
class DatasetName:
    """Which dataset is meant."""

    text: str
    """As it was written, without the prefix."""
    folder: Path | None
    """Where it lies on this machine; None: on the hub."""
    name: str
    """What it is called on the hub."""
    config: str | None
    """Which of its configurations is read."""

    @classmethod
    def parse(cls, text: str, root: Path) -> Self:
        """Read a name such as "hf:NAME", "hf:NAME:CONFIG" or "hf:FOLDER".

        What is a folder, a relative one from `root`, is taken for one, also with a colon in its name; what follows the
        last colon is a configuration where only the part before it is a folder. No name is a ConfigError.
        """
        text = text.removeprefix(PREFIX)
        if not text.partition(":")[0].strip():
            raise ConfigError(f"found {PREFIX + text!r}, expected hf:NAME, hf:NAME:CONFIG or hf:FOLDER")
        if (root / text).is_dir():
            return cls(text, root / text, text, None)
        before, _, last = text.rpartition(":")
        if before and (root / before).is_dir():
            return cls(text, root / before, before, last or None)
        name, _, config = text.partition(":")
        return cls(text, None, name, config or None)


class HubDataset(PairSource):
    """A split of a dataset, read from a memory map."""

    def __init__(self, dataset: DatasetName, split: str, on_bad_utf8: OnBadUtf8, wanted: Wanted, *, name: str) -> None:
        self.name = name
        self._dataset = dataset
        self._split = split
        self._on_bad_utf8: OnBadUtf8 = on_bad_utf8
        self._wanted = wanted
        self._rows_read = 0
        self._where = f"{PREFIX}{dataset.text}"

    @cached_property
    def files(self) -> tuple[Path, ...]:  # type: ignore[override]
        """What is in its folder, and in folders within it, but nothing that is hidden."""
        folder = self._dataset.folder
        if folder is None:
            return ()
        found = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
        return tuple(folder / one for one in found if not any(part.startswith(".") for part in one.parts))

    @property
    def fingerprint(self) -> str | None:
        """A digest of the fingerprint that `datasets` gives a split of the hub: it changes with the files there."""
        if self._dataset.folder is not None:
            return None
        return hashlib.sha256(self._rows._fingerprint.encode()).hexdigest()

    @property
    def total_bytes(self) -> int:
        """How large the memory map is, columns that are not read included."""
        return int(self._rows.data.nbytes)

    @property
    def read_bytes(self) -> int:
        """How much of it has been read, as if all rows were of the same size."""
        return self.total_bytes * self._rows_read // max(len(self._rows), 1)

    def blocks(self, size: int) -> Iterator[Block[Pair]]:
        """Read the two columns batch by batch."""
        self._rows_read = 0
        rows = self._rows
        fields = self._wanted.find(find_tree(rows.features.arrow_schema), self._where)
        columns = rows.select_columns(list(dict.fromkeys(field[0] for field in fields))).with_format("arrow")
        for start in range(0, len(columns), size):
            with self._naming():
                batches = columns[start : start + size].combine_chunks().to_batches()
            for batch in batches:
                first = self._rows_read + 1
                self._rows_read += len(batch)
                yield from cut_batch(batch, fields, file=self._where, first=first, on_bad_utf8=self._on_bad_utf8)

    @cached_property
    def _rows(self) -> Any:
        dataset, folder = self._dataset, self._dataset.folder
        with self._naming(), _quiet():
            from datasets import DatasetDict, load_dataset, load_from_disk  # type: ignore[import-untyped]

            if folder is None or not any((folder / name).is_file() for name in (_SAVED, _SAVED_SPLITS)):
                # An absolute path is never looked for on the hub.
                name = str(folder.resolve()) if folder else dataset.name
                return load_dataset(name, dataset.config, split=self._split)
            if dataset.config is not None:
                raise DataError(f"what save_to_disk wrote has no configurations, found {dataset.config}")
            for path in sorted(folder.rglob("*.arrow")):
                with path.open("rb") as file:
                    file.seek(-min(len(_END), path.stat().st_size), SEEK_END)
                    if file.read() != _END:  # Arrow takes a stream that ends between two batches for complete
                        raise DataError(f"{path} is incomplete: it ends before the end of its data")
            found = load_from_disk(str(folder))
            if not isinstance(found, DatasetDict):
                return found
            if self._split not in found:
                raise DataError(f"found the splits {', '.join(found)}, expected {self._split}")
            return found[self._split]

    @contextmanager
    def _naming(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # of this machine, the network, the hub, the files, in classes of many libraries
            kind = "" if isinstance(error, DataError) else f"{type(error).__name__}: "
            raise DataError(f"cannot load {self._where}: {kind}{first_line(error)}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Let `datasets` show no progress bars, and its hub no log of its attempts."""
    from datasets import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    log, bars = logging.getLogger("huggingface_hub"), not are_progress_bars_disabled()
    level = log.level
    log.setLevel(logging.ERROR)
    disable_progress_bars()
    try:
        yield
    finally:
        log.setLevel(level)
        if bars:
            enable_progress_bars()
