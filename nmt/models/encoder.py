"""The encoder: stacked recurrent layers over the source, in one or both directions."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nmt.models.cells import Recurrence, make_layer
from nmt.models.dropout import Dropout


class RecurrentEncoder(nn.Module):
    """Stacked recurrent layers, optionally bidirectional in every layer (Schuster & Paliwal, 1997).

    Padding is always behind the real positions: each direction is a layer of its own, and the backward one reads
    rows that are mirrored within their own length. So no padding is ever read before a real word, and the fused
    whole-sequence kernels serve without packing.

    `dropouts` work on the input of every layer but the first, so there is one layer more than they are.
    """

    def __init__(
        self,
        *,
        recurrence: Recurrence,
        embedding_size: int,
        hidden_size: int,
        bidirectional: bool,
        residual: bool,
        dropouts: Sequence[Dropout],
    ) -> None:
        super().__init__()
        size = hidden_size // 2 if bidirectional else hidden_size
        inputs = [embedding_size] + [hidden_size] * len(dropouts)
        self.forward_layers = nn.ModuleList(make_layer(recurrence, input_size=i, hidden_size=size) for i in inputs)
        self.backward_layers = nn.ModuleList(
            make_layer(recurrence, input_size=i, hidden_size=size) for i in inputs if bidirectional
        )
        self.residual = residual
        self.dropouts = nn.ModuleList(dropouts)

    def forward(self, embedded: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encode padded sources.

        Args:
            embedded: Word vectors, [B, S, E].
            lengths: Real positions of each row, [B].

        Returns:
            The outputs, [B, S, H] (meaningless behind `lengths`), and the last state of each direction side by
            side, [B, H].
        """
        mirror = mirrored_positions(lengths, embedded.shape[1])  # [B, S]
        last = (lengths - 1)[:, None]  # [B, 1]
        x, summary = embedded, embedded
        for i, forward_layer in enumerate(self.forward_layers):
            source = self.dropouts[i - 1](x) if i else x
            outputs = [forward_layer(source)]
            finals = [gather_positions(outputs[0], last)]
            if self.backward_layers:
                mirrored = self.backward_layers[i](gather_positions(source, mirror))
                outputs.append(gather_positions(mirrored, mirror))
                finals.append(gather_positions(mirrored, last))
            y = torch.cat(outputs, dim=2)  # [B, S, H]
            x = x + y if self.residual and x.shape == y.shape else y
            summary = torch.cat(finals, dim=2).squeeze(1)  # [B, H]
        return x, summary


def mirrored_positions(lengths: Tensor, size: int) -> Tensor:
    """Map each position to its mirror image within the row's real part, [B, `size`]; padding stays where it is."""
    position = torch.arange(size, device=lengths.device)
    mirror = lengths[:, None] - 1 - position
    return torch.where(mirror >= 0, mirror, position)


def gather_positions(x: Tensor, positions: Tensor) -> Tensor:
    """Pick `positions` [B, P] from rows of `x` [B, S, H]: [B, P, H]."""
    batch, size, width = x.shape
    start = torch.arange(batch, device=x.device)[:, None] * size
    picked = x.reshape(batch * size, width).index_select(0, (start + positions).flatten())
    return picked.view(batch, positions.shape[1], width)
