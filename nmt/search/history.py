"""The words and parents of every step, from which hypotheses are read backwards once a sentence is over."""

import torch
from torch import Tensor

from nmt.vocab import PAD


class History:
    """Words and parent beams by place, step and beam: one place for each sentence that is being searched."""

    def __init__(self, *, places: int, longest: int, beam_size: int, device: torch.device) -> None:
        """Make room for `places` sentences of up to `longest` steps."""
        shape = (places, longest, beam_size)
        self._ids = torch.full(shape, PAD, device=device)
        self._parents = torch.zeros(shape, dtype=torch.int64, device=device)

    def write(self, places: Tensor, steps: Tensor, *, ids: Tensor, parents: Tensor) -> None:
        """Note, for the sentences at `places` [B] in their `steps` [B], the words and parents of each beam, [B, K]."""
        self._ids[places, steps] = ids
        self._parents[places, steps] = parents

    def read(self, places: Tensor, *, beams: Tensor, words: Tensor) -> list[list[list[int]]]:
        """Read hypotheses backwards through their parents.

        Args:
            places: Where the sentences are, [B].
            beams: The beam that each hypothesis ends in, [B, N].
            words: How many words each has, [B, N].

        Returns:
            The words of the N hypotheses of each of the B sentences.
        """
        ids, parents = self._ids[places].cpu(), self._parents[places].cpu()  # [B, T, K]
        beams, words = beams.cpu(), words.cpu()
        longest = int(words.max())
        found = torch.full((*beams.shape, longest), PAD)
        for step in reversed(range(longest)):
            found[:, :, step] = ids[:, step].gather(1, beams)
            beams = torch.where(step < words, parents[:, step].gather(1, beams), beams)
        rows = zip(found.tolist(), words.tolist(), strict=True)
        return [[hypothesis[:count] for hypothesis, count in zip(*sentence, strict=True)] for sentence in rows]
