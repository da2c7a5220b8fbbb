"""A model with more pieces: it translates as before, and learns them when it is trained further."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor

from nmt.config import Settings
from nmt.config.load import change_settings
from nmt.errors import ConfigError
from nmt.io.lines import OnBadUtf8, read_lines
from nmt.models.build import Undrawn, count_parameters
from nmt.models.folder import (
    WEIGHTS,
    Vocabularies,
    build_either,
    load_either,
    load_own_tokenizers,
    load_tensors,
    model_tensors,
    refuse_used,
    write_model,
)
from nmt.models.language_model import LanguageModel
from nmt.models.seq2seq import Seq2Seq
from nmt.text.new_pieces import parts, wanting, with_more
from nmt.text.tokenizer import Tokenizer, Tokenizers
from nmt.training.inheriting import ASLEEP, SIDES, lineage


@dataclass(frozen=True)
class _Grown:
    """A tokenizer of before and of now, and the pieces that only the latter has."""

    before: Tokenizer
    now: Tokenizer
    pieces: tuple[str, ...]

    @classmethod
    def of(cls, tokenizer: Tokenizer, pieces: Sequence[str], symbols: Sequence[str]) -> "_Grown":
        """Add pieces to a tokenizer."""
        model, new = with_more(tokenizer, pieces, symbols)
        return cls(tokenizer, Tokenizer(model), tuple(new))

    def rows(self, name: str, table: Tensor) -> Tensor:
        """Append the rows of the new pieces to a table [V, *]: the mean of what they were cut into before; or zeros,
        which no word vector is given."""
        if name.endswith(".given") or not self.pieces:
            return torch.cat([table, table.new_zeros(len(self.pieces), *table.shape[1:])])
        new = [table[parts(self.before, piece)].mean(dim=0) for piece in self.pieces]
        return torch.cat([table, torch.stack(new)])


@dataclass(frozen=True)
class Enlarged:
    """A model, its settings and tokenizers, and the pieces that it did not have before."""

    model: Seq2Seq | LanguageModel
    settings: Settings
    tokenizers: Tokenizers
    new: dict[str, tuple[str, ...]]
    """Those of each side, "src" and "tgt", or of both, "joint"."""

    @classmethod
    def of(
        cls,
        model: Seq2Seq | LanguageModel,
        settings: Settings,
        tokenizers: Tokenizers,
        *,
        src: Sequence[str],
        tgt: Sequence[str],
        symbols: Sequence[str],
    ) -> "Enlarged":
        """Make a model with more pieces, as `add_to_vocabulary` does."""
        if tokenizers.joint:
            joint = _Grown.of(tokenizers.tgt, [*src, *tgt], symbols)
            sides, new = {"src": joint, "tgt": joint}, {"joint": joint.pieces}
        else:
            sides = {"src": _Grown.of(tokenizers.src, src, symbols), "tgt": _Grown.of(tokenizers.tgt, tgt, symbols)}
            new = {side: grown.pieces for side, grown in sides.items()}
        grown = Tokenizers(sides["src"].now, sides["tgt"].now)
        sizes = Vocabularies.of(grown)
        with Undrawn():
            larger = build_either(settings.model, sizes, seed=0)
        tensors = model_tensors(model)
        for name, tensor in tensors.items():
            if side := SIDES.get(name.partition(".")[0]):
                tensors[name] = sides[side].rows(name, tensor)
        tensors["output.bias"][len(sides["tgt"].before) :] = ASLEEP
        load_tensors(larger, tensors, where=Path(WEIGHTS))
        every = tuple(dict.fromkeys((*settings.tokenizer.symbols, *symbols)))
        settings = change_settings(settings, "tokenizer", {"vocab_size": sizes.tgt, "symbols": every})
        return cls(larger.eval(), settings, grown, new)

    def write(self, folder: Path, summary: Mapping[str, object], *, parent: Path) -> None:
        """Write a new model folder; its card says what a summary does, and what the model came from."""
        card = {**summary, "parameters": count_parameters(self.model), "parents": lineage(parent)}
        write_model(self.model, folder, settings=self.settings, tokenizers=self.tokenizers, summary=card)


def add_to_vocabulary(
    model_dir: Path, out_dir: Path, *, src: Sequence[str], tgt: Sequence[str], symbols: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """Write a model with more pieces to a new folder; it translates text without them as before, to the last bit.

    Text that holds a new piece is read as it, whose vector is the mean of those that it was cut into. None is ever
    written, as its probability is 0, until a training that begins with the model (`training.parent`) has learnt it.

    Args:
        out_dir: A folder that is new or empty; it appears when all is done.
        src: Pieces of the source, as `nmt.text.new_pieces.with_more` takes them.
        tgt: Pieces of the target; a model with one vocabulary gets those of both sides.
        symbols: Pieces of both sides that are never cut and never merged.

    Returns:
        The new pieces of each side, "src" and "tgt", or of both, "joint".

    Raises:
        ConfigError: One cannot be a piece, or the model has all of them already.
        ModelError: A folder cannot be used.
    """
    refuse_used(out_dir)
    model, settings = load_either(model_dir, device=torch.device("cpu"))
    larger = Enlarged.of(model, settings, load_own_tokenizers(model_dir), src=src, tgt=tgt, symbols=symbols)
    if not any(larger.new.values()):
        raise ConfigError(f"{model_dir} has all of these pieces already")
    larger.write(out_dir, {"added_pieces": larger.new}, parent=model_dir)
    return larger.new


def find_wanting(
    model_dir: Path, texts: Sequence[Path], *, min_count: int, limit: int, on_bad_utf8: OnBadUtf8
) -> dict[str, list[str]]:
    """Find the pieces that texts have often and a model's tokenizers lack, those of each side, "src" and "tgt"; the
    other arguments are those of `nmt.text.new_pieces.wanting`."""
    tokenizers = load_own_tokenizers(model_dir)
    found = {}
    for side, tokenizer in (("src", tokenizers.src), ("tgt", tokenizers.tgt)):
        lines = chain.from_iterable(read_lines(path, on_bad_utf8) for path in texts)
        found[side] = wanting(tokenizer, lines, min_count=min_count, limit=limit)
    return found
