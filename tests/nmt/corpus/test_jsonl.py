import gzip
from pathlib import Path

import pytest

from nmt.corpus.fields import Wanted
from nmt.corpus.jsonl import JsonFiles
from nmt.errors import DataError
from nmt.io.lines import SKIP_HINT, OnBadUtf8, Pair

GUESS = Wanted()
FIRST = '{"src": "a", "tgt": "b"}\n'


def read(path: Path, wanted: Wanted = GUESS, on_bad_utf8: OnBadUtf8 = "error") -> list[Pair]:
    return list(JsonFiles([path], on_bad_utf8, wanted, name="corpus").records())


def test_fields_are_guessed_from_the_first_line_and_blank_lines_are_empty_pairs(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('\ufeff \n{"translation": {"en": "a\\nb", "fr": "c"}}\r\n\n{"translation": {"fr": "d", "en": "e"}}')
    assert read(path, Wanted(src_lang="en", tgt_lang="fr")) == [
        Pair("", "", str(path), 1),
        Pair("a b", "c", str(path), 2),
        Pair("", "", str(path), 3),
        Pair("e", "d", str(path), 4),
    ]


def test_escaped_characters_are_composed_and_pairs_of_surrogates_are_characters(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(r'{"src": "cafe\u0301 \ud83d\ude00", "tgt": " \u00a0x"}')
    assert [pair[:2] for pair in read(path)] == [("caf\u00e9 \U0001f600", "x")]


def test_only_newlines_end_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"src": "a\u2028b\u0085c", "tgt": "d"}\n{"src": "e", "tgt": "f"}\n', encoding="utf-8")
    assert [pair.src for pair in read(path)] == ["a\u2028b\u0085c", "e"]


def test_a_file_may_be_compressed(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(FIRST.encode()))
    assert [pair[:2] for pair in read(path)] == [("a", "b")]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"src": "a"}', "found the fields src; expected tgt, as in the first line"),
        ('{"src": "a", "target": "b"}', "found the fields src, target; expected tgt, as in the first line"),
        ('{"src": "a", "tgt": 7}', "the field tgt holds a number, expected text"),
        ('{"src": "a", "tgt": [1]}', "the field tgt holds a list, expected text"),
        ('{"src": true, "tgt": "b"}', "the field src holds true or false, expected text"),
        ('{"src": {"a": "b"}, "tgt": "b"}', "the field src holds an object, expected text"),
        ('["a", "b"]', "found a list, expected an object with a source and a target"),
        ('"a"', "found text, expected an object with a source and a target"),
        ('{"src": "a" "tgt": "b"}', "found no JSON at character 13: Expecting ',' delimiter"),
        ('{"src": "a', "found no JSON at character 9: Unterminated string starting at"),
        ("[" * 100_000, "found JSON that is nested too deeply"),
        (
            r'{"src": "\ud800", "tgt": "b"}',
            "U+D800 is half of a surrogate pair, no character; --on-bad-utf8 replace puts U+FFFD in its place",
        ),
    ],
)
@pytest.mark.parametrize("number", [1, 2])
def test_a_line_that_cannot_be_used_is_named(tmp_path: Path, line: str, message: str, number: int) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(FIRST * (number - 1) + line)
    if number == 1 and "as in the first line" in message:
        message = (
            message.partition("; ")[0] + "; expected src and tgt, source and target, or languages that src_lang and "
        )
        message += "tgt_lang name; src_field and tgt_field name any others"
    with pytest.raises(DataError) as caught:
        read(path)
    assert (
        str(caught.value)
        == f"{path}, line {number}: {message}{'' if 'name any others' in message or 'on-bad' in message else SKIP_HINT}"
    )


def test_bad_bytes_and_lone_surrogates_are_replaced_on_request(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"src": "a\xff", "tgt": "\\udc00"}\n')
    assert [pair[:2] for pair in read(path, on_bad_utf8="replace")] == [("a\ufffd", "\ufffd")]
    with pytest.raises(DataError, match=r"a\.jsonl, line 1: byte 11 \(0xff\) is not UTF-8"):
        read(path)


def test_long_numbers_are_left_aside_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"id": ' + "9" * 1_000_000 + ', "src": "a", "tgt": "b"}')
    assert [pair[:2] for pair in read(path)] == [("a", "b")]


def test_null_is_an_empty_text_there_or_above(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"src": "a", "tgt": null}\n{"src": null, "tgt": "b"}\n')
    assert [pair[:2] for pair in read(path)] == [("a", ""), ("", "b")]
    path.write_text('{"t": {"en": "a", "fr": "b"}}\n{"t": null}\n{"t": {"en": "c", "fr": "d"}}\n')
    assert [pair[:2] for pair in read(path, Wanted("t.en", "t.fr"))] == [("a", "b"), ("", ""), ("c", "d")]


def test_lines_that_cannot_be_used_can_be_left_out_the_first_too(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    bad = ['{"src": "a"}', "7", "", '{"src": "a", "tgt": 7}', '{"src": "a']
    path.write_text("\n".join([*bad[:3], FIRST.strip(), *bad[3:], FIRST.strip()]))
    found = list(JsonFiles([path], "error", GUESS, name="a", on_bad_record="skip").records())
    faults = [pair.fault for pair in found]
    assert faults == ["broken", "broken", None, None, "broken", "broken", None]
    assert [bool(pair.src and pair.tgt) for pair in found] == [False, False, False, True, False, False, True]


def test_what_stands_before_the_first_line_with_the_fields_is_left_out_wherever_blocks_end(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('"a"\n' + FIRST)
    source = JsonFiles([path], "error", GUESS, name="a", on_bad_record="skip")
    for size in (1, 2):
        pairs = [pair for block in source.blocks(size) for pair in block.records()]
        assert [pair.fault for pair in pairs] == ["broken", None], size


def test_a_file_of_which_no_line_can_be_used_is_an_error_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('\n7\n{"a": "b"}\n')
    with pytest.raises(DataError, match=r"a\.jsonl, line 2: found a number, expected an object"):
        list(JsonFiles([path], "error", GUESS, name="a", on_bad_record="skip").blocks(1))
