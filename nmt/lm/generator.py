"""Texts drawn at random from what a language model finds probable."""

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final, Literal, Self

import torch
from torch import Tensor

from nmt.config import Settings
from nmt.errors import ConfigError, ModelError, counted
from nmt.io.lines import normaliser
from nmt.models.devices import choose_device, choose_precision, for_gpu, prepare_for_search
from nmt.models.folder import load_language_model, load_own_tokenizers
from nmt.models.language_model import LanguageModel, LanguageModelState
from nmt.search.frontier import forbidding
from nmt.search.sampling import Sampling, streams_of, uniform_numbers
from nmt.text.alignment import join_pieces
from nmt.text.placeholders import mask
from nmt.text.tokenizer import Tokenizer
from nmt.text.vocab import EOS

_ROWS: Final = 32
"""Lines that are drawn beside each other, always so many, so that none depends on how many are wanted."""
_LOOK_EVERY: Final = {"cpu": 1, "cuda": 8}
"""Pieces between two looks at who is over: a GPU would be waited for each time."""


@dataclass(frozen=True)
class Generation:
    """How lines are drawn."""

    sampling: Sampling = field(default_factory=Sampling)
    """The distribution that pieces are drawn from, and the seed."""
    max_length: int = 200
    """Most pieces of a line, those of the prefix counted; then it ends as it is."""
    prefix: str = ""
    """How each line begins; a text that goes on from line to line, its first line only."""

    def __post_init__(self) -> None:
        if self.max_length < 1:
            raise ConfigError(f"max_length = {self.max_length} of generated lines: expected 1 or more")


@dataclass(frozen=True)
class Generator:
    """A trained language model that writes; it keeps no state, so threads may share it.

    The random number for a piece is made from the seed, the number of the line and the place in it, and from nothing
    else. `<unk>` is never written.

    Example: `for line in Generator.load(Path("models/en")).lines(Generation(), count=5): ...`
    """

    model: LanguageModel
    """In evaluation mode."""
    tokenizer: Tokenizer
    settings: Settings

    @classmethod
    def load(cls, folder: Path | str, *, device: Literal["auto", "cpu", "cuda"] = "auto", threads: int = 1) -> Self:
        """Load a model folder; see `LanguageScorer.load`. On a GPU it computes in bf16 where that has it."""
        folder, chosen = Path(folder), choose_device(device)
        prepare_for_search(chosen)
        torch.set_num_threads(threads)
        model, settings = load_language_model(folder, device=chosen)
        if chosen.type == "cuda":
            model = for_gpu(model, choose_precision("auto", chosen))
        return cls(model, load_own_tokenizers(folder).tgt, settings)

    def lines(self, generation: Generation, *, count: int) -> Iterator[str]:
        """Draw lines that do not depend on each other.

        Raises:
            ConfigError: The prefix is too long.
            ModelError: The model gives scores that are not finite numbers.
        """
        prefix = self._prefix(generation)
        for first in range(0, count, _ROWS):
            numbers = torch.arange(first, first + _ROWS, device=self.model.device)
            state, wanted = self.model.start(_ROWS), min(count - first, _ROWS)
            rows, _ = self._draw(state, numbers, generation, prefix=prefix.ids, wanted=wanted)
            yield from (self._text(row, prefix) for row in rows)

    def text(self, generation: Generation) -> Iterator[str]:
        """Draw a text line by line, without end: each line goes on from those before it.

        Raises:
            ConfigError: The prefix is too long.
            ModelError: The model gives scores that are not finite numbers.
        """
        prefix, state = self._prefix(generation), self.model.start(1)
        for number in itertools.count():
            numbers = torch.tensor([number], device=self.model.device)
            [row], state = self._draw(state, numbers, generation, prefix=prefix.ids, wanted=1)
            yield self._text(row, prefix)
            prefix = _Prefix((), ())

    @torch.inference_mode()
    def _draw(
        self, state: LanguageModelState, numbers: Tensor, generation: Generation, *, prefix: Sequence[int], wanted: int
    ) -> tuple[list[list[int]], LanguageModelState]:
        """Draw a line in each row, after `state` and `</s>`, until the first `wanted` have come to an end.

        Args:
            state: What is before the lines.
            numbers: Those of the lines, [R].
            generation: How they are drawn.
            prefix: How each of them begins.
            wanted: How many are returned.

        Returns:
            The pieces of each line that is wanted, without `</s>`, and the state when all else has been read.
        """
        ids, sampling = torch.full((len(numbers), 1), EOS, device=numbers.device), generation.sampling
        ended, finite = torch.zeros_like(ids, dtype=torch.bool), torch.ones_like(ids[0, 0], dtype=torch.bool)
        streams = streams_of(sampling.seed, numbers, torch.zeros_like(numbers))
        written, unseen = list[Tensor](), list[tuple[Tensor, LanguageModelState]]()
        for step in range(generation.max_length):
            logits, state = self.model.step(ids, state)
            if step < len(prefix):
                ids = torch.full_like(ids, prefix[step])
            else:
                finite = finite & logits.isfinite().all()
                log_probs = forbidding(logits.squeeze(1).log_softmax(dim=1, dtype=torch.float32))
                ids = sampling.draw(log_probs, uniform_numbers(streams, step)[:, None])
            ended = ended | (ids == EOS)
            written.append(ids.masked_fill(ended, EOS))
            unseen.append((torch.stack([finite, ended[:wanted].all()]), state))
            if len(unseen) == _LOOK_EVERY[ids.device.type] or step + 1 == generation.max_length:
                after = _when_over(unseen)
                if after is not None:
                    state = after
                    break
                unseen.clear()
        else:
            _, state = self.model.step(ids, state)
        rows: list[list[int]] = torch.cat(written, dim=1)[:wanted].tolist()
        return [row[: row.index(EOS)] if EOS in row else row for row in rows], state

    def _prefix(self, generation: Generation) -> "_Prefix":
        plain = normaliser(cleans=self.settings.data.clean_invisible)(generation.prefix)
        [ids] = self.tokenizer.encode([mask(plain, self.settings.tokenizer.placeholders)[0]])
        if len(ids) >= generation.max_length:
            raise ConfigError(
                f"the prefix has {counted(len(ids), 'piece')}, and a line may have {generation.max_length}; "
                "shorten it, or allow longer lines"
            )
        return _Prefix(tuple(ids), tuple(self.tokenizer.split(plain)))

    def _text(self, ids: Sequence[int], prefix: "_Prefix") -> str:
        text = join_pieces([*prefix.pieces, *(self._pieces[index] for index in ids[len(prefix.ids) :])])
        return re.sub(r"[\r\n]+", " ", text)

    @cached_property
    def _pieces(self) -> list[str]:
        return self.tokenizer.surfaces


def _when_over(steps: Sequence[tuple[Tensor, LanguageModelState]]) -> LanguageModelState | None:
    """Look at whether all scores up to each step were finite, and all lines were over; return the state after which
    they were. All that comes later is left alone, also what is not finite."""
    told = torch.stack([both for both, _ in steps]).tolist()
    for (finite, over), (_, state) in zip(told, steps, strict=True):
        if not finite:
            raise ModelError("the model gives scores that are not finite numbers; its weights cannot be used")
        if over:
            return state
    return None


@dataclass(frozen=True)
class _Prefix:
    ids: tuple[int, ...]
    """As the model reads it."""
    pieces: tuple[str, ...]
    """As it stands, unknown characters too."""
