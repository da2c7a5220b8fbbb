"""Words that may not appear in a translation, however they are cut into pieces.

They are found as whole words, character by character, by an automaton (Aho & Corasick, 1975). A word border is the
start or the end of the text, and where two characters meet that do not go on in one word together: letters, marks and
digits do, but for those of scripts without spaces, where vowel and tone signs go on with the letter before them. White
space matches white space, however much.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nmt.text.characters import continues, is_sign, takes_signs
from nmt.text.vocab import EOS, PAD, SPACE_MARK

_OTHER_CONTINUING, _OTHER_BORDER, _OTHER_SIGN = 0, 1, 2
"""The symbols of characters that none of the texts has."""


def as_bytes(character: str) -> str:
    """Spell a character as its bytes in UTF-8, those from 0x80 up as Python's `surrogateescape` has them."""
    return character.encode(errors="surrogateescape").decode("ascii", errors="surrogateescape")


class _Match(NamedTuple):
    """A beginning of a text that ends where one has read to."""

    text: str
    length: int
    """Characters matched."""
    bytes: int = 0
    """Bytes of the next character that are matched too."""

    @property
    def complete(self) -> bool:
        """Whether only the next character can tell if the word ends here."""
        return self.length == len(self.text)

    @property
    def spaced(self) -> bool:
        """Whether a space within the text was read last."""
        return not self.bytes and self.text[self.length - 1 : self.length] == " "

    def further(self, character: str) -> "Iterator[_Match]":
        """Read a character: what the match becomes, if it goes on."""
        expected = self.text[self.length]
        if not self.bytes and character == expected:
            yield _Match(self.text, self.length + 1)
        if character == " " and self.spaced:
            yield self
        spelled = as_bytes(expected)
        if not expected.isascii() and character == spelled[self.bytes]:
            last = self.bytes + 1 == len(spelled)
            yield _Match(self.text, self.length + 1) if last else self._replace(bytes=self.bytes + 1)


class _State(NamedTuple):
    """What has to be known of all that was read."""

    within: bool
    """Whether the last character goes on in a word."""
    matches: frozenset[_Match]


