"""What the vocabulary cannot write: how much it is, and which characters."""

from dataclasses import dataclass

from nmt.inspection.amounts import describe, percent
from nmt.inspection.elements import Html, element, join, table
from nmt.inspection.gathering import Inspection, Side
from nmt.prepared.statistics import ColumnStatistics


@dataclass(frozen=True)
class UnknownCharacter:
    """A character that the vocabulary cannot write."""

    character: str
    train: int
    """How often it stands in the training text."""
    valid: int
    """How often it stands in the validation sets, all together."""


def unknown_characters(side: Side, *, most: int) -> list[UnknownCharacter]:
    """List the most frequent ones of a side: in training and validation together, then by their code."""
    train = side.train.unknown_characters
    valid = [column.unknown_characters for column in side.valid.values()]
    found = [
        UnknownCharacter(one, train[one], sum(counts[one] for counts in valid)) for one in set(train).union(*valid)
    ]
    return sorted(found, key=lambda one: (-one.train - one.valid, one.character))[:most]


def unknown_sets(side: Side) -> dict[str, ColumnStatistics]:
    """Return the sets of a side, by what they are called: the training text first."""
    return {"training": side.train} | {f"validation: {name}": column for name, column in side.valid.items()}


def unknown(inspection: Inspection, *, most: int = 50) -> Html:
    """Show how much is unknown, and which characters."""
    rows = [
        (
            f"{side.name}, {name}",
            f"{column.unknown:,}",
            percent(column.unknown, column.pieces.total),
            f"{column.unknown_rows:,}",
            percent(column.unknown_rows, column.pieces.rows),
        )
        for side in inspection.sides
        for name, column in unknown_sets(side).items()
    ]
    head = ("text", "unknown pieces", "of all pieces", "sentences with one", "of all sentences")
    parts = [table(head, rows, numbers=(1, 2, 3, 4), caption="Pieces that are <unk>")]
    if inspection.settings["tokenizer"]["kind"] == "word":
        parts.append(element("p", "Pieces are whole words here: the unknown ones are counted, and not listed."))
    else:
        tables = [_character_table(unknown_characters(side, most=most), side) for side in inspection.sides]
        parts.append(element("div", *tables, class_="pictures"))
    return join(parts)


def _character_table(listed: list[UnknownCharacter], side: Side) -> Html:
    if not listed:
        return element("p", f"No character of the {side.name} is unknown.")
    rows = []
    for one in listed:
        named = describe(one.character)
        glyph = element("span", named.shown, dir="auto", class_="glyph")
        rows.append((glyph, named.code, named.name, f"{one.train:,}", f"{one.valid:,}"))
    head = ("character", "code", "name", "training", "validation")
    return table(head, rows, numbers=(3, 4), caption=f"Most frequent unknown characters, {side.name}")
