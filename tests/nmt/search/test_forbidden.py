import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from hypothesis import assume, example, given
from hypothesis import strategies as st
from torch import Tensor

from nmt.models.tensors import tensors_of
from nmt.search.forbidden import ForbiddenWords, WholeWords, as_bytes
from nmt.search.frontier import FORBIDDEN, Limits
from nmt.search.rules import Forbidden, Scoring
from nmt.text.vocab import EOS
from tests.nmt.search.alone import beam_search, greedy_search
from tests.nmt.search.conftest import OnNoCpu

SPECIAL = ["", "\ufffc", "", ""]
CPU = torch.device("cpu")


def rule_of(texts: Sequence[str], pieces: Sequence[str], longest: Sequence[int] = (99,)) -> Forbidden:
    return Forbidden(ForbiddenWords(texts, [*SPECIAL, *pieces], CPU), torch.tensor(longest))


def laid_out(rows: Sequence[Sequence[Sequence[int]]]) -> tuple[Tensor, Tensor]:
    """Lay out hypotheses of sentences, those of one of equal length: [B, K, T] with the lengths, [B]."""
    size = 1 + max(len(row) for beams in rows for row in beams)
    written = torch.tensor([[[*row, *[0] * (size - len(row))] for row in beams] for beams in rows])
    return written, torch.tensor([len(beams[0]) for beams in rows])


def masked(rule: Forbidden, rows: Sequence[Sequence[Sequence[int]]], listed: Tensor | None = None) -> Tensor:
    """Return what the rule makes impossible, [B, K, V]."""
    written, lengths = laid_out(rows)
    size = len(rule.table.never) if listed is None else listed.shape[1]
    log_probs = torch.zeros(*written.shape[:2], size)
    rule.apply(log_probs, pieces=listed, written=written, lengths=lengths)
    return log_probs == -math.inf


def impossible(texts: Sequence[str], pieces: Sequence[str], begun: Sequence[str], *, longest: int = 99) -> list[str]:
    """Name the pieces that may not come behind those that have begun a translation; `</s>` is "end"."""
    row = [4 + pieces.index(piece) for piece in begun]
    [[mask]] = masked(rule_of(texts, pieces, [longest]), [[row]])
    names = [*SPECIAL[:EOS], "end", *pieces]
    return [name for name, gone in zip(names, mask.tolist(), strict=True) if gone and name not in SPECIAL]


HUND = ["▁Hund", "▁H", "und", "Hund", "en", "▁", "-", "(Hund", "▁Schäfer", "hund", ".", "Hund."]


def test_what_follows_decides_whether_a_word_is_forbidden() -> None:
    for begun in (["▁Hund"], ["▁H", "und"], ["▁", "Hund"], ["-", "Hund"], ["(Hund"], ["Hund"]):
        assert impossible(["Hund"], HUND, begun) == ["end", "▁Hund", "▁H", "▁", "-", "(Hund", "▁Schäfer", "."]
    for begun in (["▁Hund", "en"], ["▁Schäfer", "hund"], ["▁Schäfer", "Hund"], ["▁H"]):
        assert impossible(["Hund"], HUND, begun) == []


def test_a_piece_that_holds_the_whole_word_and_its_end_is_impossible_where_the_word_begins() -> None:
    assert impossible(["Hund"], HUND, []) == ["Hund."]
    assert impossible(["Hund"], HUND, ["-"]) == ["Hund."]
    assert impossible(["Hund"], HUND, ["▁Schäfer"]) == []


def test_a_word_that_ends_without_a_letter_is_stopped_before_its_last_piece() -> None:
    assert impossible(["C++"], ["▁C", "+", "++", "-"], ["▁C"]) == ["++"]
    assert impossible(["C++"], ["▁C", "+", "++", "-"], ["▁C", "+"]) == ["+", "++"]
    assert impossible(["京"], ["▁京", "東", "東京", "京"], ["東"]) == ["▁京", "東京", "京"]


def test_the_last_piece_of_all_completes_no_word() -> None:
    assert impossible(["Hund"], HUND, ["▁Schäfer"], longest=2) == ["▁Hund", "(Hund"]
    assert impossible(["Hund"], HUND, ["▁H"], longest=2) == ["▁Hund", "und", "(Hund"]
    assert impossible(["Hund"], HUND, ["▁H"], longest=3) == []


