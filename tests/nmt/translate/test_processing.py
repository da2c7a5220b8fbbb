import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nmt.config import load_settings
from nmt.markup.spans import compile_pattern
from nmt.search.protocol import Hypothesis, Sentence
from nmt.text.alignment import Link
from nmt.text.tokenizer import Tokenizers
from nmt.translate.options import DEFAULT, Options, Terminology
from nmt.translate.processing import InputLine, LineProcessor, Part, Piecewise, Translation, join_ranks


@pytest.fixture
def terms(tmp_path: Path) -> Terminology:
    path = tmp_path / "terms.tsv"
    path.write_text("dog\tcat\nroom 7\tthe ABC\n", encoding="utf-8")
    return Terminology.load(path)


def reader(tokenizers: Tokenizers, options: Options = DEFAULT, *overrides: str) -> LineProcessor:
    return LineProcessor(tokenizers, load_settings(overrides=overrides), options)


def hypothesis(tokenizers: Tokenizers, text: str, reads: list[int] | None = None, *, src: int = 0) -> Hypothesis:
    """Make a hypothesis of a text; of each of its pieces, which of the `src` source pieces it reads."""
    [ids] = tokenizers.tgt.encode([text])
    attention = None if reads is None else torch.nn.functional.one_hot(torch.tensor(reads), src).float()
    return Hypothesis(tuple(ids), -2.0, -1.0, attention)


def echoed(tokenizers: Tokenizers, line: InputLine) -> list[list[Hypothesis]]:
    """For each part of a line, a hypothesis that repeats it piece by piece."""
    return [[Hypothesis(tuple(part.ids), -2.0, -1.0, torch.eye(len(part.ids)))] for part in line.parts]


def texts(line: InputLine) -> list[str]:
    return [part.text for part in line.parts]


def test_most_lines_are_one_part_and_blank_ones_are_none(tokenizers: Tokenizers) -> None:
    line, blank, white = reader(tokenizers).read(["  a dog\r", "", " \t\u3000"])
    assert (texts(line), texts(blank), texts(white)) == (["a dog"], [], [])
    assert line.parts[0].ids == tokenizers.src.encode(["a dog"])[0]
    assert not line.cut
    assert reader(tokenizers).read([]) == []


def test_what_nobody_sees_is_read_only_by_a_model_that_has_seen_it(tokenizers: Tokenizers) -> None:
    shy = "the d\u00adog\u00a0runs\u200b"
    line, blank = reader(tokenizers).read([shy, "\u200b"])
    assert (texts(line), texts(blank)) == (["the dog runs"], [])
    [line] = reader(tokenizers, DEFAULT, "data.clean_invisible=false").read([shy])
    assert texts(line) == [shy]


def test_a_model_of_small_letters_reads_capitals_as_such(tokenizers: Tokenizers) -> None:
    [line] = reader(tokenizers, DEFAULT, "data.lowercase=true").read(["The DOG\u00ad runs"])
    assert texts(line) == ["the dog runs"]
    [line] = reader(tokenizers, Options(markup=True), "data.lowercase=true").read(["The <B>DOG</B> runs"])
    assert texts(line) == ["the dog runs"]
    assert [span.text for span in line.marked.spans] == ["<B>", "</B>"]


def test_markup_keeps_what_nobody_sees(tokenizers: Tokenizers) -> None:
    [line] = reader(tokenizers, Options(markup=True)).read(['the d\u00adog <a title="a\u00a0b">runs</a>'])
    assert texts(line) == ["the dog runs"]
    assert [span.text for span in line.marked.spans] == ['<a title="a\u00a0b">', "</a>"]


def test_lines_that_are_too_long_are_cut_after_sentences(tokenizers: Tokenizers) -> None:
    sentence = "the dog runs ."
    limit = len(tokenizers.src.encode([sentence])[0])
    line, short = reader(tokenizers, Options(), f"data.max_pieces={limit}").read([f"{sentence} {sentence}", sentence])
    assert (texts(line), line.cut) == ([sentence, sentence], True)
    assert (texts(short), short.cut) == ([sentence], False)


def test_documents_are_read_sentence_by_sentence(tokenizers: Tokenizers) -> None:
    paragraph = "The cat sleeps. A dog runs! 0123456789ABCDEF and a cat"
    document = reader(tokenizers, Options(document=True), "data.max_pieces=16")
    line, blank = document.read([paragraph, " "])
    assert texts(line)[:2] == ["The cat sleeps.", "A dog runs!"]
    assert "".join(texts(line)[2:]).replace(" ", "") == "0123456789ABCDEFandacat"
    assert (len(line.parts), line.cut, blank.parts) == (4, True, ())
    (whole,) = reader(tokenizers).read([paragraph])
    assert texts(whole) == [paragraph]


