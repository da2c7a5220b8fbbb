"""Training rows segmented anew every time they are seen: spelled out in characters, and cut by a unigram model's
probabilities (subword regularisation; Kudo, 2018) or with merges left out (BPE-dropout; Provilkov et al., 2020).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nmt.errors import ConfigError, ModelError
from nmt.text.sequences import FlatSequences, Rows, Sequences
from nmt.text.tokenizer import Tokenizer, Tokenizers
from nmt.text.vocab import BOS_PIECE, EOS_PIECE, PAD_PIECE, SPACE_MARK, UNK_PIECE

Integers = NDArray[np.int64]
Floats = NDArray[np.float32]
DrawKeys = NDArray[np.uint64]
"""Keys of random numbers: each number is a function of its key, whatever else is drawn, wherever and when."""


@dataclass(frozen=True)
class Resampler:
    """Segments rows anew: the same text in other pieces.

    The pieces of a row are a function of its ids, its number, the seed and the stream: the same in any process and
    thread, after any calls, and whatever shares the batch. SentencePiece's own sampling cannot promise that: whatever
    seed it is given, it adds a random number to it that is new in every process.
    """

    alphabet: "Alphabet"
    cutter: "BpeDropout | UnigramSampler"
    max_pieces: int
    """A row that would come out longer keeps its stored pieces."""
    stream: int
    """Source and target draw from different streams."""

    def resample(self, rows: FlatSequences, numbers: Rows, *, seed: int) -> FlatSequences:
        """Segment rows that have these numbers, [B], anew; `seed` is another one every time a row is seen."""
        keys = row_keys(numbers, seed=seed, stream=self.stream)
        text = self.alphabet.spell(rows, np.arange(len(rows)), keys)
        if len(text.codes) == 0:
            return rows
        places, ids = self.cutter.cut(text)
        lengths = np.bincount(text.rows[places], minlength=len(rows)).astype(np.int32)
        found = FlatSequences.end_to_end(ids[np.argsort(places)].astype(np.int32), lengths)
        long = np.flatnonzero(lengths > self.max_pieces)
        return found.with_rows(long, rows.take(long))


def make_resamplers(tokenizers: Tokenizers, *, alpha: float, max_pieces: int) -> tuple[Resampler, Resampler]:
    """Make the resamplers of source and target; arguments and errors are those of `make_resampler`."""
    src = make_resampler(tokenizers.src, alpha=alpha, max_pieces=max_pieces)
    tgt = src if tokenizers.joint else make_resampler(tokenizers.tgt, alpha=alpha, max_pieces=max_pieces)
    return src, replace(tgt, stream=1)


def make_resampler(tokenizer: Tokenizer, *, alpha: float, max_pieces: int) -> Resampler:
    """Make a resampler for the rows of a tokenizer, by the scores of its pieces; symbols and bytes stay as they are.

    Args:
        tokenizer: Of the kind unigram or bpe.
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
            "training.subword_sampling segments text anew: it needs tokenizers of the kind unigram or bpe, but one of "
            f"the data is of the kind {kind}"
        )
    if kind == "bpe" and alpha > 1:
        raise ConfigError(
            f"training.subword_sampling = {alpha:g} is too large: with a tokenizer of the kind bpe it is the "
            "probability that a merge is left out, at most 1"
        )
    alphabet = Alphabet(tokenizer.pieces, symbols=tokenizer.whole)
    cutter = (
        UnigramSampler(alphabet, tokenizer.scores, alpha=alpha)
        if kind == "unigram"
        else BpeDropout(alphabet, tokenizer.scores, dropout=alpha)
    )
    return Resampler(alphabet, cutter, max_pieces, stream=0)


# The constants of SplitMix64.
_STEP: Final = np.uint64(0x9E3779B97F4A7C15)
_FIRST: Final = np.uint64(0xBF58476D1CE4E5B9)
_SECOND: Final = np.uint64(0x94D049BB133111EB)


def mix(keys: DrawKeys) -> DrawKeys:
    """Scatter 64-bit keys, so that neighbours have nothing in common (SplitMix64; Steele, Lea and Flood, 2014)."""
    mixed = keys + _STEP
    mixed = (mixed ^ (mixed >> np.uint64(30))) * _FIRST
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _SECOND
    return mixed ^ (mixed >> np.uint64(31))


def row_keys(rows: Rows, *, seed: int, stream: int) -> DrawKeys:
    """Give every row number a key of its own, which is another for every seed and stream."""
    root = mix(mix(np.array([seed % 2**64], dtype=np.uint64)) + np.uint64(stream))
    return mix(root + rows.astype(np.uint64))


