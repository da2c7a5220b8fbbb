"""Word vectors, and what is dropped of them in training."""

from torch import Tensor, nn

from nmt.models.dropout import Dropout


class WordEmbedding(nn.Module):
    """Word vectors with dropout on their cells, and on whole words (Gal & Ghahramani, 2016, sec. 4.2)."""

    def __init__(self, table: nn.Embedding, *, dropout: Dropout, word_dropout: float) -> None:
        super().__init__()
        self.table = table
        self.dropout = dropout
        self.word_dropout = Dropout(word_dropout)

    def forward(self, ids: Tensor) -> Tensor:
        """Look up ids [B, T]: [B, T, E]."""
        vectors = self.dropout(self.table(ids))
        if self.training and self.word_dropout.p > 0:
            vectors = vectors * self.word_dropout(vectors.new_ones(*ids.shape, 1))
        return vectors  # type: ignore[no-any-return]
