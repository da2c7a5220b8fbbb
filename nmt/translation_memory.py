"""A translation memory: pairs that a model translates beside, found by BM25 and by the similarity of their sources.

Its folder holds the pairs alone, as pieces and as text. What finds them is computed when it is opened, in a second for
a million postings: so nobody can send an index that does anything, and no index can be older than its pairs.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256 as digest_of
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nmt.config import Settings
from nmt.config.load import describe_misfit
from nmt.errors import DataError, ModelError
from nmt.io.files import building, read_json, sha256, write_text
from nmt.io.lines import Pair, normaliser
from nmt.models.folder import load_own_tokenizers, read_settings, refuse_used
from nmt.search.neighbours import Neighbour
from nmt.text.placeholders import mask_pair
from nmt.text.sequences import FlatSequences
from nmt.text.tokenizer import Tokenizers

if TYPE_CHECKING:
    from nmt.corpus.base import PairSource
    from nmt.prepared.arrow import MappedSequences

FORMAT_VERSION: Final = 1
CARD: Final = "memory.json"
PAIRS: Final = "pairs.arrow"

_MOST_PIECES: Final = 256
"""Of a side of a pair: longer ones hardly come again, and each would be read for as long as many others."""
_BLOCK: Final = 2000
"""Pairs that are cut into pieces together."""
_POSTINGS: Final = 10_000
"""Entries of the index that are read for a source: those of its rarest pieces."""
_CANDIDATES: Final = 64
"""The best ones by BM25, of which the most similar ones are taken."""
_K1, _B = 1.2, 0.75
"""The usual parameters of BM25 (Robertson and Zaragoza, 2009, sec. 3.5)."""


class _Card(BaseModel):
    """The contents of memory.json."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: int
    pairs: Annotated[int, Field(gt=0, strict=True)]
    sha256: str
    """That of the pairs."""
    reads: dict[str, str]
    """What text has become pieces by; a model that reads otherwise cannot use them."""


@dataclass(frozen=True)
class Match:
    """The pair of a memory that is most like a source."""

    similarity: float
    """From 0 to 1: the share of the pieces that need no edit; 1 for sources that differ in what is masked, too."""
    source: str
    target: str
    exact: bool
    """Whether the sources are the same text; then the target came back as it stands."""


@dataclass(frozen=True)
class Built:
    """What became of the pairs of a corpus."""

    pairs: int
    left_out: int
    """Those with an empty side, with more pieces than the model reads at once, or that were there before."""


def build_memory(
    model_dir: Path, corpus: "PairSource", folder: Path, *, on_pairs: Callable[[int], None] = lambda count: None
) -> Built:
    """Write the pairs of a corpus as a memory for a model, to a new or empty folder.

    Raises:
        ModelError: There is no translation model, or the folder is used.
        DataError: The corpus cannot be read, or no pair of it is fit.
    """
    from nmt.prepared.arrow import write_valid  # late: who has no memory does without Arrow

    refuse_used(folder)
    settings, tokenizers = read_settings(model_dir), load_own_tokenizers(model_dir)
    if settings.model.kind == "lm":
        raise ModelError(f"{model_dir} holds a language model, expected a translation model")
    read = 0

    def counting(pairs: Iterator[Pair]) -> Iterator[Pair]:
        nonlocal read
        for read, pair in enumerate(pairs, start=1):
            yield pair
            if not read % _BLOCK:
                on_pairs(read)

    kept = list(_fit(counting(corpus.records()), settings, tokenizers))
    if not kept:
        raise DataError(f"{corpus.name} has no pair for a memory: {read:,} were read, and none has two sides that fit")
    src_texts, tgt_texts, src, tgt = zip(*kept, strict=True)
    with building(folder) as new:
        ids = {"src": FlatSequences.from_lists(src), "tgt": FlatSequences.from_lists(tgt)}
        write_valid(new / PAIRS, {"src_text": src_texts, "tgt_text": tgt_texts}, ids)
        card = _Card(
            format_version=FORMAT_VERSION,
            pairs=len(kept),
            sha256=sha256(new / PAIRS),
            reads=_reads(settings, tokenizers),
        )
        write_text(new / CARD, json.dumps(card.model_dump(), indent=2) + "\n")
    return Built(len(kept), read - len(kept))


