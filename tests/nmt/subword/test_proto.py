from typing import get_args

import pytest

from nmt.subword.proto import Kind, kind_of
from nmt.subword.training import train_tokenizer


@pytest.mark.parametrize("kind", get_args(Kind))
def test_a_model_says_what_it_was_trained_as(kind: Kind) -> None:
    assert kind_of(train_tokenizer(["a b c"] * 9, kind=kind, vocab_size=8)) == kind


def test_fields_of_every_wire_type_are_passed_over() -> None:
    # Field 2 is the message that holds field 3, the kind; around them a number of two bytes, 8 bytes, 4 bytes, a text.
    spec = bytes([0x08, 0xAC, 0x02, 0x11, *range(8), 0x18, 4, 0x25, *range(4)])
    assert kind_of(bytes([0x0A, 2, 0x61, 0x62, 0x12, len(spec), *spec])) == "char"


def test_the_kind_that_is_not_written_is_unigram() -> None:
    assert kind_of(bytes([0x12, 0])) == kind_of(b"") == "unigram"
