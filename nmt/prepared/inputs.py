"""Which text files the settings name, and what is in them."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from nmt.config import DataSettings
from nmt.corpus.reading import TextFiles
from nmt.errors import ConfigError, DataError
from nmt.files import sha256
from nmt.prepared.manifest import InputRecord

Named = list[tuple[str, tuple[Path, ...]]]
"""Settings, and the files that each one names."""


@dataclass(frozen=True)
class PairInputs:
    """The files that prepared pairs are made from."""

    train: TextFiles
    valid: TextFiles | None

    @property
    def named(self) -> Named:
        """Every file."""
        return [
            ("data.train_src", self.train.src),
            ("data.train_tgt", self.train.tgt),
            ("data.train_tsv", self.train.tsv),
            ("data.valid_src", self.valid.src if self.valid else ()),
            ("data.valid_tgt", self.valid.tgt if self.valid else ()),
        ]


@dataclass(frozen=True)
class TextInputs:
    """The files that prepared text is made from."""

    train: tuple[Path, ...]
    valid: Path | None

    @property
    def named(self) -> Named:
        """Every file."""
        return [("data.train_text", self.train), ("data.valid_text", (self.valid,) if self.valid else ())]


def find_inputs(data: DataSettings) -> PairInputs | TextInputs:
    """Resolve the files of the settings against `data.root`.

    Raises:
        ConfigError: There is no training text, pairs as well as plain text, or only a part of the validation text.
        DataError: The numbers of source and target files differ.
    """
    if data.train_text:
        _refuse_pairs(data)
        return TextInputs(_under(data, data.train_text), data.root / data.valid_text if data.valid_text else None)
    if data.valid_text is not None:
        raise ConfigError(
            "data.valid_text is set but data.train_text is not; give the training text of a language model with --text"
        )
    return _find_pairs(data)


def record_inputs(named: Named) -> tuple[InputRecord, ...]:
    """Measure every file.

    Raises:
        DataError: A file is missing or unreadable.
    """
    return tuple(_record(setting, path) for setting, paths in named for path in paths)


def _find_pairs(data: DataSettings) -> PairInputs:
    train = TextFiles(_under(data, data.train_src), _under(data, data.train_tgt), _under(data, data.train_tsv))
    if not (train.src or train.tsv):
        raise ConfigError(
            "no training text: give --src and --tgt, or --tsv; or set data.train_src and data.train_tgt, "
            "or data.train_tsv, in a recipe; for a language model give --text, or set data.train_text"
        )
    if data.valid_src is None and data.valid_tgt is None:
        return PairInputs(train, None)
    if data.valid_src is None or data.valid_tgt is None:
        given, missing = ("valid_src", "valid_tgt") if data.valid_src else ("valid_tgt", "valid_src")
        raise ConfigError(f"data.{given} is set but data.{missing} is not; validation text needs both sides")
    return PairInputs(train, TextFiles(_under(data, (data.valid_src,)), _under(data, (data.valid_tgt,))))


def _refuse_pairs(data: DataSettings) -> None:
    for name in ("train_src", "train_tgt", "train_tsv", "valid_src", "valid_tgt"):
        if getattr(data, name):
            raise ConfigError(
                f"data.train_text and data.{name} are both set, but data are prepared from text for a language model "
                "(--text) or from pairs (--src and --tgt, or --tsv), not from both"
            )


def _under(data: DataSettings, paths: Iterable[Path]) -> tuple[Path, ...]:
    return tuple(data.root / path for path in paths)


def _record(setting: str, path: Path) -> InputRecord:
    # A pipe, such as a shell's <(zcat file), could be read only once.
    if path.exists() and not path.is_file():
        raise DataError(f"{path} ({setting}) is not a regular file; it is read more than once")
    try:
        return InputRecord(setting=setting, path=str(path), sha256=sha256(path))
    except OSError as error:
        raise DataError(f"cannot read {path} ({setting}): {error.strerror}") from error