def _fit(
    pairs: Iterator[Pair], settings: Settings, tokenizers: Tokenizers
) -> Iterator[tuple[str, str, list[int], list[int]]]:
    """Choose the pairs that a model can read, each once: their texts and their pieces."""
    normalise, seen = normaliser(settings.data), set[tuple[str, str]]()
    while block := list(islice(pairs, _BLOCK)):
        texts = [(normalise(pair.src), normalise(pair.tgt)) for pair in block if pair.fault is None]
        new = [both for both in dict.fromkeys(texts) if all(both) and both not in seen]
        seen.update(new)
        masked = [mask_pair(*both, settings.tokenizer.placeholders) for both in new]
        src = tokenizers.src.encode([source for source, _ in masked])
        tgt = tokenizers.tgt.encode([target for _, target in masked])
        for both, *ids in zip(new, src, tgt, strict=True):
            if all(0 < len(side) <= min(settings.data.max_pieces, _MOST_PIECES) for side in ids):
                yield *both, ids[0], ids[1]


def _reads(settings: Settings, tokenizers: Tokenizers) -> dict[str, str]:
    """Say what text becomes pieces by: digests of the tokenizers, and the settings of what comes before them."""
    data, digests = settings.data, {name: digest_of(text).hexdigest() for name, text in tokenizers.files.items()}
    settled = {
        "data.clean_invisible": str(data.clean_invisible).lower(),
        "tokenizer.placeholders": " ".join(settings.tokenizer.placeholders),
    }
    return digests | settled | ({"data.lowercase": "true"} if data.lowercase else {})  # older ones know nothing of it


@dataclass(frozen=True, eq=False)
class TranslationMemory:
    """Pairs, and what finds those that are like a source; it keeps no state, so threads may share it."""

    folder: Path
    src: "MappedSequences"
    tgt: "MappedSequences"
    src_texts: Sequence[str]
    tgt_texts: Sequence[str]

    @classmethod
    def open(cls, folder: Path, *, settings: Settings, tokenizers: Tokenizers) -> Self:
        """Open the memory of a folder for a model with these settings and tokenizers.

        A DataError says that it is none, is damaged or altered, or was built for a model that reads other pieces.
        """
        from nmt.prepared.arrow import map_ids, read_texts

        card, path = _read_card(folder), folder / PAIRS
        if not path.is_file():
            raise DataError(f"{path} is missing or no regular file; the memory is incomplete")
        if sha256(path) != card.sha256:
            raise DataError(f"{path} was altered: its SHA-256 is not the one in {CARD}")
        expected = _reads(settings, tokenizers)
        for name in expected.keys() | card.reads.keys():
            if expected.get(name) != card.reads.get(name):
                what = f"{name} is another" if name in expected else f"it has no {name}"
                raise DataError(
                    f"{folder} was built for a model that cuts text into other pieces ({what}); build a memory for "
                    "this one with `nmt memory build`"
                )
        memory = cls(
            folder,
            map_ids(path, "src", size=len(tokenizers.src)),
            map_ids(path, "tgt", size=len(tokenizers.tgt)),
            read_texts(path, "src_text"),
            read_texts(path, "tgt_text"),
        )
        for column in (memory.src, memory.tgt, memory.src_texts, memory.tgt_texts):
            if len(column) != card.pairs:
                raise DataError(f"{path} is damaged: it has {len(column):,} rows, but {CARD} says {card.pairs:,}")
        for ids in (memory.src, memory.tgt):
            lengths = ids.lengths  # rows that lie over each other would be more than the file when they are read
            if lengths.min() < 1 or lengths.max() > _MOST_PIECES or lengths.sum(dtype=np.int64) > len(ids.values):
                raise DataError(f"{path} is damaged: its pairs have no pieces, or too many of them")
        return memory

    def exact(self, text: str) -> Match | None:
        """Find the pair whose source is a text, normalised as the model has it; of several, the last one."""
        row = self._by_text.get(text)
        return None if row is None else Match(1.0, self.src_texts[row], self.tgt_texts[row], exact=True)

    def best(self, ids: Sequence[int], *, least: float) -> Match | None:
        """Find the pair whose source is most similar to pieces, if any is so by `least`."""
        for row, similarity in self._near(ids, count=1, least=least):
            return Match(similarity, self.src_texts[row], self.tgt_texts[row], exact=False)
        return None

    def neighbours(self, ids: Sequence[int], *, count: int, least: float) -> list[Neighbour]:
        """Find at most `count` pairs with sources similar to pieces, by `least` or more, the most similar first."""
        rows = np.array([row for row, _ in self._near(ids, count=count, least=least)], dtype=np.int64)
        src, tgt = self.src.take(rows), self.tgt.take(rows)
        return [Neighbour(tuple(src.row(i)), tuple(tgt.row(i))) for i in range(len(rows))]

    def _near(self, ids: Sequence[int], *, count: int, least: float) -> list[tuple[int, float]]:
        rows = self._index.best(ids)
        found = similarities(ids, self.src.take(rows))
        order = np.argsort(-found, kind="stable")[:count]
        return [(int(rows[i]), float(found[i])) for i in order if found[i] >= least]

    @cached_property
    def _by_text(self) -> dict[str, int]:
        return {text: row for row, text in enumerate(self.src_texts)}

    @cached_property
    def _index(self) -> "Index":
        return Index.of(self.src.take(np.arange(len(self.src))), size=self.src.size)


