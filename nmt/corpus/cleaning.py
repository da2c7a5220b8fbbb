"""Which pairs are fit for training, and why the others are not."""

from hashlib import blake2b
from typing import Final, Literal

Reason = Literal["empty", "too_long", "length_ratio", "copy", "duplicate", "too_many_pieces"]

REASONS: Final[tuple[Reason, ...]] = ("empty", "too_long", "length_ratio", "copy", "duplicate", "too_many_pieces")
"""Why a pair is rejected, in the order in which the reasons are tried; the last one needs the encoded pair."""


class Cleaner:
    """Judges pairs one at a time, and remembers a digest of each that passed, 16 bytes, to know it again."""

    def __init__(
        self,
        *,
        max_characters: int,
        max_length_ratio: float,
        drop_copies: bool = True,
        drop_duplicates: bool = True,
    ) -> None:
        self._max_characters = max_characters
        self._max_length_ratio = max_length_ratio
        self._drop_copies = drop_copies
        self._drop_duplicates = drop_duplicates
        self._seen: set[bytes] = set()

    def reason(self, src: str, tgt: str) -> Reason | None:
        """Say why a pair should not be trained on; None: it should."""
        shorter, longer = sorted((len(src), len(tgt)))
        if shorter == 0:
            return "empty"
        if longer > self._max_characters:
            return "too_long"
        if longer > self._max_length_ratio * shorter:
            return "length_ratio"
        if self._drop_copies and src == tgt:
            return "copy"
        if self._drop_duplicates and self._is_known(src, tgt):
            return "duplicate"
        return None

    def _is_known(self, src: str, tgt: str) -> bool:
        digest = blake2b(f"{src}\n{tgt}".encode(), digest_size=16).digest()
        known = digest in self._seen
        self._seen.add(digest)
        return known
