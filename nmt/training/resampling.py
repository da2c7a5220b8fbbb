"""Training rows cut into other pieces, another way every time they are seen."""

from dataclasses import dataclass, replace

import numpy as np

from nmt.errors import ConfigError
from nmt.prepared import PreparedData
from nmt.text.sequences import FlatSequences, Rows, Sequences
from nmt.text.tokenizer import Tokenizer
from nmt.training.segmentation import Alphabet, BpeDropout, UnigramSampler, lay_out, row_keys


@dataclass(frozen=True)
class Resampler:
    """Cuts rows anew: the same text in other pieces.

    The pieces of a row are a function of its ids, its number, the seed and the stream: the same in any process and
    thread, after any calls, and whatever shares the batch. SentencePiece's own sampling cannot promise that: whatever
    seed it is given, it adds a random number to it that is new in every process.
    """

    alphabet: Alphabet
    cutter: BpeDropout | UnigramSampler
    max_pieces: int
    """A row that would come out longer keeps its stored pieces."""
    stream: int
    """Source and target draw from different streams."""

    def resample(self, rows: Sequences, wanted: Rows, *, seed: int) -> FlatSequences:
        """Cut the rows in `wanted` anew.

        Args:
            rows: Rows of ids as they are stored.
            wanted: Row numbers, [B].
            seed: Another one for every time that a row is seen.

        Returns:
            As many rows as `wanted` names, in its order.
        """
        text = self.alphabet.spell(rows, wanted, row_keys(wanted, seed=seed, stream=self.stream))
        if len(text.codes) == 0:
            return lay_out(rows, wanted)
        places, ids = self.cutter.cut(text)
        lengths = np.bincount(text.rows[places], minlength=len(wanted)).astype(np.int32)
        starts = np.cumsum(lengths, dtype=np.int64) - lengths
        long = np.flatnonzero(lengths > self.max_pieces)
        stored = lay_out(rows, wanted[long])
        starts[long], lengths[long] = len(ids) + stored.starts, stored.lengths
        values = np.concatenate([ids[np.argsort(places)].astype(np.int32), stored.values])
        return FlatSequences(values, starts, lengths)


def make_resamplers(data: PreparedData, *, alpha: float, max_pieces: int) -> tuple[Resampler, Resampler]:
    """Make the resamplers of the source and the target of prepared data.

    Args:
        data: Has the tokenizers.
        alpha: As for `make_resampler`.
        max_pieces: Rows that would come out longer keep their stored pieces.

    Raises:
        ConfigError, ModelError: As for `make_resampler`.
    """
    tokenizers = data.tokenizers
    src = make_resampler(tokenizers.src, alpha=alpha, max_pieces=max_pieces)
    tgt = src if tokenizers.joint else make_resampler(tokenizers.tgt, alpha=alpha, max_pieces=max_pieces)
    return src, replace(tgt, stream=1)


def make_resampler(tokenizer: Tokenizer, *, alpha: float, max_pieces: int) -> Resampler:
    """Make a resampler for the rows that a tokenizer cut.

    Args:
        tokenizer: Its pieces and their scores are used. Symbols and bytes stay as they are.
        alpha: For a unigram model the exponent that smooths its probabilities: the smaller, the more varied the pieces,
            1 draws from the model as it is. For BPE the probability that a merge is left out: the larger, the more
            varied.
        max_pieces: Rows that would come out longer keep their stored pieces.

    Raises:
        ConfigError: The tokenizer is not of subwords, or of the kind "bpe", and `alpha` is no probability.
        ModelError: It lacks pieces that are needed.
    """
    kind = tokenizer.kind
    if kind not in ("unigram", "bpe"):
        raise ConfigError(
            "training.subword_sampling cuts words into other pieces: it needs tokenizers of the kind unigram or bpe, "
            f"but one of the data is of the kind {kind}"
        )
    if kind == "bpe" and alpha > 1:
        raise ConfigError(
            f"training.subword_sampling = {alpha:g} is too large: with a tokenizer of the kind bpe it is the "
            "probability that a merge is left out, at most 1"
        )
    alphabet = Alphabet(tokenizer.pieces, symbols=tokenizer.whole)
    scores = tokenizer.scores
    cutter = (
        BpeDropout(alphabet, scores, dropout=alpha) if kind == "bpe" else UnigramSampler(alphabet, scores, alpha=alpha)
    )
    return Resampler(alphabet, cutter, max_pieces, stream=0)
