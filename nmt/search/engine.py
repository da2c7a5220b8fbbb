"""Search: which kind it is, and over any number of sentences, as many at a time as the budget allows; who is over makes
room for others."""

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, Generic

import numpy as np
import torch
from torch import Tensor

from nmt.batching import SourceBatch, source_batch
from nmt.config import SearchSettings
from nmt.errors import NOT_FINITE, ModelError
from nmt.models.recording import Recorder
from nmt.models.tensors import padded, sent
from nmt.search.beam import Beams
from nmt.search.constrained import ConstrainedBeams, Required
from nmt.search.frontier import FORBIDDEN, Frontier, Limits
from nmt.search.greedy import Greedy
from nmt.search.protocol import Hypothesis, Memory, SearchableModel, Sentence, State
from nmt.search.replay import Replayed
from nmt.search.rules import RULES, Asked, Scoring
from nmt.search.sampling import Sampled, Sampling
from nmt.text.sequences import FlatSequences
from nmt.text.vocab import UNK

ENCODED_AT_ONCE: Final = 128
"""Sentences that the encoder reads together: enough for its products to be fast."""

_ROWS_AT_ONCE: Final = 1024
"""Hypotheses of the sentences that are encoded together, at most: those who wait take memory too."""

_POSITIONS_AT_ONCE: Final = 4096
"""Source positions, padding counted, that are encoded together, but for a single sentence: the encoder takes some kB
for each, and 32 sentences of 128 positions keep it as busy as 128 do."""

_CPU_TOKENS: Final = 8000
_GPU_TOKENS: Final = 64_000
"""Budgets of what is searched at once: on a GPU a step takes as long for 50 sentences as for 400."""

_REFILL: Final = 5
"""A batch is filled up when one in so many of its sentences is over; until then those are carried along, as every time
all that is kept of the others is copied."""

_STEPS_AT_ONCE: Final = 8
"""On a GPU, steps between two looks at who is over: each look waits for it, and those who are over change no more."""

_ROW_MULTIPLE: Final = 32
"""Where steps are recorded, a batch is filled up to a multiple of so many sentences, so that its shape comes again."""

Start = Callable[[Sequence[Sentence], Tensor], Frontier]
"""Makes the frontier of new sentences whose sources have so many positions, `</s>` counted, [B]."""

_EXTRA_STEPS: Final = 10
"""Steps that a translation may have beyond what the length of its source allows."""


@dataclass(frozen=True)
class Kind(Asked):
    """What is asked of a search beyond its settings."""

    n_best: int = 1
    """Hypotheses of each sentence."""
    sampling: Sampling | None = None
    """Draw them at random."""
    with_attention: bool = False
    """Keep the attention of each piece."""
    allow_unknown: bool = False
    """Let `<unk>` be produced."""
    constrained: bool = False
    """Heed what sentences require."""
    continuing: frozenset[int] = frozenset()
    """Pieces that go on within a word, before which a required one has not ended yet."""
    opening: Mapping[int, int] = field(default_factory=dict)
    """Pieces that begin a text, and what each of them is elsewhere, where scripts have no spaces."""
    weighed: bool = False
    """The model's scores are sums of weighted log-probabilities, as those of `nmt.search.combined`."""


