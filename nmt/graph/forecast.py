"""How long the translation of a text will take, by some of its lines."""

import time
from typing import Final

from nmt.graph.stage_kinds import Ingredients, TranslateStage
from nmt.io.lines import read_lines
from nmt.models.folder import read_settings
from nmt.translate import Options, Translator

_LINES: Final = 200
"""Lines that are timed, from all over the text."""


def foretell_translation(stage: TranslateStage, given: Ingredients) -> float:
    """Return the seconds that a stage will take on this machine: some lines are translated, and timed."""
    begun = time.perf_counter()
    settings, models = given.settings, given.inputs["model"]
    search = read_settings(models[0]).search.model_copy(update=settings.search.model_dump(exclude_unset=True))
    translator = Translator.load(*models, device=settings.training.device, precision=search.precision)
    lines = list(read_lines(stage.text_of(given), on_bad_utf8=settings.data.on_bad_utf8))
    ready = time.perf_counter()
    some = lines[:: max(1, len(lines) // _LINES)]
    translator.translate(some, Options(**search.model_dump(exclude={"precision"}), tag=stage.tag_of(given)))
    pace = (time.perf_counter() - ready) / max(1, len(some))
    return ready - begun + pace * len(lines)
