"""Lines that come and go: translated together, given back in their order."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, Final

from nmt.errors import NmtError
from nmt.io.arriving import CHARACTERS_AT_ONCE, LineSource
from nmt.markup.scanning import Region
from nmt.search.engine import ENCODED_AT_ONCE, Engine
from nmt.search.protocol import Hypothesis, Sentence
from nmt.text.placeholders import fill
from nmt.text.sentences import join_sentences
from nmt.translate.helpers import Answer, Helper, Share, search_share
from nmt.translate.processing import InputLine, LineProcessor, Piecewise, Translation, join_ranks
from nmt.translate.rescoring import Found, Reordering, Texts

Translations = list[list[Translation]]
"""For each line, its translations, best first."""

_LINES_AHEAD: Final = 10_000
"""Lines under way at most, but for those of the last call: blank ones wait for no search, but they take memory too."""
_CHARACTERS_AHEAD: Final = 2 * CHARACTERS_AT_ONCE
"""Characters of the lines under way at most, but for those of the last call: room for two calls, so that the lines of
the next are there before those of one come to an end."""
_PARTS_OF_A_LINE: Final = 1 << 20
"""More than a line can have; so the number of a part tells its line and its place there."""


@dataclass
class _Unfinished:
    line: InputLine
    characters: int
    found: dict[int, list[Hypothesis]] = field(default_factory=dict)


class Flow:
    """Translates lines as they come: `put` them while it is `hungry`, and `step` until it is no longer `busy`."""

    def __init__(
        self,
        processor: LineProcessor,
        engine: Engine[Any, Any],
        again: Engine[Any, Any] | None = None,
        linking: Engine[Any, Any] | None = None,
        *,
        reordering: Reordering | None = None,
        first_line: int = 0,
        opened: Region | None = None,
    ) -> None:
        """Begin with no line.

        Args:
            engine: Searches for the translations of most sentences.
            again: Searches once more for the translations of sentences that lack placeholders.
            linking: Searches for those of lines of which something is put back where attention tells; without it
                `engine` does.
            reordering: Changes the order of what any of them finds.
            first_line: The number of the first line, on which random numbers depend.
            opened: What of the markup of a document is open before the first line.
        """
        self._processor = processor
        self._engine = engine
        self._again = again
        self._lacking: deque[Sentence] = deque()
        self._linking = linking
        self._to_link: deque[Sentence] = deque()
        self._reordering = reordering
        self._next = first_line
        self._order: deque[int] = deque()
        """The numbers of the lines under way, in the order in which they came."""
        self._opened = opened
        self._waiting: deque[list[Sentence]] = deque()
        self._unfinished: dict[int, _Unfinished] = {}
        self._characters = 0
        self.translated = 0
        """Lines translated so far, those too that wait for one before them."""
        self.pieces = 0
        """Pieces of the lines that have come so far."""
        self.helpers: Sequence[Helper] = ()
        """Processes that search with such engines of their own, beside these; they are started once more waits than
        these can search at once."""

    @property
    def busy(self) -> bool:
        """Whether there are lines that have not been given back."""
        return bool(self._unfinished)

    @property
    def hungry(self) -> bool:
        """Whether more lines would soon be translated beside those that are under way."""
        waiting = sum(len(block) for block in self._waiting) + len(self._to_link)
        room = len(self._unfinished) < _LINES_AHEAD and self._characters < _CHARACTERS_AHEAD
        return waiting < ENCODED_AT_ONCE and room

    def move_to(self, line: int, opened: Region | None) -> None:
        """Go on with the line of this number, before which this markup is open, and not with the next one."""
        self._next, self._opened = line, opened

    def put(self, lines: Sequence[str]) -> None:
        """Take lines. Among those of one call the longest are translated first, so that equal lengths meet."""
        sentences: list[Sentence] = []
        for text, line in zip(lines, self._processor.read(lines, self._opened), strict=True):
            self._opened = line.marked.opened
            self._unfinished[self._next] = _Unfinished(line, len(text))
            self._order.append(self._next)
            self._characters += len(text)
            first = self._next * _PARTS_OF_A_LINE
            of_line = [line.sentence(part, first) for part in range(len(line.parts))]
            (self._to_link if self._linking and line.marked.spans else sentences).extend(of_line)
            self.translated += not of_line
            self.pieces += sum(len(sentence.ids) for sentence in of_line)
            self._next += 1
        sentences.sort(key=lambda sentence: len(sentence.ids))
        if sentences:
            self._waiting.append(sentences)

    def step(self) -> Translations:
        """Make a step; return translations of lines done, all before too; a ModelError if scores are not finite."""
        while self._waiting and self._engine.hungry:
            self._engine.add(self._shift())
        self._judge(self._engine.step())
        for engine, sentences in ((self._again, self._lacking), (self._linking, self._to_link)):
            if engine is not None:
                while sentences and engine.hungry:
                    engine.add(_head(sentences, engine))
                for number, hypotheses in self._reordered(engine.step()):
                    self._keep(number, hypotheses)
        if self.helpers:
            self._share()
        done = []
        while self._order and len((one := self._unfinished[self._order[0]]).found) == len(one.line.parts):
            done.append(self._processor.write(one.line, [one.found[part] for part in range(len(one.found))]))
            self._characters -= one.characters
            del self._unfinished[self._order.popleft()]
        return done

    def search(self, share: Share) -> Answer:
        """Search for sentences of another flow, which this one helps; see `search_share`."""
        return search_share(self._engines, share)

    @property
    def _engines(self) -> tuple[Engine[Any, Any] | None, ...]:
        return self._engine, self._again, self._linking

    def _share(self) -> None:
        """Give helpers what waits, and take what they have found; wait for that a moment where nothing is done here."""
        queues = ((self._again, self._lacking), (self._linking, self._to_link))
        for helper in self.helpers:
            if self._waiting or self._to_link:
                helper.start(len(self._engines))
            while helper.hungry and (self._waiting or self._lacking or self._to_link):
                helper.add([self._shift(), *(_head(sentences, engine) for engine, sentences in queues)])
        if self.busy and not any(engine.busy for engine in self._engines if engine):
            Helper.wait_for(self.helpers)
        for helper in self.helpers:
            for found, *others in helper.take():
                self._judge(found)
                for number, hypotheses in chain.from_iterable(map(self._reordered, others)):
                    self._keep(number, hypotheses)

    def _judge(self, found: Found) -> None:
        """Keep what the search has found that most sentences go through, but for what is to be searched again."""
        for number, hypotheses in self._reordered(found):
            line, part = divmod(number, _PARTS_OF_A_LINE)
            sentence = self._unfinished[line].line.sentence(part, number - part) if self._again else None
            if sentence and self._processor.lacks(sentence, hypotheses):
                self._lacking.append(sentence)
            else:
                self._keep(number, hypotheses)

    def _keep(self, number: int, hypotheses: list[Hypothesis]) -> None:
        line, part = divmod(number, _PARTS_OF_A_LINE)
        unfinished = self._unfinished[line]
        unfinished.found[part] = hypotheses
        self.translated += len(unfinished.found) == len(unfinished.line.parts)

    def _reordered(self, found: Found) -> Found:
        return self._reordering(found, self._pair_with) if found and self._reordering else found

    def _pair_with(self, number: int, text: str) -> Texts:
        """Return what others read of a sentence and its translation: what was masked stands in the source's order."""
        line, part = divmod(number, _PARTS_OF_A_LINE)
        read = self._unfinished[line].line.parts[part]
        return Texts(read.text, fill(text, read.originals), text)

    def _shift(self) -> list[Sentence]:
        """Take the longest sentences out of the oldest block, as many as are best added together, and go on with the
        next block if it has fewer."""
        taken: list[Sentence] = []
        longest = 0
        while self._waiting:
            block = self._waiting[0]
            longest = max(longest, len(block[-1].ids))
            room = self._engine.at_once(longest) - len(taken)
            if room <= 0:
                break
            kept = max(0, len(block) - room)
            taken += reversed(block[kept:])
            del block[kept:]
            if not block:
                self._waiting.popleft()
        return taken