def uniform(keys: DrawKeys) -> NDArray[np.float64]:
    """Turn mixed keys into numbers from [0, 1)."""
    return np.asarray((keys >> np.uint64(11)) * 2.0**-53)


_SCATTER: Final = np.uint64(0x9E3779B97F4A7C15)  # 2**64 over the golden ratio
_FREE: Final = -1


class IntegerMap:
    """A hash table in arrays: a search takes some 10 ns a key, where bisection takes 80."""

    def __init__(self, keys: Integers, values: Integers) -> None:
        """Map distinct keys, none of them negative, to values."""
        bits = len(keys).bit_length() + 1  # half of the slots or more stay free, so searches are short
        self._shift = np.uint64(64 - bits)
        self._last = (1 << bits) - 1
        self._keys = np.full(1 << bits, _FREE, dtype=np.int64)
        self._values = np.full(1 << bits, _FREE, dtype=np.int64)
        slots = self._slots(keys)
        while len(keys):
            vacant = self._keys[slots] == _FREE
            self._keys[slots[vacant]] = keys[vacant]  # of several keys for one slot, the last stays
            placed = self._keys[slots] == keys
            self._values[slots[placed]] = values[placed]
            keys, values, slots = keys[~placed], values[~placed], (slots[~placed] + 1) & self._last

    def get(self, keys: Integers) -> Integers:
        """Return the value of every key, and -1 where there is none."""
        slots = self._slots(keys)
        found, values = self._keys[slots], self._values[slots]
        missed = np.flatnonzero(found != keys)
        values[missed] = -1
        pending = missed[found[missed] != _FREE]
        slots = slots[pending]
        while len(pending):
            slots = (slots + 1) & self._last
            found, sought = self._keys[slots], keys[pending]
            values[pending[found == sought]] = self._values[slots[found == sought]]
            rest = (found != sought) & (found != _FREE)
            pending, slots = pending[rest], slots[rest]
        return values

    def _slots(self, keys: Integers) -> Integers:
        return ((keys.astype(np.uint64) * _SCATTER) >> self._shift).astype(np.int64)


@dataclass(frozen=True)
class Text:
    """Characters of several rows, laid end to end."""

    codes: Integers
    """The characters as `Alphabet` numbers them, [N]."""
    rows: Integers
    """Which row each belongs to, counted from 0, [N]."""
    begins: NDArray[np.bool_]
    """True where a word or a row begins, [N]: no piece reaches across."""
    keys: DrawKeys
    """A key for drawing at each character, a function of its row's key and its place in the row, [N]."""


class Alphabet:
    """The characters of a vocabulary, numbered; a fixed piece, such as `<unk>` or a placeholder, counts as one.

    A row is spelled from its pieces, not decoded, so its text is to the letter what was cut when the data were
    prepared: spaces, placeholders and unknown characters stay what and where they are.
    """

    def __init__(self, pieces: Sequence[str], *, symbols: Collection[str]) -> None:
        """Number the characters of `pieces`, of which those in `symbols` are never cut and never merged.

        Raises:
            ModelError: A character is no piece by itself, so not all text could be cut.
        """
        fixed = {PAD_PIECE, UNK_PIECE, BOS_PIECE, EOS_PIECE, *symbols}
        free = [piece for piece in pieces if piece not in fixed]
        characters = sorted({character for piece in free for character in piece})
        if missing := set(characters) - set(free):
            raise ModelError(
                f"the tokenizer has no piece for the character {min(missing)!r} alone: it cannot be sampled"
            )
        numbers = {character: code for code, character in enumerate(characters)}
        self.spellings: list[list[int]] = []
        """The characters of every piece."""
        size = len(numbers)
        for piece in pieces:
            if piece in fixed:
                self.spellings.append([size])
                size += 1
            else:
                self.spellings.append([numbers[character] for character in piece])
        self.size = size
        self._flat = FlatSequences.from_lists(self.spellings)
        self._word_start = numbers.get(SPACE_MARK, -1)

    def spell(self, rows: Sequences, wanted: Rows, keys: DrawKeys) -> Text:
        """Write out the rows in `wanted`, with a key for each."""
        taken = lay_out(rows, wanted)
        spelled = lay_out(self._flat, taken.values)
        codes = spelled.values.astype(np.int64)
        owners = np.repeat(np.repeat(np.arange(len(wanted)), taken.lengths), spelled.lengths)
        first = np.searchsorted(owners, np.arange(len(wanted)))  # where each row begins
        begins = codes == self._word_start
        begins[first[taken.lengths > 0]] = True
        places = np.arange(len(codes)) - first[owners]
        return Text(codes, owners, begins, mix(keys[owners] + places.astype(np.uint64)))


