"""HTML and SVG elements; whatever is not one of them is text, and is escaped."""

import html
from collections.abc import Iterable, Sequence
from typing import Final

from nmt.inspection.amounts import visible

_VOID: Final = {"meta", "rect", "line", "circle", "polyline", "path", "br"}


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def escape(text: str) -> Html:
    """Turn plain text into HTML that shows it."""
    return Html(html.escape(visible(text)))


def element(name: str, /, *content: str, **attributes: object) -> Html:
    """Make an element.

    Args:
        name: What it is called; those that never have content get no end.
        content: Elements, and plain text, which is escaped.
        attributes: By their names, with "_" for "-", and "class_"; those that are None are left out.
    """
    named = "".join(
        f' {key.removesuffix("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        assert not content
        return Html(f"<{name}{named}>" if name in {"meta", "br"} else f"<{name}{named}/>")
    return Html(f"<{name}{named}>{join(content)}</{name}>")


def join(content: Iterable[str]) -> Html:
    """Put elements and plain text one behind the other."""
    return Html("".join(one if isinstance(one, Html) else escape(one) for one in content))


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Sequence[int] = (), caption: str) -> Html:
    """Make a table that can be pushed sideways where it is too wide.

    Args:
        head: The names of the columns.
        rows: The cells; the first one of a row names it.
        numbers: Columns that are set flush right.
        caption: What the table is, for those who do not see what stands around it.
    """
    kinds = ["number" if place in numbers else None for place in range(len(head))]
    top = [element("th", name, scope="col", class_=kind) for name, kind in zip(head, kinds, strict=True)]
    body = [
        element(
            "tr",
            element("th", row[0], scope="row", class_=kinds[0]),
            *(element("td", cell, class_=kind) for cell, kind in zip(row[1:], kinds[1:], strict=True)),
        )
        for row in rows
    ]
    inner = element(
        "table", element("caption", caption), element("thead", element("tr", *top)), element("tbody", *body)
    )
    return element("div", inner, class_="wide", role="region", aria_label=caption, tabindex="0")


def folded(summary: str, *content: str) -> Html:
    """Make a part of the page that opens when it is asked for."""
    return element("details", element("summary", summary), *content)


def quoted(text: str) -> Html:
    """Show text of a corpus, which may run from right to left."""
    return element("span", text, dir="auto", class_="text")
