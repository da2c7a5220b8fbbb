from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from nmt.splitting import split_text


def count_characters(texts: Sequence[str]) -> list[int]:
    """Take each character but a space for a piece."""
    return [len("".join(text.split())) for text in texts]


def count_generously(texts: Sequence[str]) -> list[int]:
    """Take long texts for more than the sum of their words."""
    return [len(text) ** 2 // 10 for text in texts]


def split(text: str, limit: int) -> list[str]:
    return split_text(text, count=count_characters, limit=limit)


def test_a_text_that_fits_is_left_alone() -> None:
    assert split("ab cd  ef", 6) == ["ab cd  ef"]


def test_words_are_packed_until_no_more_fit() -> None:
    assert split("ab cd ef gh", 5) == ["ab cd", "ef gh"]


def test_a_part_ends_after_a_sentence_that_ends_in_its_second_half() -> None:
    assert split("aaaa bb. cc dd ee", 10) == ["aaaa bb.", "cc dd ee"]
    assert split('aaaa b!" cc dd ee', 10) == ['aaaa b!"', "cc dd ee"]


def test_an_early_full_stop_is_no_reason_to_waste_a_part() -> None:
    assert split("a. bbbb cc dd ee", 10) == ["a. bbbb cc dd", "ee"]


def test_scripts_without_spaces_are_cut_after_their_full_stops() -> None:
    assert split("犬が走る。猫は寝る。", 6) == ["犬が走る。", "猫は寝る。"]


def test_a_word_longer_than_a_part_is_cut_within() -> None:
    assert split("ab " + "x" * 7 + " cd", 4) == ["ab", "xxx", "xxxx", "cd"]


def test_a_single_character_is_never_cut() -> None:
    assert split_text("x", count=lambda texts: [9 for _ in texts], limit=2) == ["x"]


def test_pieces_that_do_not_add_up_still_end_in_parts_that_fit() -> None:
    parts = split_text("a b c d e f g h i j k l", count=count_generously, limit=3)
    assert max(count_generously(parts)) <= 3
    assert "".join("".join(parts).split()) == "abcdefghijkl"


@given(st.text(st.sampled_from("ab .!?。 é😀"), max_size=60).map(str.strip), st.integers(1, 9))
def test_parts_fit_are_not_empty_and_lose_only_spaces(text: str, limit: int) -> None:
    parts = split(text, limit)
    assert "".join("".join(parts).split()) == "".join(text.split())
    if text:
        assert all(0 < size <= limit for size in count_characters(parts))
