"""Which text files the settings name, and what is in them."""

from dataclasses import dataclass
from pathlib import Path

from nmt.config import DataSettings
from nmt.corpus.reading import TextFiles
from nmt.errors import ConfigError, DataError
from nmt.files import sha256
from nmt.prepared.manifest import InputRecord


@dataclass(frozen=True)
class Inputs:
    """The text files that prepared data are made from."""

    train: TextFiles
    valid: TextFiles | None

    def record(self) -> tuple[InputRecord, ...]:
        """Measure every file.

        Raises:
            DataError: A file is missing or unreadable.
        """
        named = [
            ("data.train_src", self.train.src),
            ("data.train_tgt", self.train.tgt),
            ("data.train_tsv", self.train.tsv),
            ("data.valid_src", self.valid.src if self.valid else ()),
            ("data.valid_tgt", self.valid.tgt if self.valid else ()),
        ]
        return tuple(_record(setting, path) for setting, paths in named for path in paths)


def find_inputs(data: DataSettings) -> Inputs:
    """Resolve the files of the settings against `data.root`.

    Raises:
        ConfigError: There is no training text, or only one side of the validation text.
        DataError: The numbers of source and target files differ.
    """
    train = TextFiles(_under(data, data.train_src), _under(data, data.train_tgt), _under(data, data.train_tsv))
    if not (train.src or train.tsv):
        raise ConfigError(
            "no training text: give --src and --tgt, or --tsv; or set data.train_src and data.train_tgt, "
            "or data.train_tsv, in a recipe"
        )
    if data.valid_src is None and data.valid_tgt is None:
        return Inputs(train, None)
    if data.valid_src is None or data.valid_tgt is None:
        given, missing = ("valid_src", "valid_tgt") if data.valid_src else ("valid_tgt", "valid_src")
        raise ConfigError(f"data.{given} is set but data.{missing} is not; validation text needs both sides")
    return Inputs(train, TextFiles(_under(data, (data.valid_src,)), _under(data, (data.valid_tgt,))))


def _under(data: DataSettings, paths: tuple[Path, ...]) -> tuple[Path, ...]:
    return tuple(data.root / path for path in paths)


def _record(setting: str, path: Path) -> InputRecord:
    # A pipe, such as a shell's <(zcat file), could be read only once.
    if path.exists() and not path.is_file():
        raise DataError(f"{path} ({setting}) is not a regular file; it is read more than once")
    try:
        return InputRecord(setting=setting, path=str(path), sha256=sha256(path))
    except OSError as error:
        raise DataError(f"cannot read {path} ({setting}): {error.strerror}") from error