def lay_out(rows: Sequences, wanted: NDArray[np.integer]) -> FlatSequences:
    """Copy the rows in `wanted`, end to end in this order."""
    taken = rows.take(wanted)
    return FlatSequences.end_to_end(taken.flat(), taken.lengths)


_NONE: Final = np.iinfo(np.int64).max


class BpeDropout:
    """Merges characters to pieces; at every step, each possible merge is left out with a probability.

    This is algorithm 1 of Provilkov et al. (2020), run on all words of a batch at once: the merge learnt first wins,
    the leftmost of equals, and a word is done when no merge is left. Without dropout it cuts as the model itself does.
    """

    def __init__(self, alphabet: Alphabet, scores: Sequence[float], *, dropout: float) -> None:
        """Take the score of every piece, which is the higher, the earlier its merge was learnt."""
        ids = {tuple(spelling): piece for piece, spelling in enumerate(alphabet.spellings)}
        merges = {
            ids[spelling[:split]] * len(ids) + ids[spelling[split:]]: piece
            for spelling, piece in ids.items()
            for split in range(1, len(spelling))
            if spelling[:split] in ids and spelling[split:] in ids
        }
        self._size = len(ids)
        self._merges = IntegerMap(np.array(list(merges), dtype=np.int64), np.array(list(merges.values()), np.int64))
        self._ranks = np.argsort(np.argsort(-np.array(scores), kind="stable"))
        self._characters = np.array([ids[(code,)] for code in range(alphabet.size)])
        self._dropout = dropout

    def cut(self, text: Text) -> tuple[Integers, Integers]:
        """Draw pieces; return where each begins in the text, in any order, and its id."""
        places, ids, begins = np.arange(len(text.codes)), self._characters[text.codes], text.begins
        merges = self._merged(ids, begins, places)  # what each symbol and the next one make
        done = []
        step = 0
        while len(ids):
            starts = np.flatnonzero(begins)
            best = np.minimum.reduceat(self._priorities(text.keys[places], merges, step), starts)
            live = best < _NONE
            keep = np.repeat(live, np.diff(np.append(starts, len(ids))))
            done.append((places[~keep], ids[~keep]))
            winners = best[live] % len(ids)
            ids[winners] = merges[winners]
            keep[winners + 1] = False
            places, ids, begins, merges = places[keep], ids[keep], begins[keep], merges[keep]
            winners = (np.cumsum(keep) - 1)[winners]
            changed = np.concatenate([winners, winners[~begins[winners]] - 1])
            merges[changed] = self._merged(ids, begins, changed)
            step += 1
        return np.concatenate([places for places, _ in done]), np.concatenate([ids for _, ids in done])

    def _merged(self, ids: Integers, begins: NDArray[np.bool_], at: Integers) -> Integers:
        """Return the piece that each symbol in `at` and its right neighbour make, -1 where there is none."""
        merged = np.full(len(at), -1)
        inner = np.append(~begins[1:], False)[at]
        left = at[inner]
        merged[inner] = self._merges.get(ids[left] * self._size + ids[left + 1])
        return merged

    def _priorities(self, keys: DrawKeys, merges: Integers, step: int) -> Integers:
        """Order the merges that are not left out: the lowest of a word comes first; its remainder says where it is."""
        possible = np.flatnonzero(merges >= 0)
        possible = possible[uniform(mix(keys[possible] + np.uint64(step))) >= self._dropout]
        priorities = np.full(len(merges), _NONE)
        priorities[possible] = self._ranks[merges[possible]] * len(merges) + possible
        return priorities


_NEVER: Final = -1e30  # a log probability: finite, so that no difference of two is undefined


@dataclass(frozen=True)
class _Columns:
    """Words side by side, longest first: column r holds the r-th last character of every word of r or more."""

    starts: Integers
    """Where each word begins in the text, [W]."""
    lengths: Integers
    """Characters of each word, falling, [W]."""
    counts: Integers
    """How many words reach into each column, [R + 1]; none into column 0."""
    offsets: Integers
    """The first cell of each column, [R + 1]; the cells of a column belong to the first words, in their order."""

    @classmethod
    def of(cls, text: Text) -> "_Columns":
        starts = np.flatnonzero(text.begins)
        lengths = np.diff(np.append(starts, len(text.codes)))
        order = np.argsort(-lengths, kind="stable")
        counts = np.bincount(lengths)[::-1].cumsum()[::-1]
        counts[0] = 0
        return cls(starts[order], lengths[order], counts, np.cumsum(counts) - counts)