def test_a_word_that_nothing_could_continue_is_not_begun() -> None:
    assert impossible(["Hund"], ["▁Hund", "▁Hu", "-"], ["-"]) == ["▁Hund"]
    assert impossible(["Hund", "Hunden"], ["▁Hund", "en"], []) == ["▁Hund"]


def test_phrases_are_found_over_any_white_space_but_not_over_endless_one() -> None:
    pieces = ["▁rote", "▁Katze", "▁", "Katze", "n", "▁▁"]
    ends = ["end", "▁rote", "▁Katze", "▁", "▁▁"]
    for begun in (["▁rote", "▁Katze"], ["▁rote", "▁", "Katze"], ["▁rote", "▁", "▁Katze"], ["▁rote", "▁▁", "Katze"]):
        assert impossible(["rote Katze"], pieces, begun) == ends
    assert impossible(["rote Katze"], pieces, ["▁rote", "▁"]) == ["▁", "▁▁"]
    assert impossible(["rote Katze"], pieces, ["▁Katze"]) == []


def test_a_word_in_bytes_is_forbidden_too() -> None:
    pieces = ["▁", "B", "ä", "r", "\udcc3", "\udca4", "\udcb6"]
    ends = ["end", "▁", "\udcc3", "\udca4", "\udcb6"]  # what a lone byte begins is not known
    assert impossible(["Bär"], pieces, ["▁", "B", "\udcc3", "\udca4", "r"]) == ends
    assert impossible(["Bär"], pieces, ["▁", "B", "ä", "r"]) == ends
    assert impossible(["Bär"], pieces, ["▁", "B", "\udcc3", "\udcb6", "r"]) == []
    assert impossible(["ää"], pieces, ["\udcc3", "\udca4", "\udcc3", "\udca4"]) == ends


def test_a_shortlist_without_a_way_on_is_not_led_to_a_whole_word() -> None:
    rule = rule_of(["Hund"], HUND, [99, 99])
    hund, en, dot = (4 + HUND.index(piece) for piece in ("▁Hund", "en", "."))
    listed = torch.tensor([[0, 1, 2, EOS, hund, en], [0, 1, 2, EOS, hund, dot]])
    mask = masked(rule, [[[]], [[]]], listed)
    assert mask[:, 0, EOS:].tolist() == [[False, False, False], [False, True, False]]
    behind = masked(rule, [[[hund]], [[hund]]], listed)
    assert behind[:, 0, EOS:].tolist() == [[True, True, False], [True, True, True]]


def test_each_sentence_keeps_its_own_last_step() -> None:
    rule = rule_of(["Hund"], HUND, [1]).join(rule_of(["Hund"], HUND, [2])).take(torch.tensor([1, 0]))
    mask = masked(rule, [[[]], [[]]])
    assert mask[:, 0, 4].tolist() == [False, True]


PIECES = st.lists(st.text(alphabet="aab0-▁ \u0304京", min_size=1, max_size=4), min_size=1, max_size=12, unique=True)
WORDS = st.lists(st.text(alphabet="ab0- \u0304京", min_size=1, max_size=5).filter(str.strip), min_size=1, max_size=2)


def contains(text: str, words: Sequence[str]) -> bool:
    """Look at every place where a word stands."""

    def goes_on(character: str) -> bool:
        return character in "ab0x\u0304"

    for word in words:
        pattern = r"\s+".join(map(re.escape, word.split()))
        for start in range(len(text)):
            for end in range(start + 1, len(text) + 1):
                before = start > 0 and goes_on(text[start - 1]) and goes_on(text[start])
                behind = end < len(text) and goes_on(text[end - 1]) and goes_on(text[end])
                if re.fullmatch(pattern, text[start:end]) and not before and not behind:
                    return True
    return False


def text_of(pieces: Sequence[str], row: Sequence[int]) -> str:
    return "".join(pieces[index - 4] for index in row).replace("▁", " ")


