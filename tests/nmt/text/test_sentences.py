from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmt.text.sentences import join_sentences, split_sentences, split_text


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


def test_a_word_is_not_cut_before_the_signs_on_a_letter() -> None:
    assert split_text("กากิกี", count=lambda texts: [len(text) for text in texts], limit=5) == ["กากิ", "กี"]
    assert split_text("กากิกี", count=lambda texts: [len(text) for text in texts], limit=4) == ["กากิ", "กี"]


def test_long_parts_end_at_the_full_stops_of_any_script() -> None:
    for stop in "۔।؟؛።։།။។":  # noqa: RUF001 (these stops are meant)
        text = f"αβ γδ{stop} εζ ηθ"
        assert split_text(text, count=lambda texts: [len(text) for text in texts], limit=9)[0] == f"αβ γδ{stop}"


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


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("", []),
        ("  one  line ", ["one line"]),
        ("He runs. She sits! Why?  Ja.", ["He runs.", "She sits!", "Why?", "Ja."]),
        ('"Go." (He left.) «Oui.» Fin.', ['"Go."', "(He left.)", "«Oui.»", "Fin."]),
        ("« Oui. » Il dort. »Was?« Ja.", ["« Oui. »", "Il dort.", "»Was?«", "Ja."]),
        ("Yes. — No. ¿Y tú? ¡Sí!", ["Yes.", "— No.", "¿Y tú?", "¡Sí!"]),
        ("Wait... what? Well... Yes… No.", ["Wait... what?", "Well...", "Yes…", "No."]),
        ("Go! 3 are left.", ["Go!", "3 are left."]),
        ("It was 1999. Then it was 3.5. Now it is late.", ["It was 1999.", "Then it was 3.5.", "Now it is late."]),
        ("هل تنام؟ نعم. لا.", ["هل تنام؟", "نعم.", "لا."]),
        ("Նա եկավ։ Ես գնացի։", ["Նա եկավ։", "Ես գնացի։"]),  # noqa: RUF001 (Armenian)
        ("ሰላም። እንዴት ነህ፧ ደህና።", ["ሰላም።", "እንዴት ነህ፧", "ደህና።"]),
        ("သူသွားသည်။ ငါလာသည်။", ["သူသွားသည်။", "ငါလာသည်။"]),
        ("ខ្ញុំទៅ។ អ្នកមក៕ ល្អ", ["ខ្ញុំទៅ។", "អ្នកមក៕", "ល្អ"]),
        ("བོད་ཡིག། ཁྱེད་རང་།", ["བོད་ཡིག།", "ཁྱེད་རང་།"]),
        ("हाँ। वह आता है. मैं भी.", ["हाँ।", "वह आता है.", "मैं भी."]),
        ("네. 알겠습니다.", ["네.", "알겠습니다."]),
        ("वह सोता है। वह खाता है।", ["वह सोता है।", "वह खाता है।"]),
    ],
)
def test_a_sentence_ends_at_a_stop_before_a_new_start(text: str, sentences: list[str]) -> None:
    assert split_sentences(text) == sentences


@pytest.mark.parametrize(
    "text",
    [
        "J. Smith met J. R. Brown",
        "Dr. Ali, MR. Brown, Mme. Petit and (St. Paul)",
        "the U.S. Army, z.B. Hunde, e.g. Rex, at 5 p.m. Eastern",
        "apples etc. Then usw. Und",
        "am 3. Mai, No. 5, 3.5 km",
        "and so on... and on",
        "قال د. أحمد",
        "ที่ ม. เกษตร",
        "डॉ. शर्मा और प्रो. वर्मा",
        "Doç. Dr. Ayşe, esim. Helsinki",
        "x.Y has no space. and no capital",
    ],
)
def test_a_stop_within_a_sentence_does_not_end_it(text: str) -> None:
    assert split_sentences(text) == [text]


def test_chinese_and_japanese_stops_need_no_white_space() -> None:
    assert split_sentences("犬が走る。猫は寝る！ 何？") == ["犬が走る。", "猫は寝る！", "何？"]  # noqa: RUF001


def test_a_sentence_goes_on_behind_a_japanese_quotation() -> None:
    assert split_sentences("「走れ。」と言った。「はい。」「いや。」") == [
        "「走れ。」と言った。",
        "「はい。」",
        "「いや。」",
    ]


def test_sentences_are_joined_by_a_space_but_not_behind_a_wide_stop() -> None:
    assert join_sentences(["One.", "", "Two."]) == "One. Two."
    assert join_sentences(["走る。", "「はい。」", "寝る。"]) == "走る。「はい。」寝る。"
    assert join_sentences([]) == ""


@given(st.text(st.sampled_from("aB1 .!?…»«\"'() \u00a0")))
def test_sentences_joined_by_spaces_are_the_text(text: str) -> None:
    sentences = split_sentences(text)
    assert " ".join(sentences) == join_sentences(sentences) == " ".join(text.split())
    assert all(sentences)


@given(st.text(st.sampled_from('aB1 .!»"犬。！」「')))  # noqa: RUF001
def test_sentences_of_any_script_lose_only_spaces(text: str) -> None:
    sentences = split_sentences(text)
    assert all(sentences)
    assert "".join(join_sentences(sentences).split()) == "".join(text.split())
