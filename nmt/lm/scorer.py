"""How probable a language model finds lines of text.

Texts are read in blocks: memory does not grow with their length, and nothing depends on what is read beside them. Lines
by themselves are read many at a time, on a CPU by prepacked layers, whose rows do not depend on each other
(docs/decisions/0010). One text is read by the library's fused layers, which are ten times as fast for a single row; its
blocks have one length and begin at fixed places, so that all is computed in the same way however it comes.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Final, Literal, Self

import numpy as np
import torch
from torch import Tensor, nn

from nmt.config import Settings
from nmt.errors import NOT_FINITE, ModelError
from nmt.io.arriving import LineSource
from nmt.io.lines import normaliser
from nmt.models.devices import (
    Precision,
    autocast,
    choose_device,
    choose_precision,
    for_gpu,
    for_inference,
    prepare_for_search,
)
from nmt.models.folder import load_language_model, load_own_tokenizers
from nmt.models.language_model import LanguageModel, TextState
from nmt.models.tensors import padded, sent
from nmt.text.placeholders import mask
from nmt.text.tokenizer import Tokenizer
from nmt.text.vocab import EOS, UNK


@dataclass(frozen=True)
class BlockReader:
    """A language model made ready to read blocks of one shape."""

    model: LanguageModel
    """In evaluation mode."""
    output: nn.Module
    """Its output layer."""
    autocast_to: Precision
    """The arithmetic of layers that do not have their own."""
    rows: int
    """Texts that are read at once."""
    steps: int
    """Pieces of each that are read at once."""

    @torch.inference_mode()
    def read(self, ids: Tensor, places: Tensor, gold: Tensor, state: TextState | None) -> tuple[Tensor, TextState]:
        """Read on in texts; nobody waits for a GPU.

        Args:
            ids: The pieces to read, [R, T].
            places: Where the piece that follows is scored, numbered row by row, [N].
            gold: Those pieces, [N].
            state: What is before; None: nothing.

        Returns:
            Their log-probabilities, [N], and the state after all that was read.
        """
        device = self.model.device
        with autocast(device, self.autocast_to):
            features, after = self.model(sent(ids, device), state)  # [R, T, F]
            logits = self.output(features.flatten(0, 1).index_select(0, sent(places, device)).float())  # [N, V]
        log_probs = logits.log_softmax(dim=1, dtype=torch.float32)
        return log_probs.gather(1, sent(gold, device)[:, None]).squeeze(1), after


def _fetched(log_probs: Sequence[Tensor]) -> Tensor:
    """Put what was read end to end on the CPU; a ModelError if not all of it are finite numbers."""
    found = torch.cat(tuple(log_probs)).cpu() if log_probs else torch.zeros(0)
    if not bool(found.isfinite().all()):
        raise ModelError(NOT_FINITE)
    return found


def make_readers(model: LanguageModel, precision: Literal["fp32", "bf16"]) -> tuple[BlockReader, BlockReader]:
    """Make a model ready on the device it is on: to read texts by themselves, and to read on in one."""
    if model.device.type == "cuda":
        narrow = for_gpu(model, precision)
        apart = BlockReader(narrow, narrow.output, precision, rows=256, steps=32)
        return apart, replace(apart, rows=1, steps=256)
    prepacked = for_inference(model, precision)
    apart = BlockReader(prepacked, prepacked.output, "fp32", rows=32, steps=16)
    return apart, BlockReader(model, prepacked.output, precision, rows=1, steps=64)


def score_apart(reader: BlockReader, texts: Sequence[Sequence[int]]) -> list[list[float]]:
    """Score texts, ids without `</s>`, each by itself, with the first of `make_readers`.

    Returns:
        For each text, in order, the log-probability of each of its pieces and of `</s>`.

    Raises:
        ModelError: The model gives scores that are not finite numbers.
    """
    pieces = torch.tensor([piece for text in texts for piece in (EOS, *text, EOS)], dtype=torch.int64)
    sizes = np.array([len(text) + 1 for text in texts], dtype=np.int64)  # what is scored of each
    ends = np.cumsum(sizes + 1) - 1  # their last pieces
    waiting = np.argsort(sizes, kind="stable").tolist()  # the longest is taken first
    at, end = (np.zeros(reader.rows, dtype=np.int64) for _ in range(2))  # the piece to read on from, and the last one
    state: TextState | None = None
    found, where = list[Tensor](), [np.zeros(0, dtype=np.int64)]
    while True:
        fresh = np.flatnonzero(at == end)
        begun = [waiting.pop() for _ in fresh[: len(waiting)]]
        end[fresh[: len(begun)]], at[fresh[: len(begun)]] = ends[begun], ends[begun] - sizes[begun]
        if (at == end).all():
            break
        if state is not None:  # nothing is before a text that begins
            index = sent(torch.from_numpy(fresh), state[0][0].device)
            state = tuple(tuple(part.index_fill(0, index, 0) for part in layer) for layer in state)
        place = at[:, None] + np.arange(min(reader.steps, (end - at).max()))  # [R, T]
        known = place < end[:, None]
        ids = pieces[torch.from_numpy(np.where(known, place, 0))]  # the first piece is `</s>`
        where.append(place[known] + 1)
        places = torch.from_numpy(np.flatnonzero(known))
        log_probs, state = reader.read(ids, places, pieces[torch.from_numpy(where[-1])], state)
        found.append(log_probs)
        at = np.minimum(at + place.shape[1], end)
    scores = np.zeros(len(pieces), dtype=np.float32)
    scores[np.concatenate(where)] = _fetched(found)
    return [scores[last + 1 - size : last + 1].tolist() for last, size in zip(ends, sizes, strict=True)]


class RunningText:
    """One text that is read on as it comes, from its first piece, before which stands `</s>`.

    Its blocks begin at fixed places. One that is not full yet is read anew when more of it has come, so no score
    depends on how much came at once.
    """

    def __init__(self, reader: BlockReader) -> None:
        """Begin with nothing read; `reader` is the second of `make_readers`."""
        self._reader = reader
        self._state: TextState | None = None  # before the block
        self._begun = [EOS]  # the pieces of the block so far; the last one has not been read on from

    def score(self, pieces: Sequence[int]) -> list[float]:
        """Return the log-probabilities of the next pieces of the text.

        Raises:
            ModelError: The model gives scores that are not finite numbers.
        """
        steps, text, found = self._reader.steps, [*self._begun, *pieces], list[Tensor]()
        first, done = 0, len(self._begun) - 1  # where the block begins, and what has been read on from
        while len(text) > done + 1:
            block = torch.tensor(text[first : first + steps + 1])
            places = torch.arange(done - first, len(block) - 1)
            ids = padded(block[:-1], steps, dim=0, fill=EOS)[None]
            log_probs, state = self._reader.read(ids, places, block[places + 1], self._state)
            found.append(log_probs)
            done = first + len(block) - 1
            if done == first + steps:
                first, self._state = done, state
        self._begun = text[first:]
        return _fetched(found).tolist()


@dataclass(frozen=True)
class LineScore:
    """What a language model makes of one line.

    A blank line has no pieces, and nothing of it is scored, not even its `</s>`: no model has seen one in training.
    """

    ids: tuple[int, ...]
    """What was scored: the pieces of the line, and `</s>`."""
    log_probs: tuple[float, ...]
    """Natural logarithm of the probability of each of them, after all before it."""
    characters: int
    """Of the line as the model reads it, and one for its end."""
    space_separated: int
    """Words of the line that white space separates, and one for its end."""

    @property
    def pieces(self) -> int:
        """Pieces that were scored, `</s>` counted."""
        return len(self.ids)

    @cached_property
    def log_probability(self) -> float:
        """Sum of the log-probabilities."""
        return math.fsum(self.log_probs)

    @property
    def perplexity(self) -> float:
        """Per piece; not a number for a blank line."""
        return perplexity(self.log_probability, self.pieces)


@dataclass(frozen=True)
class Totals:
    """What a language model makes of a text.

    Perplexities per piece compare only between models that cut text in the same way. The other two figures spread the
    same log-probability over what does not depend on the model.
    """

    lines: int = 0
    """Blank ones too."""
    pieces: int = 0
    """Pieces, and `</s>` for every line that is not blank."""
    unknown: int = 0
    """Pieces among them that the model does not know; as `<unk>` they are more probable than they should be."""
    log_probability: float = 0.0
    """Natural logarithm."""
    characters: int = 0
    """Those of the lines, and one for the end of each that is not blank."""
    space_separated: int = 0
    """Words between white space, and one for the end of each line that is not blank."""

    def plus(self, scores: Iterable[LineScore]) -> Self:
        """Return the totals with those of more lines."""
        scores = list(scores)
        return type(self)(
            lines=self.lines + len(scores),
            pieces=self.pieces + sum(one.pieces for one in scores),
            unknown=self.unknown + sum(one.ids.count(UNK) for one in scores),
            log_probability=self.log_probability + math.fsum(one.log_probability for one in scores),
            characters=self.characters + sum(one.characters for one in scores),
            space_separated=self.space_separated + sum(one.space_separated for one in scores),
        )

    @property
    def perplexity(self) -> float:
        """Per piece; not a number where there is none."""
        return perplexity(self.log_probability, self.pieces)

    @property
    def perplexity_per_space_separated_word(self) -> float:
        """The same log-probability, per word between white space."""
        return perplexity(self.log_probability, self.space_separated)

    @property
    def bits_per_character(self) -> float:
        """The same log-probability, to the base 2 and per character."""
        return -self.log_probability / math.log(2) / self.characters if self.characters else math.nan


def perplexity(log_probability: float, count: int) -> float:
    """Return how many equally probable pieces would be as hard to guess as each of `count`."""
    if not count:
        return math.nan
    try:
        return math.exp(-log_probability / count)
    except OverflowError:
        return math.inf


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
        torch.set_num_threads(threads)
        model, settings = load_language_model(folder, device=chosen)
        tokenizer = load_own_tokenizers(folder).tgt
        return cls(*make_readers(model, choose_precision(precision, chosen)), tokenizer, settings)

    def score(self, lines: Sequence[str]) -> list[LineScore]:
        """Score lines, each by itself.

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
                scores.append(line.scored(iter(next(found) if line.ids else ())))
        return scores

    def score_text(self, lines: Sequence[str]) -> list[LineScore]:
        """Score lines that follow each other in a text: each after all that stand before it.

        Raises:
            ModelError: The model gives scores that are not finite numbers.
        """
        return _score_on(RunningText(self.on), self._encode(lines))

    def score_source(self, source: LineSource, *, carry: bool, block: int) -> Iterator[list[LineScore]]:
        """Score all lines of a source, as they come, at most `block` together: carried on, or each by itself.

        Raises:
            NmtError: A line cannot be read; the scores of those before it have been given.
        """
        text = RunningText(self.on)
        while lines := source.take(block, wait=True):
            yield _score_on(text, self._encode(lines)) if carry else self.score(lines)

    def _encode(self, lines: Sequence[str]) -> list["_Line"]:
        normalise = normaliser(self.settings.data)
        texts = [mask(normalise(line), self.settings.tokenizer.placeholders)[0] for line in lines]
        return [_Line(text, ids) for text, ids in zip(texts, self.tokenizer.encode(texts), strict=True)]


@dataclass(frozen=True)
class _Line:
    text: str
    ids: list[int]

    def scored(self, log_probs: Iterator[float]) -> LineScore:
        """Take the next log-probabilities, one for each piece and one for `</s>`; none if the line is blank."""
        if not self.ids:
            return LineScore(ids=(), log_probs=(), characters=0, space_separated=0)
        return LineScore(
            ids=(*self.ids, EOS),
            log_probs=tuple(islice(log_probs, len(self.ids) + 1)),
            characters=len(self.text) + 1,
            space_separated=len(self.text.split()) + 1,
        )


def _score_on(text: RunningText, lines: Sequence[_Line]) -> list[LineScore]:
    """Score lines that come next in a text."""
    found = iter(text.score([piece for line in lines if line.ids for piece in (*line.ids, EOS)]))
    return [line.scored(found) for line in lines]
