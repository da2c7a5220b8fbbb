import random
import re
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from nmt_lab import reber
from nmt_lab.common import compared
from nmt_lab.reber import accept, draw_string, draw_test, encode, is_grammatical, replace, swap


def inner_by_hand() -> re.Pattern[str]:
    """The grammar as an expression: two ways in, loops between the states 3, 4 and 5, two ways out."""
    to_five = "T*V"  # from state 3
    round_trip = f"(?:PX{to_five})"  # from 5 over 4 and 3 to 5 again
    from_five = f"{round_trip}*(?:VE|PSE)"
    from_four = f"(?:SE|X{to_five}{from_five})"
    return re.compile(f"B(?:TS*X{from_four}|P{to_five}{from_five})")


def grammatical_by_expression(string: str) -> bool:
    found = re.fullmatch(r"B([TP])(.*)([TP])E", string)
    return found is not None and found[1] == found[3] and inner_by_hand().fullmatch(found[2]) is not None


def test_strings_from_the_grammar_are_accepted_by_an_expression_of_it_and_corrupted_ones_are_not() -> None:
    rng = random.Random(0)
    for _ in range(500):
        string = draw_string(rng)
        assert grammatical_by_expression(string)
        assert is_grammatical(string)
        for corrupted in (swap(string), replace(string, rng)):
            assert not grammatical_by_expression(corrupted)
            assert not is_grammatical(corrupted)


@pytest.mark.parametrize(
    "string", ["", "B", "BTE", "BTBTXSETE", "BPBPVVEPE", "BTBTXSEPE", "BTBTXSETEE", "BTBTXSE", "BTETE"]
)
def test_any_string_is_judged_as_by_the_expression(string: str) -> None:
    assert is_grammatical(string) is grammatical_by_expression(string)


def test_a_swap_changes_the_last_symbol_but_one_alone() -> None:
    assert swap("BTBTXSETE") == "BTBTXSEPE"
    assert swap("BPBPVVEPE") == "BPBPVVETE"


def test_test_strings_are_new_and_different_and_half_of_them_grammatical() -> None:
    rng = random.Random(1)
    seen = {draw_string(rng) for _ in range(100)}
    strings = draw_test(rng, seen=seen, count=40)
    assert [is_grammatical(string) for string in strings] == [True] * 40 + [False] * 40
    assert len(set(strings[:40])) == 40
    assert not seen & set(strings)
    assert strings[40:60] == [swap(string) for string in strings[:20]]


class Oracle(nn.Module):
    """Allows after each symbol what `allow` says, all as likely."""

    def __init__(self, allow: Callable[[str], str]) -> None:
        super().__init__()
        self.allow = allow

    def forward(self, inputs: Tensor) -> tuple[Tensor, None]:
        symbols = reber.ENDS + reber.SYMBOLS
        logits = torch.full(inputs.shape, -100.0)
        for b, row in enumerate(inputs.argmax(2).tolist()):
            for t in range(len(row)):
                for symbol in self.allow("".join(symbols[i] for i in row[1 : t + 1])):
                    logits[b, t, symbols.index(symbol)] = 0.0
        return logits, None


def test_a_string_is_accepted_if_its_symbols_and_its_end_were_likely() -> None:
    follow = {"": "B", "B": "TP", "BT": "E", "BTE": "."}
    oracle = Oracle(lambda prefix: follow.get(prefix, "X"))
    assert accept(oracle, encode(["BTE", "BP", "BT", "B", "BTEX", "TTE"])).tolist() == [True] + [False] * 5  # type: ignore[arg-type]


def test_the_lab_says_what_it_has_found(run: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reber, "RUNS", 1)
    lines = run(reber, steps=1)
    assert [line.partition(":")[0] for line in lines] == [f"seed 1, {name}" for name in compared(None)]


@pytest.mark.slow
def test_an_lstm_recognises_every_unseen_string() -> None:
    rng = random.Random(1)
    batches = [[draw_string(rng) for _ in range(32)] for _ in range(2000)]
    test = draw_test(rng, seen={string for batch in batches for string in batch}, count=1000)
    *_, (_, accuracies) = reber.learn("LSTM", batches, test, reber.DEFAULTS)
    assert accuracies == (1.0, 1.0)