class WholeWords:
    """An automaton that reads characters and tells where one of the texts stands as whole words.

    A character may also come byte by byte, see `as_bytes`. It then counts as a border of other words, as it is not
    known before its last byte.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        """Look for the texts, in which the amount of white space is of no meaning; none of them is blank."""
        self.texts = tuple(" ".join(text.replace(SPACE_MARK, " ").split()) for text in texts)
        if not all(self.texts):
            raise ValueError("found a blank text among those that are looked for")
        characters = sorted(set("".join(self.texts)))
        spelled = sorted(set("".join(as_bytes(one) for one in characters if not one.isascii())) - set(characters))
        self._symbols = {character: symbol for symbol, character in enumerate([*characters, *spelled], start=3)}
        # each with whether it continues a word, and whether it is a sign; first those that none of the texts has
        alphabet = [("", True, False), ("", False, False), ("", False, True)]
        alphabet += [(one, continues(one), is_sign(one)) for one in self._symbols]
        states, moves, found = [_State(False, frozenset())], list[list[int]](), list[list[bool]]()
        numbers = {states[0]: 0}
        for state in states:  # it grows meanwhile: every symbol is followed from every state that can be reached
            steps = [self._step(state, *read) for read in alphabet]
            for following, _ in steps:
                if following not in numbers:
                    numbers[following] = len(states)
                    states.append(following)
            moves.append([numbers[following] for following, _ in steps])
            found.append([ended for _, ended in steps])
        self.moves = np.array(moves, dtype=np.int32)
        """The next state of each state and symbol, [N, A]; state 0 is the first one."""
        self.found = np.array(found, dtype=np.bool_)
        """Whether a text then has come to its end, and the word with it, [N, A]."""
        self.complete = np.array([any(match.complete for match in state.matches) for state in states])
        """Whether a text has been read up to where it ends, if the word does, [N]."""
        self.spaced = np.array([any(match.spaced for match in state.matches) for state in states])
        """Whether a space within a text was read last, [N]."""

    def symbols(self, text: str) -> NDArray[np.int32]:
        """Return which columns of the tables are those of the characters of a text."""
        codes = np.frombuffer(text.encode("utf-32-le", errors="surrogatepass"), dtype=np.uint32)
        different, places = np.unique(codes, return_inverse=True)
        columns = np.zeros(len(different), dtype=np.int32)
        for n, one in enumerate(map(chr, different)):
            one = " " if one == SPACE_MARK or one.isspace() else one
            other = _OTHER_SIGN if is_sign(one) else _OTHER_CONTINUING if continues(one) else _OTHER_BORDER
            columns[n] = self._symbols.get(one, other)
        return columns[places]

    def found_in(self, text: str) -> bool:
        """Tell whether `text` contains one of the texts as whole words."""
        state = 0
        for symbol in self.symbols(text):
            if self.found[state, symbol]:
                return True
            state = self.moves[state, symbol]
        return bool(self.complete[state])

    def _step(self, state: _State, character: str, continuing: bool, sign: bool) -> tuple[_State, bool]:
        """Return the state after a character, and whether it ends one of the texts as whole words."""
        complete = [match for match in state.matches if match.complete]
        found = not sign and any(not (continuing and continues(match.text[-1])) for match in complete)
        going = [match for match in state.matches if not match.complete]
        going += [_Match(text, 0) for text in self.texts if not (state.within and continues(text[0]))]
        matches = {further for match in going for further in match.further(character)}
        # of the others a next character could make another word
        ended = {one for one in matches if one.complete and not (continues(one.text[-1]) or takes_signs(one.text[-1]))}
        return _State(continuing, frozenset(matches - ended)), found or bool(ended)


_LONE_BYTE: Final = re.compile("[\ud800-\udfff]")


class ForbiddenWords:
    """What each piece does to each state of a `WholeWords` automaton, in tables on the device of the search.

    A text that has been read up to its end is no whole word yet: a piece that continues the word makes another one of
    it. Any other piece, `</s>` too, is impossible then. Where no such piece may come, the text must not be completed.
    """

    def __init__(self, texts: Sequence[str], pieces: Sequence[str], device: torch.device) -> None:
        """Tabulate.

        Args:
            texts: What may not appear as whole words; none of them is blank.
            pieces: The text that each id stands for, special ids included. Lone bytes of UTF-8 are written as Python's
                `surrogateescape` does. None is empty but for those that never come.
            device: Where the search computes.
        """
        automaton = WholeWords(texts)
        moves, found = _tabulate(automaton, pieces)
        size, count = moves.shape
        tight = found | automaton.complete[moves]
        tight[:, EOS] = found[:, EOS]
        frees = ~tight[automaton.complete].any(axis=0)
        frees[: EOS + 1] = False
        masks = torch.from_numpy(np.concatenate([found if frees.any() else tight, tight]))  # [2N, V]
        always = masks.all(dim=0)
        by_bytes = any(_LONE_BYTE.search(text) for text in pieces)
        self.window = 1 + max(len(as_bytes(text) if by_bytes else text) for text in automaton.texts)
        """Pieces that decide on the state: as many as a text can have, and the one before it."""
        self._size = size
        self._count = count
        self._moves = torch.from_numpy((moves * count).astype(np.int32)).flatten().to(device)
        """Where the row of the next state begins in this very table, [N * V]."""
        self.masks = masks.to(device)
        """What may not come next in each state; below, where no text may be completed, [2N, V]."""
        self.always = always.nonzero().squeeze(1).to(device)
        """What may never come."""
        self.never = always.to(device)
        """The same as a mask, [V]."""
        self.bans = (masks & ~always).any(dim=1).to(device)
        """Whether there is anything else that may not come next, [2N]."""
        self._frees = torch.from_numpy(frees).to(device)
        """Pieces that continue a word and complete no other one, [V]."""
        self._resets = torch.from_numpy((moves == moves[0]).all(axis=0)).to(device)
        """Pieces after which it does not matter what was before, [V]."""

    def rows(self, written: Tensor, lengths: Tensor, pieces: Tensor | None, *, last: Tensor) -> Tensor:
        """Return which of the masks hypotheses [B, K, T] obey of which `lengths` [B] pieces are written: [B, K].

        Sentences may be made of `pieces` [B, V], None: of all; `last` [B]: the next step is the last one.
        """
        if written.is_cpu:
            newest = last_pieces(written, lengths, 1)  # [B, K, 1]
            states = self._read(newest)
            b, k = (~self._resets[newest.squeeze(2)]).nonzero(as_tuple=True)
            if len(b):
                states[b, k] = self._read(last_pieces(written[b, k][:, None], lengths[b], self.window)).squeeze(1)
        else:  # to look at values would be to wait for the device
            states = self._read(last_pieces(written, lengths, self.window))
        if pieces is not None:
            last = last | ~self._frees[pieces].any(dim=1)
        rows: Tensor = states + self._size * last[:, None]
        return rows

    def _read(self, pieces: Tensor) -> Tensor:
        """Return the states after pieces [B, K, N], read from the first state: [B, K]."""
        row = torch.zeros_like(pieces[:, :, 0])
        for piece in pieces.unbind(dim=2):
            row = self._moves.take(row + piece)
        states: Tensor = row.long() // self._count
        return states


def _tabulate(automaton: WholeWords, pieces: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Read every piece from every state: the states after it, and whether it or `</s>` ends a text there, [N, V].

    White space alone is refused after white space within a text: so no text reaches over more pieces than it has
    characters. PAD stands for the start of a translation.
    """
    sizes = np.array([len(piece) for piece in pieces])
    begins = np.cumsum(sizes) - sizes
    symbols, [space] = automaton.symbols("".join(pieces)), automaton.symbols(" ")
    states = np.arange(len(automaton.moves), dtype=np.int32)
    moves = np.repeat(states[:, None], len(pieces), axis=1)
    found = np.zeros(moves.shape, dtype=np.bool_)
    blank = sizes > 0
    for place in range(sizes.max()):
        longer = np.flatnonzero(sizes > place)
        read = symbols[begins[longer] + place]
        before = moves[:, longer]
        found[:, longer] |= automaton.found[before, read]
        moves[:, longer] = automaton.moves[before, read]
        blank[longer] &= read == space
    found |= automaton.spaced[:, None] & blank
    found[:, EOS] = automaton.complete
    moves[:, PAD] = 0
    return moves, found


def last_pieces(written: Tensor, lengths: Tensor, count: int) -> Tensor:
    """Return the last `count` of the [B] pieces of hypotheses [B, K, T], PAD before the first: [B, K, count]."""
    index = lengths[:, None] - torch.arange(count, 0, -1, device=lengths.device)  # [B, count]
    last = written.gather(2, index.clamp(min=0)[:, None].expand(-1, written.shape[1], -1))
    return last.masked_fill((index < 0)[:, None], PAD)
