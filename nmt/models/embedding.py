"""Word vectors, and what is dropped of them in training."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from nmt.models.dropout import Dropout


class WordEmbedding(nn.Module):
    """Word vectors with dropout on their cells, and on whole words (Gal & Ghahramani, 2016, sec. 4.2).

    With `keeps_given`, vectors that it is given never change. They stand in a second table of their own, which no
    optimiser, weight decay or moving average can move, and which is saved like every other weight. Its rows of zeros
    mark the words that were given none: these have their vector in the first table, and learn.
    """

    def __init__(
        self, table: nn.Embedding, *, dropout: Dropout, word_dropout: float, keeps_given: bool = False
    ) -> None:
        super().__init__()
        self.table = table
        self.given = nn.Parameter(torch.zeros_like(table.weight), requires_grad=False) if keeps_given else None
        self.dropout = dropout
        self.word_dropout = Dropout(word_dropout)

    def forward(self, ids: Tensor) -> Tensor:
        """Look up ids [B, T]: [B, T, E]."""
        vectors = self.table(ids)
        if self.given is not None:
            given = functional.embedding(ids, self.given)
            vectors = torch.where(given.any(dim=-1, keepdim=True), given, vectors)
        vectors = self.dropout(vectors)
        if self.training and self.word_dropout.p > 0:
            vectors = vectors * self.word_dropout(vectors.new_ones(*ids.shape, 1))
        return vectors  # type: ignore[no-any-return]

    @torch.no_grad()
    def give(self, ids: Tensor, vectors: Tensor) -> None:
        """Start the words `ids` [N] from `vectors` [N, E], scaled by one number to the deviation of the whole table.

        The layers were made for inputs of that size (docs/decisions/0005), the words without a vector have it, and
        files differ: entries of one deviate by 0.05, of another by 0.4.
        """
        weight = self.table.weight
        scale = weight.std() / vectors.square().mean().sqrt().to(weight.device)
        rows = weight if self.given is None else self.given
        rows[ids.to(rows.device)] = vectors.to(rows.device) * scale
