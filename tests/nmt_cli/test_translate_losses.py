import pytest

from nmt.translate import Translation
from nmt_cli.translate import _warn_of_cuts_and_losses


def test_numbers_without_a_place_are_named_with_their_line(capsys: pytest.CaptureFixture[str]) -> None:
    whole, lacking = Translation("a", 0.0, 0.0, 1), Translation("b", 0.0, 0.0, 1, lost=("7", "1 234"))
    _warn_of_cuts_and_losses([[lacking], [whole], [whole, lacking]], 10, name="test.en", document=False)
    assert capsys.readouterr().err.splitlines() == [
        "warning: test.en, line 11: the translation found no place for 7, 1 234",
        "warning: test.en, line 13: translation 2 found no place for 7, 1 234",
    ]
