from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmt.text.noises import NOISES, OF_SOURCE, noised, scrambled

SRC, TGT = "A man runs, and a dog sleeps.", "Ein Mann rennt, und ein Hund schläft."
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
SENTENCES = st.sampled_from(
    [
        *("A dog sleeps.", "Собака спит.", "Ένα σκυλί.", "犬が、寝ている。", "狗在睡觉。", "कुत्ता सो रहा है।"),
        *("สุนัขกำลังนอนหลับ", "الكلب نائم، والقطة.", "הכלב ישן.", "개가 자고 있다.", "🐕 [NUM]", "i̇", "ß", "", " ", "!"),
    ]
)
TEXTS = st.one_of(SENTENCES, ANY_TEXT)


def one(kind: str, src: str = SRC, tgt: str = TGT, seed: int = 1) -> tuple[str, str]:
    return noised(src, tgt, (kind,), Random(seed))


def some(kind: str, src: str = SRC, tgt: str = TGT) -> set[tuple[str, str]]:
    return {one(kind, src, tgt, seed) for seed in range(50)}


@pytest.mark.parametrize(
    ("kind", "pair"),
    [
        ("upper", ("A MAN RUNS, AND A DOG SLEEPS.", TGT)),
        ("title", ("A Man Runs, And A Dog Sleeps.", TGT)),
        ("lower", ("a man runs, and a dog sleeps.", TGT)),
        ("ending", ("A man runs, and a dog sleeps", "Ein Mann rennt, und ein Hund schläft")),
    ],
)
def test_case_and_endings_change_in_one_way(kind: str, pair: tuple[str, str]) -> None:
    assert some(kind) == {pair}


@given(TEXTS, TEXTS, st.sampled_from(list(NOISES)), st.integers(0, 2**64 - 1))
def test_noise_is_a_function_of_the_pair_and_the_random_numbers(src: str, tgt: str, kind: str, seed: int) -> None:
    assert one(kind, src, tgt, seed) == one(kind, src, tgt, seed)


@given(TEXTS, TEXTS, st.sampled_from(list(OF_SOURCE)), st.integers(0, 2**64 - 1))
def test_what_a_translator_would_mend_stays_out_of_the_target(src: str, tgt: str, kind: str, seed: int) -> None:
    assert one(kind, src, tgt, seed)[1] == tgt


@given(TEXTS, TEXTS, st.sampled_from(list(NOISES)), st.integers(0, 2**64 - 1))
def test_no_side_becomes_empty_and_none_gets_another_line(src: str, tgt: str, kind: str, seed: int) -> None:
    for new, old in zip(one(kind, src, tgt, seed), (src, tgt), strict=True):
        assert bool(new.strip()) >= bool(old.strip())
        assert new.count("\n") <= old.count("\n")


@given(TEXTS, st.sampled_from(list(set(NOISES) - set(OF_SOURCE))), st.integers(0, 2**64 - 1))
def test_the_same_happens_to_both_sides(text: str, kind: str, seed: int) -> None:
    src, tgt = one(kind, text, text, seed)
    assert src == tgt


@given(TEXTS, st.integers(0, 2**64 - 1))
def test_typos_touch_letters_alone_and_few_of_them(text: str, seed: int) -> None:
    typed, _ = one("typos", text, "", seed)
    assert [one for one in typed if not one.isalpha()] == [one for one in text if not one.isalpha()]
    assert abs(len(typed) - len(text)) <= 1 + len(text) // 30


def test_letters_are_swapped_dropped_doubled_and_missed() -> None:
    assert {typed for typed, _ in some("typos", "dog", "")} == {
        *("odg", "dgo"),
        *("og", "dg", "do"),
        *("ddog", "doog", "dogg"),
        *("sog", "dig", "dof"),
    }


@pytest.mark.parametrize(("letter", "near"), [("K", "J"), ("ы", "ф"), ("λ", "κ"), ("ש", "ד"), ("م", "ن")])
def test_a_letter_that_is_missed_is_the_next_one_of_its_keyboard(letter: str, near: str) -> None:
    assert (near, "") in some("typos", letter, "")


def test_a_letter_that_carries_a_sign_is_left_alone() -> None:
    assert some("typos", "กิกี", "") == {("กิกี", "")}


def test_spaces_between_words_are_doubled_or_missing() -> None:
    assert {typed for typed, _ in some("spaces", "a dog, b", "")} == {"a  dog, b", "adog, b"}


def test_a_full_stop_is_left_out_only_where_both_sides_have_one() -> None:
    assert one("ending", "A dog.", "Ein Hund") == ("A dog.", "Ein Hund")
    assert one("ending", "狗在睡觉。", "A dog sleeps …") == ("狗在睡觉", "A dog sleeps")
    assert one("ending", "...", "...") == ("...", "...")


def test_both_sides_have_the_same_emoji_or_number_more() -> None:
    src, tgt = one("emoji")
    assert src.removeprefix(SRC) == tgt.removeprefix(TGT)
    assert src != SRC
    for src, tgt in some("numbers"):
        assert src.replace(SRC, "") == tgt.replace(TGT, "")
        assert SRC in src
        assert any(one.isdecimal() for one in src)


def test_a_fragment_is_a_clause_of_both_sides() -> None:
    assert some("fragment") == {("A man runs", "Ein Mann rennt"), ("and a dog sleeps.", "und ein Hund schläft.")}
    assert ("狗睡觉了", "A dog sleeps") in some("fragment", "狗睡觉了、人跑得快。", "A dog sleeps, the man runs.")


@pytest.mark.parametrize(
    ("src", "tgt"),
    [
        ("A man runs, and a dog sleeps.", "Ein Mann rennt und ein Hund schläft."),
        ("A man runs, and a dog sleeps.", "Ein Mann rennt; und ein Hund schläft."),
        ("Yes, a man runs and a dog sleeps.", "Ein Mann rennt und ein Hund schläft, ja."),
        (", a man runs.", ", ein Mann rennt."),
        ("It costs 3,5 euros.", "Es kostet 3,5 Euro."),
    ],
)
def test_texts_that_are_not_cut_alike_stay_whole(src: str, tgt: str) -> None:
    assert some("fragment", src, tgt) == {(src, tgt)}


def test_a_kind_that_changes_nothing_leaves_its_turn_to_another() -> None:
    kinds = ("upper", "ending", "lower")
    assert {noised("狗。", "Ein Hund.", kinds, Random(seed)) for seed in range(20)} == {("狗", "Ein Hund")}
    assert noised("狗", "狗", kinds, Random(1)) == ("狗", "狗")


def test_a_scrambled_text_lacks_a_tenth_of_its_words_and_none_is_far_from_its_place() -> None:
    words = [str(number) for number in range(1000)]
    found = scrambled(" ".join(words), Random(1)).split(" ")
    assert 860 < len(found) < 940
    kept = sorted(found, key=int)
    moved = [abs(kept.index(word) - place) for place, word in enumerate(found)]
    assert max(moved) == 3


def test_of_a_scrambled_text_one_word_stays() -> None:
    assert {scrambled("dog", Random(seed)) for seed in range(50)} == {"dog"}
    assert all(scrambled("a   b", Random(seed)).strip() for seed in range(50))