def test_a_part_that_begins_within_a_word_says_so(tokenizers: Tokenizers) -> None:
    [line] = reader(tokenizers, Options(), "data.max_pieces=4").read(["0123456 a dog"])
    begins = [len("".join(texts(line)[:i]).replace(" ", "")) for i in range(len(line.parts))]
    assert [part.continues for part in line.parts] == [begin not in (0, 7, 8) for begin in begins]
    assert any(part.continues for part in line.parts)


def test_what_the_model_reads_has_placeholders_and_the_part_has_not(tokenizers: Tokenizers) -> None:
    [line] = reader(tokenizers, Options(), 'tokenizer.placeholders=["number"]').read(["77 dogs 8.5"])
    [part] = line.parts
    assert (part.text, part.masked) == ("77 dogs 8.5", "[NUM] dogs [NUM]")
    assert tokenizers.src.decode([part.ids]) == ["[NUM] dogs [NUM]"]


def test_sentences_are_numbered_and_the_prefix_belongs_to_the_first(tokenizers: Tokenizers) -> None:
    options = Options(prefix_after_tab=True, document=True)
    [line] = reader(tokenizers, options).read(["The dog runs. A cat sleeps.\tthe\u0020 cat"])
    (first, second), [prefix] = line.parts, tokenizers.tgt.encode(["the cat"])
    assert [line.sentence(part, 30) for part in range(2)] == [
        Sentence(tuple(first.ids), 30, prefix=tuple(prefix)),
        Sentence(tuple(second.ids), 31),
    ]


def test_lines_without_a_tab_have_no_prefix_and_a_later_tab_belongs_to_it(tokenizers: Tokenizers) -> None:
    prefixed = reader(tokenizers, Options(prefix_after_tab=True))
    none, blank, two = prefixed.read(["a dog", "\tthe", "a dog\tthe\tcat"])
    assert (none.prefix, texts(none)) == ("", ["a dog"])
    assert (blank.prefix, texts(blank)) == ("the", [])
    assert (two.prefix, two.prefix_ids) == ("the cat", tuple(tokenizers.tgt.encode(["the cat"])[0]))
    [tab] = reader(tokenizers).read(["a\tdog"])
    assert (tab.prefix, texts(tab)) == ("", ["a dog"])


def test_parts_contain_their_own_terms_and_the_last_what_every_line_does(
    tokenizers: Tokenizers, terms: Terminology
) -> None:
    options = Options(document=True, terms=terms, required=("the sleep",))
    first, last, blank = reader(tokenizers, options).read(["A dog runs. A cat. A dog.", "the", ""])
    [cat], [sleep] = tokenizers.tgt.encode(["cat"]), tokenizers.tgt.encode(["the sleep"])
    assert first.required == ((tuple(cat),), (), (tuple(cat), tuple(sleep)))
    assert (last.required, blank.required) == (((tuple(sleep),),), ())


def test_terms_are_found_in_the_text_before_it_was_masked(tokenizers: Tokenizers, terms: Terminology) -> None:
    [line] = reader(tokenizers, Options(terms=terms), 'tokenizer.placeholders=["number"]').read(["a room 7"])
    assert line.parts[0].masked == "a room [NUM]"
    number = tokenizers.tgt.surfaces.index("[NUM]")
    assert line.required == ((tuple(tokenizers.tgt.encode(["the ABC"])[0]), (number,)),)


def test_markup_is_kept_from_the_model_and_from_terms(tokenizers: Tokenizers, terms: Terminology) -> None:
    options = Options(markup=True, terms=terms, keep=compile_pattern("@[a-z]+"))
    [line] = reader(tokenizers, options).read(["<b>a dog</b> @dog runs"])
    assert texts(line) == ["a dog runs"]
    assert [span.text for span in line.marked.spans] == ["<b>", "</b>", "@dog"]
    assert line.required == ((tuple(tokenizers.tgt.encode(["cat"])[0]),),)


