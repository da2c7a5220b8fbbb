import gzip
from pathlib import Path

import pytest

from nmt.corpus.po import PoFiles
from nmt.errors import DataError
from nmt.io.lines import SKIP_HINT, OnBadUtf8, Pair

HEADER = (
    'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=UTF-8\\n"\n"Plural-Forms: nplurals=2; plural=n>1;\\n"\n\n'
)


def read(path: Path, on_bad_utf8: OnBadUtf8 = "error") -> list[Pair]:
    return list(PoFiles([path], on_bad_utf8, name="corpus").records())


def texts(tmp_path: Path, entries: str, header: str = HEADER) -> list[tuple[str, ...]]:
    path = tmp_path / "a.po"
    path.write_text(header + entries, encoding="utf-8")
    return [pair[:2] for pair in read(path)]


def test_messages_are_pairs_at_the_lines_of_their_entries(tmp_path: Path) -> None:
    path = tmp_path / "a.po"
    path.write_text(
        HEADER + 'msgid "Open"\nmsgstr "Ouvrir"\n\n#: x.c:1\nmsgctxt "menu"\nmsgid "Quit"\nmsgstr "Quitter"\n'
    )
    assert read(path) == [Pair("Open", "Ouvrir", str(path), 6), Pair("Quit", "Quitter", str(path), 9)]


def test_messages_over_several_lines_become_one_line(tmp_path: Path) -> None:
    entry = 'msgid ""\n"one\\n"\n"two \\"x\\"\\t\\\\n"\nmsgstr "un\u2028\\r\\n"\n"deux"\n'
    assert texts(tmp_path, entry) == [('one two "x" \\n', "un\u2028 deux")]


def test_obsolete_entries_are_left_out_and_what_is_not_translated_has_an_empty_target(tmp_path: Path) -> None:
    entries = '#, fuzzy\nmsgid "a"\nmsgstr "b"\n\nmsgid "c"\nmsgstr ""\n\n#~ msgid "d"\n#~ msgstr "e"\n\n'
    entries += 'msgid "f"\nmsgstr "g"\n'
    assert texts(tmp_path, entries) == [("a", ""), ("c", ""), ("f", "g")]


@pytest.mark.parametrize(
    ("forms", "expected"),
    [
        (["1 fichier", "%d fichiers"], [("one file", "1 fichier"), ("%d files", "%d fichiers")]),
        (["fichier"], [("%d files", "fichier")]),
        (["plik", "pliki", "plik\u00f3w"], [("one file", "plik")]),
        ([], [("%d files", "")]),
    ],
)
def test_plural_forms(tmp_path: Path, forms: list[str], expected: list[tuple[str, str]]) -> None:
    entry = 'msgid "one file"\nmsgid_plural "%d files"\n'
    entry += "".join(f'msgstr[{number}] "{form}"\n' for number, form in enumerate(forms))
    assert texts(tmp_path, entry) == expected


def test_a_file_without_a_header_is_utf8(tmp_path: Path) -> None:
    assert texts(tmp_path, 'msgid "a"\nmsgstr "\u00e9"\n', header="") == [("a", "\u00e9")]
    assert texts(tmp_path, "", header="") == []


def test_the_encoding_is_that_of_the_header_and_the_file_may_be_compressed(tmp_path: Path) -> None:
    path = tmp_path / "a.po.gz"
    path.write_bytes(
        gzip.compress((HEADER.replace("UTF-8", "ISO-8859-1") + 'msgid "a"\nmsgstr "\u00e9"\n').encode("latin-1"))
    )
    assert [pair[:2] for pair in read(path)] == [("a", "\u00e9")]


def test_bad_bytes_are_named_or_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.po"
    path.write_bytes(HEADER.encode() + b'msgid "a"\nmsgstr "\xff"\n')
    with pytest.raises(
        DataError, match=r"a\.po, line 7: the byte 0xff is not UTF-8, the encoding of the file; --on-bad"
    ):
        read(path)
    assert [pair[:2] for pair in read(path, "replace")] == [("a", "\ufffd")]


