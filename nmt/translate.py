"""From lines of text to lines of text: what `nmt translate` runs, as a library."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Self

from nmt.config import SearchSettings, Settings, load_settings
from nmt.corpus.placeholders import Originals, mask, unmask
from nmt.corpus.reading import normalise
from nmt.errors import ConfigError
from nmt.models.devices import choose_device
from nmt.models.folder import load_model
from nmt.search.batches import search_batches
from nmt.search.hypothesis import Hypothesis
from nmt.search.protocol import SearchableModel
from nmt.splitting import split_text
from nmt.subword import Tokenizers, load_tokenizers


@dataclass(frozen=True)
class Translation:
    """One translation of a line."""

    text: str
    """One line, without its end."""
    log_probability: float
    """Natural logarithm of the model's probability; the sum over the parts of a line that was cut."""
    score: float
    """The log-probability over the length penalty: what translations are ranked by; summed in the same way."""
    parts: int
    """How many parts the line was translated in: 1, more if it was too long for the model, 0 if it was blank."""


@dataclass(frozen=True)
class _Part:
    """What is translated at once: a line, or a part of one that is too long."""

    ids: list[int]
    originals: Originals
    """What its placeholders stand for."""


@dataclass(frozen=True)
class Translator:
    """A trained model with what surrounds it; it keeps no state, so threads may share it.

    Example: `Translator.load(Path("models/en-fr")).translate(["A dog runs."])[0][0].text`
    """

    model: SearchableModel[Any, Any]
    tokenizers: Tokenizers
    settings: Settings

    @classmethod
    def load(cls, folder: Path, *, device: Literal["auto", "cpu", "cuda"] = "auto") -> Self:
        """Load a model folder.

        Raises:
            ModelError: The folder is no model, is damaged, or was written by a newer version.
            ConfigError: A GPU is asked for and there is none.
        """
        model, settings = load_model(folder, device=choose_device(device))
        return cls(model, load_tokenizers(folder), settings)

    def translate(
        self,
        lines: Sequence[str],
        *,
        beam_size: int | None = None,
        length_penalty: float | None = None,
        batch_tokens: int | None = None,
        n_best: int = 1,
    ) -> list[list[Translation]]:
        """Translate lines; a line's translations do not depend on the lines around it.

        A line of more pieces than `data.max_pieces` is cut after sentences or words, and its parts are translated one
        by one and joined by spaces: the n-th best of each to the n-th best of the line.

        Args:
            lines: One text each.
            beam_size: None: what the model's settings say, here and for the next two.
            length_penalty: Alpha of the length penalty.
            batch_tokens: Token budget of a batch; it changes speed and memory, not translations.
            n_best: Translations wanted of each line, at most the beam size.

        Returns:
            For each line, in order, its translations, best first: `n_best`, fewer where the model has no more to offer,
            and a single empty one for a blank line.

        Raises:
            ConfigError: A search setting is out of range, or the beam is smaller than `n_best`.
            ModelError: The model gives scores that are not finite numbers.
        """
        chosen = {"beam_size": beam_size, "length_penalty": length_penalty, "batch_tokens": batch_tokens}
        search = self._search_settings(chosen, n_best)
        lines_in_parts = self._cut(lines)
        parts = [part for line in lines_in_parts for part in line]
        reverse_source = self.settings.model.reverse_source
        sources = [part.ids for part in parts]
        found = search_batches(self.model, sources, settings=search, reverse_source=reverse_source, n_best=n_best)
        translations = iter(self._to_text(parts, found))
        return [_join(list(islice(translations, len(line)))) for line in lines_in_parts]

    def _search_settings(self, chosen: dict[str, int | float | None], n_best: int) -> SearchSettings:
        overrides = [f"search.{name}={value}" for name, value in chosen.items() if value is not None]
        search = load_settings(overrides=overrides, base=self.settings).search
        if not 1 <= n_best <= search.beam_size:
            raise ConfigError(
                f"{n_best} translations of each line were asked for, but search.beam_size = {search.beam_size} gives "
                f"1 to {search.beam_size}"
            )
        return search

    def _cut(self, lines: Sequence[str]) -> list[list[_Part]]:
        """Make parts of lines: none of a blank one, one of most, more where there are too many pieces."""
        limit = self.settings.data.max_pieces
        texts = [normalise(line) for line in lines]
        wholes = iter(self._encode([text for text in texts if text]))
        cut: list[list[_Part]] = []
        for text in texts:
            parts = [next(wholes)] if text else []
            if parts and len(parts[0].ids) > limit:
                parts = self._encode(split_text(text, count=self._count_pieces, limit=limit))
            cut.append(parts)
        return cut

    def _count_pieces(self, texts: Sequence[str]) -> list[int]:
        return [len(part.ids) for part in self._encode(texts)]

    def _encode(self, texts: Sequence[str]) -> list[_Part]:
        masked = [mask(text, self.settings.tokenizer.placeholders) for text in texts]
        rows = self.tokenizers.src.encode([text for text, _ in masked])
        return [_Part(ids, originals) for ids, (_, originals) in zip(rows, masked, strict=True)]

    def _to_text(self, parts: Sequence[_Part], found: Sequence[Sequence[Hypothesis]]) -> list[list[Translation]]:
        texts = iter(self.tokenizers.tgt.decode([best.ids for hypotheses in found for best in hypotheses]))
        return [
            [
                Translation(_one_line(unmask(next(texts), part.originals)), best.log_probability, best.score, parts=1)
                for best in hypotheses
            ]
            for part, hypotheses in zip(parts, found, strict=True)
        ]


def _join(parts: Sequence[Sequence[Translation]]) -> list[Translation]:
    """Join the translations of a line's parts, rank by rank; a part with fewer of them repeats its last."""
    if not parts:
        return [Translation("", 0.0, 0.0, parts=0)]
    if len(parts) == 1:
        return list(parts[0])
    return [
        _concatenate([part[min(rank, len(part) - 1)] for part in parts])
        for rank in range(max(len(part) for part in parts))
    ]


def _concatenate(parts: Iterable[Translation]) -> Translation:
    chosen = list(parts)
    return Translation(
        text=" ".join(part.text for part in chosen if part.text),
        log_probability=sum(part.log_probability for part in chosen),
        score=sum(part.score for part in chosen),
        parts=len(chosen),
    )


def _one_line(text: str) -> str:
    return re.sub(r"[\r\n]+", " ", text)