@dataclass(frozen=True, eq=False)
class Index:
    """Which texts have which pieces, and what that counts for (Okapi BM25: Robertson and Zaragoza, 2009, sec. 3)."""

    starts: NDArray[np.int64]
    """Where the entries of each piece begin, and where the last ones end, [V + 1]."""
    rows: NDArray[np.int32]
    """The texts, ascending for each piece, [entries]."""
    weights: NDArray[np.float32]
    """[entries]."""

    @classmethod
    def of(cls, texts: FlatSequences, *, size: int) -> Self:
        """Index texts of a vocabulary of `size` pieces."""
        lengths, count = texts.lengths.astype(np.int64), len(texts)
        owners = np.repeat(np.arange(count), lengths)
        # by piece and then by text, how often it stands there
        entries, times = np.unique(texts.flat().astype(np.int64) * count + owners, return_counts=True)
        pieces, rows = entries // count, entries % count
        starts = np.searchsorted(pieces, np.arange(size + 1))
        having = np.diff(starts)
        rarity = np.log1p((count - having + 0.5) / (having + 0.5))
        length = 1 - _B + _B * lengths[rows] / lengths.mean()
        weights = rarity[pieces] * times * (_K1 + 1) / (times + _K1 * length)
        return cls(starts, rows.astype(np.int32), weights.astype(np.float32))

    def best(self, ids: Sequence[int]) -> NDArray[np.int64]:
        """Find the best texts for pieces, best first, equal ones in their order: at most `_CANDIDATES`.

        The rarest pieces decide: those that are left out when enough entries have been read tell little.
        """
        unique = np.unique(np.asarray(ids, dtype=np.int64))
        sizes = self.starts[unique + 1] - self.starts[unique]
        order = np.argsort(sizes, kind="stable")
        order = order[sizes[order] > 0]
        kept = order[: max(1, int(np.searchsorted(np.cumsum(sizes[order]), _POSTINGS, side="right")))]
        spans = [slice(self.starts[piece], self.starts[piece + 1]) for piece in unique[kept]]
        if not spans:
            return np.zeros(0, dtype=np.int64)
        rows, places = np.unique(np.concatenate([self.rows[span] for span in spans]), return_inverse=True)
        scores = np.bincount(places, weights=np.concatenate([self.weights[span] for span in spans]))
        if len(scores) > _CANDIDATES:
            enough = np.partition(scores, -_CANDIDATES)[-_CANDIDATES]
            rows, scores = rows[scores >= enough], scores[scores >= enough]
        return rows[np.argsort(-scores, kind="stable")[:_CANDIDATES]].astype(np.int64)


def similarities(ids: Sequence[int], others: FlatSequences) -> NDArray[np.float64]:
    """Return 1 - edits / length of the longer one, for a text and each of N others, [N] (Levenshtein, 1966).

    All tables of edits are filled at once, row by row; within a row, insertions are a running minimum.
    """
    count = len(others)
    pieces = others.padded(np.arange(count))  # [N, L]
    columns = np.arange(pieces.shape[1] + 1)
    row = np.broadcast_to(columns, (count, len(columns)))
    for number, piece in enumerate(ids, start=1):
        without_insertions = np.empty((count, len(columns)), dtype=np.int64)
        without_insertions[:, 0] = number
        np.minimum(row[:, :-1] + (pieces != piece), row[:, 1:] + 1, out=without_insertions[:, 1:])
        row = np.minimum.accumulate(without_insertions - columns, axis=1) + columns
    edits = row[np.arange(count), others.lengths]
    return 1 - edits / np.maximum(others.lengths, max(len(ids), 1))


def _read_card(folder: Path) -> _Card:
    path = folder / CARD
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder; expected one that `nmt memory build` made")
    try:
        card = _Card.model_validate(read_json(path, DataError))
    except FileNotFoundError as error:
        raise DataError(
            f"{folder} holds no translation memory: {CARD} is missing; `nmt memory build` makes one"
        ) from error
    except ValidationError as error:
        raise DataError(f"{path} is damaged: {describe_misfit(error)}") from error
    if card.format_version != FORMAT_VERSION:
        raise DataError(f"{folder} has format version {card.format_version}, this program reads {FORMAT_VERSION}")
    return card
