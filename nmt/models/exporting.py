"""A model's word vectors as text, in word2vec's format, which `nmt.models.vectors` and most programs read."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from nmt.errors import ConfigError
from nmt.models.folder import load_either, load_own_tokenizers
from nmt.models.seq2seq import Seq2Seq
from nmt.vocab import EOS

Side = Literal["src", "tgt"]


def export_vectors(folder: Path, *, side: Side | None = None) -> Iterator[str]:
    """Return the lines of a model's vectors: "pieces numbers", then each piece and its numbers.

    Special pieces have no line. Numbers come back as the same float32.

    Args:
        folder: A translation model or a language model.
        side: Whose vectors; None: the source's, or those of a language model, which has only these.

    Raises:
        ModelError: The folder is no model.
        ConfigError: The source of a language model is asked for.
    """
    model, _ = load_either(folder, device=torch.device("cpu"))
    tokenizers = load_own_tokenizers(folder)
    if isinstance(model, Seq2Seq):
        embedding = model.tgt_embedding if side == "tgt" else model.src_embedding
        tokenizer = tokenizers.tgt if side == "tgt" else tokenizers.src
    elif side == "src":
        raise ConfigError(f"{folder} holds a language model, which has no source; leave the side out")
    else:
        embedding, tokenizer = model.embedding, tokenizers.tgt
    pieces = tokenizer.pieces
    with torch.inference_mode():
        table = embedding(torch.arange(len(pieces))[None]).squeeze(0)  # [V, E]
    return lines_of(pieces[EOS + 1 :], table[EOS + 1 :])


def lines_of(pieces: Sequence[str], table: Tensor) -> Iterator[str]:
    """Write pieces and their vectors [N, E]; a piece of white space, which no line can hold, is left out."""
    kept = [(i, piece) for i, piece in enumerate(pieces) if piece.split() == [piece]]
    yield f"{len(kept)} {table.shape[1]}\n"
    for i, piece in kept:
        yield f"{piece} {' '.join(f'{number:.9g}' for number in table[i].tolist())}\n"
