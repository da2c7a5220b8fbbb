"""Which files the settings name: a name may be a pattern."""

from collections.abc import Iterable
from glob import escape, glob, has_magic
from pathlib import Path

from nmt.errors import DataError


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


def absolute(name: str) -> str:
    """Let a name or a pattern count from the working folder, in whose own name no character is that of a pattern."""
    if not has_magic(name) or Path(name).exists():
        return str(Path(name).absolute())
    return str(Path(escape(str(Path.cwd()))) / name)


def _find(root: Path, name: str, setting: str) -> list[Path]:
    if not has_magic(name) or (root / name).exists():
        return [root / name]
    matches = glob(name, root_dir=root, recursive=True)  # noqa: PTH207 (a Path takes no absolute pattern)
    found = sorted(root / match for match in matches)
    files = [path for path in found if not path.is_dir()]
    if not files:
        raise DataError(f"no file matches {root / name} ({setting})")
    return files
