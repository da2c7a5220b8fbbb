"""Texts found in others as whole words, character by character, by an automaton (Aho & Corasick, 1975).

A word border is the start or the end of the text, and where two characters meet that do not go on in one word together:
letters, marks and digits do, but for those of scripts without spaces, where vowel and tone signs go on with the letter
before them. White space matches white space, however much.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from nmt.surfaces import SPACE_MARK
from nmt.unspaced import continues, is_sign, takes_signs

_OTHER_CONTINUING, _OTHER_BORDER, _OTHER_SIGN = 0, 1, 2
"""The symbols of characters that none of the texts has."""


def as_bytes(character: str) -> str:
    """Spell a character as its bytes in UTF-8, those from 0x80 up as Python's `surrogateescape` has them."""
    return character.encode(errors="surrogateescape").decode("ascii", errors="surrogateescape")


class _Match(NamedTuple):
    """A beginning of a text that ends where one has read to."""

    text: int
    length: int
    """Characters matched; all of them: the next one decides whether the word ends here."""
    bytes: int = 0
    """Bytes of the next character that are matched too."""


class _Read(NamedTuple):
    """What has to be known of a character that is read."""

    character: str
    """Empty: none of the texts has it."""
    continues: bool
    is_sign: bool

    @classmethod
    def of(cls, character: str) -> Self:
        return cls(character, continues(character), is_sign(character))


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
        states, moves, found = self._explore()
        self.moves = np.array(moves, dtype=np.int32)
        """The next state of each state and symbol, [N, A]; state 0 is the first one."""
        self.found = np.array(found, dtype=np.bool_)
        """Whether a text then has come to its end, and the word with it, [N, A]."""
        self.complete = np.array([any(self._complete(match) for match in state.matches) for state in states])
        """Whether a text has been read up to where it ends, if the word does, [N]."""
        self.spaced = np.array([any(self._spaced(match) for match in state.matches) for state in states])
        """Whether a space within a text was read last, [N]."""

    def symbol(self, character: str) -> int:
        """Return which column of the tables is that of a character."""
        character = " " if character == SPACE_MARK or character.isspace() else character
        other = _OTHER_SIGN if is_sign(character) else _OTHER_CONTINUING if continues(character) else _OTHER_BORDER
        return self._symbols.get(character, other)

    def symbols(self, text: str) -> NDArray[np.int32]:
        """Return the columns of all characters of a text."""
        codes = np.frombuffer(text.encode("utf-32-le", errors="surrogatepass"), dtype=np.uint32)
        different, places = np.unique(codes, return_inverse=True)
        return np.array([self.symbol(chr(code)) for code in different], dtype=np.int32)[places]

    def found_in(self, text: str) -> bool:
        """Tell whether `text` contains one of the texts as whole words."""
        state = 0
        for character in text:
            symbol = self.symbol(character)
            if self.found[state, symbol]:
                return True
            state = self.moves[state, symbol]
        return bool(self.complete[state])

    def _explore(self) -> tuple[list[_State], list[list[int]], list[list[bool]]]:
        """Follow every symbol from every state that can be reached."""
        first = _State(False, frozenset())
        numbers, states = {first: 0}, [first]
        moves: list[list[int]] = []
        found: list[list[bool]] = []
        alphabet = [_Read("", True, False), _Read("", False, False), _Read("", False, True)]
        alphabet += map(_Read.of, self._symbols)
        for state in states:  # it grows meanwhile
            steps = [self._step(state, read) for read in alphabet]
            for following, _ in steps:
                if following not in numbers:
                    numbers[following] = len(states)
                    states.append(following)
            moves.append([numbers[following] for following, _ in steps])
            found.append([ended for _, ended in steps])
        return states, moves, found

    def _step(self, state: _State, read: _Read) -> tuple[_State, bool]:
        """Return the state behind a character, and whether it ends one of the texts as whole words."""
        complete = [match for match in state.matches if self._complete(match)]
        found = not read.is_sign and any(not (read.continues and continues(self._last(match))) for match in complete)
        going = [match for match in state.matches if match not in complete]
        going += [_Match(n, 0) for n, text in enumerate(self.texts) if not (state.within and continues(text[0]))]
        matches = {further for match in going for further in self._advance(match, read.character)}
        ended = {match for match in matches if self._complete(match) and not self._may_go_on(match)}
        return _State(read.continues, frozenset(matches - ended)), found or bool(ended)

    def _advance(self, match: _Match, character: str) -> Iterator[_Match]:
        expected = self.texts[match.text][match.length]
        if not match.bytes and character == expected:
            yield _Match(match.text, match.length + 1)
        if character == " " and self._spaced(match):
            yield match
        spelled = as_bytes(expected)
        if not expected.isascii() and character == spelled[match.bytes]:
            last = match.bytes + 1 == len(spelled)
            yield _Match(match.text, match.length + 1) if last else match._replace(bytes=match.bytes + 1)

    def _complete(self, match: _Match) -> bool:
        return match.length == len(self.texts[match.text])

    def _last(self, match: _Match) -> str:
        return self.texts[match.text][-1]

    def _may_go_on(self, match: _Match) -> bool:
        """Tell whether a next character could make another word of a complete match."""
        return continues(self._last(match)) or takes_signs(self._last(match))

    def _spaced(self, match: _Match) -> bool:
        return not match.bytes and self.texts[match.text][match.length - 1 : match.length] == " "
