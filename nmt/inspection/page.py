"""The page: one HTML file that needs nothing else, no scripts either."""

from collections.abc import Callable
from typing import Final

from nmt.inspection import measures, origin
from nmt.inspection.elements import Html, element, join
from nmt.inspection.gathering import Inspection
from nmt.inspection.style import STYLE
from nmt.inspection.unknown import unknown

Part = Callable[[Inspection], Html]

_PARTS: Final[dict[str, tuple[str, Part]]] = {
    "sources": ("Where the text came from", origin.sources),
    "left-out": ("What was left out", origin.rejections),
    "lengths": ("Lengths", measures.lengths),
    "ratios": ("Lengths of the two sides", measures.ratios),
    "vocabulary": ("Vocabulary", measures.vocabulary),
    "unknown": ("Unknown pieces", unknown),
    "overlap": ("Overlap with validation and test text", origin.overlap),
    "validation": ("Validation", origin.validation),
    "examples": ("Examples of what was left out", origin.examples),
    "settings": ("Settings", origin.settings),
}
_FOR_PAIRS: Final = {"ratios", "overlap"}


def to_page(inspection: Inspection) -> str:
    """Write the page, which shows the same wherever it is opened.

    All text of the corpus is escaped, and the page forbids browsers to load anything for it.
    """
    title = f"Prepared data: {inspection.folder}"
    parts = {name: part for name, part in _PARTS.items() if inspection.pairs or name not in _FOR_PAIRS}
    links = [element("a", heading, href=f"#{name}") for name, (heading, _) in parts.items()]
    sections = [
        element("section", element("h2", heading, id=f"{name}-title"), part(inspection), id=name)
        for name, (heading, part) in parts.items()
    ]
    head = [
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content="default-src 'none'; style-src 'unsafe-inline'"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", Html(STYLE)),
    ]
    body = [
        element("header", element("h1", title), origin.tiles(inspection), element("nav", *links, aria_label="Parts")),
        element("main", *sections),
    ]
    page = element("html", element("head", *head), element("body", *body), lang="en")
    return join([Html("<!DOCTYPE html>\n"), page, Html("\n")])
