"""Back-translation: real text of the target language, and synthetic sources for it (Sennrich et al., 2016)."""

from pathlib import Path
from random import Random

from nmt.config import DataSettings
from nmt.io.files import Stamp
from nmt.io.lines import OnBadUtf8, Pair
from nmt.synthesis.judging import (
    Judge,
    cleaning_of,
    exchanged_languages,
    in_a_column,
    of_model,
    read_text,
    warn_of_small_letters,
)
from nmt.synthesis.working import Writing, Written
from nmt.text.noises import scrambled
from nmt.translate.translator import Job


def cleaning_of_backward(data: DataSettings) -> DataSettings:
    """Return how synthetic pairs are cleaned, of the settings that a backward model was trained with: by its rules,
    with the languages exchanged."""
    return cleaning_of(exchanged_languages(of_model(data)))


def back_translation(text: Path, job: Job, judge: Judge, data: DataSettings, *, on_bad_utf8: OnBadUtf8) -> Writing:
    """Translate a text back; `data` says how it is read, and what `judge` goes by. Call it before the key is made.

    Warns:
        NmtWarning: The model writes small letters only.
    """
    if data.lowercase:
        warn_of_small_letters("sources")
    stamp = Stamp.of(text)
    lines = read_text(text, data, on_bad_utf8)
    pairs = (Pair("", line.text, line.file, line.line, line.fault) for line in lines)
    return Writing(pairs, lambda pair: pair.tgt, _complete, job, judge, [stamp])


def _complete(written: Written) -> list[Pair]:
    return [pair._replace(src=in_a_column(best.text)) for pair, (best, *_) in written]


def with_noise(pair: Pair, *, seed: int) -> Pair:
    """Noise the source of a pair; how depends on its line and the seed alone."""
    return pair._replace(src=scrambled(pair.src, Random(f"{seed} {pair.line}")))