def test_halves_of_surrogate_pairs_from_strange_encodings_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.po"
    path.write_bytes(HEADER.replace("UTF-8", "raw_unicode_escape").encode() + b'msgid "a"\nmsgstr "\\ud800"\n')
    with pytest.raises(DataError, match=r"a\.po, line 6: U\+D800 is half of a surrogate pair"):
        read(path)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ('msgid "a"\nmsgstr "b" c"\n', ', line 7: found msgstr "b" c", expected a string between two quotes'),
        ('msgid "a"\nmsgid "b"\n', ": Syntax error in line 7"),
        ('msgid "a"\nmsgstr[x] "b"\n', ', line 7: found msgstr[x] "b", expected a string between two quotes'),
        ('msgid "a"\nmsgstr ""\n"it ends he', ', line 8: found "it ends he, expected a string between two quotes'),
        ('msgid "a', ', line 6: found msgid "a, expected a string between two quotes'),
        ('msgid "a"\nmsgstr "b\\"\n', ', line 7: found msgstr "b\\", expected a string between two quotes'),
        ("msgid a\n", ", line 6: found msgid a, expected a string between two quotes"),
        ("what is this?\n", ": Syntax error in line 6"),
    ],
)
def test_syntax_errors_name_file_and_line(tmp_path: Path, entries: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        texts(tmp_path, entries)
    assert str(caught.value) == f"{tmp_path / 'a.po'}{message}{SKIP_HINT}"


@pytest.mark.parametrize("charset", ["hex", "undefined"])
def test_encodings_that_are_none_are_named(tmp_path: Path, charset: str) -> None:
    with pytest.raises(DataError, match=rf"a\.po: cannot read its encoding {charset}: "):
        texts(tmp_path, "", header=HEADER.replace("UTF-8", charset))


def test_a_file_that_holds_the_name_of_another_file_is_no_other_file(tmp_path: Path) -> None:
    other = tmp_path / "other.po"
    other.write_text(HEADER + 'msgid "secret"\nmsgstr "secret"\n')
    with pytest.raises(DataError, match="Syntax error in line 1"):
        texts(tmp_path, str(other), header="")


@pytest.mark.parametrize(
    "broken", ['msgid "a"\nmsgstr "b" c"', 'msgid "a"\nmsgid "b"', 'msgid "a"\nmsgstr ""\n"it ends he', "what is this?"]
)
def test_broken_entries_can_be_left_out_and_take_no_other_with_them(tmp_path: Path, broken: str) -> None:
    path = tmp_path / "a.po"
    path.write_text(f'{HEADER}\nmsgid "c"\nmsgstr "d"\n\n{broken}\n\n\nmsgid "e"\nmsgstr "f"\n')
    found = list(PoFiles([path], "error", name="a", on_bad_record="skip").records())
    assert [(pair.src, pair.tgt, pair.fault) for pair in found] == [
        ("c", "d", None),
        ("", "", "broken"),
        ("e", "f", None),
    ]
    lines = path.read_text().split("\n")
    assert [lines[pair.line - 1] for pair in found] == ['msgid "c"', broken.split("\n")[0], 'msgid "e"']


def test_a_catalogue_that_is_read_entry_by_entry_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a.po"
    path.write_text(
        HEADER + '\n#, fuzzy\nmsgid "c"\nmsgstr "d"\n\n#~ msgid "old"\n#~ msgstr "x"\n\n\nmsgid "e"\nmsgstr "f"\n'
    )
    found = [list(PoFiles([path], "error", name="a", on_bad_record=bad).records()) for bad in ("error", "skip")]
    assert found[0] == found[1] != []


def test_a_file_of_broken_entries_alone_is_an_error_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a.po"
    path.write_text("what is this?\n")
    with pytest.raises(DataError, match="Syntax error"):
        list(PoFiles([path], "error", name="a", on_bad_record="skip").records())