class UnigramSampler:
    """Cuts words into pieces, a cut c with a probability proportional to P(c)^alpha (Kudo, 2018, sec. 3.3).

    No piece reaches across words, so words are cut independently, all words of a batch at once: backward sums of the
    probabilities by dynamic programming, then pieces drawn from left to right. There is no approximation, and
    no n-best list.
    """

    def __init__(self, alphabet: Alphabet, scores: Sequence[float], *, alpha: float) -> None:
        """Take the log probability of every piece; `alpha` 0 makes all cuts equally likely, a large one the best."""
        trie: dict[int, int] = {}
        pieces = [-1]  # of each node of the trie; node 0 is its root
        for piece, spelling in enumerate(alphabet.spellings):
            node = 0
            for code in spelling:
                node = trie.setdefault(node * alphabet.size + code, len(pieces))
                if node == len(pieces):
                    pieces.append(-1)
            pieces[node] = piece
        self._pieces = np.array(pieces)
        smoothed = alpha * np.array(scores)[self._pieces]
        self._scores = np.where(self._pieces >= 0, smoothed, _NEVER).astype(np.float32)
        self._children = IntegerMap(np.array(list(trie)), np.array(list(trie.values())))
        self._size = alphabet.size
        self._widest = max(map(len, alphabet.spellings))

    def cut(self, text: Text) -> tuple[Integers, Integers]:
        """Draw pieces; return where each begins in the text, in any order, and its id."""
        columns = _Columns.of(text)
        nodes = self._nodes(text, columns)
        return self._draw(text, columns, nodes, self._chances(columns, nodes))

    def _nodes(self, text: Text, columns: _Columns) -> NDArray[np.int32]:
        """Find in the trie what 1, 2, .. characters from each cell on spell, [K, N]; 0 stands for nothing."""
        left = np.repeat(np.arange(len(columns.counts)), columns.counts)  # characters from here to the word's end
        words = np.arange(len(left)) - columns.offsets[left]
        places = columns.starts[words] + columns.lengths[words] - left
        nodes = np.zeros((self._widest, len(left)), dtype=np.int32)
        active, state = np.arange(len(left)), np.zeros(len(left), dtype=np.int64)
        for width in range(self._widest):
            state = self._children.get(state * self._size + text.codes[places[active] + width])
            found = state >= 0
            nodes[width, active[found]] = state[found]
            found &= left[active] > width + 1
            active, state = active[found], state[found]
        return nodes

    def _chances(self, columns: _Columns, nodes: NDArray[np.int32]) -> Floats:
        """Sum up the probabilities of all cuts that go on from each cell with 1, 2, .. characters or fewer, [K, N].

        Each cell has a scale of its own, set by its likeliest way on.
        """
        chances = np.empty(nodes.shape, dtype=np.float32)
        # What all cuts of the rest of a word add up to when 1, 2, .. characters are gone, as a logarithm, relative to
        # one gone: [K, W]. Small numbers, however long the word.
        rest = np.full((len(nodes), len(columns.starts)), _NEVER, dtype=np.float32)
        rest[0] = 0.0
        for first, count in zip(columns.offsets[1:], columns.counts[1:], strict=True):
            cells = slice(first, first + count)
            ways = self._scores[nodes[:, cells]] + rest[:, :count]
            likeliest = ways.max(axis=0)
            np.exp(ways - likeliest, out=ways)
            chances[0, cells] = ways[0]
            for width in range(1, len(ways)):
                np.add(chances[width - 1, cells], ways[width], out=chances[width, cells])
            rest[1:, :count] = rest[:-1, :count] - (likeliest + np.log(chances[-1, cells]))
            rest[0, :count] = 0.0
        return chances

    def _draw(
        self, text: Text, columns: _Columns, nodes: NDArray[np.int32], chances: Floats
    ) -> tuple[Integers, Integers]:
        words, left = np.arange(len(columns.starts)), columns.lengths
        places, pieces = [], []
        while len(words):
            cells = columns.offsets[left] + words
            place = columns.starts[words] + columns.lengths[words] - left
            # The number drawn is below 1, and so is its product with the total below the total: one width is left.
            chance = chances[:, cells]
            draw = uniform(text.keys[place]) * chance[-1]
            width = (chance <= draw).sum(axis=0)
            places.append(place)
            pieces.append(self._pieces[nodes[width, cells]])
            left = left - width - 1
            words, left = words[left > 0], left[left > 0]
        return np.concatenate(places), np.concatenate(pieces)
