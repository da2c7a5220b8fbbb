import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmt.errors import ConfigError
from nmt.markup.spans import Marked, compile_pattern, extract, find_unread


@pytest.mark.parametrize(
    "text",
    [
        *[
            "<b>",
            "</b>",
            "<br/>",
            "<br />",
            '<a href="x > y">',
            "<a b='>' c>",
            "<x:y.z>",
            "<1>",
            "</1>",
            "<!-- a > b -->",
        ],
        *["<!DOCTYPE html>", "&nbsp;", "&#160;", "&#xA0;", "{name}", "{0}", "{}", "{n:>3}", "{{x}}", "{{ x | y }}"],
        *["${var}", "%{x}", "{{{x}}}", "%s", "%d", "%5.2f", "%ld", "%1$s", "%(name)s", "%@", "%%"],
    ],
)
def test_markup_is_one_span(text: str) -> None:
    marked = extract(f"go {text} on")
    assert (marked.plain, [span.text for span in marked.spans]) == ("go on", [text])


@pytest.mark.parametrize(
    "line",
    [
        "a < b and c > d",
        "50% sure, 5%s",
        "AT&T; R & D; &#x;",
        "{two words}",
        "x <3 you",
        "<a 'x>",
        "",
        "  two  spaces ",
    ],
)
def test_what_is_no_markup_is_left_alone(line: str) -> None:
    text = line.strip()
    lead, _, tail = line.partition(text) if text else ("", "", "")
    assert extract(line) == Marked(text, (), lead, tail)


@pytest.mark.parametrize(
    ("line", "plain"),
    [
        ("Hello {name}, come <b>here</b>.", "Hello, come here."),
        ('He says "{x} is" ("{y}")', 'He says "is" ("")'),
        ("un<b>believ</b>able", "unbelievable"),
        ("10&nbsp;km<br/>on", "10 km on"),
        ("file{n}.txt", "file .txt"),
        ("{n}km, {m}.", "km,."),
        ("viens <b>ici</b> !", "viens ici !"),
        ("one <b>,</b> two", "one , two"),
        (" <b> </b>  {x}", ""),
    ],
)
def test_words_keep_their_punctuation_and_do_not_run_together(line: str, plain: str) -> None:
    assert extract(line).plain == plain


def test_a_span_knows_where_it_stood() -> None:
    marked = extract(" a {x}, b<br/>c  {y}\t")
    assert (marked.lead, marked.tail) == (" ", "\t")
    first, second, third = marked.spans
    assert (first.word, first.offset, first.before, first.after) == (0, 1, " ", "")
    assert (first.glued_left, first.glued_to, first.splits) == (False, ",", False)
    assert (second.word, second.offset, second.before, second.after) == (1, 1, "", "")
    assert (second.glued_left, second.glued_to, second.splits) == (True, "c", True)
    assert (third.word, third.offset, third.before, third.after) == (3, 0, "  ", "")
    assert (third.glued_left, third.glued_to, third.splits) == (False, "", False)


def test_references_to_letters_and_punctuation_are_text() -> None:
    marked = extract("don&#39;t say '&eacute;&amp;T&#x27;&nbsp;&copy; &lt;")
    assert marked.plain == "don't say 'é&T'"
    assert [span.text for span in marked.spans] == ["&nbsp;", "&copy;", "&lt;"]
    assert marked.spellings == {"'": ("&#39;", "'", "&#x27;"), "é": ("&eacute;",), "&": ("&amp;",)}


def test_tags_of_blocks_part_words_and_invisible_characters_do_not() -> None:
    assert extract("<td>a</td><td>b</td> c<b>d</b>").plain == "a b cd"
    assert extract("hy&shy;phen a&thinsp;b").plain == "hyphen a b"


def test_text_is_composed_and_markup_is_not() -> None:
    marked = extract('<a b="e\u0301">e\u0301')
    assert (marked.plain, marked.spans[0].text) == ("é", '<a b="e\u0301">')


