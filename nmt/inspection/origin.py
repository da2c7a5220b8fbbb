"""Parts of the page: where the text came from, what was left out, what the sets have in common, the settings."""

import json
from typing import Final

from nmt.corpus.cleaning import REASONS, Reason
from nmt.inspection.amounts import percent
from nmt.inspection.diagrams import share_bar
from nmt.inspection.elements import Html, element, folded, join, quoted, table
from nmt.inspection.gathering import Inspection
from nmt.inspection.reasons import explain
from nmt.prepared.manifest import Counts
from nmt.prepared.statistics import EXAMPLES, Example
from nmt.wording import counted

CORPUS: Final = ("corpus", "read", "left out", "held out", "trained on", "weight", "of a pass", "tag")
"""The columns of `corpus_rows`."""


def tiles(inspection: Inspection) -> Html:
    """Show the numbers that everybody asks for first."""
    counts, noun = inspection.manifest.counts, inspection.noun
    shown = [
        (f"{counts.read:,}", f"{noun} read"),
        (f"{sum(counts.rejected.values()):,}", "left out"),
        (f"{counts.train:,}", "to train on"),
        (f"{counts.valid:,}", "to validate on"),
    ]
    shown += [(f"{len(vocabulary):,}", f"pieces, {vocabulary.name}") for vocabulary in inspection.vocabularies]
    shown += [(f"{side.train.words.total:,}", f"running words, {side.name}") for side in inspection.sides]
    return element("ul", *(element("li", element("b", number), name) for number, name in shown), class_="tiles")


def corpus_rows(pairs: Counts) -> list[tuple[str, ...]]:
    """List what there is to say about each corpus, in the columns of `CORPUS`."""
    seen = sum(corpus.weight * corpus.train for corpus in pairs.corpora)
    return [
        (
            corpus.name,
            f"{corpus.read:,}",
            f"{sum(corpus.rejected.values()):,}",
            f"{corpus.heldout:,}",
            f"{corpus.train:,}",
            f"{corpus.weight:g}",
            percent(corpus.weight * corpus.train, seen),
            corpus.tag or "",
        )
        for corpus in pairs.corpora
    ]


def sources(inspection: Inspection) -> Html:
    """Say what was read, and from where."""
    parts = []
    if pairs := inspection.pairs:
        parts.append(table(CORPUS, corpus_rows(pairs), numbers=range(1, 7), caption="Training text, by corpus"))
    files = [(record.setting, record.path, record.sha256) for record in inspection.manifest.inputs]
    return join([*parts, folded("Files that were read", table(("setting", "file", "SHA-256"), files, caption="Files"))])


def rejections(inspection: Inspection) -> Html:
    """Say how much was left out, and why."""
    counts = inspection.manifest.counts
    rows = [
        (
            reason,
            f"{number:,}",
            percent(number, counts.read),
            _bar(number, counts.rejected),
            element("span", _why(reason, inspection), class_="note"),
        )
        for reason, number in counts.rejected.items()
    ]
    lost = sum(counts.rejected.values())
    told = element("p", f"{lost:,} of {counted(counts.read, inspection.noun[:-1])}: {percent(lost, counts.read)}.")
    head = ("reason", "number", "of those read", "", "what it means")
    return join([told, table(head, rows, numbers=(1, 2), caption=f"Training {inspection.noun} left out, by reason")])


def examples(inspection: Inspection) -> Html:
    """Show some of what was left out."""
    parts = [element("p", f"At most {EXAMPLES} for each reason, chosen at random; long texts are cut.", class_="soft")]
    rejected = inspection.statistics.rejected
    for reason, found in rejected.items():
        number = inspection.manifest.counts.rejected.get(reason, 0)
        head = (*(side.name for side in inspection.sides), "where")
        rows = [
            (*map(quoted, cut_texts(example)), element("code", f"{example.file}:{example.line}")) for example in found
        ]
        shown = table(head, rows, caption=f"Examples: {reason}")
        parts.append(folded(f"{reason} ({number:,})", element("p", _why(reason, inspection)), shown))
    return join(parts) if len(parts) > 1 else element("p", "Nothing was left out.")


def cut_texts(example: Example) -> list[str]:
    """Return the texts of an example, with a word about what is missing at their ends."""
    return [
        text if len(text) == length else f"{text} \N{HORIZONTAL ELLIPSIS} ({length:,} characters)"
        for text, length in zip(example.texts, example.lengths, strict=True)
    ]


def overlap(inspection: Inspection) -> Html:
    """Say what the training text has in common with the text that a model is judged by."""
    if not inspection.pairs or not inspection.pairs.overlap:
        return element("p", "There is no other text to compare with.")
    rows = [
        (name, *(f"{number:,} ({percent(number, inspection.pairs.train)})" for number in dict(count).values()))
        for name, count in inspection.pairs.overlap.items()
    ]
    removed = ", ".join(inspection.settings["data"]["drop_overlap"])
    told = f"Pairs that share the {removed} are left out" if removed else "No pair is left out for it"
    head = ("text for", "source", "target", "both, as a pair")
    caption = "Training pairs that share a side, or both, with validation or test text"
    return join([element("p", f"{told} (data.drop_overlap)."), table(head, rows, numbers=(1, 2, 3), caption=caption)])


def validation(inspection: Inspection) -> Html:
    """Show the validation sets."""
    if pairs := inspection.pairs:
        sets = [(one.name, one.pairs, one.dropped, ", ".join(one.tags)) for one in pairs.validation]
    else:
        counts = inspection.manifest.counts
        sets = [(name, counts.valid, counts.valid_dropped, "") for name in inspection.statistics.valid]
    head = ["set", inspection.noun, "left out: empty"]
    head += [f"{side.name}: {what}" for side in inspection.sides for what in ("pieces", "mean", "unknown")]
    rows = []
    for name, number, dropped, tags in sets:
        row = [name, f"{number:,}", f"{dropped:,}"]
        for side in inspection.sides:
            pieces, unknown = side.valid[name].pieces, side.valid[name].unknown
            row += [f"{pieces.total:,}", f"{pieces.mean:.1f}", percent(unknown, pieces.total)]
        rows.append([*row, tags] if pairs else row)
    numbers = range(1, len(head))
    head += ["tag"] if pairs else []
    return table(head, rows, numbers=numbers, caption="The first set says which model is best")


def settings(inspection: Inspection) -> Html:
    """Show the settings, those that were chosen before all others."""

    def rows(values: dict[str, object]) -> list[tuple[str, Html]]:
        return [(name, element("code", json.dumps(value, ensure_ascii=False))) for name, value in values.items()]

    every = {
        f"{section}.{key}": value for section, values in inspection.settings.items() for key, value in values.items()
    }
    head = ("setting", "value")
    changed = inspection.changed_settings
    return join(
        [
            table(head, rows(changed), caption="Settings that are not the defaults")
            if changed
            else element("p", "All settings are the defaults."),
            folded("All settings", table(head, rows(every), caption="All settings of [data] and [tokenizer]")),
        ]
    )


def _why(reason: str, inspection: Inspection) -> str:
    known: dict[str, Reason] = {one: one for one in REASONS}
    return explain(known[reason], inspection.settings["data"])


def _bar(number: int, counts: dict[str, int]) -> Html:
    return share_bar(number / max(*counts.values(), 1))
