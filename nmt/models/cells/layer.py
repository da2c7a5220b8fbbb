"""What every recurrent layer is: its state, its weights, whole sequences and single steps."""

import copy
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import ClassVar, Final, TypeVar

import torch
from torch import Tensor, nn

from nmt.config.model import CELLS, Cell
from nmt.models import cells
from nmt.models.embedding import Draws, drop_cells
from nmt.models.kernels import ROW_MULTIPLE, filled_up, widened
from nmt.models.prepacked import PrepackedLinear, SearchPrecision

SHUT: Final = 1000.0
"""What is far beyond where a logistic function is one: it opens a gate wholly, and shuts it where it is taken away."""

State = tuple[Tensor, ...]
"""(h,) or, for an LSTM of any kind, (h, c), or, for an SSRU, (c,), each [B, H]."""
Weights = tuple[Tensor, ...]
"""What `step` computes with: input weights [G * H, I] of G gates, then the rest as the layer wants it.

A layer that has its weights in another form, for inference, gives none."""


@dataclass(frozen=True)
class Recurrence:
    """What the recurrent layers of a stack have in common."""

    cell: Cell
    dropout: float
    """Share of the recurrent weights that is dropped in training."""


class RecurrentLayer(Draws, nn.Module, ABC):
    """One recurrent layer in one direction; subclasses are the cells.

    In training, single recurrent weights may be dropped (DropConnect: Wan et al., 2013), the same ones at all steps
    (Merity et al., 2018, sec. 2), which leaves the way in which a sequence is computed as it is.
    """

    state_parts: int
    """How many tensors the state has."""
    bounded: bool
    """Whether outputs lie in [-1, 1] where the first state does."""
    wide: ClassVar[tuple[str, ...]] = ()
    """Parameters that no product multiplies or has for its bias: gates are computed with them in float32."""
    form: "ClassVar[type[PrepackedLayer] | None]" = None
    """Its prepacked form, if there is one."""

    def __init__(self, *, hidden_size: int, recurrent_dropout: float) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.recurrent_dropout = recurrent_dropout

    def forward(self, inputs: Tensor, state: State | None = None) -> Tensor:
        """Run over whole sequences [B, T, I] from a state, or from zeros; return the outputs, [B, T, H]."""
        return self.run(inputs, state)[0]

    @abstractmethod
    def run(self, inputs: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Run over whole sequences [B, T, I] from a state, parts [B, H], or from zeros.

        Returns:
            The output of every step, [B, T, H], and the whole state after the last one, parts [B, H].
        """

    def read(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, State]:
        """Run over padded sequences [B, T, I] with `lengths` [B] real positions from zeros; no padding is read.

        Returns:
            The output of every step, [B, T, H], meaningless after `lengths`, and the whole state after the last real
            one, parts [B, H].
        """
        if inputs.device.type == "cuda":  # where every step is many kernels
            return self.read_at_once(inputs, lengths)
        weights, state, outputs = self.weights(), self.zeros(widened(inputs)), list[Tensor]()
        for t in range(inputs.shape[1]):
            new = self.step(inputs[:, t], state, weights=weights)
            outputs.append(self.output(new))
            state = kept_until(lengths, t, new, state)
        return torch.stack(outputs, dim=1), state

    def read_at_once(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, State]:
        """Do so by `run`, without `lengths` on the host; here for cells whose outputs are all of their state."""
        outputs = self(inputs)
        return outputs, (last_of(outputs, lengths),)

    @abstractmethod
    def weights(self) -> Weights:
        """Return the weights for all steps over a batch; in training, dropped ones among them are zero."""

    @abstractmethod
    def step(self, inputs: Tensor, state: State, *, weights: Weights) -> State:
        """Make one step: inputs [B, I], state parts [B, H], which keep their types.

        `output` says what of the new state is the output.
        """

    def output(self, state: State) -> Tensor:
        """Return the output that goes with a state, [B, H]: its first part."""
        return state[0]

    def forget_bias(self) -> Tensor | None:
        """Return the bias of the forget gate, a part [H] of a parameter; None: the cell has no such gate."""
        return None

    def prepacked(self, precision: SearchPrecision) -> "RecurrentLayer":
        """Copy the layer for inference on a CPU: in its prepacked form, or else as it is."""
        return self.form(self, precision) if self.form else copy.deepcopy(self)

    def zeros(self, inputs: Tensor) -> State:
        """Return the state before the first step over `inputs` [B, *, I], parts [B, H]."""
        return (inputs.new_zeros(inputs.shape[0], self.hidden_size),) * self.state_parts

    def thinned(self, recurrent_weight: Tensor) -> Tensor:
        """Drop recurrent weights where training wants it."""
        if not self.training:
            return recurrent_weight
        return drop_cells(recurrent_weight, self.recurrent_dropout, self.generator)

    def thinned_for_steps(self, recurrent_weight: Tensor) -> Tensor:
        """Drop recurrent weights where training wants it, ready for many single products."""
        weight, device = self.thinned(recurrent_weight), recurrent_weight.device.type
        if weight is not recurrent_weight and torch.is_autocast_enabled(device):
            # autocast remembers its copies of parameters only, and would make one of these at every step
            return weight.to(torch.get_autocast_dtype(device))
        return weight


class MemoryLayer(RecurrentLayer):
    """An LSTM of our own: its state is h, which is its output, and the memory c."""

    @abstractmethod
    def _run(self, inputs: Tensor, state: State, lengths: Tensor | None) -> tuple[Tensor, State]:
        """Run over [B, T, I] as `run` does; with `lengths` [B], c is the last state's after so many positions."""

    def run(self, inputs: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Run over whole sequences [B, T, I] from a state, or from zeros."""
        return self._run(inputs, state or self.zeros(inputs), None)

    def read_at_once(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, State]:
        """Run over padded sequences [B, T, I] with `lengths` [B] real positions from zeros, and read no padding."""
        outputs, (_, c) = self._run(inputs, self.zeros(inputs), lengths)
        return outputs, (last_of(outputs, lengths), c)


class PrepackedLayer(RecurrentLayer):
    """What a recurrent layer does in evaluation mode, step by step: the inputs of all steps are multiplied at once.

    Every form is made of its layer and the precision that it multiplies in; what is common needs the layer alone.
    """

    projection: PrepackedLinear | nn.Identity
    """What inputs are multiplied with, unless they come so."""

    def __init__(self, layer: RecurrentLayer, precision: SearchPrecision) -> None:
        super().__init__(hidden_size=layer.hidden_size, recurrent_dropout=0.0)
        self.state_parts = layer.state_parts
        self.bounded = layer.bounded
        self.aligned = self.hidden_size % ROW_MULTIPLE == 0
        """Whether any number of rows makes a multiple of 32 cells: vectors of them leave no rest, which scalar code
        would compute, and round otherwise."""

    def project(self, inputs: Tensor) -> Tensor:
        """Compute from inputs [*, R, I] what needs no state, [*, R, G * H]."""
        return self.projection(inputs)  # type: ignore[no-any-return]

    @abstractmethod
    def advance(self, projected: Tensor, state: State) -> State:
        """Make one step from projected inputs [R, G * H] and state parts [R, H], a multiple of 32 cells."""

    def run(self, inputs: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Run over whole sequences [B, T, I]; return the outputs, [B, T, H], and the last state, parts [B, H]."""
        outputs, last = list[Tensor](), state
        for last in self._steps(inputs, state):
            outputs.append(self.output(last))
        batch = len(inputs)
        return torch.stack(outputs, dim=1)[:batch], tuple(part[:batch] for part in last or ())

    def read(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, State]:
        """Run over padded sequences [B, T, I] with `lengths` [B] real positions from zeros, and read no padding."""
        batch, outputs, last = len(inputs), list[Tensor](), State()
        for t, after in enumerate(self._steps(inputs, None)):
            outputs.append(self.output(after))
            state = tuple(part[:batch] for part in after)
            last = kept_until(lengths, t, state, last or state)
        return torch.stack(outputs, dim=1)[:batch], last

    def weights(self) -> Weights:
        """Return nothing: they are prepacked."""
        return ()

    def step(self, inputs: Tensor, state: State, *, weights: Weights) -> State:
        """Make one step: inputs [B, I], state parts [B, H]."""
        batch = len(inputs)
        projected = self.project(self._filled_up(inputs))
        new = self.advance(projected, tuple(self._filled_up(part) for part in state))
        return tuple(part[:batch] for part in new)

    def _steps(self, inputs: Tensor, state: State | None) -> Iterator[State]:
        """Yield the state after every step over [B, T, I], parts [R, H]: the rows are filled up."""
        length = inputs.shape[1]
        rows = self._filled_up(inputs.flatten(1)).view(-1, length, inputs.shape[2])  # [R, T, I]
        projected = self.project(rows.transpose(0, 1))  # [T, R, G * H]
        if state is None:
            state = self.zeros(rows)
        state = tuple(self._filled_up(part) for part in state)
        for t in range(length):
            state = self.advance(projected[t], state)
            yield state

    def _filled_up(self, rows: Tensor) -> Tensor:
        return rows if self.aligned else filled_up(rows)


L = TypeVar("L", bound=RecurrentLayer)
LAYERS: Final[dict[str, Callable[..., RecurrentLayer]]] = {}
"""What makes a layer of each cell, from `input_size`, `hidden_size` and `recurrent_dropout`."""


def cell(name: str) -> Callable[[type[L]], type[L]]:
    """Register a layer under the name that its cell has in the settings, which say what its state and outputs are."""

    def register(layer: type[L]) -> type[L]:
        layer.state_parts, layer.bounded = len(CELLS[name].state), CELLS[name].bounded
        LAYERS[name] = layer
        return layer

    return register


def make_layer(recurrence: Recurrence, *, input_size: int, hidden_size: int) -> RecurrentLayer:
    """Make a freshly initialised layer of a cell, which is registered by one of the files of this folder."""
    for module in pkgutil.iter_modules(cells.__path__):
        import_module(f"{cells.__name__}.{module.name}")
    make = LAYERS[recurrence.cell]
    return make(input_size=input_size, hidden_size=hidden_size, recurrent_dropout=recurrence.dropout)


def wide_parameters(module: nn.Module) -> set[int]:
    """Return the ids of those parameters of all its layers that stay as they are where autocast casts all others."""
    layers = [layer for layer in module.modules() if isinstance(layer, RecurrentLayer)]
    return {id(layer.get_parameter(name)) for layer in layers for name in layer.wide}


def kept_until(lengths: Tensor, t: int, new: State, old: State) -> State:
    """Choose parts [B, H]: the new ones where position `t` is among the real ones, `lengths` [B], else the old."""
    going = (t < lengths)[:, None]
    return tuple(torch.where(going, after, before) for after, before in zip(new, old, strict=True))


def last_of(outputs: Tensor, lengths: Tensor) -> Tensor:
    """Pick the outputs [B, T, H] of the last real positions, [B, H]."""
    places = (lengths - 1)[:, None, None].expand(-1, 1, outputs.shape[2])
    return outputs.gather(1, places).squeeze(1)


def kept_after(gates: Tensor, lengths: Tensor) -> Tensor:
    """Let the sums of all gates, [T, B, 4 * H], input and forget gate first, leave the memory as it is after `lengths`
    [B] real positions, to the last bit."""
    over = (torch.arange(len(gates), device=gates.device)[:, None] >= lengths)[:, :, None]  # [T, B, 1]
    i, f, g, o = gates.chunk(4, dim=2)
    return torch.cat([i.masked_fill(over, -SHUT), f.masked_fill(over, SHUT), g, o], dim=2)


def initialise_gates(*, input_weight: Tensor, recurrent_weight: Tensor) -> None:
    """Start gate by gate: recurrent weights orthogonal (Saxe et al., 2014), others uniform (Glorot & Bengio, 2010)."""
    hidden_size = recurrent_weight.shape[1]
    for gate in torch.split(recurrent_weight, hidden_size):
        nn.init.orthogonal_(gate)
    for gate in torch.split(input_weight, hidden_size):
        nn.init.xavier_uniform_(gate)
