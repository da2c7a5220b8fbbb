"""The kinds of model there are, each with its data."""

from pathlib import Path

from nmt.config import Settings
from nmt.prepared import PreparedData, PreparedText, holds_text
from nmt.training.language import LanguageTask
from nmt.training.task import Place, Task
from nmt.training.translation import TranslationTask


def open_data(folder: Path) -> PreparedData | PreparedText:
    """Open prepared data, pairs or text.

    Raises:
        DataError: They are missing, incomplete, altered, or of another format version.
    """
    return PreparedText.open(folder) if holds_text(folder) else PreparedData.open(folder)


def make_task(data: PreparedData | PreparedText, settings: Settings, place: Place) -> Task:
    """Put together a model and the data that it learns from.

    Raises:
        ConfigError: A setting does not fit the data.
    """
    if isinstance(data, PreparedData):
        return TranslationTask(data, settings, place)
    return LanguageTask(data, settings, place)
