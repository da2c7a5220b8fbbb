"""Which text the settings name, and what is in its files."""

from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import NamedTuple

from nmt.config import CorpusSettings, DataSettings
from nmt.corpus.sources.blocks import PairSource, TextSource
from nmt.corpus.sources.files import find_files
from nmt.corpus.sources.opening import open_corpus, text_source
from nmt.corpus.sources.text import ParallelFiles
from nmt.corpus.sources.tsv import TsvFiles
from nmt.errors import ConfigError, DataError
from nmt.files import sha256
from nmt.prepared.manifest import InputRecord


class Fingerprint(NamedTuple):
    """Text that is in no file of ours: a dataset of a hub, and what tells it from others."""

    name: str
    digest: str


Named = list[tuple[str, tuple[Path | Fingerprint, ...]]]
"""Settings, and the files that each one names."""


@dataclass(frozen=True)
class TrainSource:
    """A corpus to train on."""

    source: PairSource
    name: str
    weight: float = 1.0
    """How often each of its pairs is seen in a pass."""
    tag: str | None = None
    """What is put before each of its source sentences, after cleaning, which judges what the corpus holds."""


@dataclass(frozen=True)
class ValidSet:
    """A set of validation pairs."""

    source: PairSource
    name: str
    tag: str | None = None
    """What is put before each of its source sentences."""


@dataclass(frozen=True)
class PairInputs:
    """The text that prepared pairs are made from."""

    train: tuple[TrainSource, ...]
    """Files of pairs first, then TSV files, then the further corpora in their order."""
    valid: tuple[ValidSet, ...]
    """The first one decides; none: pairs are held out."""
    test: tuple[Path, Path] | None
    """Source and target of the test text, which no training pair should have."""
    named: Named
    """Every file that the data depend on, by the setting that names it."""


@dataclass(frozen=True)
class TextInputs:
    """The text that a language model's data are made from."""

    train: TextSource
    valid: TextSource | None
    named: Named
    """Every file, by the setting that names it."""


def find_inputs(data: DataSettings) -> PairInputs | TextInputs:
    """Resolve the files of the settings against `data.root`.

    Raises:
        ConfigError: There is no training text, pairs as well as plain text, or only a part of the validation text.
        DataError: The numbers of source and target files differ, or a pattern matches no file.
    """
    if data.train_text:
        _refuse_pairs(data)
        return _find_text(data)
    if data.valid_text is not None:
        raise ConfigError(
            "data.valid_text is set but data.train_text is not; give the training text of a language model with --text"
        )
    named: Named = []
    train, valid, test = _find_train(data, named), _find_valid(data, named), find_test(data)
    if not train:
        raise ConfigError(
            "no training text: give --src and --tgt, --tsv or --corpus; or set data.train_src and data.train_tgt, "
            "data.train_tsv or data.corpora in a recipe; for a language model give --text, or set data.train_text"
        )
    if test and data.drop_overlap:  # only then do the data depend on it
        named += [("data.test_src", test[:1]), ("data.test_tgt", test[1:])]
    return PairInputs(train, valid, test, named)


def find_test(data: DataSettings) -> tuple[Path, Path] | None:
    """Return the test files that the settings name, relative ones from `data.root`; None if they name none.

    Raises:
        ConfigError: Only one side is named.
    """
    if data.test_src is None and data.test_tgt is None:
        return None
    if data.test_src is None or data.test_tgt is None:
        missing = "data.test_tgt" if data.test_tgt is None else "data.test_src"
        raise ConfigError(f"a test text has two sides, but {missing} is not set")
    return data.root / data.test_src, data.root / data.test_tgt


def record_inputs(named: Named, root: Path = Path()) -> tuple[InputRecord, ...]:
    """Measure every file.

    Args:
        named: The files.
        root: Where relative names of them start, which the error about a missing one says.

    Raises:
        DataError: A file is missing or unreadable.
    """
    return tuple(_record(setting, text, root) for setting, texts in named for text in texts)


