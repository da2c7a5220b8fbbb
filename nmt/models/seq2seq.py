"""The encoder-decoder: ids in, features or logits out."""

import torch
from torch import Tensor, nn

from nmt.batching import Batch, SourceBatch
from nmt.models.attention import Memory
from nmt.models.decoder import DecoderState, RecurrentDecoder
from nmt.models.embedding import WordEmbedding
from nmt.models.encoder import RecurrentEncoder


class Seq2Seq(nn.Module):
    """A recurrent encoder-decoder."""

    def __init__(
        self,
        *,
        src_embedding: WordEmbedding,
        tgt_embedding: WordEmbedding,
        encoder: RecurrentEncoder,
        decoder: RecurrentDecoder,
        output: nn.Linear,
    ) -> None:
        super().__init__()
        self.src_embedding = src_embedding
        self.tgt_embedding = tgt_embedding
        self.encoder = encoder
        self.decoder = decoder
        self.output = output

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.src_embedding.table.weight.device

    def forward(self, batch: Batch) -> Tensor:
        """Run with teacher forcing; return the features of every target position, [B, T, F]."""
        memory = self.encode(batch.src)
        return self.decoder(self.tgt_embedding(batch.tgt.inputs), memory)  # type: ignore[no-any-return]

    def attend(self, batch: Batch) -> Tensor:
        """Run with teacher forcing; return how much every target position reads of each source position, [B, T, S]."""
        memory = self.encode(batch.src)
        return self.decoder.read(self.tgt_embedding(batch.tgt.inputs), memory)[1]

    def encode(self, src: SourceBatch) -> Memory:
        """Encode padded sources."""
        outputs, summary = self.encoder(self.src_embedding(src.ids), src.lengths)
        values = self.decoder.attention.values(outputs)
        position = torch.arange(src.ids.shape[1], device=src.ids.device)
        mask = position < src.lengths[:, None]  # [B, S]
        return Memory(values, self.decoder.attention.keys(values), mask, summary)

    def start(self, memory: Memory) -> DecoderState:
        """Return the decoder's state before `<s>`, with one beam a sentence."""
        return self.decoder.start(memory.padded())

    def step(self, prev_ids: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Score every next word after `prev_ids` [B, K]: logits [B, K, V] and the next state."""
        features, state = self.decoder.step(self.tgt_embedding(prev_ids), state)
        return self.output(features), state
