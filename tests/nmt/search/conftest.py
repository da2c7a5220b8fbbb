"""A decoder made of random tables, and a tape that stands in for a CUDA graph."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from nmt.batching import SourceBatch
from nmt.models.recording import Work
from nmt.text.vocab import EOS

CONTEXTS = 97
POSITIONS = 3
SENTENCES = 7
LOOKS = (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.is_nonzero.default)


@dataclass(frozen=True)
class TableState:
    """Which sentence each row is, how long its source is, [B], and a number made of the pieces of each beam, [B, K]."""

    sentences: Tensor
    sizes: Tensor
    contexts: Tensor
    attention: Tensor
    """[B, K, S], where S is the longest source."""
    pieces: None = None

    def select(self, parents: Tensor) -> "TableState":
        index = parents[:, :, None].expand(-1, -1, self.attention.shape[2])
        return replace(self, contexts=self.contexts.gather(1, parents), attention=self.attention.gather(1, index))

    def take(self, sentences: Tensor) -> "TableState":
        sizes = self.sizes[sentences]
        attention = self.attention[sentences, :, : int(sizes.max())]
        return TableState(self.sentences[sentences], sizes, self.contexts[sentences], attention)

    def join(self, other: "TableState") -> "TableState":
        sizes = torch.cat([self.sizes, other.sizes])
        parts = (self.attention, other.attention)
        attention = [nn.functional.pad(part, (0, int(sizes.max()) - part.shape[2])) for part in parts]
        return TableState(
            torch.cat([self.sentences, other.sentences]),
            sizes,
            torch.cat([self.contexts, other.contexts]),
            torch.cat(attention),
        )


@dataclass
class TableDecoder:
    """Reads logits from `table` [sentences, CONTEXTS, V], and attention from `reading` [sentences, CONTEXTS, S]."""

    table: Tensor
    reading: Tensor
    sizes: Tensor
    """Source positions, [sentences]."""
    steps: list[tuple[int, int]] = field(default_factory=list)
    """The shape of `prev_ids` in every step so far."""

    @classmethod
    def random(
        cls, seed: int, *, vocab_size: int, sentences: int = 1, levels: int = 0, sizes: Sequence[int] | None = None
    ) -> "TableDecoder":
        """Draw the tables; with `levels` there are only so many different logits, so that many are equal."""
        generator = torch.Generator().manual_seed(seed)
        shape = (sentences, CONTEXTS, vocab_size)
        if levels:
            table = torch.randint(levels, shape, generator=generator).float()
        else:
            table = 2 * torch.randn(shape, generator=generator)
        positions = torch.tensor(sizes or [POSITIONS] * sentences)
        reading = 2 * torch.randn(sentences, CONTEXTS, int(positions.max()), generator=generator)
        padding = torch.arange(reading.shape[2]) >= positions[:, None, None]
        return cls(table, reading.masked_fill(padding, -torch.inf).softmax(dim=2), positions)

    def start(self, sentences: Sequence[int] = (0,)) -> TableState:
        rows = torch.tensor(sentences, dtype=torch.int64)
        sizes = self.sizes[rows]
        attention = torch.zeros(len(rows), 1, int(sizes.max()))
        return TableState(rows, sizes, torch.zeros(len(rows), 1, dtype=torch.int64), attention)

    def step(self, prev_ids: Tensor, state: TableState) -> tuple[Tensor, TableState]:
        self.steps.append((prev_ids.shape[0], prev_ids.shape[1]))
        contexts = (31 * state.contexts + prev_ids) % CONTEXTS
        rows = state.sentences[:, None]
        attention = self.reading[rows, contexts, : int(state.sizes.max())]
        return self.table[rows, contexts], replace(state, contexts=contexts, attention=attention)

    def next_log_probs(self, sentence: int, pieces: Sequence[int]) -> Tensor:
        """Score the pieces after `<s>` and `pieces`, [V], as one who knows the table would."""
        return self.table[sentence, self._context(pieces)].log_softmax(dim=0)

    def next_attention(self, sentence: int, pieces: Sequence[int]) -> Tensor:
        """Tell how much the piece after `<s>` and `pieces` reads of each source position of its sentence, [S]."""
        return self.reading[sentence, self._context(pieces), : int(self.sizes[sentence])]

    def _context(self, pieces: Sequence[int]) -> int:
        context = 0
        for piece in (2, *pieces):
            context = (31 * context + piece) % CONTEXTS
        return context


@dataclass
class TableModel:
    """Translates by the random table of the sum of the source's ids."""

    decoder: TableDecoder
    batches: list[Tensor] = field(default_factory=list)
    """The source ids of every batch so far."""

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    def encode(self, src: SourceBatch) -> list[int]:
        self.batches.append(src.ids)
        return ((src.ids.sum(dim=1) - EOS) % SENTENCES).tolist()

    def start(self, memory: list[int]) -> TableState:
        return self.decoder.start(memory)

    def step(self, prev_ids: Tensor, state: TableState) -> tuple[Tensor, TableState]:
        return self.decoder.step(prev_ids, state)


class Tape(TorchDispatchMode):
    """Keeps the operations of a step with the tensors they worked on, and does them again and nothing else.

    It refuses to let the host look at a value.
    """

    def __init__(self) -> None:
        super().__init__()
        self.done: list[tuple[Callable[..., Any], Any, Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func not in LOOKS, "the host looks at a value"
        assert func is not torch.ops.aten.nonzero.default, "the shape of what is made depends on a value"
        result = func(*args, **(kwargs or {}))
        self.done.append((func, (args, kwargs or {}), result))
        return result

    def again(self) -> None:
        now: dict[int, Tensor] = {}  # what a tensor of the recording is this time

        def current(value: Any) -> Any:
            return now.get(id(value), value) if isinstance(value, Tensor) else value

        for func, given, result in self.done:
            args, kwargs = pytree.tree_map(current, given)
            made = func(*args, **kwargs)
            for old, new in zip(pytree.tree_leaves(result), pytree.tree_leaves(made), strict=True):
                now[id(old)] = new


class OnNoCpu(TorchFunctionMode):
    """Lets tensors say that they are not on the CPU, and none be made of a list."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func == Tensor.is_cpu.__get__:  # type: ignore[attr-defined]
            return False
        assert func is not torch.tensor, "the host sends values"
        return func(*args, **(kwargs or {}))


@dataclass
class Recordings:
    """Counts the tapes that it makes, and how often they are played."""

    made: int = 0
    played: int = 0

    def __call__(self, work: Work) -> Work:
        with OnNoCpu(), Tape() as tape:
            work()
        self.made += 1

        def play() -> None:
            self.played += 1
            tape.again()

        return play


@pytest.fixture
def random_decoder() -> Callable[..., TableDecoder]:
    return TableDecoder.random


@pytest.fixture
def random_model() -> Callable[[int], TableModel]:
    """Make a model of a random decoder with 11 pieces."""
    return lambda seed: TableModel(TableDecoder.random(seed, vocab_size=11, sentences=SENTENCES))


@pytest.fixture
def recordings() -> Recordings:
    """Make tapes for what is recorded."""
    return Recordings()
