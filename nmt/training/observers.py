"""What a run tells those who watch it, and what they may ask: its log, metrics.jsonl and the curves of TensorBoard."""

import json
import math
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from filelock import lock_descriptor

from nmt.errors import ModelError
from nmt.io.files import appending, make_folder, naming, read_regular, write_text

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

LOG, METRICS, CURVES = "train.log", "metrics.jsonl", "tensorboard"
"""What a run writes into its folder for people."""


@dataclass(frozen=True)
class StepReport:
    """What a progress display shows, as often as `training.log_every` says."""

    step: int
    total_steps: int
    epoch: int
    tokens: int
    """Target pieces that all processes have trained on since this one took the run up."""
    loss: float
    """Training loss in nats a piece, since the report before."""
    tokens_per_second: float
    """Target pieces a second in updates, since the report before."""
    seconds: float
    """Time in updates since then."""
    seconds_per_step: float
    """Wall time of a step, validations and checkpoints included, over what this process has trained."""
    learning_rate: float
    gradient_norm: float

    @property
    def perplexity(self) -> float:
        """Return exp(loss), of a loss that has exploded no more than exp(50)."""
        return math.exp(min(self.loss, 50.0))


@dataclass(frozen=True)
class StepProgress:
    """What a run is at; nobody waits for a GPU to know it, and it is not recorded."""

    step: int
    total_steps: int
    loss: float | None
    """Training loss in nats a piece since the last record; None: that of the last record is the last one known."""
    tokens_per_second: float
    """Target pieces a second in updates."""
    seconds_left: float
    """Validations and checkpoints included."""
    activity: str = ""
    """What is being done with the model of this step, if it is not trained: "validating", "timing"."""


@dataclass(frozen=True)
class Scores:
    """What a validation finds."""

    loss: float
    """Cross-entropy in nats a piece, full softmax, no smoothing."""
    bleu: float | None
    """BLEU of greedy translations against the detokenised references; None: a language model translates nothing."""
    others: "Mapping[str, Scores]" = field(default_factory=dict)
    """What it finds on further validation sets, by their names."""
    signature: str | None = None
    """The conditions of `bleu`, as sacrebleu writes them."""

    @property
    def perplexity(self) -> float:
        """Return exp(loss), of a loss that has exploded no more than exp(50)."""
        return math.exp(min(self.loss, 50.0))

    def numbers(self) -> dict[str, float]:
        """Return every number by its name: those of a further set are called "name/loss" and so on."""
        numbers = {"loss": self.loss, "perplexity": self.perplexity}
        if self.bleu is not None:
            numbers["bleu"] = self.bleu
        for name, scores in self.others.items():
            numbers |= {f"{name}/{key}": value for key, value in scores.numbers().items()}
        return numbers

    def score(self, by: Literal["bleu", "loss"], weights: Mapping[str, float]) -> float:
        """Return BLEU, or minus the loss, in the mean of this set, of weight 1, and those in `weights`: the larger, the
        better."""
        sets = [(1.0, self), *((weights[name], scores) for name, scores in self.others.items() if name in weights)]
        total = sum(weight * (-one.loss if one.bleu is None or by == "loss" else one.bleu) for weight, one in sets)
        return total / sum(weight for weight, _ in sets)

    def summary(self) -> dict[str, object]:
        """Return what model.json says of them."""
        told = {
            "valid_loss": self.loss,
            "valid_perplexity": self.perplexity,
            "valid_bleu": self.bleu,
            "valid_bleu_signature": self.signature,
        }
        return {name: value for name, value in told.items() if value is not None}


@dataclass(frozen=True)
class ValidationReport:
    """One validation."""

    step: int
    scores: Scores
    is_best: bool


class Observer(Protocol):
    """Someone who watches a run."""

    def on_step(self, report: StepReport) -> None:
        """Take note of a record."""

    def on_progress(self, progress: StepProgress) -> None:
        """Take note of a step, or of what is being done between two."""

    def on_validation(self, report: ValidationReport) -> None:
        """Take note of a validation."""

    def on_message(self, message: str) -> None:
        """Take note of something that a person should read."""


class StopRequest(Protocol):
    """Someone who may want the run to stop after the current step."""

    def is_set(self) -> bool:
        """Tell whether to stop."""
        ...


