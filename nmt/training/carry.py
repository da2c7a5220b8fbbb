"""What a language model remembers from one segment of its text to the next."""

import torch
from torch import Tensor

from nmt.batching import Segment
from nmt.models.language_model import LanguageModel, TextState
from nmt.training.distributed import Ranks

_PREFIX = "layer"


class Carry:
    """The recurrent state after the last segment, where the next one starts (Mikolov et al., 2010).

    Several processes share the rows of a batch, every so-manieth each; a checkpoint holds the state of all rows, so
    another number of processes can go on from it.
    """

    def __init__(self, ranks: Ranks, *, rows: int) -> None:
        self.ranks = ranks
        self.rows = rows
        """Parts that the text is cut into, those of all processes."""
        self.state: TextState | None = None
        """Of this process's rows, parts [B, H]; None: nothing has been read yet."""

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
        rows = slice(segment.first_row, segment.first_row + len(segment))
        old = self.state or tuple(tuple(part.new_zeros(mine, *part.shape[1:]) for part in layer) for layer in state)
        self.state = tuple(
            tuple(_replaced(part, rows, new) for part, new in zip(*layers, strict=True))
            for layers in zip(old, state, strict=True)
        )

    def tensors(self) -> dict[str, Tensor]:
        """Name the state of all rows, on the CPU; every process has to ask for it at once."""
        if self.state is None:
            return {}
        return {
            f"{_PREFIX}{i}/{j}": self._of_all(part)
            for i, layer in enumerate(self.state)
            for j, part in enumerate(layer)
        }

    def forms(self, model: LanguageModel) -> dict[str, torch.Size]:
        """Say what `tensors` gives of a model that has read something, by name."""
        return {
            f"{_PREFIX}{i}/{j}": torch.Size((self.rows, part.shape[-1]))
            for i, layer in enumerate(model.start(1).layers)
            for j, part in enumerate(layer)
        }

    def restore(self, tensors: dict[str, Tensor], device: torch.device) -> None:
        """Take this process's rows of a state that `tensors` gave."""
        layers: dict[str, list[Tensor]] = {}
        for name in sorted(tensors, key=_numbers):
            mine = tensors[name][self.ranks.rank :: self.ranks.size]
            layers.setdefault(name.partition("/")[0], []).append(mine.to(device))
        self.state = tuple(map(tuple, layers.values())) or None

    def _of_all(self, part: Tensor) -> Tensor:
        whole = torch.zeros(self.rows, *part.shape[1:])
        whole[self.ranks.rank :: self.ranks.size] = part.float().cpu()
        return self.ranks.sum_of(whole).to(part.dtype)


def _replaced(part: Tensor, rows: slice, new: Tensor) -> Tensor:
    part = part.clone()
    part[rows] = new
    return part


def _numbers(name: str) -> tuple[int, int]:
    layer, _, part = name.removeprefix(_PREFIX).partition("/")
    return int(layer), int(part)