def start_of(settings: SearchSettings, kind: Kind = Kind()) -> Start:
    """Choose the kind of search.

    Samples if that is asked for; a beam search with constraints where pieces are required; greedy search where one
    hypothesis is wanted from a beam of one, and no coverage penalty, of which it knows nothing; else a beam search.
    """
    greedy = settings.beam_size == 1 and kind.n_best == 1 and not (kind.constrained or settings.coverage_penalty)
    scoring, attention = Scoring(settings.length_penalty, settings.coverage_penalty), kind.with_attention

    def start(sentences: Sequence[Sentence], src_lengths: Tensor) -> Frontier:
        limits = _limits(sentences, src_lengths, settings, kind)
        if kind.sampling is not None:
            numbers = torch.tensor([sentence.number for sentence in sentences], device=src_lengths.device)
            count, sampling = kind.n_best, kind.sampling
            return Sampled.start(
                limits, numbers, count=count, sampling=sampling, scoring=scoring, with_attention=attention
            )
        if greedy:
            return Greedy.start(limits, scoring=scoring, with_attention=attention)
        beams = Beams.start(
            limits,
            beam_size=settings.beam_size,
            n_best=kind.n_best,
            scoring=scoring,
            src_lengths=src_lengths,
            with_attention=attention,
        )
        if not kind.constrained:
            return beams
        bound = (frozenset(kind.copied), kind.opening)
        return ConstrainedBeams.of(beams, [Required(one.required, kind.continuing, *bound) for one in sentences])

    return start


def _limits(sentences: Sequence[Sentence], src_lengths: Tensor, settings: SearchSettings, kind: Kind) -> Limits:
    lengths = src_lengths - 1  # without `</s>`
    longest = (lengths * settings.max_length_ratio).long() + _EXTRA_STEPS
    shortest = (lengths * settings.min_length_ratio).long() if settings.min_length_ratio else None
    if kind.constrained:
        needed = [sum(map(len, sentence.required)) for sentence in sentences]
        longest = longest + torch.tensor(needed, device=lengths.device)
    if kind.with_prefixes:
        longest = longest + torch.tensor([len(sentence.prefix) for sentence in sentences], device=lengths.device)
    made = (rule.of(sentences, longest, settings, kind) for rule in RULES)
    rules = [rule for rule in made if rule is not None]
    never = tuple(piece for piece in FORBIDDEN if not (piece == UNK and kind.allow_unknown))
    return Limits.start(longest, shortest, rules, never=never, weighed=kind.weighed)


@dataclass(frozen=True)
class _Group(Generic[State]):
    """Encoded sentences on their way."""

    numbers: tuple[int, ...]
    sizes: tuple[int, ...]
    """Source positions of each, `</s>` counted."""
    state: State
    frontier: Frontier

    def take(self, rows: Sequence[int]) -> "_Group[State]":
        """Keep `rows`, in this order."""
        if len(rows) == len(self.frontier.ids):
            return self
        numbers, sizes = (tuple(part[row] for row in rows) for part in (self.numbers, self.sizes))
        return _Group(numbers, sizes, *self._parts(rows))

    def filled_up(self, multiple: int) -> "_Group[State]":
        """Let the first sentence be searched several times over, so that the batch is a multiple of `multiple`."""
        missing = -len(self.numbers) % multiple
        if not missing:
            return self
        state, frontier = self._parts([*range(len(self.numbers)), *[0] * missing])
        return replace(self, state=state, frontier=frontier)

    def join(self, other: "_Group[State]") -> "_Group[State]":
        """Append the sentences of `other`."""
        state, frontier = self.state.join(other.state), self.frontier.join(other.frontier)
        return _Group(self.numbers + other.numbers, self.sizes + other.sizes, state, frontier)

    def _parts(self, rows: Sequence[int]) -> tuple[State, Frontier]:
        index = sent(torch.tensor(rows, dtype=torch.int64), self.frontier.ids.device)
        return self.state.take(index), self.frontier.take(index)


