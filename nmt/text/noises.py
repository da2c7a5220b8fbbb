"""What users type and a corpus lacks: kinds of noise, each a function of a pair of texts and random numbers.

What a translator would carry over is done to both sides, what one would mend to the source alone.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, pairwise
from random import Random
from typing import Final

from nmt.text.sentences import OTHER_STOPS

Texts = tuple[str, str]
"""A source and its target."""
Noise = Callable[[str, str, Random], Texts]
"""Returns a pair in another form, or as it is where this kind does not apply; no side becomes empty."""

_WIDE_STOPS, _WIDE_COMMAS = "。！？｡", "，、；："  # noqa: RUF001 (these marks are meant)
_STOPS: Final = f".!?…{OTHER_STOPS}{_WIDE_STOPS}"
_END: Final = re.compile(rf"\s*[{_STOPS}]+\s*$")
_BETWEEN: Final = re.compile(
    rf"(?P<mark>[{_STOPS},;:،؛{_WIDE_COMMAS}])+(?:\s+|(?<=[{_WIDE_STOPS}{_WIDE_COMMAS}]))(?=\S)"
)
_SAME: Final = str.maketrans("，、،；؛：。｡۔।！？؟", ",,,;;:....!??")  # noqa: RUF001
_UNLIKE: Final = 0.1
"""Clauses whose places differ by more than this share of their texts are no translations of each other."""
_EMOJI: Final = (
    *("😀", "😂", "😊", "😉", "😍", "😢", "😡", "😱", "🤔", "👍"),
    *("👎", "🙏", "👏", "💪", "🎉", "❤️", "🔥", "✨", "✅", "🙈"),
)
_WITH_NUMBER: Final = ("{number}. {text}", "{number}) {text}", "{text} ({number})", "{text} {number}")
_KEYBOARDS: Final = (
    *("qwertyuiop", "asdfghjkl", "zxcvbnm", "йцукенгшщзхъ", "фывапролджэ", "ячсмитьбю", "ςερτυθιοπ", "ασδφγηξκλ"),
    *("ζχψωβνμ", "קראטוןםפ", "שדגכעיחלךף", "זסבהנמצתץ", "ضصثقفغعهخحجد", "شسيبلاتنمكط", "ئءؤرىةوزظ"),
)
_NEIGHBOURS: Final = {
    letter: near
    for row in _KEYBOARDS
    for letter, near in chain(pairwise(row), ((right, left) for left, right in pairwise(row)))
}
"""Of each letter the one beside it: on the left, but for the first of a row."""
_LETTERS_A_TYPO, _SPACES_A_SLIP = 30, 8
_DROPPED, _REACH = 0.1, 3
"""Share of the words that are left out, and how many places the others may move."""


def _ending(src: str, tgt: str, rng: Random) -> Texts:
    """Leave out the full stop, or what else ends both sides."""
    shorter = _END.sub("", src), _END.sub("", tgt)
    return shorter if all(shorter) and shorter[0] != src and shorter[1] != tgt else (src, tgt)


def _fragment(src: str, tgt: str, rng: Random) -> Texts:
    """Take one clause of texts that have the same marks between clauses, in the same places."""
    clauses, others = _BETWEEN.split(src)[::2], _BETWEEN.split(tgt)[::2]
    marks = [[match["mark"].translate(_SAME) for match in _BETWEEN.finditer(text)] for text in (src, tgt)]
    if len(clauses) < 2 or marks[0] != marks[1] or not all(map(str.strip, (*clauses, *others))):
        return src, tgt
    number = rng.randrange(len(clauses))
    for before in (number, number + 1):
        places = [sum(map(len, parts[:before])) / sum(map(len, parts)) for parts in (clauses, others)]
        if abs(places[0] - places[1]) > _UNLIKE:
            return src, tgt
    return clauses[number], others[number]


def _emoji(src: str, tgt: str, rng: Random) -> Texts:
    mark = rng.choice(_EMOJI)
    return f"{src} {mark}", f"{tgt} {mark}"


def _numbers(src: str, tgt: str, rng: Random) -> Texts:
    number, form = rng.randrange(10 ** rng.randint(1, 4)), rng.choice(_WITH_NUMBER)
    return form.format(text=src, number=number), form.format(text=tgt, number=number)


def _typos(src: str, tgt: str, rng: Random) -> Texts:
    """Swap, drop, double or miss letters, never those that carry a sign."""
    letters = list(src)
    places = [
        place
        for place, (letter, follower) in enumerate(zip(src, f"{src[1:]} ", strict=False))
        if letter.isalpha() and (follower.isascii() or unicodedata.category(follower)[0] != "M")
    ]
    for place in rng.sample(places, -(-len(places) // _LETTERS_A_TYPO)):
        letter, slip = letters[place], rng.randrange(4)
        near = _NEIGHBOURS.get(letter.lower())
        if slip == 0 and place + 1 in places:
            letters[place : place + 2] = letters[place + 1], letter
        elif slip == 1:
            letters[place] = ""
        elif slip == 2 and near:
            letters[place] = near if letter.islower() else near.upper()
        else:
            letters[place] = 2 * letter
    typed = "".join(letters)
    return (typed, tgt) if typed.strip() else (src, tgt)


def _spaces(src: str, tgt: str, rng: Random) -> Texts:
    """Double spaces between words, or leave them out."""
    spaces = [match.start() for match in re.finditer(r"(?<=\w) (?=\w)", src)]
    found = list(src)
    for place in rng.sample(spaces, -(-len(spaces) // _SPACES_A_SLIP)):
        found[place] = rng.choice(("", "  "))
    return "".join(found), tgt


OF_SOURCE: Final[dict[str, Noise]] = {
    "typos": _typos,
    "spaces": _spaces,
    "lower": lambda src, tgt, rng: (src.lower(), tgt),
    "upper": lambda src, tgt, rng: (src.upper(), tgt),
    "title": lambda src, tgt, rng: (" ".join([word[:1].title() + word[1:] for word in src.split(" ")]), tgt),
}
"""What is done to the source alone."""
OF_CASE: Final = frozenset({"lower", "upper", "title"})
"""What text in small letters has nothing of."""
NOISES: Final[dict[str, Noise]] = {
    **OF_SOURCE,
    "ending": _ending,
    "emoji": _emoji,
    "numbers": _numbers,
    "fragment": _fragment,
}
"""Every kind of noise by its name."""


def noised(src: str, tgt: str, kinds: Sequence[str], rng: Random) -> Texts:
    """Noise a pair: the first of the kinds, in random order, that changes it does; a function of `rng` and the pair."""
    for name in rng.sample(kinds, len(kinds)):
        found = NOISES[name](src, tgt, rng)
        if found != (src, tgt):
            return found
    return src, tgt


def noised_lines(src: Iterable[str], tgt: Iterable[str], kinds: Sequence[str], *, seed: int) -> Iterator[Texts]:
    """Noise every pair of two texts that match line by line; what becomes of it depends on its line and the seed."""
    for line, pair in enumerate(zip(src, tgt, strict=True), start=1):
        yield noised(*pair, kinds, Random(f"{seed} {line}"))


def scrambled(text: str, rng: Random) -> str:
    """Leave out a tenth of the words of a text, and let the others move up to three places (Edunov et al., 2018, sec.
    3): a synthetic source that a model has to read with care. One word at least stays."""
    words = text.split()
    kept = [word for word in words if rng.random() >= _DROPPED] or words[:1]
    places = [place + (_REACH + 1) * rng.random() for place in range(len(kept))]
    return " ".join(kept[place] for place in sorted(range(len(kept)), key=places.__getitem__))
