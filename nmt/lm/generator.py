"""Texts drawn at random from what a language model finds probable."""

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Final, Literal, Self

import torch
from torch import Tensor

from nmt.config import Settings
from nmt.errors import NOT_FINITE, ConfigError, ModelError, counted
from nmt.io.lines import normaliser
from nmt.models.devices import choose_device, choose_precision, for_gpu, prepare_for_search
from nmt.models.folder import load_language_model, load_own_tokenizers
from nmt.models.language_model import LanguageModel, LanguageModelState
from nmt.search.frontier import forbidding
from nmt.search.replay import Replayed, recorder_for
from nmt.search.sampling import Sampling, streams_of, uniform_numbers
from nmt.text.alignment import join_pieces
from nmt.text.placeholders import mask
from nmt.text.tokenizer import Tokenizer
from nmt.text.vocab import EOS

_ROWS: Final = 32
"""Lines that are drawn beside each other, always so many, so that none depends on how many are wanted."""
_LOOK_EVERY: Final = {"cpu": 1, "cuda": 8}
"""Pieces between two looks at who is over: a GPU would be waited for each time."""
_NO_PIECE: Final = -1


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
        prefix, advance = self._prefix(generation), self._advance(generation.sampling)
        for first in range(0, count, _ROWS):
            numbers = torch.arange(first, first + _ROWS, device=self.model.device)
            state, wanted = self.model.start(_ROWS), min(count - first, _ROWS)
            rows, _ = self._draw(advance, state, numbers, generation, prefix=prefix.ids, wanted=wanted)
            yield from (self._text(row, prefix) for row in rows)

    def text(self, generation: Generation) -> Iterator[str]:
        """Draw a text line by line, without end: each line goes on from those before it.

        Raises:
            ConfigError: The prefix is too long.
            ModelError: The model gives scores that are not finite numbers.
        """
        prefix, advance = self._prefix(generation), self._advance(generation.sampling)
        state = self.model.start(1)
        for number in itertools.count():
            numbers = torch.full((1,), number, device=self.model.device)
            [row], state = self._draw(advance, state, numbers, generation, prefix=prefix.ids, wanted=1)
            yield self._text(row, prefix)
            prefix = _Prefix((), ())

    @torch.inference_mode()
    def _draw(
        self,
        advance: "_Advance",
        state: LanguageModelState,
        numbers: Tensor,
        generation: Generation,
        *,
        prefix: Sequence[int],
        wanted: int,
    ) -> tuple[list[list[int]], LanguageModelState]:
        """Draw a line in each row, after `state` and `</s>`, until the first `wanted` have come to an end.

        Args:
            advance: Draws some pieces.
            state: What is before the lines.
            numbers: Those of the lines, [R].
            generation: How they are drawn.
            prefix: How each of them begins.
            wanted: How many are returned.

        Returns:
            The pieces of each line that is wanted, without `</s>`, and the state when all else has been read.
        """
        longest, ids = generation.max_length, torch.full((len(numbers), 1), EOS, device=numbers.device)
        for piece in prefix:
            _, state = self.model.step(ids, state)
            ids = torch.full_like(ids, piece)
        drawing = _Drawing(
            streams_of(generation.sampling.seed, numbers, torch.zeros_like(numbers)),
            ids,
            (torch.arange(len(ids), device=ids.device) >= wanted)[:, None],
            torch.full((), len(prefix), device=ids.device),
            state,
            ids.expand(-1, _LOOK_EVERY[ids.device.type]),
        )
        rows = [list(prefix) for _ in range(wanted)]
        for done in range(len(prefix), longest, drawing.written.shape[1]):
            if longest - done < drawing.written.shape[1]:
                drawing = replace(drawing, written=drawing.written[:, : longest - done])
            drawing = advance(drawing)
            for row, pieces in zip(rows, drawing.written[:wanted].tolist(), strict=True):
                row += pieces
                if _NO_PIECE in pieces:
                    raise ModelError(NOT_FINITE)
            if all(row[-1] == EOS for row in rows):
                break
        else:
            _, state = self._read(drawing)
            drawing = replace(drawing, state=state)
        return [row[: row.index(EOS)] if EOS in row else row for row in rows], drawing.state

    def _advance(self, sampling: Sampling) -> "_Advance":
        """Return what draws as many pieces of each line as `written` has room for; recorded on a GPU."""

        def advance(drawing: _Drawing) -> _Drawing:
            written = list[Tensor]()
            for _ in range(drawing.written.shape[1]):
                logits, state = self._read(drawing)
                log_probs = forbidding(logits.squeeze(1).log_softmax(dim=1, dtype=torch.float32))
                drawn = sampling.draw(log_probs, uniform_numbers(drawing.streams, drawing.step)[:, None])
                ids = drawn.masked_fill(drawing.over, EOS)
                known = logits.isfinite().all(dim=2) | drawing.over
                written.append(ids.masked_fill(~known, _NO_PIECE))
                drawing = replace(drawing, ids=ids, over=ids == EOS, step=drawing.step + 1, state=state)
            return replace(drawing, written=torch.cat(written, dim=1))

        recorder = recorder_for(self.model.device)
        return advance if recorder is None else Replayed(advance, recorder)

    def _read(self, drawing: "_Drawing") -> tuple[Tensor, LanguageModelState]:
        """Read the last piece of each line that is not over: the scores of the next one, [R, 1, V], and the state."""
        logits, state = self.model.step(drawing.ids, drawing.state)
        over = drawing.over[:, :, None]
        layers = (zip(*both, strict=True) for both in zip(drawing.state.layers, state.layers, strict=True))
        kept = tuple(tuple(torch.where(over, old, new) for old, new in parts) for parts in layers)
        return logits, replace(state, layers=kept)

    def _prefix(self, generation: Generation) -> "_Prefix":
        plain = normaliser(self.settings.data)(generation.prefix)
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


@dataclass(frozen=True)
class _Drawing:
    """Lines that are drawn beside each other."""

    streams: Tensor
    """What the random numbers of each are made from, [R]."""
    ids: Tensor
    """The last piece of each, which has not been read, [R, 1]."""
    over: Tensor
    """Whether that is `</s>`, or nobody wants the line, [R, 1]: nothing of it is read any more."""
    step: Tensor
    """Pieces of each so far, of one that is not over, []."""
    state: LanguageModelState
    """After all other pieces."""
    written: Tensor
    """The latest pieces of each, `</s>` after the end, and `_NO_PIECE` where scores were not finite, [R, N]."""


_Advance = Callable[[_Drawing], _Drawing]


@dataclass(frozen=True)
class _Prefix:
    ids: tuple[int, ...]
    """As the model reads it."""
    pieces: tuple[str, ...]
    """As it stands, unknown characters too."""
