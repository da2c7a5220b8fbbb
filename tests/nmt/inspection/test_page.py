import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from nmt.inspection import inspect, to_page
from nmt.prepared import PreparedText

MakeFolder = Callable[..., Path]
VOID = {"meta", "br", "rect", "line", "polyline", "circle", "path"}


class Checker(HTMLParser):
    """Reads a page, and sees to it that every element ends where it should."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}
        values = dict(attrs)
        self.ids += [values["id"] or ""] if "id" in values else []
        self.links += [values["href"] or ""] if "href" in values else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def check(page: str) -> Checker:
    checker = Checker()
    checker.feed(page)
    checker.close()
    assert checker.open == []
    return checker


@pytest.fixture
def page(make_folder: MakeFolder) -> str:
    return to_page(inspect(make_folder("data <i>")))


def test_every_element_ends_and_every_link_leads_to_a_part(page: str) -> None:
    checker = check(page)
    assert [link.removeprefix("#") for link in checker.links] == [one for one in checker.ids if "-title" not in one]
    assert len(set(checker.ids)) == len(checker.ids)


def test_the_page_needs_nothing_from_elsewhere(page: str) -> None:
    checker = check(page)
    assert not checker.names & {"script", "link", "img", "iframe", "object", "embed", "image", "use", "base", "form"}
    assert not checker.attributes & {"src", "srcset", "style", "xlink:href", "action", "background", "data"}
    assert not [name for name in checker.attributes if name.startswith("on")]
    assert not re.search(r"https?:|url\(|@import|//", page)
    assert "default-src &#x27;none&#x27;; style-src &#x27;unsafe-inline&#x27;" in page


def test_no_text_of_the_corpus_becomes_part_of_the_page(page: str) -> None:
    assert "<script" not in page
    assert "alert(1)</script>" not in page
    assert "<i>" not in page
    text = check(page).text
    assert "<script>alert(1)</script> & co" in text
    assert "a&b.en:1" in text


def test_it_is_made_for_phones_and_dark_rooms(page: str) -> None:
    assert page.startswith('<!DOCTYPE html>\n<html lang="en">')
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in page
    assert "prefers-color-scheme: dark" in page


def test_every_picture_says_what_it_shows(page: str) -> None:
    pictures = re.findall(r"<svg ([^>]*)>", page)
    assert len(pictures) >= 9
    assert all('aria-label="' in one or 'aria-hidden="true"' in one for one in pictures)


def test_the_same_data_give_the_same_page(make_folder: MakeFolder) -> None:
    folder = make_folder()
    assert to_page(inspect(folder)) == to_page(inspect(folder))


def test_a_text_has_neither_ratios_nor_overlap(toy_text_data: PreparedText) -> None:
    checker = check(to_page(inspect(toy_text_data.folder)))
    assert "#lengths" in checker.links
    assert not {"#ratios", "#overlap"} & set(checker.links)


def test_very_little_text_has_a_page_as_well(make_folder: MakeFolder) -> None:
    check(to_page(inspect(make_folder(train=[("x", "a")], rejected=[], overlap={}))))