def test_a_translation_has_the_text_and_the_numbers_of_its_hypothesis(tokenizers: Tokenizers) -> None:
    plain = reader(tokenizers)
    [line] = plain.read(["a dog"])
    [found] = plain.write(line, [[hypothesis(tokenizers, "the cat")]])
    assert (found.text, found.log_probability, found.score, found.parts) == ("the cat", -2.0, -1.0, 1)
    assert (found.cut, found.alignment, found.details) == (False, None, None)


@pytest.mark.parametrize("options", [Options(), Options(alignment=True)])
def test_placeholders_get_their_originals_back(tokenizers: Tokenizers, options: Options) -> None:
    masked = reader(tokenizers, options, 'tokenizer.placeholders=["number", "url"]')
    [line] = masked.read(["77777 dogs 8.5 run https://a.example/?x=1 ."])
    [found] = masked.write(line, echoed(tokenizers, line))
    assert found.text == "77777 dogs 8.5 run https://a.example/?x=1 ."


def test_numbers_are_written_in_digits_that_the_translation_may_have(tokenizers: Tokenizers) -> None:
    masked = reader(tokenizers, DEFAULT, 'tokenizer.placeholders=["number"]')
    [line] = masked.read(["٧٧ dogs"])  # noqa: RUF001 (Arabic)
    [found] = masked.write(line, echoed(tokenizers, line))
    assert (found.text, found.lost) == ("77 dogs", ())


def test_alignment_and_details_are_given_where_they_are_asked_for(tokenizers: Tokenizers) -> None:
    for options in (Options(alignment=True, details=True), Options(alignment=True), Options(details=True)):
        asked = reader(tokenizers, options)
        [line] = asked.read(["the dog"])
        src = tokenizers.src.split("the dog")
        reads = [0] * len(tokenizers.tgt.split("cat"))
        [found] = asked.write(line, [[hypothesis(tokenizers, "cat", reads, src=len(src))]])
        assert found.text == "cat"
        assert found.alignment == (((0, 0),) if options.alignment or options.details else None)
        if found.details is None:
            assert not options.details
        else:
            [part] = found.details
            assert (list(part.src), list(part.tgt)) == (src, tokenizers.tgt.split("cat"))
            assert part.attention.sum() == len(part.tgt)
    [blank] = asked.read([""])
    [nothing] = asked.write(blank, [])
    assert (nothing.text, nothing.parts, nothing.details) == ("", 0, ())


def test_a_word_that_was_cut_is_one_word_of_the_alignment(tokenizers: Tokenizers) -> None:
    aligned = reader(tokenizers, Options(alignment=True), "data.max_pieces=6")
    [line] = aligned.read(["0123456789 dog"])
    assert [part.continues for part in line.parts][:2] == [False, True]
    [found] = aligned.write(line, echoed(tokenizers, line))
    words = [re.sub(r"\D", "", word) for word in found.text.split()]
    assert found.alignment is not None
    assert [src for src, _ in found.alignment] == [0 if digits else 1 for digits in words]
    assert [tgt for _, tgt in found.alignment] == list(range(len(words)))
    assert found.cut


def test_unknown_words_are_replaced_by_what_they_read(tokenizers: Tokenizers) -> None:
    unknown = {"走": "runs"}
    for options, text in (
        (Options(carry_unknown=False), "a  \u2047 "),
        (Options(carry_unknown=False, unknown={}), "a 走"),
        (Options(carry_unknown=False, unknown=unknown), "a runs"),
        (Options(), "a 走"),
        (Options(unknown=unknown), "a runs"),
    ):
        replacing = reader(tokenizers, options)
        [line] = replacing.read(["a 走"])
        [found] = replacing.write(line, echoed(tokenizers, line))
        assert found.text.rstrip() == text.rstrip()


def test_a_dictionary_is_read_as_the_model_reads(tokenizers: Tokenizers) -> None:
    for markup in (False, True):
        small = reader(tokenizers, Options(unknown={"Ж": "Runs"}, markup=markup), "data.lowercase=true")
        [line] = small.read(["a Ж"])
        [found] = small.write(line, echoed(tokenizers, line))
        assert found.text == "a runs"


def test_capitals_are_not_carried_past_a_model_of_small_letters(tokenizers: Tokenizers) -> None:
    carrying = reader(tokenizers, Options(markup=True), "data.lowercase=true")
    [line] = carrying.read(["THE <b>DOG</b> \u0130\u0130 Ж runs"])
    assert texts(line) == ["the dog runs"]
    [found] = carrying.write(line, echoed(tokenizers, line))
    assert found.text == "the <b>dog</b> \u0130\u0130 Ж runs"


