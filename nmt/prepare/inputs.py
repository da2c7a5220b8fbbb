"""Which text the settings name, and what is in its files."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Generic, NamedTuple

from nmt.config import CorpusSettings, DataSettings, TrainingCorpusSettings
from nmt.corpus.base import PairSource, R, Source
from nmt.corpus.opening import find_files, open_corpus
from nmt.corpus.plain import ParallelFiles, TextFiles, TsvFiles
from nmt.errors import ConfigError, DataError
from nmt.io.files import sha256
from nmt.io.lines import Line, Pair
from nmt.prepared.manifest import InputRecord


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
    """How often each of its pairs is seen in a pass, where it is trained on."""


@dataclass(frozen=True)
class Inputs(Generic[R]):
    """The text that data are made from."""

    train: tuple[Corpus[R], ...]
    """Files of pairs first, then TSV files, then the further corpora in their order."""
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


def find_text(data: DataSettings) -> Inputs[Line]:
    """Find the text for a language model that the settings name, relative files from `data.root`.

    Raises:
        ConfigError: They name pairs as well.
        DataError: A pattern matches no file.
    """
    for name in ("train_src", "train_tgt", "train_tsv", "corpora", "valid_src", "valid_tgt", "validation"):
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
        named.append((setting, source.files))
        if source.fingerprint is not None:
            named.append((setting, (Fingerprint(" ".join(one.path), source.fingerprint),)))
        name = source.name
        if name in taken and one.name is not None:
            raise ConfigError(f"{setting}.name is {name!r}, but another set before it has that name")
        if name in taken:
            name = next(free for again in count(2) if (free := f"{source.name}-{again}") not in taken)
        found.append(Corpus(name, source, one.tag, one.weight if isinstance(one, TrainingCorpusSettings) else 1.0))
    return tuple(found)


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
