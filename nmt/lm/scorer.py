"""How probable a language model finds lines of text."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Self

from nmt.config import Settings
from nmt.corpus.invisible import normaliser
from nmt.corpus.placeholders import mask
from nmt.lm.blocks import BlockReader, RunningText, make_readers, score_apart
from nmt.lm.result import LineScore
from nmt.models.devices import choose_device, choose_precision, prepare_for_search, use_threads
from nmt.models.folder import load_language_model, load_own_tokenizers
from nmt.streams import LineSource
from nmt.subword import Tokenizer
from nmt.vocab import EOS

_LONG: Final = 1000
"""Pieces; a line of more is read as a text: prepacked layers, made for many rows, would take seven times as long."""


@dataclass(frozen=True)
class LanguageScorer:
    """A trained language model with what surrounds it; it keeps no state, so threads may share it.

    A line's scores are the same, to the last bit, whatever other lines are scored, on a CPU with one thread; with the
    state carried on, whatever comes after it, and in whatever portions lines come.

    Example: `LanguageScorer.load(Path("models/en")).score(["A dog runs."])[0].perplexity`
    """

    apart: BlockReader
    """Reads lines by themselves."""
    on: BlockReader
    """Reads on in a text."""
    tokenizer: Tokenizer
    settings: Settings

    @classmethod
    def load(
        cls,
        folder: Path | str,
        *,
        device: Literal["auto", "cpu", "cuda"] = "auto",
        precision: Literal["auto", "fp32", "bf16"] = "fp32",
        threads: int = 1,
    ) -> Self:
        """Load a model folder.

        Args:
            folder: The model.
            device: Where to compute.
            precision: Arithmetic of the matrix products; auto: bf16 where the hardware has it.
            threads: CPU threads, of this whole process.

        Raises:
            ModelError: The folder is no language model, is damaged, or was written by a newer version.
            ConfigError: A GPU is asked for and there is none.
        """
        folder, chosen = Path(folder), choose_device(device)
        prepare_for_search(chosen)
        use_threads(threads)
        model, settings = load_language_model(folder, device=chosen)
        tokenizer = load_own_tokenizers(folder).tgt
        return cls(*make_readers(model, choose_precision(precision, chosen)), tokenizer, settings)

    @property
    def carries(self) -> bool:
        """Whether the model was trained on a text that goes on from line to line: how it should score lines, too."""
        return self.settings.training.carry_state

    def score(self, lines: Sequence[str]) -> list[LineScore]:
        """Score lines, each by itself.

        Returns:
            The score of each line, in order.

        Raises:
            ModelError: The model gives scores that are not finite numbers.
        """
        encoded = self._encode(lines)
        found = iter(score_apart(self.apart, [line.ids for line in encoded if 0 < len(line.ids) <= _LONG]))
        scores = []
        for line in encoded:
            if len(line.ids) > _LONG:
                scores += _score_on(RunningText(self.on), [line])
            else:
                scores.append(line.scored(next(found)) if line.ids else _BLANK)
        return scores

    def score_text(self, lines: Sequence[str]) -> list[LineScore]:
        """Score lines that follow each other in a text: each after all that stand before it.

        Returns:
            The score of each line, in order.

        Raises:
            ModelError: The model gives scores that are not finite numbers.
        """
        return _score_on(RunningText(self.on), self._encode(lines))

    def score_source(self, source: LineSource, *, carry: bool, block: int) -> Iterator[list[LineScore]]:
        """Score all lines of a source, as they come.

        Args:
            source: Where they come from.
            carry: As `score_text` does; false: as `score`.
            block: Lines that are taken together at most.

        Raises:
            NmtError: A line cannot be read; the scores of those before it have been given.
        """
        text = RunningText(self.on)
        while lines := source.take(block, wait=True):
            yield _score_on(text, self._encode(lines)) if carry else self.score(lines)

    def _encode(self, lines: Sequence[str]) -> list["_Line"]:
        normalise = normaliser(cleans=self.settings.data.clean_invisible)
        texts = [mask(normalise(line), self.settings.tokenizer.placeholders)[0] for line in lines]
        return [_Line(text, ids) for text, ids in zip(texts, self.tokenizer.encode(texts), strict=True)]


@dataclass(frozen=True)
class _Line:
    text: str
    ids: list[int]

    def scored(self, log_probs: Sequence[float]) -> LineScore:
        return LineScore(
            ids=(*self.ids, EOS),
            log_probs=tuple(log_probs),
            characters=len(self.text) + 1,
            space_separated=len(self.text.split()) + 1,
        )


_BLANK = LineScore(ids=(), log_probs=(), characters=0, space_separated=0)


def _score_on(text: RunningText, lines: Sequence[_Line]) -> list[LineScore]:
    """Score lines that come next in a text."""
    found = iter(text.score([piece for line in lines if line.ids for piece in (*line.ids, EOS)]))
    return [line.scored([next(found) for _ in range(len(line.ids) + 1)]) if line.ids else _BLANK for line in lines]
