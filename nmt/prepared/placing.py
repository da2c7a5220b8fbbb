"""Whether prepared data may go to a folder."""

import os
from pathlib import Path

from nmt.errors import DataError
from nmt.prepared.manifest import MANIFEST, read_names


def holds_data(folder: Path) -> bool:
    """Whether a folder holds prepared data, of any format version, and nothing else; False: there is nothing in it.

    Raises:
        DataError: The folder holds something that `nmt prepare` did not write and must not delete.
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
    if foreign := names - read_names(folder):
        raise DataError(f"{folder} holds files besides its prepared data ({_some(foreign)}); move them away first")
    return True


def _some(names: set[str]) -> str:
    shown = sorted(names)[:3]
    return ", ".join(shown) + (", ..." if len(names) > len(shown) else "")
