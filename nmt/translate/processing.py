"""Pre- and postprocessing: lines made ready for the model, and translations of them made of its hypotheses."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from nmt.config import SearchSettings, Settings
from nmt.io.lines import Begun, normaliser
from nmt.markup.putting import reinsert
from nmt.markup.scanning import Region, Scanned, Stretch
from nmt.markup.spans import Marked, extract, find_unread, take_out
from nmt.search.protocol import Hypothesis, Sentence
from nmt.text.alignment import Link, align_words, join_pieces, replace_unknown
from nmt.text.placeholders import (
    PLACEHOLDERS,
    Kind,
    Originals,
    fill,
    fill_pieces,
    mask,
    masked_spans,
    place,
    unmask,
    unwritten,
    written_for,
)
from nmt.text.sentences import join_sentences, split_sentences, split_text
from nmt.text.tokenizer import Tokenizers
from nmt.text.vocab import UNK, show_piece
from nmt.translate.options import Options
from nmt.translate.words import Spelled, spell, spell_within
from nmt.translation_memory import Match, TranslationMemory


@dataclass(frozen=True)
class Part:
    """The pieces of a line, or of a part of one that was cut, with those of its translation."""

    src: tuple[str, ...]
    tgt: tuple[str, ...]
    attention: NDArray[np.float32] = field(compare=False)
    """How much each target piece read of each source piece, [T, S]."""


@dataclass(frozen=True)
class Translation:
    """One translation of a line."""

    text: str
    """One line, without its end."""
    log_probability: float
    """Natural logarithm of the model's probability, to which that of a language model is added, times its weight; the
    sum over the parts of a line that was cut."""
    score: float
    """The log-probability over the length penalty, plus, in a beam search, the coverage penalty, which is 0 or below:
    what translations are ranked by; summed in the same way. In minimum Bayes risk decoding, the mean likeness to all
    samples."""
    parts: int
    """How many parts the line was translated in: 1, more if it was cut, 0 if it was blank."""
    cut: bool = False
    """Whether the line, or in document mode a sentence of it, was too long for the model."""
    lost: tuple[str, ...] = ()
    """What placeholders of the source stand for, where the translation has none for them."""
    alignment: tuple[Link, ...] | None = None
    """Which source word and which target word belong together, if it was asked for.

    Words are what white space separates, without markup that was kept; both sides are counted from 0.
    """
    details: tuple[Part, ...] | None = None
    """The pieces and the attention, if they were asked for."""
    begun: int | None = None
    """Of a section of a line that is too long to be taken at once, how many words its source has; None: the line ends
    here."""
    matches: tuple[Match, ...] = ()
    """The most similar pairs of the translation memory, if there is one: of the line, or of each part of it."""


@dataclass(frozen=True)
class Piecewise:
    """The translation of one part of a line, with what is needed to join it to others."""

    translation: Translation
    src_words: int
    tgt_words: int
    continues: bool = False
    """Whether the source of this part goes on in the word in which the part before it ended."""


@dataclass(frozen=True)
class LinePart:
    """What is translated at once: a line, a sentence of it, or a part that is not too long for the model."""

    text: str
    """As it stands in the line."""
    masked: str
    """As the model reads it: with the tag, if there is one, and with placeholders that stand for `originals`."""
    ids: list[int]
    originals: Originals
    continues: bool = False
    """Whether it begins within a word of the line."""


@dataclass(frozen=True)
class InputLine:
    """A line on its way through the model."""

    marked: Marked
    prefix: str
    """How its translation has to begin."""
    prefix_ids: tuple[int, ...]
    parts: tuple[LinePart, ...]
    required: tuple[Spelled, ...]
    """What has to appear in the translation of each part."""
    cut: bool
    """Whether something in it is too long for the model."""
    begun: int | None = None
    """Where it is a section of a line that goes on, how many words it has."""
    kept: str | None = None
    """What comes back as it is, as the model knows nothing of it, or a memory all; then there are no parts."""
    match: Match | None = None
    """The pair of the memory that it is from."""

    def sentence(self, part: int, first: int) -> Sentence:
        """Return what the model is to translate; parts are numbered from `first`, and the first has the prefix."""
        prefix = () if part else self.prefix_ids
        return Sentence(tuple(self.parts[part].ids), number=first + part, prefix=prefix, required=self.required[part])


@dataclass(frozen=True)
class LineProcessor:
    """Makes lines ready for a model, and text of what it finds."""

    tokenizers: Tokenizers
    settings: Settings
    options: Options
    memory: TranslationMemory | None = None

    def read(self, lines: Sequence[str], opened: Region | None = None) -> list[InputLine]:
        """Cut lines into parts: none of a blank one, one of most, more where there are too many pieces or sentences.

        They follow each other; `opened` is what of the markup is open before them.
        """
        pairs = [self.options.text_of(line) for line in lines]
        texts, prefixes = [text for text, _ in pairs], [self._normalise(prefix) for _, prefix in pairs]
        prefix_ids = spell(self.tokenizers.tgt, prefixes, self._normalise) if any(prefixes) else ((),) * len(prefixes)
        marked = self._taken_out(texts, opened)
        plain = [self._normalise(one.plain) for one in marked]  # markup is kept as it stands
        exact = self._exact(lines, texts, prefixes)
        kept = [
            match.target if match else text if not prefix and self._knows_nothing(whole, one.lacks) else None
            for match, text, prefix, whole, one in zip(exact, texts, prefixes, plain, marked, strict=True)
        ]
        plain = ["" if text is not None else whole for text, whole in zip(kept, plain, strict=True)]
        wholes = [split_sentences(text) if self.options.document else [text] for text in plain]
        encoded = iter(self._encode([text for sentences in wholes for text in sentences if text]))
        read = []
        for line, text, match, one, whole, sentences, prefix, ids in zip(
            lines, kept, exact, marked, plain, wholes, prefixes, prefix_ids, strict=True
        ):
            first = [next(encoded) for sentence in sentences if sentence]
            parts = [part for too_long in first for part in self._fitting(too_long)]
            read.append(
                InputLine(
                    marked=one,
                    prefix=prefix,
                    prefix_ids=ids,
                    parts=tuple(_in_words(whole, parts)),
                    required=self._required(parts, prefix),
                    cut=len(parts) > len(first),
                    begun=len(whole.split()) if isinstance(line, Begun) else None,
                    kept=text,
                    match=match,
                )
            )
        return read

    def write(self, line: InputLine, found: Sequence[Sequence[Hypothesis]]) -> list[Translation]:
        """Make translations of a line from the hypotheses of its parts, best first."""
        alignment, details = self.options.alignment or self.options.details, self.options.details
        blank = Translation("", 0.0, 0.0, 0, alignment=() if alignment else None, details=() if details else None)
        if line.kept is not None:
            known = (line.match,) if line.match else ()
            return [replace(blank, text=_one_line(line.kept), begun=line.begun, matches=known)]
        if line.parts:
            linked = alignment or bool(line.marked.spans)
            written = join_ranks(
                [
                    [self._translated(part, hypothesis, "" if i else line.prefix, linked) for hypothesis in hypotheses]
                    for i, (part, hypotheses) in enumerate(zip(line.parts, found, strict=True))
                ]
            )
        else:
            written = [replace(blank, text=_one_line(join_pieces(self._pieces((), line.prefix))))]
        if self.options.markup or line.marked.spans:
            texts = [_one_line(reinsert(one.text, line.marked, one.alignment or ())) for one in written]
            links = [one.alignment if alignment else None for one in written]
            written = [
                replace(one, text=text, alignment=link) for one, text, link in zip(written, texts, links, strict=True)
            ]
        matches = self._matches(line.parts)
        return [replace(one, cut=line.cut, begun=line.begun, matches=matches) for one in written]

    def _matches(self, parts: Sequence[LinePart]) -> tuple[Match, ...]:
        """Find the pairs of the memory that are most like the parts of a line; none where none is translated beside."""
        if self.memory is None or not self._search.memory_pairs:
            return ()
        least, tag = self._search.memory_least, self._tag_pieces
        found = [self.memory.best(part.ids[tag:], least=least) for part in parts]
        return tuple(match for match in found if match)

    def _exact(self, lines: Sequence[str], texts: Sequence[str], prefixes: Sequence[str]) -> list[Match | None]:
        """Find the lines that the memory knows; none where words are asked for that its target may not have."""
        asked = self.options.required or self.options.terms or self.options.forbidden
        if self.memory is None or not self._search.memory_exact or asked:
            return [None] * len(texts)
        return [
            None if prefix or isinstance(line, Begun) else self.memory.exact(self._normalise(text))
            for line, text, prefix in zip(lines, texts, prefixes, strict=True)
        ]

    def lacks(self, sentence: Sentence, found: Sequence[Hypothesis]) -> bool:
        """Tell whether a hypothesis has fewer placeholders than it has to."""
        return any(
            hypothesis.ids.count(index) < sentence.required.count((index,))
            for index in self.copied.values()
            for hypothesis in found
        )

    @cached_property
    def copied(self) -> dict[Kind, int]:
        """The piece of each kind's placeholder; a tokenizer of words has many of one kind, with marks around them."""
        pieces = self.tokenizers.tgt.surfaces if self._kinds else []
        found = {kind: [i for i, piece in enumerate(pieces) if PLACEHOLDERS[kind] in piece] for kind in self._kinds}
        single = {kind: some[0] for kind, some in found.items() if len(some) == 1}
        return {kind: piece for kind, piece in single.items() if pieces[piece] == PLACEHOLDERS[kind]}

    @property
    def _kinds(self) -> Sequence[Kind]:
        return self.settings.tokenizer.placeholders

    @cached_property
    def _normalise(self) -> Callable[[str], str]:
        return normaliser(self.settings.data)

    @cached_property
    def _dictionary(self) -> dict[str, str]:
        return {self._normalise(src): self._normalise(tgt) for src, tgt in (self.options.unknown or {}).items()}

    @cached_property
    def _search(self) -> SearchSettings:
        return self.options.search(self.settings)

    @cached_property
    def known(self) -> frozenset[str] | None:
        """The characters that are read; what lacks others is carried over. None: nothing is."""
        return self.tokenizers.src.characters if self._search.carry_unknown else None

    def _unread(self, text: str) -> list[Stretch]:
        read = "".join([character.lower()[0] for character in text]) if self.settings.data.lowercase else text
        if self.known is None or self.known.issuperset(read):
            return []
        return find_unread(read, self.known, masked_spans(text, self._kinds))

    def _taken_out(self, texts: Sequence[str], opened: Region | None) -> list[Marked]:
        """Take out markup, where it is kept, and what is carried over."""
        marked = []
        for text in texts:
            if self.options.markup:
                one = extract(text, self.options.keep, opened, unread=self._unread)
                opened = one.opened
            else:
                plain = self._normalise(text)
                found = Scanned(0, unread := self._unread(plain), len(plain), None)
                one = replace(take_out(plain, found), lacks=True) if unread else Marked(plain, ())
            if self._dictionary and one.lacks:
                one = one.translated(self._dictionary, self._normalise)
            marked.append(one)
        return marked

    def _knows_nothing(self, plain: str, lacks: bool) -> bool:
        """Tell whether a text is none to be translated: all is carried over or masked, but for marks and digits."""
        if self.known is None or self.options.required or not (lacks or self._kinds):
            return False
        masked, originals = self._mask(plain)
        without = unmask(masked, {kind: [] for kind in originals})
        return (lacks or any(originals.values())) and not any(map(str.isalpha, without))

    def _fitting(self, part: LinePart) -> list[LinePart]:
        """Cut a part that is too long for the model."""
        limit = self.settings.data.max_pieces
        if len(part.ids) <= limit:
            return [part]
        texts = split_text(part.text, count=lambda some: [len(one.ids) for one in self._encode(some)], limit=limit)
        return self._encode(texts)

    def _required(self, parts: Sequence[LinePart], prefix: str) -> tuple[Spelled, ...]:
        """Find what each part has to contain: its terms and placeholders; the last one what every translation has to.

        The first lacks what the prefix has literally.
        """
        words = [list(self.options.terms.required(part.text)) if self.options.terms else [] for part in parts]
        if words:
            words[-1] += self.options.required
        spelled = [spell_within(self.tokenizers.tgt, some, self._normalise) if some else () for some in words]
        required = []
        for i, (some, part) in enumerate(zip(spelled, parts, strict=True)):
            left = unwritten(part.originals, "" if i else prefix) if part.originals else {}
            required.append(some + tuple((index,) for kind, index in self.copied.items() for _ in left.get(kind, ())))
        return tuple(required)

    def _encode(self, texts: Sequence[str]) -> list[LinePart]:
        tag = f"{self.options.tag} " if self.options.tag else ""
        masked = [(tag + reads, originals) for reads, originals in map(self._mask, texts)]
        rows = self.tokenizers.src.encode([reads for reads, _ in masked])
        return [
            LinePart(text, reads, ids, originals)
            for text, (reads, originals), ids in zip(texts, masked, rows, strict=True)
        ]

    def _mask(self, text: str) -> tuple[str, Originals]:
        return mask(text, self._kinds) if self._kinds else (text, {})

    def _translated(self, part: LinePart, hypothesis: Hypothesis, prefix: str, linked: bool) -> Piecewise:
        """Make text of a hypothesis; `linked`: say which words belong together, as far as attention tells."""
        if hypothesis.attention is None and not part.originals:
            text = _one_line(self._decoded(hypothesis.ids, prefix))
            return Piecewise(Translation(text, hypothesis.log_probability, hypothesis.score, parts=1), 0, 0)
        src = self.tokenizers.src.split(part.masked)[self._tag_pieces :]
        tgt = self._pieces(hypothesis.ids, prefix)
        attention: NDArray[np.float32] | None = None
        joined = self._decoded(hypothesis.ids, prefix)
        if hypothesis.attention is not None:
            attention = np.asarray(hypothesis.attention, dtype=np.float32)[:, self._tag_pieces :]
            if self.options.unknown is not None:
                tgt = replace_unknown(src, tgt, attention, dictionary=self._dictionary)
                joined = join_pieces(tgt)
        placed = place(part.originals, src, tgt, attention, written=prefix)
        filling = written_for(joined, placed.filling, self._search.zero_digit)
        text = _one_line(fill(joined, filling))
        one = Translation(text, hypothesis.log_probability, hypothesis.score, parts=1, lost=placed.lost)
        if attention is not None:
            if linked:
                sides = fill_pieces(src, part.originals), fill_pieces(tgt, filling)
                one = replace(one, alignment=tuple(align_words(*sides, attention)))
            if self.options.details:
                one = replace(one, details=(Part(tuple(map(show_piece, src)), tuple(map(show_piece, tgt)), attention),))
        return Piecewise(one, len(part.text.split()), len(text.split()), part.continues)

    def _decoded(self, ids: Sequence[int], prefix: str) -> str:
        if UNK in ids:
            return join_pieces(self._pieces(ids, prefix))
        [text] = self.tokenizers.tgt.decode([ids])
        return text

    def _pieces(self, ids: Sequence[int], prefix: str) -> list[str]:
        """Return the pieces of a translation; those of its prefix as they stand there, unknown characters too."""
        begun = self.tokenizers.tgt.split(prefix) if prefix else []
        return [*begun, *(self._tgt_pieces[index] for index in ids[len(begun) :])]

    @cached_property
    def _tag_pieces(self) -> int:
        """How many pieces the tag has, which is no word of the line."""
        return len(self.tokenizers.src.split(self.options.tag)) if self.options.tag else 0

    @cached_property
    def _tgt_pieces(self) -> list[str]:
        return self.tokenizers.tgt.surfaces