class Records:
    """Appends records; records of steps that a resumed run makes again are dropped first."""

    def __init__(self, model_dir: Path, *, step: int, tensorboard: bool) -> None:
        self.path = model_dir / METRICS
        if self.path.is_file():
            kept = [record for record in read_metrics(self.path) if record.step <= step]
            write_text(self.path, "".join(map(_to_line, kept)))
        self._file = appending(self.path)
        self._tensorboard, self._first_step = tensorboard, step + 1
        self._curves: SummaryWriter | None = None

    def __enter__(self) -> "Records":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError) if error is not None else nullcontext():  # a full disk has been told of by then
            self._file.close()
            if self._curves is not None:
                self._curves.close()

    def add(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        """Append one record: `kind` is "train" or "valid"."""
        rounded = {name: float(f"{value:.6g}") for name, value in values.items()}
        with naming(self.path):
            self._file.write(_to_line(Record(kind, step, rounded)))
            self._file.flush()
        if self._tensorboard and self._curves is None:
            from torch.utils.tensorboard import SummaryWriter  # takes a while, and the first step need not wait for it

            folder = self.path.parent / CURVES
            make_folder(folder)
            self._curves = SummaryWriter(str(folder), purge_step=self._first_step)
        if self._curves is not None:
            for name, value in values.items():
                self._curves.add_scalar(f"{kind}/{name}", value, step)


class Record(NamedTuple):
    """A line of metrics.jsonl."""

    kind: str
    """"train" or "valid"."""
    step: int
    values: dict[str, float]


def read_metrics(path: Path) -> list[Record]:
    """Read the whole records of a metrics.jsonl; a line that anything has spoilt is left out."""
    records = []
    for line in read_regular(path).decode("utf-8", errors="replace").split("\n"):
        with suppress(ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
            values = dict(json.loads(line).items())
            kind, step = values.pop("kind"), values.pop("step")
            are_numbers = all(type(value) in (int, float) for value in values.values())
            if isinstance(kind, str) and type(step) is int and are_numbers:
                records.append(Record(kind, step, {name: float(value) for name, value in values.items()}))
    return records


def _to_line(record: Record) -> str:
    return json.dumps({"kind": record.kind, "step": record.step, **record.values}) + "\n"


class Logbook:
    """Appends to train.log and passes everything on; while it is open, no other process can train in the folder.

    Of a language model (`of_text`), a step has a perplexity, too.
    """

    def __init__(self, model_dir: Path, observer: Observer, *, of_text: bool = False) -> None:
        self.model_dir = model_dir
        self.observer = observer
        self.of_text = of_text

    def __enter__(self) -> "Logbook":
        self.model_dir.mkdir(parents=True, exist_ok=True)
        self._file = appending(self.model_dir / LOG)
        try:
            is_free = lock_descriptor(self._file.fileno(), blocking=False)  # ends with the process, however that ends
        except OSError as error:
            is_free = True
            self.on_message(f"{self.model_dir} cannot be locked ({error.strerror}): start one training in it at a time")
        if not is_free:
            self._file.close()
            raise ModelError(f"another process is training in {self.model_dir}; stop it, or choose a new folder")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._file.close()
            return
        with suppress(OSError):  # on a full disk, that is what `error` tells
            self._write(f"ended by {type(error).__name__}" + (f": {error}" if str(error) else ""))
            self._file.close()

    def on_step(self, report: StepReport) -> None:
        """Log progress."""
        perplexity = f"  ppl {report.perplexity:.3f}" if self.of_text else ""
        self._write(
            f"step {report.step}/{report.total_steps}  epoch {report.epoch}  loss {report.loss:.4f}{perplexity}  "
            f"{report.tokens_per_second:.0f} pieces/s  lr {report.learning_rate:.3g}  "
            f"norm {report.gradient_norm:.3g}"
        )
        self.observer.on_step(report)

    def on_progress(self, progress: StepProgress) -> None:
        """Pass it on."""
        self.observer.on_progress(progress)

    def on_validation(self, report: ValidationReport) -> None:
        """Log a validation."""
        best = "  best so far" if report.is_best else ""
        self._write(f"step {report.step}  valid {_told(report.scores)}{best}")
        for name, scores in report.scores.others.items():
            self._write(f"step {report.step}  valid on {name}: {_told(scores)}")
        self.observer.on_validation(report)

    def on_message(self, message: str) -> None:
        """Log a message."""
        self._write(message)
        self.observer.on_message(message)

    def _write(self, text: str) -> None:
        line = " ".join(text.splitlines())
        with naming(self.model_dir / LOG):
            self._file.write(f"{datetime.now():%Y-%m-%d %H:%M:%S}  {line}\n")
            self._file.flush()


def _told(found: Scores) -> str:
    bleu = "" if found.bleu is None else f"  BLEU {found.bleu:.2f}"
    return f"loss {found.loss:.4f}  ppl {found.perplexity:.3f}{bleu}"


class Silence:
    """The observer of the processes that say nothing."""

    def on_step(self, report: StepReport) -> None:
        """Keep silent."""

    def on_progress(self, progress: StepProgress) -> None:
        """Keep silent."""

    def on_validation(self, report: ValidationReport) -> None:
        """Keep silent."""

    def on_message(self, message: str) -> None:
        """Keep silent."""
