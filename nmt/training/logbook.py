"""The log of a run, train.log: what its observer is told, one line each, with the time."""

from contextlib import suppress
from datetime import datetime
from pathlib import Path
from types import TracebackType

from filelock import lock_descriptor

from nmt.errors import ModelError
from nmt.files import appending, naming
from nmt.training.reports import Observer, Scores, StepReport, ValidationReport

LOG = "train.log"


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

    def on_validation(self, report: ValidationReport) -> None:
        """Log a validation."""
        best = "  best so far" if report.is_best else ""
        self._write(f"step {report.step}  valid {_scores(report)}{best}")
        for name, scores in report.others.items():
            self._write(f"step {report.step}  valid on {name}: {_scores(scores)}")
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


def _scores(found: ValidationReport | Scores) -> str:
    bleu = "" if found.bleu is None else f"  BLEU {found.bleu:.2f}"
    return f"loss {found.loss:.4f}  ppl {found.perplexity:.3f}{bleu}"


class Silence:
    """The observer of the processes that say nothing."""

    def on_step(self, report: StepReport) -> None:
        """Keep silent."""

    def on_validation(self, report: ValidationReport) -> None:
        """Keep silent."""

    def on_message(self, message: str) -> None:
        """Keep silent."""
