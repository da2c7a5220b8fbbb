import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmt.text.vocab import decode_bytes, readable, show_piece, surface


def test_a_byte_below_128_is_a_character_and_others_are_lone_bytes() -> None:
    assert [surface(f"<0x{byte}>", byte=True) for byte in ("41", "20", "7F", "80", "C3")] == [
        "A",
        "\u2581",
        "\x7f",
        "\udc80",
        "\udcc3",
    ]
    assert surface("<0x41>", byte=False) == "<0x41>"


@pytest.mark.parametrize(
    ("text", "decoded"),
    [
        ("plain", "plain"),
        ("caf\udcc3\udca9", "café"),
        ("\udcc3", "\ufffd"),
        ("\udce4\udcb8a", "\ufffd\ufffda"),
        ("\udcff\udcc3\udca9\udcfe", "\ufffdé\ufffd"),
        ("\udced\udca0\udc80", "\ufffd" * 3),  # a surrogate, which UTF-8 has no place for
    ],
)
def test_bytes_become_characters_and_each_that_belongs_to_none_a_mark(text: str, decoded: str) -> None:
    assert decode_bytes(text) == decoded


@given(st.text())
def test_text_spelled_in_bytes_comes_back(text: str) -> None:
    spelled = [surface(f"<0x{byte:02X}>", byte=True) for byte in text.encode()]
    assert decode_bytes("".join(spelled).replace("\u2581", " ")) == text


def test_lone_bytes_are_shown_by_their_numbers() -> None:
    assert [show_piece(piece) for piece in ("the", "\udcc3", "a\udca9")] == ["the", "<0xC3>", "a<0xA9>"]


def test_a_readable_piece_has_no_control_characters() -> None:
    assert readable("the\u2581\u00e9\u732b") == "the\u2581\u00e9\u732b"
    assert readable("\n\r\t\\") == r"\n\r\t\\"
    assert readable("\0\x1b\x85\u2028\u2029") == r"\x00\x1b\x85\u2028\u2029"


@given(st.text(), st.text())
def test_two_readable_pieces_are_the_same_only_if_the_pieces_are(one: str, other: str) -> None:
    assert (readable(one) == readable(other)) == (one == other)
    assert len(readable(one).splitlines()) <= 1
    assert "\t" not in readable(one)
