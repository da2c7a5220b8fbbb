"""Back-translation: real text of the target language, and synthetic sources for it (Sennrich et al., 2016)."""

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from random import Random

from nmt.config import DataSettings
from nmt.io.lines import Line, OnBadUtf8, Pair
from nmt.synthesis.judging import (
    Judge,
    Outcome,
    Outputs,
    Verdict,
    cleaning_of,
    in_a_column,
    read_text,
    translate_records,
    write_verdicts,
)
from nmt.text.noises import scrambled
from nmt.translate import Translation
from nmt.translate.flow import OnLines
from nmt.translate.translator import Job


def cleaning_of_backward(data: DataSettings) -> DataSettings:
    """Return how synthetic pairs are cleaned, of the settings that a backward model was trained with: by its rules,
    with the languages exchanged."""
    exchanged = {"src_lang": data.tgt_lang, "tgt_lang": data.src_lang}
    return cleaning_of(data.model_copy(update=exchanged))


@dataclass(frozen=True)
class BackTranslation:
    """Pairs made of a text by a model that translates it into the source language."""

    job: Job
    judge: Judge
    data: DataSettings
    """The settings of cleaning that `judge` goes by."""
    noise: int | None = None
    """The seed of noise on the sources; None: they stay as the model has written them."""

    def write(
        self,
        text: Path,
        outputs: Outputs,
        *,
        on_bad_utf8: OnBadUtf8 = "error",
        keep_share: float = 1.0,
        on_lines: OnLines = lambda lines, pieces: None,
    ) -> Outcome:
        """Translate a text, and write the pairs that are fit for training.

        Raises:
            DataError: The text cannot be read.
            ModelError: A model gives scores that are not finite numbers.
        """
        lines = read_text(text, self.data, on_bad_utf8)
        with closing(self._verdicts(lines, on_lines)) as verdicts:
            return write_verdicts(verdicts, outputs, keep_share=keep_share, changed=self._changed)

    def _verdicts(self, lines: Iterator[Line], on_lines: OnLines) -> Generator[Verdict, None, None]:
        with closing(translate_records(self.job, lines, lambda line: line.text, on_lines)) as blocks:
            for block in blocks:
                yield from self.judge([_pair_of(line, best) for line, (best, *_) in block])

    def _changed(self, pair: Pair) -> Pair:
        if self.noise is None:
            return pair
        return pair._replace(src=scrambled(pair.src, Random(f"{self.noise} {pair.line}")))


def _pair_of(line: Line, best: Translation) -> Pair:
    return Pair(in_a_column(best.text), line.text, line.file, line.line, line.fault)
