from pathlib import Path

import pytest

from nmt.corpus.fields import Wanted
from nmt.corpus.plain import TsvFiles
from nmt.errors import ConfigError, DataError
from nmt.io.lines import SKIP_HINT, Pair


def read(path: Path, *fields: str) -> list[Pair]:
    src_field, tgt_field = fields or (None, None)
    return list(TsvFiles([path], "error", Wanted(src_field=src_field, tgt_field=tgt_field), name=path.name).records())


@pytest.fixture
def scored(tmp_path: Path) -> Path:
    path = tmp_path / "a.tsv"
    path.write_text("score\ttext en\ttext fr\n1.5\t Go. \tVa !\n\n0.5\tHi.\tSalut\n")
    return path


def test_the_first_two_columns_are_taken_and_blank_lines_are_empty_pairs(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("Go.\tVa !\tCC-BY\tmore\n\nHi.\tSalut\n\t\n")
    assert read(path) == [
        Pair("Go.", "Va !", str(path), 1),
        Pair("", "", str(path), 2),
        Pair("Hi.", "Salut", str(path), 3),
        Pair("", "", str(path), 4),
    ]


def test_columns_are_named_by_number_or_by_the_first_line_which_is_no_pair_then(scored: Path) -> None:
    expected = [Pair("Va !", "Go.", str(scored), 2), Pair("", "", str(scored), 3), Pair("Salut", "Hi.", str(scored), 4)]
    assert read(scored, "text fr", "text en") == expected
    assert read(scored, "3", "2")[1:] == expected


def test_each_file_has_its_own_first_line(tmp_path: Path, scored: Path) -> None:
    other = tmp_path / "b.tsv"
    other.write_text("text fr\ttext en\nOui\tYes\n")
    source = TsvFiles([scored, other], "error", Wanted(src_field="text en", tgt_field="text fr"), name="a")
    assert [pair[:2] for pair in source.records()][-1] == ("Yes", "Oui")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ((), "line 2: found 1 column, expected 2: source <tab> target"),
        (("2", "1"), "line 2: found 1 column, expected 2: source in 2, target in 1"),
        (("1", "4"), "line 1: found 2 columns, expected 4: source in 1, target in 4"),
    ],
)
def test_a_line_with_too_few_columns_is_named(tmp_path: Path, fields: tuple[str, ...], message: str) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("Go.\tVa !\nHi. Salut\n")
    with pytest.raises(DataError) as caught:
        read(path, *fields)
    assert str(caught.value) == f"{path}, {message}{SKIP_HINT}"


def test_a_column_that_the_first_line_does_not_name_is_an_error_with_those_it_does(scored: Path) -> None:
    with pytest.raises(DataError) as caught:
        read(scored, "text en", "text de")
    assert (
        str(caught.value) == f"{scored}, line 1: found the columns score, text en, text fr; "
        "expected one that is called text de"
    )


def test_an_empty_file_has_no_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("")
    assert read(path) == []
    with pytest.raises(DataError, match="line 1: found the columns none; expected one that is called src"):
        read(path, "src", "tgt")


@pytest.mark.parametrize("fields", [("0", "1"), ("1", "00"), ("1", "tgt"), ("src", "2")])
def test_columns_are_both_named_by_number_from_1_or_both_by_name(fields: tuple[str, str]) -> None:
    with pytest.raises(
        ConfigError, match=r"^a\.tsv: src_field is '.*' and tgt_field '.*'; for a \.tsv file give the n"
    ):
        read(Path("a.tsv"), *fields)


def test_lines_with_too_few_columns_can_be_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("Go.\tVa !\nHi. Salut\n\nRun!\tCours !\n")
    found = list(TsvFiles([path], "error", name="a.tsv", on_bad_record="skip").records())
    assert [(pair.src, pair.line, pair.fault) for pair in found] == [
        ("Go.", 1, None),
        ("", 2, "broken"),
        ("", 3, None),
        ("Run!", 4, None),
    ]
