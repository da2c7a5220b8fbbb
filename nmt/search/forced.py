"""Forced decoding: what a model thinks of translations that are given."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from nmt.models.tensors import Rows
from nmt.search.engine import ENCODED_AT_ONCE, Engine
from nmt.search.protocol import Hypothesis, SearchableModel, SearchState, Sentence
from nmt.text.vocab import BOS, EOS


@dataclass(frozen=True)
class Forced(Rows):
    """A frontier that follows one given translation of each sentence, and adds up how probable its pieces are."""

    targets: Tensor
    """The pieces and `</s>`, [B, T]; what comes after is of no meaning."""
    lengths: Tensor
    """How many of them there are, `</s>` counted, [B]."""
    steps: Tensor
    """Steps made, [B]."""
    ids: Tensor
    """Last pieces, [B, 1]."""
    log_probs: Tensor
    """[B] float32."""
    replayable: ClassVar[bool] = True

    @classmethod
    def start(cls, sentences: Sequence[Sentence], src_lengths: Tensor) -> Self:
        """Begin with `<s>`; the prefix of a sentence is its whole translation."""
        lengths = torch.tensor([len(sentence.prefix) + 1 for sentence in sentences])
        targets = torch.full((len(sentences), int(lengths.max())), EOS)
        for row, sentence in enumerate(sentences):
            targets[row, : len(sentence.prefix)] = torch.tensor(sentence.prefix, dtype=torch.int64)
        device = src_lengths.device
        ids = torch.full((len(sentences), 1), BOS, device=device)
        log_probs = torch.zeros(len(sentences), device=device)
        return cls(targets.to(device), lengths.to(device), torch.zeros_like(src_lengths), ids, log_probs)

    def grow(self, logits: Tensor, state: SearchState) -> tuple["Forced", None]:
        """Make a step from logits [B, 1, V] of all pieces."""
        assert state.pieces is None, "a shortlist may lack what is given"
        last = self.targets.shape[1] - 1
        gold = self.targets.gather(1, self.steps.clamp(max=last)[:, None])  # [B, 1]
        found = logits.squeeze(1).log_softmax(dim=1, dtype=torch.float32).gather(1, gold).squeeze(1)
        over = self.over()
        log_probs = self.log_probs + found.masked_fill(over, 0.0)
        return replace(self, steps=self.steps + ~over, ids=gold, log_probs=log_probs), None

    def over(self) -> Tensor:
        """Tell which translations have been followed to their ends, [B]."""
        return self.steps >= self.lengths

    def hypotheses(self) -> list[list[Hypothesis]]:
        """Return each translation; its score is the mean log-probability of its pieces and `</s>`."""
        parts = (self.targets.tolist(), self.lengths.tolist(), self.log_probs.tolist())
        return [
            [Hypothesis(tuple(ids[: length - 1]), total, total / length)]
            for ids, length, total in zip(*parts, strict=True)
        ]


def force(
    model: SearchableModel[Any, Any],
    sentences: Sequence[Sentence],
    *,
    batch_tokens: int,
    reverse_source: bool,
    right_to_left: bool = False,
) -> dict[int, Hypothesis]:
    """Follow the prefixes of sentences, their whole translations; return these by the numbers of the sentences.

    Raises:
        ModelError: The model gives scores that are not finite numbers.
    """
    engine = Engine(
        model, Forced.start, batch_tokens=batch_tokens, reverse_source=reverse_source, right_to_left=right_to_left
    )
    waiting = sorted(sentences, key=lambda sentence: len(sentence.prefix))
    found: dict[int, Hypothesis] = {}
    while waiting or engine.busy:
        while waiting and engine.hungry:
            count = min(engine.at_once(max(len(one.ids) for one in waiting[-ENCODED_AT_ONCE:])), len(waiting))
            engine.add([waiting.pop() for _ in range(count)])
        found.update((number, hypothesis) for number, [hypothesis] in engine.step())
    return found