def _find_train(data: DataSettings, named: Named) -> tuple[TrainSource, ...]:
    found: list[TrainSource] = []
    src, tgt, tsv = (
        find_files(data.root, getattr(data, name), setting=f"data.{name}")
        for name in ("train_src", "train_tgt", "train_tsv")
    )
    named += [("data.train_src", src), ("data.train_tgt", tgt), ("data.train_tsv", tsv)]
    if src or tgt:
        files = ParallelFiles(src, tgt, data.on_bad_utf8, name=(src or tgt)[0].name)
        found.append(TrainSource(files, files.name))
    if tsv:
        found.append(
            TrainSource(
                TsvFiles(tsv, data.on_bad_utf8, name=tsv[0].name, on_bad_record=data.on_bad_record), tsv[0].name
            )
        )
    for number, corpus in enumerate(data.corpora):
        setting = f"data.corpora.{number}"
        source = _open(corpus, data, setting, "train", named)
        name = _free_name(corpus, source, [one.name for one in found], setting)
        found.append(TrainSource(source, name, corpus.weight, corpus.tag))
    return tuple(found)


def _find_valid(data: DataSettings, named: Named) -> tuple[ValidSet, ...]:
    found: list[ValidSet] = []
    if data.valid_src is not None or data.valid_tgt is not None:
        if data.valid_src is None or data.valid_tgt is None:
            given, missing = ("valid_src", "valid_tgt") if data.valid_src else ("valid_tgt", "valid_src")
            raise ConfigError(f"data.{given} is set but data.{missing} is not; validation text needs both sides")
        src, tgt = (
            find_files(data.root, (path,), setting=f"data.{name}")
            for name, path in (("valid_src", data.valid_src), ("valid_tgt", data.valid_tgt))
        )
        named += [("data.valid_src", src), ("data.valid_tgt", tgt)]
        files = ParallelFiles(src, tgt, data.on_bad_utf8, name=src[0].name)
        found.append(ValidSet(files, files.name))
    for number, corpus in enumerate(data.validation):
        setting = f"data.validation.{number}"
        source = _open(corpus, data, setting, "validation", named)
        name = _free_name(corpus, source, [one.name for one in found], setting)
        found.append(ValidSet(source, name, corpus.tag))
    return tuple(found)


def _find_text(data: DataSettings) -> TextInputs:
    train, valid = (
        find_files(data.root, names, setting=f"data.{name}")
        for name, names in (
            ("train_text", data.train_text),
            ("valid_text", (data.valid_text,) if data.valid_text else ()),
        )
    )
    return TextInputs(
        text_source(train, data.on_bad_utf8),
        text_source(valid, data.on_bad_utf8) if valid else None,
        [("data.train_text", train), ("data.valid_text", valid)],
    )


def _open(corpus: CorpusSettings, data: DataSettings, setting: str, split: str, named: Named) -> PairSource:
    source = open_corpus(corpus, data, split=split, setting=setting)
    named.append((setting, source.files))
    if source.fingerprint is not None:
        named.append((setting, (Fingerprint(" ".join(corpus.path), source.fingerprint),)))
    return source


def _free_name(corpus: CorpusSettings, source: PairSource, taken: list[str], setting: str) -> str:
    """Return what reports call a corpus, which no other is called."""
    if source.name not in taken:
        return source.name
    if corpus.name is not None:
        raise ConfigError(f"{setting}.name is {corpus.name!r}, but another set before it has that name")
    return next(name for number in count(2) if (name := f"{source.name}-{number}") not in taken)


def _refuse_pairs(data: DataSettings) -> None:
    for name in ("train_src", "train_tgt", "train_tsv", "corpora", "valid_src", "valid_tgt", "validation"):
        if getattr(data, name):
            raise ConfigError(
                f"data.train_text and data.{name} are both set, but data are prepared from text for a language model "
                "(--text) or from pairs (--src and --tgt, --tsv or --corpus), not from both"
            )


def _record(setting: str, text: Path | Fingerprint, root: Path) -> InputRecord:
    if isinstance(text, Fingerprint):
        return InputRecord(setting=setting, path=text.name, sha256=text.digest)
    if text.is_dir():
        raise DataError(f"{text} ({setting}) is a folder, expected a file")
    # A pipe, such as a shell's <(zcat file), could be read only once.
    if text.exists() and not text.is_file():
        raise DataError(f"{text} ({setting}) is not a regular file; it is read more than once")
    if any("\ud800" <= character <= "\udfff" for character in str(text)):
        raise DataError(
            f"{text} ({setting}) has a name that is no UTF-8 text, as prepared data record it: rename it, or choose a "
            "locale that has UTF-8, such as LC_ALL=C.UTF-8"
        )
    try:
        return InputRecord(setting=setting, path=str(text), sha256=sha256(text))
    except OSError as error:
        start = f"; its name counts from data.root = {root}" if root != Path() and text.is_relative_to(root) else ""
        raise DataError(f"cannot read {text} ({setting}): {error.strerror}{start}") from error