@pytest.mark.parametrize("wish", [{}, {"details": True}, {"unknown": {}}])
def test_a_prefix_comes_out_as_it_was_given(tokenizers: Tokenizers, wish: dict[str, Any]) -> None:
    prefixed = reader(tokenizers, Options(prefix_after_tab=True, **wish))
    [line] = prefixed.read(["the dog\tthe 走"])
    [ids] = tokenizers.tgt.encode(["the 走 cat"])
    attention = torch.ones(len(ids), len(line.parts[0].ids)) if wish else None
    [found] = prefixed.write(line, [[Hypothesis(tuple(ids), -2.0, -1.0, attention)]])
    assert found.text == "the 走 cat"


def test_the_translation_of_a_blank_line_is_its_prefix(tokenizers: Tokenizers) -> None:
    prefixed = reader(tokenizers, Options(prefix_after_tab=True, markup=True, alignment=True, n_best=2))
    lines = prefixed.read([" \tthe  走 cat", "\t", "<br/>\tthe <b>cat</b>"])
    found = [prefixed.write(line, []) for line in lines]
    assert [[(one.text, one.parts, one.score) for one in ranks] for ranks in found] == [
        [(" the 走 cat", 0, 0.0)],
        [("", 0, 0.0)],
        [("<br/> the <b>cat</b>", 0, 0.0)],
    ]


def test_markup_goes_where_its_words_went(tokenizers: Tokenizers) -> None:
    for alignment in (False, True):
        marked = reader(tokenizers, Options(markup=True, alignment=alignment))
        line, only = marked.read(["<b>the dog</b> runs", "<br/> {x}"])
        [found] = marked.write(line, echoed(tokenizers, line))
        assert found.text == "<b>the dog</b> runs"
        assert found.alignment == (((0, 0), (1, 1), (2, 2)) if alignment else None)
        [alone] = marked.write(only, [])
        assert (alone.text, alone.parts) == ("<br/> {x}", 0)


def test_markup_of_a_line_that_was_cut_spans_its_parts(tokenizers: Tokenizers) -> None:
    sentence = "the dog runs ."
    limit = len(tokenizers.src.encode([sentence])[0])
    marked = reader(tokenizers, Options(markup=True), f"data.max_pieces={limit}")
    [line] = marked.read([f"the <b>dog runs . the dog</b> runs . {sentence}"])
    assert len(line.parts) == 3
    [found] = marked.write(line, echoed(tokenizers, line))
    assert found.text == f"the <b>dog runs . the dog</b> runs . {sentence}"
    assert found.cut


def test_a_translation_is_one_line(tokenizers: Tokenizers) -> None:
    marked = reader(tokenizers, Options(markup=True, keep=compile_pattern("@.@")))
    [line] = marked.read(["the @\r@ dog"])
    [found] = marked.write(line, echoed(tokenizers, line))
    assert found.text == "the @ @ dog"


def test_a_tag_goes_before_every_part_that_the_model_reads(tokenizers: Tokenizers) -> None:
    tagged = reader(tokenizers, Options(tag="[URL]", document=True), 'tokenizer.placeholders=["number"]')
    line, blank = tagged.read(["The dog runs. All 77 dogs.", ""])
    assert texts(line) == ["The dog runs.", "All 77 dogs."]
    assert [part.masked for part in line.parts] == ["[URL] The dog runs.", "[URL] All [NUM] dogs."]
    assert [part.ids for part in line.parts] == tokenizers.src.encode(["[URL] The dog runs.", "[URL] All [NUM] dogs."])
    assert blank.parts == ()


def test_the_pieces_of_a_tag_count_where_a_line_is_cut(tokenizers: Tokenizers) -> None:
    sentence = "the dog runs ."
    limit = len(tokenizers.src.encode([sentence])[0])
    [line] = reader(tokenizers, Options(tag="[URL]"), f"data.max_pieces={limit}").read([sentence])
    assert line.cut
    assert [len(part.ids) <= limit for part in line.parts] == [True] * len(line.parts)
    assert all(part.masked.startswith("[URL] ") for part in line.parts)


def test_a_tag_is_no_word_of_the_source(tokenizers: Tokenizers) -> None:
    options = Options(tag="[URL]", alignment=True, details=True)
    tagged = reader(tokenizers, options)
    [line] = tagged.read(["a dog"])
    [part] = line.parts
    found = Hypothesis(tuple(part.ids), -2.0, -1.0, torch.eye(len(part.ids)))
    [one] = tagged.write(line, [[found]])
    assert (one.text, one.alignment) == ("[URL] a dog", ((0, 1), (1, 2)))
    assert one.details is not None
    [detail] = one.details
    assert detail.src == tuple(tokenizers.src.split("a dog"))
    assert detail.attention.shape == (len(part.ids), len(part.ids) - 2)


