"""Which text the settings name: patterns become files, suffixes become formats, and every file is measured."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from glob import escape, glob, has_magic
from itertools import chain, count, groupby
from pathlib import Path
from pkgutil import resolve_name
from typing import Final, Generic, NamedTuple

from nmt.config import CorpusSettings, DataSettings, TrainingCorpusSettings
from nmt.config.data import OF_PAIRS
from nmt.corpus import FORMATS
from nmt.corpus.base import Block, PairFiles, PairSource, R, Source, Unit, cut_strings
from nmt.corpus.fields import Wanted
from nmt.corpus.hub import PREFIX, DatasetName, HubDataset
from nmt.corpus.plain import ParallelFiles, TextFiles, TsvFiles
from nmt.errors import ConfigError, DataError
from nmt.io.compressed import COMPRESSIONS, split_suffix
from nmt.io.files import sha256
from nmt.io.lines import Line, Pair
from nmt.prepared.manifest import VALID, InputRecord, read_manifest
from nmt.prepared.store import PreparedData, prepared_settings

REPLAY: Final = "replay"
"""What reports call the text of data that were prepared before."""


class Fingerprint(NamedTuple):
    """Text that is in no file of ours: a dataset of a hub, and what tells it from others."""

    name: str
    digest: str


Named = list[tuple[str, tuple[Path | Fingerprint, ...]]]
"""Settings, and the files that each one names."""


@dataclass(frozen=True)
class Corpus(Generic[R]):
    """Text that is trained on, validated on or tested with, under the name that it has in every report and count."""

    name: str
    source: Source[R]
    tag: str | None = None
    """What is put before each of its source sentences, after cleaning, which judges what the corpus holds."""
    weight: float = 1.0
    """How often each of its pairs is seen in an epoch, where it is trained on."""
    is_reversed: bool = False
    """Whether its sources are in the language of the targets."""
    is_replayed: bool = False
    """Whether it is text of data that were prepared before, of which an epoch has a share."""
    tags: Sequence[str | None] = ()
    """What is put before each record by itself, where they were held out of several corpora."""


@dataclass(frozen=True)
class Inputs(Generic[R]):
    """The text that data are made from."""

    train: tuple[Corpus[R], ...]
    """Files of pairs first, then TSV files, then the further corpora in their order, then what is replayed."""
    valid: tuple[Corpus[R], ...]
    """The first one decides; none: records are held out."""
    test: Corpus[R] | None
    """The test text, which no training record should have."""
    named: Named
    """Every file that the data depend on, by the setting that names it."""


def find_pairs(data: DataSettings) -> Inputs[Pair]:
    """Find the pairs that the settings name, relative files from `data.root`.

    Raises:
        ConfigError: There is no training text, or only a part of the validation text.
        DataError: The numbers of source and target files differ, or a pattern matches no file.
    """
    if data.valid_text is not None:
        raise ConfigError(
            "data.valid_text is set but data.train_text is not; give the training text of a language model with --text"
        )
    named: Named = []
    train, valid, test = _find_train(data, named), _find_valid(data, named), find_test(data)
    if train and data.replay:
        old = _find_replayed(data.root / data.replay, named)
        train, valid = train + old.train, valid + old.valid
    if not train:
        raise ConfigError(
            "no training text: give --src and --tgt, --tsv or --corpus; or set data.train_src and data.train_tgt, "
            "data.train_tsv or data.corpora in a recipe; for a language model give --text, or set data.train_text"
        )
    if test is None:
        return Inputs(train, valid, None, named)
    src, tgt = [test[0]], [test[1]]
    if data.drop_overlap:  # only then do the data depend on it
        named += [("data.test_src", tuple(src)), ("data.test_tgt", tuple(tgt))]
    return Inputs(train, valid, Corpus("test", ParallelFiles(src, tgt, data.on_bad_utf8, name="test")), named)


def _find_replayed(folder: Path, named: Named) -> Inputs[Pair]:
    """Find the text that a folder of data was prepared from, and its first validation set, or what it has held out."""
    data = prepared_settings(folder, read_manifest(folder)).data
    if data.train_text:
        raise ConfigError(f"{folder} (data.replay) was prepared from text for a language model, not from pairs")
    old: Named = []
    first_set = {} if data.valid_src else {"validation": data.validation[:1]}
    train, valid = _find_train(data, old), _find_valid(data.model_copy(update={"validation": (), **first_set}), old)
    if not valid:
        prepared = PreparedData.open(folder)
        valid = (Corpus(REPLAY, HeldOut(prepared), tags=prepared.valid_tags),)
        old.append(("held out", valid[0].source.files))
    named += [(f"data.replay: {setting}", text) for setting, text in old]

    def renamed(corpora: Iterable[Corpus[Pair]]) -> tuple[Corpus[Pair], ...]:
        names = chain((REPLAY,), (f"{REPLAY}-{number}" for number in count(2)))
        return tuple(replace(one, name=name, is_replayed=True) for one, name in zip(corpora, names, strict=False))

    return Inputs(renamed(train), renamed(valid), None, old)


def find_text(data: DataSettings) -> Inputs[Line]:
    """Find the text for a language model that the settings name, relative files from `data.root`.

    Raises:
        ConfigError: They name pairs as well.
        DataError: A pattern matches no file.
    """
    for name in OF_PAIRS:
        if getattr(data, name):
            raise ConfigError(
                f"data.train_text and data.{name} are both set, but data are prepared from text for a language model "
                "(--text) or from pairs (--src and --tgt, --tsv or --corpus), not from both"
            )
    train = find_files(data.root, data.train_text, setting="data.train_text")
    valid = find_files(data.root, (data.valid_text,) if data.valid_text else (), setting="data.valid_text")
    return Inputs(
        (Corpus("", TextFiles(train, data.on_bad_utf8)),),
        (Corpus("", TextFiles(valid, data.on_bad_utf8)),) if valid else (),
        None,
        [("data.train_text", train), ("data.valid_text", valid)],
    )


def find_test(data: DataSettings) -> tuple[Path, Path] | None:
    """Return the test files that are named, relative ones from `data.root`; None for none, a ConfigError for one."""
    if data.test_src is None and data.test_tgt is None:
        return None
    if data.test_src is None or data.test_tgt is None:
        missing = "data.test_tgt" if data.test_tgt is None else "data.test_src"
        raise ConfigError(f"a test text has two sides, but {missing} is not set")
    return data.root / data.test_src, data.root / data.test_tgt


def record_inputs(named: Named, root: Path = Path()) -> tuple[InputRecord, ...]:
    """Measure every file; the DataError about a missing one says that relative names start at `root`."""
    records = []
    for setting, text in [(setting, text) for setting, texts in named for text in texts]:
        if isinstance(text, Fingerprint):
            records.append(InputRecord(setting=setting, path=text.name, sha256=text.digest))
            continue
        if text.is_dir():
            raise DataError(f"{text} ({setting}) is a folder, expected a file")
        # A pipe, such as a shell's <(zcat file), could be read only once.
        if text.exists() and not text.is_file():
            raise DataError(f"{text} ({setting}) is not a regular file; it is read more than once")
        if any("\ud800" <= character <= "\udfff" for character in str(text)):
            raise DataError(
                f"{text} ({setting}) has a name that is no UTF-8 text, as prepared data record it: rename it, or "
                "choose a locale that has UTF-8, such as LC_ALL=C.UTF-8"
            )
        try:
            records.append(InputRecord(setting=setting, path=str(text), sha256=sha256(text)))
        except OSError as error:
            of_root = root != Path() and text.is_relative_to(root)
            start = f"; its path is relative to data.root = {root}" if of_root else ""
            raise DataError(f"cannot read {text} ({setting}): {error.strerror}{start}") from error
    return tuple(records)


def _find_train(data: DataSettings, named: Named) -> tuple[Corpus[Pair], ...]:
    src, tgt, tsv = (
        find_files(data.root, getattr(data, name), setting=f"data.{name}")
        for name in ("train_src", "train_tgt", "train_tsv")
    )
    named += [("data.train_src", src), ("data.train_tgt", tgt), ("data.train_tsv", tsv)]
    sources: list[PairSource] = []
    if src or tgt:
        sources.append(ParallelFiles(src, tgt, data.on_bad_utf8, name=(src or tgt)[0].name))
    if tsv:
        sources.append(TsvFiles(tsv, data.on_bad_utf8, name=tsv[0].name, on_bad_record=data.on_bad_record))
    return _with_further(sources, data.corpora, data, named, key="corpora", split="train")


def _find_valid(data: DataSettings, named: Named) -> tuple[Corpus[Pair], ...]:
    sources: list[PairSource] = []
    if data.valid_src is not None or data.valid_tgt is not None:
        if data.valid_src is None or data.valid_tgt is None:
            given, missing = ("valid_src", "valid_tgt") if data.valid_src else ("valid_tgt", "valid_src")
            raise ConfigError(f"data.{given} is set but data.{missing} is not; validation text needs both sides")
        src, tgt = (
            find_files(data.root, (path,), setting=f"data.{name}")
            for name, path in (("valid_src", data.valid_src), ("valid_tgt", data.valid_tgt))
        )
        named += [("data.valid_src", src), ("data.valid_tgt", tgt)]
        sources.append(ParallelFiles(src, tgt, data.on_bad_utf8, name=src[0].name))
    return _with_further(sources, data.validation, data, named, key="validation", split="validation")


def _with_further(
    sources: Iterable[PairSource], further: Iterable[CorpusSettings], data: DataSettings, named: Named, *, key: str,
    split: str,
) -> tuple[Corpus[Pair], ...]:  # fmt: skip
    """Open the corpora that have tables of their own, `further`; each gets a name that none before it has."""
    found = [Corpus(source.name, source) for source in sources]
    for number, one in enumerate(further):
        setting, taken = f"data.{key}.{number}", {corpus.name for corpus in found}
        source = open_corpus(one, data, split=split, setting=setting)
        if one.reversed:
            source = Reversed(source)
        named.append((setting, source.files))
        if source.fingerprint is not None:
            named.append((setting, (Fingerprint(" ".join(one.path), source.fingerprint),)))
        name = source.name
        if name in taken and one.name is not None:
            raise ConfigError(f"{setting}.name is {name!r}, but another set before it has that name")
        if name in taken:
            name = next(free for again in count(2) if (free := f"{source.name}-{again}") not in taken)
        weight = one.weight if isinstance(one, TrainingCorpusSettings) else 1.0
        found.append(Corpus(name, source, one.tag, weight, one.reversed))
    return tuple(found)


def open_corpus(corpus: CorpusSettings, data: DataSettings, *, split: str, setting: str) -> PairSource:
    """Find the files of a corpus, relative ones from `data.root`, and make what reads them.

    Args:
        corpus: Where it is: files of two sides, or what holds both.
        data: Where relative paths start, the languages, and what bad bytes lead to.
        split: What is read of a dataset where `corpus.split` does not say it.
        setting: What a ConfigError, of settings at odds, or a DataError, of missing files, calls those of the corpus.
    """
    if bool(corpus.src or corpus.tgt) == bool(corpus.path):
        found = "both" if corpus.path else "neither"
        raise ConfigError(f"{setting}: found {found}; a corpus has either src and tgt, its two sides, or path")
    if (corpus.src_field is None) != (corpus.tgt_field is None):
        given, missing = ("src_field", "tgt_field") if corpus.src_field else ("tgt_field", "src_field")
        raise ConfigError(f"{setting}.{given} is set but {setting}.{missing} is not; both sides need a field")
    if not corpus.path:
        if corpus.src_field or corpus.split:
            raise ConfigError(
                f"{setting}: src_field, tgt_field and split are about what is in path, not about src and tgt"
            )
        src = find_files(data.root, corpus.src, setting=f"{setting}.src")
        tgt = find_files(data.root, corpus.tgt, setting=f"{setting}.tgt")
        return ParallelFiles(src, tgt, data.on_bad_utf8, name=corpus.name or next((path.name for path in src), ""))
    if corpus.split and not any(name.startswith(PREFIX) for name in corpus.path):
        raise ConfigError(f"{setting}.split is about datasets (hf:NAME), but {setting}.path names files alone")
    wanted = Wanted(corpus.src_field, corpus.tgt_field, data.src_lang, data.tgt_lang)
    parts: list[PairSource] = []
    for of_hub, names in groupby(corpus.path, key=lambda name: name.startswith(PREFIX)):
        if of_hub:
            for dataset in [DatasetName.parse(name, data.root) for name in names]:
                name = corpus.name or Path(dataset.text).name
                parts.append(HubDataset(dataset, corpus.split or split, data.on_bad_utf8, wanted, name=name))
            continue
        files = find_files(data.root, names, setting=f"{setting}.path")
        name = corpus.name or files[0].name
        for reader, paths in groupby(files, key=_reader):
            parts.append(reader(list(paths), data.on_bad_utf8, wanted, name=name, on_bad_record=data.on_bad_record))
    return parts[0] if len(parts) == 1 else Chain(parts, name=parts[0].name)


def find_files(root: Path, names: Iterable[str | Path], *, setting: str) -> tuple[Path, ...]:
    """Resolve names against `root`, for `setting`; a pattern such as "part-*.en" stands for its files, sorted.

    Patterns have `*`, `?`, `[...]`, or `**` for folders at any depth; one without files is a `DataError`. A name that
    exists as it is stands for itself, whatever characters it has.
    """
    found: list[Path] = []
    for name in map(str, names):
        if not has_magic(name) or (root / name).exists():
            found.append(root / name)
            continue
        matches = glob(name, root_dir=root, recursive=True)  # noqa: PTH207 (a Path takes no absolute pattern)
        files = [path for path in sorted(root / match for match in matches) if not path.is_dir()]
        if not files:
            raise DataError(f"no file matches {root / name} ({setting})")
        found += files
    return tuple(found)


def absolute(name: str) -> str:
    """Let the name of files, a pattern or a local dataset count from the working folder, not from `data.root`."""
    if not name.startswith(PREFIX):
        if not has_magic(name) or Path(name).exists():
            return str(Path(name).absolute())
        return str(Path(escape(str(Path.cwd()))) / name)  # no character of that folder's own name is that of a pattern
    found = DatasetName.parse(name, Path.cwd())
    return name if found.folder is None else f"{PREFIX}{':'.join(filter(None, (str(found.folder), found.config)))}"


class HeldOut(PairSource):
    """The pairs that data prepared before hold out of their text."""

    def __init__(self, data: PreparedData) -> None:
        self.name, self.files = REPLAY, (data.folder / VALID,)
        self._texts = list(zip(data.valid.src_texts, data.valid.tgt_texts, strict=True))

    @property
    def read_bytes(self) -> int:
        """All of it: it is in memory."""
        return self.total_bytes

    def blocks(self, size: int) -> Iterator[Block[Pair]]:
        """Give the pairs."""
        units = (Unit(src, tgt, number) for number, (src, tgt) in enumerate(self._texts, start=1))
        return cut_strings(units, size, file=str(self.files[0]), noun="pair", on_bad_utf8="replace")


class Reversed(PairSource):
    """A source with its sides exchanged."""

    def __init__(self, source: PairSource) -> None:
        self.name, self.files = source.name, source.files
        self._source = source

    @property
    def fingerprint(self) -> str | None:
        """That of the source."""
        return self._source.fingerprint

    @property
    def total_bytes(self) -> int:
        """How large the source is."""
        return self._source.total_bytes

    @property
    def read_bytes(self) -> int:
        """How much of it has been read."""
        return self._source.read_bytes

    def blocks(self, size: int) -> Iterator[Block[Pair]]:
        """Read its blocks."""
        return map(_ReversedBlock, self._source.blocks(size))


@dataclass(frozen=True)
class _ReversedBlock(Block[Pair]):
    block: Block[Pair]

    def __len__(self) -> int:
        return len(self.block)

    def records(self) -> list[Pair]:
        return list(map(exchanged, self.block.records()))


def exchanged(pair: Pair) -> Pair:
    """Return a pair with its sides exchanged."""
    return pair._replace(src=pair.tgt, tgt=pair.src)


class Chain(PairSource):
    """Several sources, one after the other."""

    def __init__(self, parts: Sequence[PairSource], *, name: str) -> None:
        self.name = name
        self.files = tuple(path for part in parts for path in part.files)
        self._parts = tuple(parts)
        self._begun = 0
        """How many of them have been read, or begun."""

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


def _reader(path: Path) -> type[PairFiles]:
    ending, compression = split_suffix(path)
    if ending in FORMATS:
        reader: type[PairFiles] = resolve_name(FORMATS[ending])
        if reader.can_be_compressed or not compression:
            return reader
    whole = [suffix for suffix, name in FORMATS.items() if not resolve_name(name).can_be_compressed]
    streams = [suffix for suffix in FORMATS if suffix not in whole]
    table, text = "a folder of .csv files is read as hf:FOLDER", "plain text is given as src and tgt"
    raise ConfigError(
        f"{path}: cannot tell its format from its name; expected {' '.join(streams)}, these also with "
        f"{' '.join(COMPRESSIONS)} after it, {' '.join(whole)}, or hf:NAME; {table if ending == '.csv' else text}"
    )