@given(data=st.data(), pieces=PIECES, words=WORDS, last=st.booleans())
def test_exactly_what_would_make_a_forbidden_text_is_impossible(
    data: st.DataObject, pieces: list[str], words: list[str], last: bool
) -> None:
    row = data.draw(st.lists(st.integers(4, len(pieces) + 3), max_size=8))
    text = text_of(pieces, row)
    assume(not re.search(r"\s\s", text))
    assume(not contains(text + "x" if text[-1:] in "ab0\u0304" else text, words))
    pieces = [*pieces, "x"]  # what continues any word, and completes none
    rule = rule_of(words, pieces, [len(row) + 1 if last else 99])
    [[mask]] = masked(rule, [[row]])
    assert mask[EOS] == contains(text, words)
    for index, piece in enumerate(pieces, start=4):
        after = text + piece.replace("▁", " ")
        further = "" if last or after[-1] not in "ab0\u0304" else "x"
        if piece.strip(" ▁") or not text.endswith(" "):
            assert mask[index] == contains(after + further, words), (piece, text)
        else:
            assert mask[index] or not contains(after, words)


@given(data=st.data(), pieces=PIECES, words=WORDS, listed=st.booleans())
def test_a_device_that_no_one_waits_for_is_told_the_same(
    data: st.DataObject, pieces: list[str], words: list[str], listed: bool
) -> None:
    ids = st.integers(4, len(pieces) + 3)
    sizes = data.draw(st.lists(st.integers(0, 6), min_size=1, max_size=3))
    rows = [[data.draw(st.lists(ids, min_size=size, max_size=size)) for _ in range(2)] for size in sizes]
    rule = rule_of(words, pieces, [data.draw(st.integers(max(1, size), 8)) for size in sizes])
    chosen = [sorted(data.draw(st.sets(ids, min_size=2, max_size=2))) if len(pieces) > 1 else [4] for _ in rows]
    shortlist = torch.tensor([[0, 1, 2, EOS, *some] for some in chosen]) if listed else None
    expected = masked(rule, rows, shortlist)
    (written, lengths), log_probs = laid_out(rows), torch.zeros(expected.shape)
    with OnNoCpu():
        rule.apply(log_probs, pieces=shortlist, written=written, lengths=lengths)
    assert torch.equal(log_probs == -math.inf, expected)


@pytest.mark.parametrize("listed", [False, True])
def test_on_a_device_no_value_is_looked_at(listed: bool) -> None:
    meta = torch.device("meta")  # it has no values
    rule = Forbidden(ForbiddenWords(["Hund"], [*SPECIAL, *HUND], meta), torch.full((2,), 9, device=meta))
    shortlist = torch.zeros(2, 6, dtype=torch.int64, device=meta) if listed else None
    log_probs = torch.zeros(2, 3, 6 if listed else 4 + len(HUND), device=meta)
    written, lengths = (torch.zeros(*shape, dtype=torch.int64, device=meta) for shape in ((2, 3, 8), (2,)))
    rule.apply(log_probs, pieces=shortlist, written=written, lengths=lengths)
    assert tensors_of(rule) == [rule.longest]  # recorded steps share the tables


@pytest.mark.parametrize("seed", range(5))
def test_no_search_ends_with_a_forbidden_word(random_decoder: Callable[..., Any], seed: int) -> None:
    pieces = ["a", "b", "-", "▁", "▁a", "ab", "京"]
    decoder = random_decoder(seed, vocab_size=len(pieces) + 4, sentences=10)
    words = ["a", "ab a", "京京"]
    limits = Limits.start(torch.full((10,), 6), rules=[rule_of(words, pieces, [6] * 10)], never=FORBIDDEN)
    state = decoder.start(range(10))
    found = greedy_search(decoder, state, limits=limits, scoring=Scoring())
    for beam in beam_search(decoder, state, limits=limits, beam_size=3, scoring=Scoring(), n_best=3):
        found += beam
    texts = [text_of(pieces, hypothesis.ids) for hypothesis in found]
    assert not [text for text in texts if contains(text, words)]
    assert any("a" in text for text in texts)


def found(text: str, *words: str) -> bool:
    return WholeWords(words).found_in(text)


def by_expression(text: str, word: str) -> bool:
    """Search with borders where one of two neighbours is no letter, mark or digit of a script with spaces, but for a
    sign behind any letter."""
    letter = r"[ae\u03040]"
    sign = "(?!\u0e48)"
    before = rf"(?<!{letter})" if re.match(letter, word) else ""
    behind = rf"(?!{letter}){sign}" if re.match(letter, word[-1]) else sign if word[-1] in "\u0e17\u0e48" else ""
    return re.search(before + r"\s+".join(map(re.escape, word.split())) + behind, text) is not None