def test_numbers_go_where_their_placeholders_were_read_and_what_is_lost_is_said(tokenizers: Tokenizers) -> None:
    masked = reader(tokenizers, Options(alignment=True), 'tokenizer.placeholders=["number"]')
    [line] = masked.read(["7 dogs 1 234"])
    src = tokenizers.src.split("[NUM] dogs [NUM]")
    first, last = (index for index, piece in enumerate(src) if piece == "[NUM]")
    tgt = tokenizers.tgt.split("[NUM] cat [NUM]")
    read = [first] * len(tgt)
    read[tgt.index("[NUM]")] = last
    swapped = hypothesis(tokenizers, "[NUM] cat [NUM]", read, src=len(src))
    sentence = line.sentence(0, 0)
    [found] = masked.write(line, [[swapped]])
    assert (found.text, found.lost, masked.lacks(sentence, [swapped])) == ("1 234 cat 7", (), False)
    assert found.alignment is not None
    assert {tgt for _, tgt in found.alignment} == {0, 1, 2, 3}
    fewer = hypothesis(tokenizers, "the  cat", [0] * len(tokenizers.tgt.split("the  cat")), src=len(src))
    [found] = masked.write(line, [[fewer]])
    assert (found.text, found.lost, masked.lacks(sentence, [fewer])) == ("the cat", ("7", "1 234"), True)


def part(
    text: str, *links: Link, src_words: int = 1, score: float = -1.0, continues: bool = False, attended: bool = True
) -> Piecewise:
    """Make a translated part, whose log-probability is twice its score."""
    details = (Part(("s",), (text,), np.ones((1, 1), dtype=np.float32)),) if attended else None
    one = Translation(text, 2 * score, score, 1, alignment=links if attended else None, details=details)
    return Piecewise(one, src_words, len(text.split()), continues)


def test_one_part_is_the_line() -> None:
    first, second = part("a"), part("b", score=-3.0)
    assert join_ranks([[first, second]]) == [first.translation, second.translation]


def test_the_ranks_of_parts_are_joined_and_the_last_of_the_shorter_list_again() -> None:
    best, worse = join_ranks([[part("A b."), part("C d.", score=-2.0)], [part("E f.", score=-0.5)]])
    assert (best.text, best.score, best.log_probability, best.parts) == ("A b. E f.", -1.5, -3.0, 2)
    assert (worse.text, worse.score, worse.log_probability, worse.parts) == ("C d. E f.", -2.5, -5.0, 2)


def test_a_part_without_a_translation_leaves_no_double_space() -> None:
    [joined] = join_ranks([[part("a")], [part("")], [part("b")]])
    assert (joined.text, joined.parts) == ("a b", 3)


def test_words_of_later_parts_are_counted_behind_those_of_earlier_ones() -> None:
    [joined] = join_ranks(
        [[part("a b", (0, 1), (2, 0), src_words=3)], [part("", src_words=2)], [part("c d", (0, 0), (1, 1))]]
    )
    assert joined.alignment == ((0, 1), (2, 0), (5, 2), (6, 3))
    assert [one.tgt for one in joined.details or ()] == [("a b",), ("",), ("c d",)]


def test_a_word_that_was_cut_is_counted_once() -> None:
    first, second = part("a b", (0, 0), (1, 1), src_words=2), part("c d", (0, 0), (1, 1), continues=True)
    [joined] = join_ranks([[first], [second]])
    assert (joined.text, joined.alignment) == ("a b c d", ((0, 0), (1, 1), (1, 2), (2, 3)))


def test_translations_that_are_joined_without_a_space_make_one_word() -> None:
    sentences = [part("走。", (0, 0)), part(""), part("犬。", (0, 0)), part("cat", (0, 0))]
    [joined] = join_ranks([[one] for one in sentences])
    assert (joined.text, joined.alignment) == ("走。犬。cat", ((0, 0), (2, 0), (3, 0)))


def test_what_was_not_asked_for_is_not_made_up_by_joining() -> None:
    [joined] = join_ranks([[part("a", attended=False)], [part("b", attended=False)]])
    assert (joined.alignment, joined.details) == (None, None)