class Engine(Generic[Memory, State]):
    """Searches for the translations of sentences that come and go.

    `add` sentences while it is `hungry`, and `step` until it is no longer `busy`. A sentence's hypotheses do not depend
    on what is searched beside it, as long as the model's rows do not depend on each other.
    """

    def __init__(
        self,
        model: SearchableModel[Memory, State],
        start: Start,
        *,
        batch_tokens: int,
        reverse_source: bool,
        right_to_left: bool = False,
        beams: int = 1,
        recorder: Recorder | None = None,
    ) -> None:
        """Begin with no sentence.

        Args:
            model: In evaluation mode.
            start: Makes frontiers: it decides what kind of search this is.
            batch_tokens: Budget of sentences x beams x longest source of what is searched at once; 0: as suits the
                model's device.
            reverse_source: Whether sources are reversed.
            right_to_left: Whether translations are written from their last piece to their first; what a sentence has as
                prefix is then how its translation ends.
            beams: Hypotheses of a sentence.
            recorder: Records the steps of batches; None: they are made one by one.
        """
        self._encoded_at_once = min(ENCODED_AT_ONCE, _ROWS_AT_ONCE // beams)
        self._model = model
        self._start = start
        self._batch_tokens = batch_tokens or (_GPU_TOKENS if model.device.type == "cuda" else _CPU_TOKENS)
        self._reverse_source, self._right_to_left = reverse_source, right_to_left
        steps = _STEPS_AT_ONCE if recorder or model.device.type == "cuda" else 1
        self._advance = partial(_advanced, model, steps)
        self._row_multiple = _ROW_MULTIPLE if recorder else 1
        self._replayed = Replayed(self._advance, recorder) if recorder else None
        self._waiting: deque[_Group[State]] = deque()
        self._called = 0
        """Sentences of the first of those groups that have been let in: what is left of it is not copied for each."""
        self._live: _Group[State] | None = None
        self._over: list[bool] = []

    @property
    def busy(self) -> bool:
        """Whether there are sentences that are not over."""
        return self._live is not None or bool(self._waiting)

    @property
    def hungry(self) -> bool:
        """Whether more sentences would be read soon: fewer of them wait than are searched."""
        live = 0 if self._live is None else len(self._live.numbers)
        return sum(len(group.numbers) for group in self._waiting) - self._called < max(1, live // 4)

    def at_once(self, pieces: int) -> int:
        """Count the sentences that are best added together if the longest has so many pieces: one at least."""
        return max(1, min(self._encoded_at_once, _POSITIONS_AT_ONCE // (pieces + 1)))

    @torch.inference_mode()
    def add(self, sentences: Sequence[Sentence]) -> None:
        """Encode sentences together, make their first step while each has a single beam, and let them wait for room."""
        if not sentences:
            return
        src = FlatSequences.from_lists([sentence.ids for sentence in sentences])
        batch = source_batch(src, np.arange(len(src)), reverse_source=self._reverse_source)
        batch = SourceBatch(sent(batch.ids, self._model.device), sent(batch.lengths, self._model.device))
        if self._right_to_left:
            sentences = [replace(sentence, prefix=sentence.prefix[::-1]) for sentence in sentences]
        frontier = self._start(sentences, batch.lengths)  # looks at lengths, before a GPU has to do anything
        state = self._model.start(self._model.encode(batch))
        numbers = tuple(sentence.number for sentence in sentences)
        sizes = tuple(len(sentence.ids) + 1 for sentence in sentences)
        self._waiting.append(_Group(numbers, sizes, *_advanced(self._model, 1, (state, frontier))))

    @torch.inference_mode()
    def step(self) -> list[tuple[int, list[Hypothesis]]]:
        """Fill up, go on, and return the numbers of the sentences that are over now, with their hypotheses.

        Raises:
            ModelError: The model gives scores that are not finite numbers.
        """
        self._refill()
        live = self._live
        if live is None:
            return []
        advance = self._replayed if self._replayed and live.frontier.replayable else self._advance
        state, frontier = advance((live.state, live.frontier))
        live = replace(live, state=state, frontier=frontier)
        over: list[bool] = frontier.over()[: len(live.numbers)].tolist()
        ended = [row for row, (now, before) in enumerate(zip(over, self._over, strict=True)) if now and not before]
        self._over = over
        self._live = None if all(over) else live
        return self._collect(live, ended) if ended else []

    def _refill(self) -> None:
        """Let those who are over go and others in, where that changes enough of the batch."""
        live, size = self._live, len(self._over)
        going = [row for row, over in enumerate(self._over) if not over]
        longest = max((live.sizes[row] for row in going), default=0) if live else 0
        changed = size - len(going) + self._room(len(going), longest)
        if not changed or changed * _REFILL < size:
            return
        live = live.take(going) if live and going else None
        while room := self._room(len(live.numbers), max(live.sizes)) if live else self._room(0, 0):
            new = self._waiting[0].take(range(self._called, self._called + room))
            self._called += room
            if self._called == len(self._waiting[0].numbers):
                self._waiting.popleft()
                self._called = 0
            live = live.join(new) if live else new
        self._live = live.filled_up(self._row_multiple) if live else None
        self._over = [False] * len(live.numbers) if live else []

    def _room(self, count: int, longest: int) -> int:
        """Count those at the head of the waiting that fit in beside `count` others; of those there is one at least."""
        if not self._waiting:
            return 0
        group = self._waiting[0]
        beams = group.frontier.ids.shape[1]
        sizes = group.sizes[self._called :]
        for room, size in enumerate(sizes):
            longest = max(longest, size)
            if (count + room + 1) * beams * longest > self._batch_tokens:
                return room if room or count else 1
        return len(sizes)

    def _collect(self, live: _Group[State], rows: Sequence[int]) -> list[tuple[int, list[Hypothesis]]]:
        found = live.frontier.take(sent(torch.tensor(rows), live.frontier.ids.device)).hypotheses()
        ended = []
        for row, hypotheses in zip(rows, found, strict=True):
            if not (hypotheses and math.isfinite(hypotheses[0].score)):
                raise ModelError(NOT_FINITE)
            length = live.sizes[row] - 1
            ended.append((live.numbers[row], [self._readable(hypothesis, length) for hypothesis in hypotheses]))
        return ended

    def _readable(self, hypothesis: Hypothesis, length: int) -> Hypothesis:
        """Put pieces and attention into the order in which people read both sides, without `</s>` and padding."""
        ids, attention = hypothesis.ids, hypothesis.attention
        if attention is not None:
            attention = padded(attention[:, :length], length, dim=1)  # no piece yet: no width yet
            attention = attention.flip(1) if self._reverse_source else attention
        if self._right_to_left:
            ids, attention = ids[::-1], None if attention is None else attention.flip(0)
        return replace(hypothesis, ids=ids, attention=attention)


def _advanced(
    model: SearchableModel[Memory, State], steps: int, both: tuple[State, Frontier]
) -> tuple[State, Frontier]:
    """Make so many steps."""
    for _ in range(steps):
        state, frontier = both
        logits, state = model.step(frontier.ids, state)
        frontier, parents = frontier.grow(logits, state)
        both = (state if parents is None else state.select(parents)), frontier
    return both


def search_batches(
    model: SearchableModel[Memory, State],
    sources: Sequence[Sequence[int]],
    *,
    settings: SearchSettings,
    reverse_source: bool,
    right_to_left: bool = False,
    with_attention: bool = False,
) -> list[Hypothesis]:
    """Search for the translations of sources, pieces without `</s>`; return the best one of each, in order.

    It is soon over, and often beside a training, whose memory recordings would take: nothing is recorded.

    Raises:
        ModelError: The model gives scores that are not finite numbers.
    """
    start = start_of(settings, Kind(with_attention=with_attention))
    engine = Engine(
        model,
        start,
        batch_tokens=settings.batch_tokens,
        reverse_source=reverse_source,
        right_to_left=right_to_left,
        beams=settings.beam_size,
    )
    sentences = [Sentence(tuple(ids), number) for number, ids in enumerate(sources)]
    # the longest first: what does not fit fails early
    waiting = sorted(sentences, key=lambda sentence: len(sentence.ids))
    found: dict[int, Hypothesis] = {}
    while waiting or engine.busy:
        if waiting and engine.hungry:
            count = min(engine.at_once(len(waiting[-1].ids)), len(waiting))
            engine.add([waiting.pop() for _ in range(count)])
        found.update((number, best) for number, [best] in engine.step())
    return [found[number] for number in range(len(sources))]
