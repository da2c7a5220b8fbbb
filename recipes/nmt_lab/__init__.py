"""The lab: classic sequence problems, a page of code each, on the cells of `nmt`."""

import ast
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from nmt.errors import ConfigError, install

if TYPE_CHECKING:
    from nmt_lab.common import Lab

LABS: Final = (
    "reber_classifier",
    "sentiment",
    "digits",
    "tagger",
    "writing",
    "reber",
    "copying",
    "rectangles",
    "shapes",
    "timeseries",
    "lorenz",
)
"""Their modules, in the order in which they are shown."""
_OPTIONAL: Final = {"matplotlib": "matplotlib", "sklearn": "scikit-learn"}
"""What labs import and `nmt` does without, and what it is called where it is installed from."""


def describe(name: str) -> str:
    """Say in one line what a lab is about: the first of its file, which is not run."""
    spec = find_spec(f"{__name__}.{name}")
    assert spec is not None
    assert spec.origin is not None
    text = ast.get_docstring(ast.parse(Path(spec.origin).read_text(encoding="utf-8")))
    assert text is not None
    return text.partition("\n")[0]


def load(name: str) -> "Lab":
    """Import a lab.

    Raises:
        ConfigError: Something that it needs is not installed.
    """
    try:
        return cast("Lab", import_module(f"{__name__}.{name}"))
    except ModuleNotFoundError as error:
        missing = _OPTIONAL.get((error.name or "").partition(".")[0])
        if missing is None:
            raise
        raise ConfigError(f"nmt lab {name} needs {missing}, which is not installed; {install('lab')}") from error
