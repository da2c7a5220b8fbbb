"""What a prepared data folder holds: its file names, and the manifest that vouches for them."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from nmt.config import Settings
from nmt.config.load import describe_misfit, to_tree
from nmt.errors import DataError
from nmt.io.files import read_json, sha256, write_text

FORMAT_VERSION: Final = 2

MANIFEST: Final = "manifest.json"
REJECTED: Final = "rejected.jsonl"
TRAIN: Final = "train.arrow"
VALID: Final = "valid.arrow"


@dataclass(frozen=True)
class Column:
    """One column of pieces: the source, the target, or a text."""

    ids: str
    """What the ids are called in the Arrow files."""
    text: str
    """What the validation text is called there."""
    vocabulary: str
    """The file that lists its pieces."""


SRC: Final = Column("src", "src_text", "vocab.src.tsv")
TGT: Final = Column("tgt", "tgt_text", "vocab.tgt.tsv")
TEXT: Final = Column("ids", "text", "vocab.tsv")

_QUICK_TO_READ: Final = 64 << 20
_PATHS: Final = {
    "data": {
        "root",
        "replay",
        "test_tag",
        *(f"{part}_{side}" for part in ("train", "valid", "test") for side in ("src", "tgt", "tsv", "text")),
    },
    "tokenizer": {"file", "src_file", "tgt_file"},
}
"""Settings that say where files lie, what is in them being recorded apart; and the one that only `nmt run` reads."""
_CORPUS_PATHS: Final = {"src", "tgt", "path"}
"""Those of each corpus that has a table of its own."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FileRecord(_Record):
    """How a file looked when it was recorded."""

    bytes: int
    sha256: str


class InputRecord(_Record):
    """A text file that the data were made from."""

    setting: str
    """The setting that named it."""
    path: str
    sha256: str


class Tally(_Record):
    """How many pairs, or lines of text, there are: read = rejected + heldout + train."""

    read: int
    rejected: dict[str, int]
    """By reason."""
    heldout: int
    """Those that became validation pairs."""
    train: int
    valid: int
    valid_dropped: int
    """Pairs of the validation files that had an empty side."""


class CorpusCount(_Record):
    """How many pairs a corpus has, as in `Tally`; those of `train` lie after those of the corpora before it."""

    name: str
    weight: float
    tag: str | None
    read: int
    rejected: dict[str, int]
    heldout: int
    train: int


class ValidationCount(_Record):
    """How many pairs a validation set has; they lie after those of the sets before it."""

    name: str
    pairs: int
    dropped: int
    """Pairs that had an empty side."""
    tags: tuple[str, ...] = ()
    """What its sources have before them; pairs that are held out have the tags of several corpora, or of some."""


class OverlapCount(_Record):
    """How many training pairs share their source, their target or both with a text that models are judged by."""

    source: int
    target: int
    pair: int


class Counts(Tally):
    """How many pairs and pieces there are."""

    corpora: tuple[CorpusCount, ...]
    """The parts of the training text, in their order."""
    validation: tuple[ValidationCount, ...]
    """The validation sets; the first decides which model is best."""
    overlap: dict[str, OverlapCount]
    """With the text for "validation" and "test"."""
    src_pieces: int
    """Of the training text."""
    tgt_pieces: int
    src_vocabulary: int
    """Pieces in the vocabulary."""
    tgt_vocabulary: int


class TextCounts(Tally):
    """How many lines and pieces of text there are."""

    pieces: int
    """Of the training text."""
    vocabulary: int
    """Pieces in the vocabulary."""
    valid_pieces: int
    """Of the validation text."""
    valid_unknown: int
    """Those of them that are `<unk>`."""


class Manifest(_Record):
    """The contents of manifest.json."""

    format_version: int
    counts: Counts | TextCounts
    files: dict[str, FileRecord]
    inputs: tuple[InputRecord, ...]
    settings: dict[str, dict[str, Any]]
    """The sections `data` and `tokenizer`."""

    def was_made_from(self, inputs: tuple[InputRecord, ...], settings: Settings) -> bool:
        """Whether preparing `inputs` with `settings` would give the same data; where the inputs lie does not matter,
        nor, where the size of the vocabulary is "auto", which one it was."""
        mine = [(record.setting, record.sha256) for record in self.inputs]
        others = [(record.setting, record.sha256) for record in inputs]
        wanted = prepared_sections(settings)
        if settings.tokenizer.vocab_size == "auto":
            wanted["tokenizer"]["vocab_size"] = self.settings["tokenizer"]["vocab_size"]
        return mine == others and without_paths(self.settings) == without_paths(wanted)


