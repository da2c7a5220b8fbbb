"""Where a run stands: every number that the next update depends on, beside the weights and the optimiser; and what a
language model remembers from one segment of its text to the next.
"""

import json
import re
from dataclasses import asdict, dataclass, field, fields
from threading import Lock
from typing import Annotated, Any, Final

import torch
from pydantic import Field, TypeAdapter, ValidationError
from torch import Tensor

from nmt.batching import Segment
from nmt.config.load import describe_misfit
from nmt.models.language_model import LanguageModel, TextState
from nmt.training.distributed import Ranks

Count = Annotated[int, Field(ge=0, le=2**62)]


@dataclass(frozen=True)
class Position:
    """A place in the data, in pairs, so that it means the same under another batch size.

    A pair that is drawn several times for an epoch counts each time. In a text, the pieces read of each part are
    counted: (number of parts, pieces of each).
    """

    epoch: Count = 0
    """Epochs completed."""
    parts: tuple[tuple[Count, Count], ...] = ()
    """The current epoch so far: (token budget of a batch, pairs seen under it), one part for each budget it had."""

    @property
    def pairs(self) -> int:
        """Pairs of the current epoch already seen; in a text, pieces of each part."""
        return sum(seen for _, seen in self.parts)


@dataclass(frozen=True)
class Horizon:
    """How many updates a run is to make, and the settings that this was worked out from.

    For a language model, `batch_tokens` is the number of pieces in a segment, of all parts together.
    """

    max_steps: Count
    max_epochs: Count
    batch_tokens: Count
    accumulate: Count
    steps: Count = 0
    seconds: Count = 0
    """The time that `steps` was measured for (`training.time`); 0: none."""


@dataclass
class TrainingState:
    """The counters of a run; batches and dropout are functions of the seed and of these: no generator is kept."""

    data: str = ""
    """SHA-256 of the prepared training data."""
    step: Count = 0
    """Updates made."""
    horizon: Horizon | None = None
    """How many there are to be."""
    position: Position = field(default_factory=Position)
    """Where in the data the next update begins."""
    tokens: Count = 0
    """Target pieces trained on, `</s>` included."""
    seconds: float = 0.0
    """Time spent in updates."""
    window_loss: float = 0.0
    """Sum of the loss since the last record."""
    window_tokens: Count = 0
    """Target pieces since the last record."""
    halvings: Count = 0
    """Times the plateau schedule has halved the rate."""
    plateau: Count = 0
    """Validations since the validation loss was last better."""
    best_loss: float | None = None
    """Smallest validation loss so far, nats a piece."""
    best_score: float | None = None
    """Best validation score so far, by `training.best_by`."""
    best_step: Count = 0
    """The step that had it."""
    stale: Count = 0
    """Validations since then."""
    validated: Count = 0
    """The step of the last validation."""
    parts: Count = 0
    """Into how many each batch is cut, for as many threads; 0: this is not chosen yet."""
    parents: tuple[dict[str, Any], ...] = ()
    """The models that the run began from, the last one first, as `lineage` has them."""

    def to_json(self) -> str:
        """Write the counters as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "TrainingState":
        """Read them back.

        Raises:
            ValueError: The text is no JSON, or of other counters.
        """
        values: dict[str, Any] = json.loads(text)
        names = {field.name for field in fields(cls)}
        if not isinstance(values, dict) or values.keys() | _NEWER != names:
            raise ValueError(f"counters {sorted(set(values) ^ names) if isinstance(values, dict) else ''} do not fit")
        try:
            return _STATE.validate_python(values)
        except ValidationError as error:
            raise ValueError(f"counters do not fit: {describe_misfit(error)}") from error


_STATE: Final = TypeAdapter(TrainingState)
_NEWER: Final = {"parts", "parents"}
"""Counters that older states lack."""


class Carry:
    """The recurrent state after the last segment, where the next one starts (Mikolov et al., 2010).

    Several processes share the rows of a batch, every n-th each of n; a checkpoint holds the state of all rows, so
    another number of processes can go on from it.
    """

    def __init__(self, ranks: Ranks, *, rows: int) -> None:
        self.ranks = ranks
        self.rows = rows
        """Parts that the text is cut into, those of all processes."""
        self.state: TextState | None = None
        """Of this process's rows, parts [B, H]; None: nothing has been read yet."""
        self._lock = Lock()  # threads share the rows, too

    def before(self, segment: Segment) -> TextState | None:
        """Return the state that a segment starts with; None: zeros."""
        if segment.is_fresh or self.state is None:
            return None
        rows = slice(segment.first_row, segment.first_row + len(segment))
        return tuple(tuple(part[rows] for part in layer) for layer in self.state)

    def after(self, segment: Segment, state: TextState) -> None:
        """Keep the state that a segment has left; the states before stay as they are for those who hold them."""
        mine = len(range(self.ranks.rank, self.rows, self.ranks.size))
        if len(segment) == mine:
            self.state = state
            return
        with self._lock:
            self._put(segment, state, mine)

    def _put(self, segment: Segment, state: TextState, mine: int) -> None:
        first, last = segment.first_row, segment.first_row + len(segment)
        old = self.state or tuple(tuple(part.new_zeros(mine, *part.shape[1:]) for part in layer) for layer in state)
        self.state = tuple(
            tuple(part.slice_scatter(new, start=first, end=last) for part, new in zip(*layers, strict=True))
            for layers in zip(old, state, strict=True)
        )

    def tensors(self) -> dict[str, Tensor]:
        """Name the state of all rows, on the CPU; every process has to ask for it at once."""
        tensors = {}
        for i, layer in enumerate(self.state or ()):
            for j, part in enumerate(layer):
                whole = torch.zeros(self.rows, *part.shape[1:])
                whole[self.ranks.rank :: self.ranks.size] = part.float().cpu()
                tensors[f"layer{i}/{j}"] = self.ranks.sum_of(whole).to(part.dtype)
        return tensors

    def forms(self, model: LanguageModel) -> dict[str, torch.Size]:
        """Say what `tensors` gives of a model that has read something, by name."""
        return {
            f"layer{i}/{j}": torch.Size((self.rows, part.shape[-1]))
            for i, layer in enumerate(model.start(1).layers)
            for j, part in enumerate(layer)
        }

    def restore(self, tensors: dict[str, Tensor], device: torch.device) -> None:
        """Take this process's rows of a state that `tensors` gave."""
        layers: dict[str, list[Tensor]] = {}
        for name in sorted(tensors, key=lambda name: [int(number) for number in re.findall(r"\d+", name)]):
            mine = tensors[name][self.ranks.rank :: self.ranks.size]
            layers.setdefault(name.partition("/")[0], []).append(mine.to(device))
        self.state = tuple(map(tuple, layers.values())) or None
