"""From the settings of a corpus to what reads it: patterns become files, suffixes become formats."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from glob import escape, glob, has_magic
from itertools import groupby
from pathlib import Path
from pkgutil import resolve_name

from nmt.config import CorpusSettings, DataSettings
from nmt.corpus import FORMATS
from nmt.corpus.base import Block, PairFiles, PairSource
from nmt.corpus.fields import Wanted
from nmt.corpus.hub import PREFIX, DatasetName, HubDataset
from nmt.corpus.plain import ParallelFiles
from nmt.errors import ConfigError, DataError
from nmt.io.compressed import COMPRESSIONS, split_suffix
from nmt.io.lines import Pair


def open_corpus(corpus: CorpusSettings, data: DataSettings, *, split: str, setting: str = "data.corpora") -> PairSource:
    """Find the files of a corpus, relative ones from `data.root`, and make what reads them.

    Args:
        corpus: Where it is: files of two sides, or what holds both.
        data: Where relative paths start, the languages, and what bad bytes lead to.
        split: What is read of a dataset where `corpus.split` does not say it.
        setting: What an error calls the settings of the corpus.

    Raises:
        ConfigError: The corpus has no files, or files of both kinds, or of an unknown kind.
        DataError: A pattern matches no file, or the numbers of source and target files differ.
    """
    if bool(corpus.src or corpus.tgt) == bool(corpus.path):
        found = "both" if corpus.path else "neither"
        raise ConfigError(f"{setting}: found {found}; a corpus has either src and tgt, its two sides, or path")
    if (corpus.src_field is None) != (corpus.tgt_field is None):
        given, missing = ("src_field", "tgt_field") if corpus.src_field else ("tgt_field", "src_field")
        raise ConfigError(f"{setting}.{given} is set but {setting}.{missing} is not; both sides need a field")
    if not corpus.path:
        return _open_sides(corpus, data, setting)
    if corpus.split and not any(name.startswith(PREFIX) for name in corpus.path):
        raise ConfigError(f"{setting}.split is about datasets (hf:NAME), but {setting}.path names files alone")
    parts = [
        part
        for of_hub, names in groupby(corpus.path, key=lambda name: name.startswith(PREFIX))
        for part in (_open_datasets if of_hub else _open_files)(corpus, data, list(names), split, setting)
    ]
    return parts[0] if len(parts) == 1 else Chain(parts, name=parts[0].name)


def absolute(name: str) -> str:
    """Let the name of files, a pattern or a local dataset count from the working folder, not from `data.root`."""
    if not name.startswith(PREFIX):
        if not has_magic(name) or Path(name).exists():
            return str(Path(name).absolute())
        return str(Path(escape(str(Path.cwd()))) / name)  # no character of that folder's own name is that of a pattern
    found = DatasetName.parse(name, Path.cwd())
    return name if found.folder is None else f"{PREFIX}{':'.join(filter(None, (str(found.folder), found.config)))}"


class Chain(PairSource):
    """Several sources, one after the other."""

    def __init__(self, parts: Sequence[PairSource], *, name: str) -> None:
        self.name = name
        self._parts = tuple(parts)
        self._begun = 0
        """How many of them have been read, or begun."""

    @property
    def files(self) -> tuple[Path, ...]:
        """The files of all parts."""
        return tuple(path for part in self._parts for path in part.files)

    @property
    def fingerprint(self) -> str | None:
        """A digest of the fingerprints of those parts that have one."""
        found = [part.fingerprint for part in self._parts]
        return hashlib.sha256("\n".join(filter(None, found)).encode()).hexdigest() if any(found) else None

    @property
    def total_bytes(self) -> int:
        """How large all parts are."""
        return sum(part.total_bytes for part in self._parts)

    @property
    def read_bytes(self) -> int:
        """How much of them has been read."""
        return sum(part.read_bytes for part in self._parts[: self._begun])

    def blocks(self, size: int) -> Iterator[Block[Pair]]:
        """Read part after part."""
        for number, part in enumerate(self._parts, start=1):
            self._begun = number
            yield from part.blocks(size)


def _open_sides(corpus: CorpusSettings, data: DataSettings, setting: str) -> PairSource:
    if corpus.src_field or corpus.split:
        raise ConfigError(f"{setting}: src_field, tgt_field and split are about what is in path, not about src and tgt")
    src = find_files(data.root, corpus.src, setting=f"{setting}.src")
    tgt = find_files(data.root, corpus.tgt, setting=f"{setting}.tgt")
    name = corpus.name or next((path.name for path in src), "")
    return ParallelFiles(src, tgt, data.on_bad_utf8, name=name)


def _open_datasets(
    corpus: CorpusSettings, data: DataSettings, names: list[str], split: str, setting: str
) -> list[PairSource]:
    wanted = _wanted(corpus, data)
    found = [DatasetName.parse(name, data.root) for name in names]
    return [
        HubDataset(one, corpus.split or split, data.on_bad_utf8, wanted, name=corpus.name or Path(one.text).name)
        for one in found
    ]


def _open_files(
    corpus: CorpusSettings, data: DataSettings, names: list[str], split: str, setting: str
) -> list[PairSource]:
    files = find_files(data.root, names, setting=f"{setting}.path")
    name = corpus.name or files[0].name
    wanted = _wanted(corpus, data)
    return [
        reader(list(paths), data.on_bad_utf8, wanted, name=name, on_bad_record=data.on_bad_record)
        for reader, paths in groupby(files, key=_reader)
    ]


def _wanted(corpus: CorpusSettings, data: DataSettings) -> Wanted:
    return Wanted(corpus.src_field, corpus.tgt_field, data.src_lang, data.tgt_lang)


def _reader(path: Path) -> type[PairFiles]:
    ending, compression = split_suffix(path)
    reader = _load(ending) if ending in FORMATS else None
    if reader is None or (compression and not reader.can_be_compressed):
        whole = [ending for ending in FORMATS if not _load(ending).can_be_compressed]
        streams = [ending for ending in FORMATS if ending not in whole]
        table, text = "a folder of .csv files is read as hf:FOLDER", "plain text is given as src and tgt"
        raise ConfigError(
            f"{path}: cannot tell its format from its name; expected {' '.join(streams)}, these also with "
            f"{' '.join(COMPRESSIONS)} behind it, {' '.join(whole)}, or hf:NAME; {table if ending == '.csv' else text}"
        )
    return reader


def _load(ending: str) -> type[PairFiles]:
    reader: type[PairFiles] = resolve_name(FORMATS[ending])
    return reader


def find_files(root: Path, names: Iterable[str | Path], *, setting: str) -> tuple[Path, ...]:
    """Resolve names against `root`; a pattern such as "part-*.en" stands for the files that it matches, sorted.

    A name that exists as it is stands for itself, whatever characters it has.

    Args:
        root: Where relative names start.
        names: Of files, or patterns with `*`, `?`, `[...]`, or `**` for folders at any depth.
        setting: What an error calls the setting that holds them.

    Raises:
        DataError: A pattern matches no file.
    """
    return tuple(path for name in names for path in _find(root, str(name), setting))


def _find(root: Path, name: str, setting: str) -> list[Path]:
    if not has_magic(name) or (root / name).exists():
        return [root / name]
    matches = glob(name, root_dir=root, recursive=True)  # noqa: PTH207 (a Path takes no absolute pattern)
    found = sorted(root / match for match in matches)
    files = [path for path in found if not path.is_dir()]
    if not files:
        raise DataError(f"no file matches {root / name} ({setting})")
    return files