def test_what_goes_over_line_ends_stands_at_the_ends_of_a_line() -> None:
    first = extract("The <b>a</b> <a ")
    assert (first.plain, first.tail, len(first.spans)) == ("The a", " <a ", 2)
    second = extract(' href="x" > lesson <!-- ', None, first.opened)
    assert (second.plain, second.lead, second.tail) == ("lesson", ' href="x" > ', " <!-- ")
    third = extract(" a --", None, second.opened)
    assert (third.plain, third.lead, third.tail, third.spans) == ("", " a --", "", ())
    assert third.opened == second.opened


def test_a_pattern_of_the_user_adds_spans() -> None:
    texts = [span.text for span in extract("[[a b]] <i> [[<b>]] c", compile_pattern(r"\[\[.*?\]\]|z*")).spans]
    assert texts == ["[[a b]]", "<i>", "[[<b>]]"]


def test_of_spans_that_overlap_the_first_is_taken_and_of_equal_starts_the_longer() -> None:
    own = compile_pattern("foo|<b>!")
    assert [span.text for span in extract('<a href="foo"> <b>!', own).spans] == ['<a href="foo">', "<b>!"]


def test_a_pattern_that_is_none_is_an_error() -> None:
    message = (
        r"markup pattern '(a' is not a Python regular expression: missing ), unterminated subpattern at position 0"
    )
    with pytest.raises(ConfigError, match=re.escape(message)):
        compile_pattern("(a")


def test_an_empty_pattern_is_no_pattern() -> None:
    with pytest.raises(ConfigError, match=r"^the markup pattern is empty; expected a Python regular expression$"):
        compile_pattern("")


@given(st.lists(st.sampled_from(["<b>", "</b>", "{x}", "a", "bc", ",", '"', "(", ")", " ", "  "])).map("".join))
def test_spans_and_words_hold_every_character_but_white_space(line: str) -> None:
    marked = extract(line)
    spans = "".join(span.text for span in marked.spans)
    assert sorted("".join((spans + marked.plain).split())) == sorted("".join(line.split()))
    if marked.spans:
        assert marked.plain == " ".join(marked.plain.split())


KNOWN = frozenset("abcdefghijklmnopqrstuvwxyzé0123456789.,❤")
FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
FLAG = "\U0001f1eb\U0001f1f7"
WAVE = "\U0001f44b\U0001f3fd"
ON_FIRE = "\U0001f9d1\u200d❤\ufe0f"


def taken(text: str) -> list[str]:
    return [text[stretch.start : stretch.end] for stretch in find_unread(text, KNOWN)]


@pytest.mark.parametrize("emoji", ["😀", FAMILY, FLAG, WAVE, ON_FIRE, "😀😀", "→", "★"])
def test_symbols_are_taken_whole_wherever_they_stand(emoji: str) -> None:
    assert taken(f"a dog{emoji}. {emoji} b") == [emoji, emoji]


@pytest.mark.parametrize("word", ["北京", "Привет", "हिन्दी", "४२", "北京2"[:-1]])
def test_words_of_which_nothing_is_known_are_taken(word: str) -> None:
    assert taken(f"a {word}, dog {word}") == [word, word]


@pytest.mark.parametrize(
    "text", ["aЖb", "Жan", "e\u0301", "北京x", "a\u00adb", "a\u200bb", "what?! no — yes", "a \0 b", "❤\ufe0f"]
)
def test_parts_of_words_punctuation_and_control_characters_stay(text: str) -> None:
    assert taken(text) == []


def test_what_is_masked_stays() -> None:
    assert find_unread("a ४२ b", KNOWN, [(2, 4)]) == []
    assert len(find_unread("a ४२ b", KNOWN, [(4, 6)])) == 1


@given(st.text(st.one_of(st.characters(), st.sampled_from("ab 😀\u200d\ufe0f北Ж.\U0001f3fd"))))
def test_stretches_are_in_order_and_apart_and_hold_something_unknown(text: str) -> None:
    end = 0
    for stretch in find_unread(text, KNOWN):
        assert end <= stretch.start < stretch.end <= len(text)
        assert text[stretch.start] not in KNOWN
        assert not any(character.isspace() for character in text[stretch.start : stretch.end])
        end = stretch.end
