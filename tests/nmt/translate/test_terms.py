import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmt.errors import DataError
from nmt.translate.options import Terminology


class Loader:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, *lines: str) -> Terminology:
        self.path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return Terminology.load(self.path)

    def error(self, *lines: str) -> str:
        with pytest.raises(DataError) as caught:
            self(*lines)
        return str(caught.value)


@pytest.fixture
def load(tmp_path: Path) -> Loader:
    return Loader(tmp_path / "terms.tsv")


def test_each_occurrence_of_a_term_requires_its_target_in_the_order_of_the_source(load: Loader) -> None:
    terms = load("cat\tchat", "big dog\tgros chien")
    assert terms.required("A big  dog, a cat and a cat.") == ["gros chien", "chat", "chat"]
    assert terms.required("") == []


def test_terms_are_whole_words(load: Loader) -> None:
    terms = load("cat\tchat", "e-mail\tcourriel", "C++\tC plus plus")
    assert terms.required("cats concat cat_ e mail e - mail C") == []
    assert terms.required("(cat) e-mail: C++!") == ["chat", "courriel", "C plus plus"]


def test_vowel_signs_belong_to_their_word(load: Loader) -> None:
    assert load("क\tk").required("कि क") == ["k"]


def test_scripts_without_spaces_match_anywhere(load: Loader) -> None:
    assert load("犬\tdog").required("犬が走る。大犬") == ["dog", "dog"]


def test_no_word_ends_before_the_signs_on_its_last_letter(load: Loader) -> None:
    terms = load("ที\ttime", "กา\tcrow")
    assert terms.required("ที่บ้าน") == []
    assert terms.required("ทีนี้กาดำ") == ["time", "crow"]


def test_no_word_ends_at_a_joiner(load: Loader) -> None:
    terms = load("सर\tsir", "خواهم\tI want")
    assert terms.required("वह अक्\u200dसर आता है, می\u200cخواهم") == []  # noqa: RUF001 (Persian)
    assert terms.required("सर, خواهم") == ["sir", "I want"]


def test_native_digits_make_one_number(load: Loader) -> None:
    terms = load("๒ เล่ม\ttwo volumes")
    assert terms.required("หนังสือ ๑๒ เล่ม") == []
    assert terms.required("หนังสือ๒ เล่ม") == ["two volumes"]


def test_turkish_capitals_match_their_small_letters(load: Loader) -> None:
    terms = load("ılık su\twarm water", "ilaç\tdrug", "IŞIK\tlight", "İz\ttrace", "ilik\tmarrow")  # noqa: RUF001 (Turkish)
    assert terms.required("Ilık su ve İlaç") == ["warm water", "drug"]  # noqa: RUF001 (Turkish)
    assert terms.required("IŞIK, iz; İZ") == ["light", "trace", "trace"]
    assert terms.required("Ilık ışık") == []  # noqa: RUF001 (Turkish)


def test_case_matters_only_for_a_capital_beyond_the_first_letter(load: Loader) -> None:
    terms = load("Dog\tchien", "NATO\tOTAN", '"iOS"\tiOS')
    assert terms.required('DOG dog nato "ios"') == ["chien", "chien"]
    assert terms.required('NATO "iOS"') == ["OTAN", "iOS"]


def test_the_longest_match_wins_wherever_it_starts(load: Loader) -> None:
    terms = load("a b\tone", "b c d\ttwo", "d\tthree")
    assert terms.required("a b c d") == ["two"]
    assert terms.required("a b d") == ["one", "three"]


def test_of_equal_matches_the_one_of_exact_case_wins(load: Loader) -> None:
    assert load("us\tuns", "US\tUSA").required("us US Us") == ["uns", "USA", "uns"]


def test_of_equally_long_matches_that_overlap_the_first_wins(load: Loader) -> None:
    assert load("a b\tone", "b c\ttwo").required("a b c") == ["one"]


def test_composed_and_decomposed_letters_are_the_same(load: Loader) -> None:
    assert load("cafe\u0301\tcafé").required("Caf\u00e9") == ["café"]


def test_what_nobody_sees_does_not_hide_a_term(load: Loader) -> None:
    assert load("guard\u00a0dog\tchien").required("a gu\u00adard dog\u200b") == ["chien"]
    with pytest.raises(DataError, match="found no source term"):
        load("\u200b\tchien")


def test_comments_blank_lines_and_repeated_terms_are_no_harm(load: Loader) -> None:
    terms = load("# a comment", "", "  ", "dog\tchien", " Dog \t chien ")
    assert terms.required("dog") == ["chien"]


def test_a_line_that_is_not_two_terms_is_an_error(load: Loader) -> None:
    place = f"{load.path}, line 2: "
    expected = ", expected 2: source term <tab> target term"
    assert load.error("a\tb", "dog chien") == f"{place}found 1 column{expected}"
    assert load.error("a\tb", "a\tb\tc") == f"{place}found 3 columns{expected}"
    assert load.error("a\tb", "dog\t ") == f"{place}found no target term, expected source term <tab> target term"
    assert load.error("a\tb", "\tchien") == f"{place}found no source term, expected source term <tab> target term"


def test_two_targets_for_one_source_term_are_an_error(load: Loader) -> None:
    assert load.error("dog\tchien", "# or", "Dog\ttoutou") == (
        f"{load.path}, line 3: found the target 'toutou' for a source term that has 'chien' in line 1; "
        "expected one target for each source term"
    )


def test_a_file_that_cannot_be_read_is_an_error(load: Loader) -> None:
    with pytest.raises(DataError, match=re.escape(f"cannot read {load.path}: No such file or directory")):
        Terminology.load(load.path)


@pytest.fixture(scope="module")
def letter(tmp_path_factory: pytest.TempPathFactory) -> Terminology:
    return Loader(tmp_path_factory.mktemp("terms") / "terms.tsv")("a\tx")


@given(text=st.text(st.sampled_from("abA .-犬")))
def test_a_term_of_one_letter_is_required_as_often_as_it_stands_alone(letter: Terminology, text: str) -> None:
    assert letter.required(text) == ["x"] * len(re.findall(r"(?<![abA])[aA](?![abA])", text))


def test_to_a_model_of_small_letters_no_capital_matters(load: Loader) -> None:
    terms = load("NASA\tla NASA", "iPhone\ttéléphone", "a US dog\tchien", "us\tnous").without_case()
    assert terms.required("nasa's iphone, a us dog, us") == ["la NASA", "téléphone", "chien", "nous"]
    assert sorted(terms.targets) == ["chien", "la NASA", "nous", "téléphone"]
    with pytest.raises(DataError) as caught:
        load("# one", "US\tAmérique", "us\tnous").without_case()
    assert str(caught.value) == (
        f"{load.path}: the terms of lines 2 and 3 are one in small letters, as the model reads text "
        "(data.lowercase): found the targets 'Amérique' and 'nous', expected one"
    )
    assert load("US\tnous", "us\tnous").without_case().required("us") == ["nous"]
