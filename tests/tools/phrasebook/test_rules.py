import re
import tomllib
from importlib.resources import files

import pytest

from nmt.errors import DataError
from tools.phrasebook.lexicon import Lexicon, read_lexicon
from tools.phrasebook.rules import Rule, read_rules


@pytest.fixture(scope="module")
def lexicon() -> Lexicon:
    return read_lexicon(files("tools.phrasebook"))


def compiled(lexicon: Lexicon, *rules: str, lists: str = "") -> dict[str, tuple[Rule, ...]]:
    text = lists + "".join(f"\n[[rule]]\n{rule}\n" for rule in rules)
    return read_rules({"r.toml": tomllib.loads(text)}, lexicon)


NOUN = 'makes = "np"\nslots = { noun = "noun food" }\nhead = "noun"\nen = "{noun@self}"\nfr = "{noun@self}"'


def test_a_rule_is_made_for_each_kind_and_they_share_its_weight(lexicon: Lexicon) -> None:
    rule = 'makes = "x"\neach = ["food", "clothes"]\nweight = 3\nslots = { n = "noun *" }\nen = "{n}"\nfr = "{n}"'
    rules = compiled(lexicon, rule)["x"]
    assert [(rule.categories, rule.weight) for rule in rules] == [(("noun food",), 1.5), (("noun clothes",), 1.5)]


def test_a_rule_that_makes_a_kind_keeps_its_weight(lexicon: Lexicon) -> None:
    rule = 'makes = "x *"\neach = "all"\nweight = 3\nslots = { n = "noun *" }\nen = "{n}"\nfr = "{n}"'
    rules = compiled(lexicon, rule, lists='[lists]\nall = ["food", "clothes"]\n')
    assert {name: rule.weight for name, (rule,) in rules.items()} == {"x food": 3, "x clothes": 3}


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ('makes = "x"\nen = "a"', "r.toml: rule 1 (x): fr is missing; expected makes, en and fr"),
        ('en = "a"\nfr = "b"', "r.toml: rule 1 (makes is missing): makes is missing; expected makes, en and fr"),
        (
            'makes = "x"\nwieght = 2\nen = "a"\nfr = "b"',
            "r.toml: rule 1 (x): unknown key 'wieght'; "
            "expected one of agreement, each, head, makes, number, slots, weight",
        ),
        (
            'makes = "x"\nnumber = "dual"\nen = "a"\nfr = "b"',
            "r.toml: rule 1 (x): number is 'dual'; expected singular or plural",
        ),
        (
            'makes = "x"\nagreement = "3p"\nen = "a"\nfr = "b"',
            "r.toml: rule 1 (x): agreement is '3p'; expected for example '3p f'",
        ),
        (
            'makes = "x"\neach = "alle"\nen = "a"\nfr = "b"',
            "r.toml: rule 1 (x): each is 'alle'; expected kinds, or one of the lists all",
        ),
        (
            'makes = "x"\nslots = { n = "noun fod" }\nen = "{n}"\nfr = "{n}"',
            "r.toml: rule 1 (x): slot 'n' asks for 'noun fod', which no word and no rule gives",
        ),
        (
            'makes = "x"\nslots = { n = "noun food" }\nen = "{n}"\nfr = "{m}"',
            "r.toml: rule 1 (x): unknown slot {m}; expected one of n",
        ),
        (
            'makes = "x"\nslots = { n = "noun food" }\nen = "a"\nfr = "{n}"',
            "r.toml: rule 1 (x): slot 'n' is not in the English template 'a'",
        ),
        (
            'makes = "x"\nslots = { n = "noun food" }\nhead = "m"\nen = "{n}"\nfr = "{n}"',
            "r.toml: rule 1 (x): head is 'm'; expected one of the slots n",
        ),
        (
            'makes = "x"\nslots = { n = "noun food" }\nen = "{n}"\nfr = "{n@m}"',
            "r.toml: rule 1 (x): nothing to agree with is called 'm'; expected one of self, n, 1s, 3s, 1p, 2p, 3p",
        ),
        (
            'makes = "x"\nslots = { n = "noun food" }\nen = "{n}"\nfr = "{n.a.b}"',
            "r.toml: rule 1 (x): cannot read {n.a.b}; expected {slot}, {slot.form} or {slot.form@slot}",
        ),
        (
            'makes = "x"\nslots = { n = "noun meal" }\nen = "{n}"\nfr = "{n.past}"',
            "r.toml: rule 1 (x): fr asks for the form 'past' of noun bread/pain; expected one of ''",
        ),
        ('makes = "x"\nslots = { x = "x" }\nen = "{x}"\nfr = "{x}"', "the rules run in a circle: x -> x"),
    ],
)
def test_a_malformed_rule_is_named(lexicon: Lexicon, rule: str, message: str) -> None:
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        compiled(lexicon, rule, lists='[lists]\nall = ["food"]\n')


def test_a_form_of_a_phrase_without_a_head_is_refused(lexicon: Lexicon) -> None:
    headless = NOUN.replace('head = "noun"\n', "")
    user = 'makes = "x"\nslots = { np = "np" }\nen = "{np}"\nfr = "{np@self}"'
    message = "r.toml: rule 2 (x): asks for a form of 'np', but r.toml: rule 1 (np) has no head"
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        compiled(lexicon, headless, user)


def test_a_form_of_a_head_is_checked_through_the_phrase(lexicon: Lexicon) -> None:
    user = 'makes = "x"\nslots = { np = "np" }\nen = "{np}"\nfr = "{np.future@self}"'
    message = "r.toml: rule 2 (x): fr asks for the form 'future' of noun apple/pomme; expected one of ''"
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        compiled(lexicon, NOUN, user)
