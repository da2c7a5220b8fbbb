"""A decoder made of random tables, whose next words depend on the sentence and on every word before."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest
import torch
from torch import Tensor

CONTEXTS = 97


@dataclass(frozen=True)
class TableState:
    """Which sentence each row is, [B], and a number made of the words of each beam, [B, K]."""

    sentences: Tensor
    contexts: Tensor

    def select(self, parents: Tensor) -> "TableState":
        return replace(self, contexts=self.contexts.gather(1, parents))

    def take(self, sentences: Tensor) -> "TableState":
        return TableState(self.sentences[sentences], self.contexts[sentences])


@dataclass
class TableDecoder:
    """Reads logits from `table` [sentences, CONTEXTS, V]."""

    table: Tensor
    steps: list[tuple[int, int]] = field(default_factory=list)
    """The shape of `prev_ids` in every step so far."""

    @classmethod
    def random(cls, seed: int, *, vocab_size: int, sentences: int = 1, levels: int = 0) -> "TableDecoder":
        """Draw the table; with `levels` there are only so many different logits, so that many are equal."""
        generator = torch.Generator().manual_seed(seed)
        shape = (sentences, CONTEXTS, vocab_size)
        if levels:
            return cls(torch.randint(levels, shape, generator=generator).float())
        return cls(2 * torch.randn(shape, generator=generator))

    def start(self, sentences: Sequence[int] = (0,)) -> TableState:
        return TableState(torch.tensor(sentences), torch.zeros(len(sentences), 1, dtype=torch.int64))

    def step(self, prev_ids: Tensor, state: TableState) -> tuple[Tensor, TableState]:
        self.steps.append((prev_ids.shape[0], prev_ids.shape[1]))
        contexts = (31 * state.contexts + prev_ids) % CONTEXTS
        return self.table[state.sentences[:, None], contexts], replace(state, contexts=contexts)

    def next_log_probs(self, sentence: int, words: Sequence[int]) -> Tensor:
        """Score the words after `<s>` and `words`, [V], as one who knows the table would."""
        context = 0
        for word in (2, *words):
            context = (31 * context + word) % CONTEXTS
        return self.table[sentence, context].log_softmax(dim=0)


@pytest.fixture
def random_decoder() -> Callable[..., TableDecoder]:
    return TableDecoder.random