def _in_words(line: str, parts: Sequence[LinePart]) -> Iterable[LinePart]:
    """Find out which parts of a line begin within a word of it."""
    if len(parts) < 2:
        yield from parts
        return
    word_starts, begin = {0, *accumulate(len(word) for word in line.split())}, 0
    for part in parts:
        yield replace(part, continues=begin not in word_starts)
        begin += len("".join(part.text.split()))


def _one_line(text: str) -> str:
    """Put spaces where lines would end."""
    return re.sub(r"[\r\n]+", " ", text)


def join_ranks(
    parts: Sequence[Sequence[Piecewise]], join: Callable[[Iterable[str]], str] = join_sentences
) -> list[Translation]:
    """Join the translations of a line's parts, rank by rank; a part with fewer of them repeats its last."""
    if len(parts) == 1:
        return [one.translation for one in parts[0]]
    ranks = max(len(part) for part in parts)
    return [_join([part[min(rank, len(part) - 1)] for part in parts], join) for rank in range(ranks)]


def _join(parts: Sequence[Piecewise], join: Callable[[Iterable[str]], str]) -> Translation:
    chosen = [part.translation for part in parts]
    links, src, tgt, before = set[Link](), 0, 0, ""
    for part in parts:
        text = part.translation.text
        src -= part.continues
        if before != "" != text and not before[-1].isspace():
            tgt -= len(join_sentences([before, text])) == len(before) + len(text)
        links.update((i + src, j + tgt) for i, j in part.translation.alignment or ())
        src, tgt, before = src + part.src_words, tgt + part.tgt_words, text or before
    return Translation(
        text=join(one.text for one in chosen if one.text),
        log_probability=sum(one.log_probability for one in chosen),
        score=sum(one.score for one in chosen),
        parts=sum(one.parts for one in chosen),
        lost=tuple(text for one in chosen for text in one.lost),
        alignment=tuple(sorted(links)) if chosen[0].alignment is not None else None,
        details=tuple(part for one in chosen for part in one.details or ()) if chosen[0].details is not None else None,
        matches=tuple(match for one in chosen for match in one.matches),
    )