def _head(sentences: deque[Sentence], engine: Engine[Any, Any] | None) -> list[Sentence]:
    """Take as many of the first sentences as are best added together."""
    if engine is None or not sentences:
        return []
    count = min(engine.at_once(max(len(sentence.ids) for sentence in sentences)), len(sentences))
    return [sentences.popleft() for _ in range(count)]


OnLines = Callable[[int, int], None]
"""Is told how many lines are translated, whether or not they can be given back yet, and how many pieces have been
read."""


def translate_source(
    flow: Flow, source: LineSource, *, block: int, on_lines: OnLines = lambda lines, pieces: None
) -> Iterator[Translations]:
    """Translate all lines of a source, at most `block` of which are taken together; give what is done as it is done.

    Lines wait for nothing but the device: whatever has arrived joins those under way. Where a line cannot be read, the
    translations of those before it have been given when the NmtError comes.
    """
    failure: NmtError | None = None
    while flow.busy or not (source.ended or failure):
        try:
            while flow.hungry and not (source.ended or failure):
                lines = source.take(block, wait=not flow.busy)
                if not lines:
                    break
                flow.put(lines)
        except NmtError as error:
            failure = error
        done = flow.step()
        on_lines(flow.translated, flow.pieces)
        if done:
            yield done
    if failure is not None:
        raise failure


def whole_lines(blocks: Iterable[Translations], *, markup: bool) -> Generator[Translations, None, None]:
    """Join the translations of the sections of lines; with `markup`, these have the white space at their ends."""
    begun: list[list[Piecewise]] = []
    for block in blocks:
        whole = []
        for found in block:
            if found[0].begun is None and not begun:
                whole.append(found)
                continue
            begun.append([Piecewise(one, one.begun or 0, len(one.text.split())) for one in found])
            if found[0].begun is None:
                joined = join_ranks(begun, "".join if markup else join_sentences)
                whole.append([replace(one, cut=one.parts > 1) for one in joined])
                begun = []
        if whole:
            yield whole
