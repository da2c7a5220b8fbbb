"""Search over sources that are all known: the longest first, returned in their own order."""

from collections.abc import Sequence

from nmt.config import SearchSettings
from nmt.search.engine import Engine
from nmt.search.protocol import Hypothesis, Memory, SearchableModel, Sentence, State
from nmt.search.starting import Kind, start_of


def search_batches(
    model: SearchableModel[Memory, State],
    sources: Sequence[Sequence[int]],
    *,
    settings: SearchSettings,
    reverse_source: bool,
    n_best: int = 1,
    with_attention: bool = False,
) -> list[list[Hypothesis]]:
    """Search for the translations of sources.

    Args:
        model: In evaluation mode.
        sources: Source pieces, without `</s>`.
        settings: Beam size, length penalty, longest output, and the budget rows x beams x longest source of a batch.
        reverse_source: Whether the model reads its sources last word first.
        n_best: Hypotheses wanted for each source, at most the beam size.
        with_attention: Keep what each word has read.

    Returns:
        For each source, in order, its hypotheses, best first: at least one.

    Raises:
        ModelError: The model gives scores that are not finite numbers.
    """
    start = start_of(settings, Kind(n_best=n_best, with_attention=with_attention))
    engine = Engine(
        model, start, batch_tokens=settings.batch_tokens, reverse_source=reverse_source, beams=settings.beam_size
    )
    sentences = [Sentence(tuple(ids), number) for number, ids in enumerate(sources)]
    # the longest first: what does not fit fails early
    waiting = sorted(sentences, key=lambda sentence: len(sentence.ids))
    found: list[list[Hypothesis]] = [[] for _ in sentences]
    while waiting or engine.busy:
        if waiting and engine.hungry:
            count = min(engine.at_once(len(waiting[-1].ids)), len(waiting))
            engine.add([waiting.pop() for _ in range(count)])
        for number, hypotheses in engine.step():
            found[number] = hypotheses
    return found
