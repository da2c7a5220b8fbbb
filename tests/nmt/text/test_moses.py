"""What Moses' scripts make of a text; expected lines are those of Multi30k's own tokenised files."""

import sys

import pytest

from nmt.errors import ConfigError, UsageError
from nmt.text.moses import LcNormTok

MOSES = "sacremoses"


@pytest.mark.parametrize(
    ("language", "text", "published"),
    [
        (
            "de",
            'Eine Frau auf einem Boot namens "El Corazon" lässt schwarze Gewichte ins Wasser fallen.',
            "eine frau auf einem boot namens &quot; el corazon &quot; lässt schwarze gewichte ins wasser fallen .",
        ),
        (
            "de",
            "Ein Boston Terrier läuft über saftig-grünes Gras vor einem weißen Zaun.",
            "ein boston terrier läuft über saftig-grünes gras vor einem weißen zaun .",
        ),
        ("fr", "C'est un groupe de personnes.", "c&apos; est un groupe de personnes ."),
        ("fr", "Deux bergers grognant l'un sur l'autre.", "deux bergers grognant l&apos; un sur l&apos; autre ."),
    ],
)
def test_lines_are_cut_as_those_of_multi30k(language: str, text: str, published: str) -> None:
    pytest.importorskip(MOSES, reason="no sacremoses")
    assert LcNormTok(language)(text) == published


def test_text_is_lower_cased_before_it_is_cut() -> None:
    pytest.importorskip(MOSES, reason="no sacremoses")
    cut = LcNormTok("de")("Es regnet. Er geht.")
    assert cut == "es regnet. er geht .", "a full stop is cut off before a capital or the end only"


def test_typographic_marks_become_plain_ones_as_in_perl() -> None:
    pytest.importorskip(MOSES, reason="no sacremoses")
    assert (
        LcNormTok("de")("„Das ist's“ \u2013 so\u2019n Ding\u2019")
        == "&quot; das ist &apos; s &quot; - so &apos; n ding &quot;"
    )


def test_a_language_without_rules_is_refused_with_those_that_have_some() -> None:
    pytest.importorskip(MOSES, reason="no sacremoses")
    message = (
        r"^the protocol lc-norm-tok found the language 'xx', for which Moses has no rules; expected one of as, .*zh$"
    )
    with pytest.raises(UsageError, match=message):
        LcNormTok("xx")


def test_a_missing_package_is_an_error_that_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, MOSES, None)
    with pytest.raises(ConfigError) as error:
        LcNormTok("de")
    message = "the protocol lc-norm-tok needs sacremoses, which is not installed"
    assert str(error.value) == f"{message}; in a checkout of nmt: pip install '.[moses]'"
