"""Where a run stands: every number that the next update depends on, beside the weights and the optimiser."""

import json
from dataclasses import asdict, dataclass, field, fields
from typing import Annotated, Any, Final

from pydantic import Field, TypeAdapter, ValidationError

from nmt.config.load import describe_misfit

Count = Annotated[int, Field(ge=0, le=2**62)]


@dataclass(frozen=True)
class Position:
    """A place in the data, in pairs, so that it means the same under another batch size.

    A pair that is drawn several times for a pass counts each time. In a text, the pieces read of each part are counted:
    (number of parts, pieces of each).
    """

    epoch: Count = 0
    """Passes completed."""
    parts: tuple[tuple[Count, Count], ...] = ()
    """The current pass so far: (token budget of a batch, pairs seen under it), one part for each budget it had."""

    @property
    def pairs(self) -> int:
        """Pairs of the current pass already seen; in a text, pieces of each part."""
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
        if not isinstance(values, dict) or values.keys() != names:
            raise ValueError(f"counters {sorted(set(values) ^ names) if isinstance(values, dict) else ''} do not fit")
        try:
            return _STATE.validate_python(values)
        except ValidationError as error:
            raise ValueError(f"counters do not fit: {describe_misfit(error)}") from error


_STATE: Final = TypeAdapter(TrainingState)