@pytest.mark.parametrize("text", ["Hund", "der Hund.", "(Hund", "Hund-Katze", "▁Hund▁", "\u201eHund\u201c", "走Hund走"])
def test_a_word_is_found_whatever_stands_beside_it(text: str) -> None:
    assert found(text, "Hund")


@pytest.mark.parametrize("text", ["Hunden", "Schäferhund", "xHund", "Hund1", "Hund\u0301", "hund", "Hun d", ""])
def test_longer_words_and_others_are_not_found(text: str) -> None:
    assert not found(text, "Hund")


def test_a_word_may_begin_within_one_that_broke_off() -> None:
    assert found("a-a-b", "a-b")
    assert found("na na no", "na no")
    assert not found("na nano", "na no")


def test_any_white_space_is_as_good_as_another() -> None:
    for text in ("rote Katze", "rote  Katze", "rote\u00a0Katze", "rote▁▁Katze", "rote\t Katze"):
        assert found(text, " rote  Katze")
    assert not found("roteKatze", "rote Katze")


def test_every_character_of_a_script_without_spaces_is_a_word() -> None:
    assert found("東京都", "京")
    assert not found("東京都", "京東")
    assert found("a京", "京")


def test_signs_belong_to_the_letter_before_them() -> None:
    assert not found("ที่บ้าน", "ที")
    assert not found("มีที่", "ที")
    for text in ("ที", "ทีนี้", "ทีx", "ที 1", "มีที"):
        assert found(text, "ที")
    assert found("ที่", "ที่")
    assert not found("๑๒", "๒")


def test_what_begins_or_ends_without_a_letter_needs_no_border_there() -> None:
    assert found("x...y", "..")
    assert found("C++17", "C++")
    assert found("x-1y", "-1") is False
    assert found("x-1", "-1")


def test_one_of_several_texts_is_enough() -> None:
    assert found("a cat", "dog", "cat")
    assert not found("cats and dogs", "dog", "cat")


def test_characters_that_come_byte_by_byte_are_read() -> None:
    assert as_bytes("aä") == "a\udcc3\udca4"
    for text in ("Bär", "ä", "\u201cB", "走"):
        assert found(f"x {as_bytes(text)} x", text)
    assert not found(as_bytes("Bär"), "Bö")
    assert not found(as_bytes("BäR"), "Bär")


def test_other_characters_in_bytes_count_as_borders() -> None:
    assert found(as_bytes("Häus"), "H")
    assert not found("H" + "äus", "H")


def test_blank_texts_are_refused() -> None:
    for blank in ("", " ", "▁"):
        with pytest.raises(ValueError, match=r"^found a blank text among those that are looked for$"):
            WholeWords(["a", blank])


TEXTS = st.text(alphabet="aae0\u0304 -京\u0e17\u0e17\u0e48", max_size=14)
WORD = st.text(alphabet="ae0\u0304 -京\u0e17\u0e48", min_size=1, max_size=5).filter(str.strip)
ASCII_WORDS = st.text(alphabet="abe0 -", min_size=1, max_size=6).filter(str.strip)


@given(text=TEXTS, words=st.lists(WORD, min_size=1, max_size=3))
@example(text="a-a-a-e", words=["a-a-e"])
def test_what_is_found_is_what_an_expression_finds(text: str, words: list[str]) -> None:
    assert WholeWords(words).found_in(text) == any(by_expression(text, word.strip()) for word in words)


@given(words=st.lists(ASCII_WORDS, min_size=1, max_size=5))
def test_the_states_are_one_for_each_beginning_of_a_text_and_two_without_one(words: list[str]) -> None:
    assert len(WholeWords(words).moves) <= 2 + sum(map(len, words))


def test_characters_that_may_come_in_bytes_need_at_most_two_states_a_byte_in_ordinary_words() -> None:
    # a character that came in bytes is a border, so there is a state for it with either end
    words = ["Äpfel", "grün", "größere Straße", "東京タワー"]
    assert len(WholeWords(words).moves) <= 2 + 2 * sum(len(as_bytes(word)) for word in words)
