import pytest

from nmt.config import load_settings
from nmt.errors import DataError
from nmt.prepared.corpus import heldout_size
from nmt.prepared.pairs import PairCorpus
from nmt.prepared.text import TextCorpus

SETTINGS = load_settings(None, ["data.heldout_pairs=5"])
PAIRS = PairCorpus(SETTINGS)
TEXT = TextCorpus(SETTINGS)


def test_as_many_are_held_out_as_the_settings_say_but_at_most_a_tenth() -> None:
    assert [heldout_size(accepted, PAIRS) for accepted in (10, 49, 50, 1000)] == [1, 4, 5, 5]
    assert heldout_size(49, TEXT) == 4


def test_too_few_to_hold_some_out_is_an_error_that_names_the_options() -> None:
    with pytest.raises(DataError, match=r"^9 training pairs are too few .* text with --valid-src and --valid-tgt$"):
        heldout_size(9, PAIRS)
    with pytest.raises(
        DataError, match=r"^9 training lines are too few to hold out a tenth .* text with --valid-text$"
    ):
        heldout_size(9, TEXT)
