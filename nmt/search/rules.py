"""What may not come next in a translation: one rule, one class."""

from typing import Protocol, Self

from torch import Tensor


class Rule(Protocol):
    """Makes words impossible, for each of B sentences by itself."""

    def apply(self, log_probs: Tensor, *, words: Tensor | None, written: Tensor, lengths: Tensor) -> None:
        """Set the log-probabilities of words that may not come next to -inf, in place.

        Args:
            log_probs: Of the next words, [B, K, V].
            words: The word that each of them is of, [B, V]; None: all words in order.
            written: What each hypothesis consists of so far, [B, K, T], PAD behind the last word.
            lengths: How many words that is, [B].
        """
        ...

    def take(self, sentences: Tensor) -> Self:
        """Keep `sentences` [B'], in this order."""
        ...

    def join(self, other: Self) -> Self:
        """Append the sentences of `other`."""
        ...
