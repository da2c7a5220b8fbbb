"""The record of a run: metrics.jsonl, one object a line, and the same numbers as TensorBoard curves."""

import json
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, cast

from nmt.files import appending, make_folder, naming, read_regular, write_text

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

METRICS, CURVES = "metrics.jsonl", "tensorboard"


class Records:
    """Appends records; records of steps that a resumed run makes again are dropped first."""

    def __init__(self, model_dir: Path, *, step: int, tensorboard: bool) -> None:
        self.path = model_dir / METRICS
        if self.path.is_file():
            kept = [record for record in read_metrics(self.path) if record.step <= step]
            write_text(self.path, "".join(map(_to_line, kept)))
        self._file = appending(self.path)
        self._make_curves = partial(_make_curves, model_dir / CURVES, step + 1) if tensorboard else None
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
        if self._make_curves is not None and self._curves is None:
            self._curves = self._make_curves()
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
            if isinstance(kind, str) and type(step) is int:
                records.append(Record(kind, step, {name: _number(value) for name, value in values.items()}))
    return records


def _number(value: object) -> float:
    if type(value) not in (int, float):
        raise TypeError(f"{value!r} is no number")
    return float(cast(float, value))


def _make_curves(folder: Path, purge_step: int) -> "SummaryWriter":
    from torch.utils.tensorboard import SummaryWriter  # takes a while, and the first step need not wait for it

    make_folder(folder)
    return SummaryWriter(str(folder), purge_step=purge_step)


def _to_line(record: Record) -> str:
    return json.dumps({"kind": record.kind, "step": record.step, **record.values}) + "\n"
