"""Where prepared data go: built beside their folder, moved there when complete."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nmt.errors import DataError
from nmt.prepared.manifest import MANIFEST, Manifest, read_manifest


def find_existing(folder: Path) -> Manifest | None:
    """Read the manifest of the data that a folder holds; None: there is nothing in it.

    Raises:
        DataError: The folder holds something that `nmt prepare` did not write and must not delete.
    """
    if not os.path.lexists(folder):
        return None
    if not folder.is_dir():
        raise DataError(f"{folder} is a file, expected a folder or a name that is free")
    names = {path.name for path in folder.iterdir()}
    if not names:
        return None
    if MANIFEST not in names:
        raise DataError(f"{folder} holds other files ({_some(names)}); choose another folder for the prepared data")
    manifest = read_manifest(folder)
    if foreign := names - {MANIFEST, *manifest.files}:
        raise DataError(f"{folder} holds files besides its prepared data ({_some(foreign)}); move them away first")
    return manifest


@contextmanager
def building(folder: Path) -> Iterator[Path]:
    """Give a temporary neighbour of `folder` to fill, which takes its place when the block ends well.

    A block that fails leaves nothing behind, and `folder` as it was.
    """
    target = folder.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir()
        yield temporary
        _replace(target, temporary)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _replace(target: Path, temporary: Path) -> None:
    if not (target.is_dir() and any(target.iterdir())):
        temporary.replace(target)
        return
    old = target.with_name(f".{target.name}.{os.getpid()}.old")
    target.replace(old)
    try:
        temporary.replace(target)
    except BaseException:
        old.replace(target)
        raise
    shutil.rmtree(old)


def _some(names: set[str]) -> str:
    shown = sorted(names)[:3]
    return ", ".join(shown) + (", ..." if len(names) > len(shown) else "")