def prepared_sections(settings: Settings) -> dict[str, dict[str, Any]]:
    """Return the part of the settings tree that prepared data depend on."""
    tree = to_tree(settings, only_set=False)
    return {"data": tree["data"], "tokenizer": tree["tokenizer"]}


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write manifest.json."""
    write_text(folder / MANIFEST, manifest.model_dump_json(indent=2) + "\n")


def read_manifest(folder: Path) -> Manifest:
    """Read manifest.json; a DataError says that it is missing, damaged, or of another format version."""
    path, tree = folder / MANIFEST, _read_tree(folder)
    version = tree.get("format_version")
    if version != FORMAT_VERSION:
        raise DataError(
            f"{path} has format version {version}, but this version of nmt reads {FORMAT_VERSION}; "
            "prepare the data again with --force, or in another folder"
        )
    try:
        return Manifest.model_validate(tree)
    except ValidationError as error:
        raise DataError(f"{path} is damaged: {describe_misfit(error)}") from error


def holds_data(folder: Path) -> bool:
    """Whether a folder holds prepared data, of any format version; False: there is nothing in it.

    A DataError says that it holds something that `nmt prepare` did not write and must not delete.
    """
    if not os.path.lexists(folder):
        return False
    if not folder.is_dir():
        raise DataError(f"{folder} is a file, expected a folder or a name that is free")
    names = {path.name for path in folder.iterdir()}
    if not names:
        return False
    if MANIFEST not in names:
        raise DataError(f"{folder} holds other files ({_some(names)}); choose another folder for the prepared data")
    tree = _read_tree(folder)
    files = tree.get("files")
    if "format_version" not in tree or not isinstance(files, dict):
        raise DataError(f"{folder / MANIFEST} is not one that `nmt prepare` wrote; choose another folder for the data")
    if foreign := names - {MANIFEST, *files}:
        raise DataError(f"{folder} holds files besides its prepared data ({_some(foreign)}); move them away first")
    return True


def _some(names: set[str]) -> str:
    return ", ".join(sorted(names)[:3]) + (", ..." if len(names) > 3 else "")


def record_files(folder: Path, known: Mapping[str, str] = MappingProxyType({})) -> dict[str, FileRecord]:
    """Flush every file of a folder to disk and measure it; the SHA-256 of some may be known already, by name."""
    records = {}
    for path in sorted(folder.iterdir()):
        with path.open("rb") as file:
            os.fsync(file.fileno())
        records[path.name] = FileRecord(bytes=path.stat().st_size, sha256=known.get(path.name) or sha256(path))
    return records


def check_files(folder: Path, manifest: Manifest) -> None:
    """Compare all sizes, and contents of all but very large files, with the manifest; a DataError if one is another."""
    for name, record in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise DataError(f"{folder} is incomplete: {name} is missing; prepare it again with --force")
        size = path.stat().st_size
        if size != record.bytes:
            raise DataError(
                f"{path} was altered: it has {size} bytes, expected {record.bytes}; prepare it again with --force"
            )
        if size <= _QUICK_TO_READ and sha256(path) != record.sha256:
            raise DataError(f"{path} was altered: its SHA-256 is not the recorded one; prepare it again with --force")


def without_paths(sections: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Leave out of sections of the settings where files lie."""

    def without(value: Any) -> Any:
        is_list_of_tables = isinstance(value, list | tuple) and value and isinstance(value[0], dict)
        if not is_list_of_tables:
            return value
        return [{key: entry for key, entry in table.items() if key not in _CORPUS_PATHS} for table in value]

    return {
        name: {key: without(value) for key, value in sections[name].items() if key not in paths}
        for name, paths in _PATHS.items()
    }


def _read_tree(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; expected one that `nmt prepare` made")
    try:
        tree = read_json(path, DataError)
    except FileNotFoundError as error:
        if (folder / "model.json").is_file():
            raise DataError(f"{folder} holds a model, not prepared data; nmt prepare makes these from text") from error
        raise DataError(
            f"{folder} holds no prepared data: {MANIFEST} is missing; make it with `nmt prepare`"
        ) from error
    return tree if isinstance(tree, dict) else {}
