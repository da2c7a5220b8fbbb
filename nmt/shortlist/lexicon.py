"""Vocabulary selection: the few target pieces that a sentence's translation is made from, chosen by its source."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from safetensors.torch import save
from torch import Tensor

from nmt.errors import ConfigError, ModelError
from nmt.models.folder import LEXICON, check_hashes, put_lexicon, read_tensors, read_vocabularies
from nmt.text.vocab import BOS, EOS, PAD, UNK

SPECIALS: Final = (PAD, UNK, BOS, EOS)
"""In every shortlist, at these indices."""
MULTIPLE: Final = 16
"""What the size of a shortlist is a multiple of."""

_ROWS = 64
"""Sentences that are worked on at once, each with a table as long as the vocabulary."""


@dataclass(frozen=True)
class Lexicon:
    """A lexical table and the most frequent pieces (Jean et al., 2015, sec. 3.2; L'Hostis et al., 2016)."""

    translations: Tensor
    """Target ids for each source id, best first and -1 after the last one, [Vs, N] int32; none for special ids."""
    frequent: Tensor
    """All target ids but the special ones by falling frequency, [Vt - 4] int32."""

    @property
    def tgt_size(self) -> int:
        """Count the target pieces, special ones included."""
        return len(self.frequent) + len(SPECIALS)

    def shortlist(self, src_ids: Tensor, *, size: int, per_piece: int = 100) -> Tensor:
        """Choose target ids for sentences, each by itself: padding and the other sentences change nothing.

        The special ids come first, then the best translation of every source piece, then the second best of every one,
        and so on, and last the most frequent pieces, until `size` different ids are found (Mi et al., 2016).

        Args:
            src_ids: Padded sources in either reading direction, [B, S] int64, on the CPU.
            size: Ids for each sentence; what is no multiple of 16 or more than the target vocabulary is a ConfigError.
            per_piece: Translations of each source piece that may be used; the default is enough for most purposes.

        Returns:
            The ids in ascending order, so that the special ones keep theirs as indices, [B, `size`] int64.
        """
        if size % MULTIPLE or not MULTIPLE <= size <= self.tgt_size:
            expected = f"expected a multiple of {MULTIPLE} up to {self.tgt_size}"
            raise ConfigError(f"a shortlist of {size} pieces was requested, {expected}")
        return torch.cat([self._choose(rows, size, per_piece) for rows in torch.split(src_ids, _ROWS)])

    def _choose(self, src_ids: Tensor, size: int, per_piece: int) -> Tensor:
        translations = self.translations[:, :per_piece][src_ids].transpose(1, 2)  # [B, P, S]
        batch, ranks, pieces = translations.shape
        frequent = self.frequent[:size]  # among them are enough that are not chosen yet
        start, end = len(SPECIALS), len(SPECIALS) + ranks * pieces
        count = end + len(frequent)
        # ids in the order of preference, with repetitions, at least `size` different ones
        candidates = torch.empty(batch, count, dtype=torch.int64)
        candidates[:, :start] = torch.tensor(SPECIALS)
        candidates[:, start:end].view(translations.shape).copy_(translations)
        candidates[:, end:] = frequent
        candidates.clamp_(min=PAD)  # -1 is no id; PAD is chosen already
        position = torch.arange(count, dtype=torch.int32).expand(batch, -1)
        first = torch.full((batch, self.tgt_size), count, dtype=torch.int32)  # [B, Vt]
        first.scatter_reduce_(1, candidates, position, "amin")
        found = (first.gather(1, candidates) == position).cumsum(1, dtype=torch.int32)  # different ids up to here
        last = torch.searchsorted(found, torch.full((batch, 1), size, dtype=torch.int32), out_int32=True)
        return (first <= last).nonzero()[:, 1].view(batch, size)


def save_lexicon(lexicon: Lexicon, folder: Path) -> None:
    """Put a lexicon into a model folder, or replace it; a folder that is no model is a ModelError."""
    put_lexicon(folder, save({name: tensor.contiguous() for name, tensor in vars(lexicon).items()}))


def load_lexicon(folder: Path) -> Lexicon:
    """Load the lexicon of a model folder; one that is missing, altered or of other vocabularies is a ModelError."""
    check_hashes(folder, [LEXICON])
    tensors, sizes = read_tensors(folder / LEXICON), read_vocabularies(folder)
    if not _fit(tensors, src_size=sizes.src, tgt_size=sizes.tgt):
        raise ModelError(
            f"{folder / LEXICON} is no lexicon of {sizes.src} source and {sizes.tgt} target pieces; "
            f"make a new one with `nmt shortlist`, or remove {LEXICON}"
        )
    return Lexicon(**tensors)


def _fit(tensors: dict[str, Tensor], *, src_size: int, tgt_size: int) -> bool:
    """Tell whether these are the tensors of a lexicon, every id where it may be."""
    if tensors.keys() != {"translations", "frequent"} or any(t.dtype != torch.int32 for t in tensors.values()):
        return False
    translations, frequent = tensors["translations"], tensors["frequent"]
    if translations.dim() != 2 or len(translations) != src_size or translations.shape[1] == 0:
        return False
    inside = bool((translations < tgt_size).all() and (translations[list(SPECIALS)] == -1).all())
    return inside and frequent.sort().values.tolist() == list(range(len(SPECIALS), tgt_size))
