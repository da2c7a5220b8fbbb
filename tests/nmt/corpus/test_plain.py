import gzip
import pickle
from pathlib import Path

import pytest

from nmt.corpus.fields import Wanted
from nmt.corpus.plain import ParallelFiles, TextFiles, TsvFiles
from nmt.errors import ConfigError, DataError, counted
from nmt.io import compressed
from nmt.io import lines as cutting
from nmt.io.lines import SKIP_HINT, Line, Pair


def written(path: Path, data: str | bytes) -> Path:
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def parallel(src: Path, tgt: Path) -> ParallelFiles:
    return ParallelFiles([src], [tgt], "error", name="corpus")


def test_pairs_carry_their_origin_across_files(tmp_path: Path) -> None:
    paths = [written(tmp_path / name, text) for name, text in (("a", "x\ny"), ("b", "X\nY"), ("c", "z"), ("d", "Z"))]
    source = ParallelFiles([paths[0], paths[2]], [paths[1], paths[3]], "error", name="corpus")
    assert source.files == (paths[0], paths[2], paths[1], paths[3])
    assert list(source.records()) == [
        Pair("x", "X", str(paths[0]), 1),
        Pair("y", "Y", str(paths[0]), 2),
        Pair("z", "Z", str(paths[2]), 1),
    ]


def test_blocks_hold_at_most_so_many_pairs_and_none_of_two_files(tmp_path: Path) -> None:
    paths = [written(tmp_path / name, "1\n2\n3\n") for name in "abcd"]
    blocks = list(ParallelFiles(paths[:2], paths[2:], "error", name="corpus").blocks(2))
    assert [len(block) for block in blocks] == [2, 1, 2, 1]
    assert [[pair.src for pair in block.records()] for block in blocks] == [["1", "2"], ["3"], ["1", "2"], ["3"]]
    assert [pair.line for block in blocks for pair in block.records()] == [1, 2, 3, 1, 2, 3]


def test_how_much_has_been_read_is_known_between_blocks(tmp_path: Path) -> None:
    paths = [
        written(tmp_path / name, data) for name, data in (("a", "1\n2\n"), ("b", "3\n"), ("c", "x\ny\n"), ("d", "z"))
    ]
    source = ParallelFiles(paths[:2], paths[2:], "error", name="corpus")
    assert (source.total_bytes, source.read_bytes) == (4 + 2 + 4 + 1, 0)
    for _ in range(2):
        assert [source.read_bytes for _ in source.blocks(1)] == [8, 8, 11]
    text = TextFiles(paths, "error")
    assert [text.read_bytes for _ in text.blocks(9)] == [4, 6, 10, text.total_bytes]


def test_a_block_gives_the_same_in_another_process(tmp_path: Path) -> None:
    (block,) = parallel(written(tmp_path / "a", "x\ny\n"), written(tmp_path / "b", "X\nY\n")).blocks(10)
    assert pickle.loads(pickle.dumps(block)).records() == block.records()


def test_both_sides_are_cut_after_the_same_lines_where_one_has_long_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cutting, "BYTES_AT_ONCE", 10)
    source = parallel(written(tmp_path / "a", "1\n2\n3\n4\n"), written(tmp_path / "b", "1234567\n22345678\n3\n4\n"))
    blocks = list(source.blocks(4))
    assert [len(block) for block in blocks] == [1, 1, 2]
    assert [pair.src == pair.tgt[0] for pair in source.records()] == [True] * 4


@pytest.mark.parametrize(("src_lines", "tgt_lines"), [(1000, 999), (9, 10), (3, 0), (0, 1), (1, 0)])
def test_different_line_counts_name_both_files_and_both_counts(tmp_path: Path, src_lines: int, tgt_lines: int) -> None:
    src, tgt = written(tmp_path / "a.en", "x\n" * src_lines), written(tmp_path / "a.fr", "y\n" * tgt_lines)
    with pytest.raises(DataError) as caught:
        list(parallel(src, tgt).blocks(4))
    assert (
        str(caught.value)
        == f"{src} has {counted(src_lines, 'line')} but {tgt} has {tgt_lines:,}; parallel files must match"
    )


def test_every_source_file_needs_its_target_file() -> None:
    with pytest.raises(DataError, match=r"^2 source files but 0 target files.*\(source: a, b; target: none\)$"):
        ParallelFiles([Path("a"), Path("b")], [], "error", name="corpus")


def test_damage_is_named_by_the_file_that_has_it(tmp_path: Path) -> None:
    src = written(tmp_path / "a.gz", gzip.compress(b"x\n" * 5000)[:-9])
    with pytest.raises(DataError, match=r"a\.gz is a damaged or incomplete \.gz file"):
        list(parallel(src, written(tmp_path / "b", "y\n" * 5000)).records())
    with pytest.raises(DataError, match=r"a\.gz is a damaged or incomplete \.gz file"):
        list(parallel(written(tmp_path / "b", "y\n" * 5000), src).records())


def test_a_bad_byte_is_an_error_of_the_block_that_holds_it(tmp_path: Path) -> None:
    source = parallel(written(tmp_path / "a", "x\nx\nx\n"), written(tmp_path / "b", b"y\ny\n\xff\n"))
    first, second = source.blocks(2)
    assert len(first.records()) == 2
    with pytest.raises(DataError, match=r"b, line 3: byte 1 \(0xff\) is not UTF-8"):
        second.records()


def test_text_is_read_line_by_line_with_its_origin_and_blank_lines(tmp_path: Path) -> None:
    one = written(tmp_path / "one.gz", gzip.compress(b" cafe\xcc\x81 \n \t\n"))
    two = written(tmp_path / "two", "x\ty")
    source = TextFiles([one, two], "error")
    assert source.files == (one, two)
    assert [len(block) for block in source.blocks(10)] == [2, 1]
    assert list(source.records()) == [Line("caf\u00e9", str(one), 1), Line("", str(one), 2), Line("x\ty", str(two), 1)]


def test_bad_bytes_of_a_text_are_an_error_or_are_replaced(tmp_path: Path) -> None:
    path = written(tmp_path / "a", b"\xff\n")
    with pytest.raises(DataError, match=r"a, line 1: byte 1 \(0xff\) is not UTF-8"):
        list(TextFiles([path], "error").records())
    assert [line.text for line in TextFiles([path], "replace").records()] == ["\ufffd"]


def test_a_line_that_is_too_long_spoils_its_pair_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutting, "LONGEST_LINE", 5)
    monkeypatch.setattr(compressed, "CHUNK", 5)
    src, tgt = tmp_path / "a.en", tmp_path / "a.fr"
    src.write_text("one\ntwo and more\nthree\nfour\n")
    tgt.write_text("un\ndeux\ntrois et plus\nquatr\n")
    pairs = list(ParallelFiles([src], [tgt], "error", name="a").records())
    assert [(pair.src, pair.tgt, pair.line, pair.fault) for pair in pairs] == [
        ("one", "un", 1, None),
        ("", "", 2, "too_long"),
        ("", "", 3, "too_long"),
        ("four", "quatr", 4, None),
    ]
    lines = list(TextFiles([src], "error").records())
    assert [(line.text, line.fault) for line in lines] == [
        ("one", None),
        ("", "too_long"),
        ("three", None),
        ("four", None),
    ]


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
