from typing import Any

import pytest

from nmt.config import Settings
from nmt.corpus.cleaning import REASONS, Reason
from nmt.inspection.reasons import explain
from nmt.prepared.manifest import prepared_sections


def data(**changes: Any) -> dict[str, Any]:
    return {**prepared_sections(Settings())["data"], **changes}


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_has_an_explanation(reason: Reason) -> None:
    assert explain(reason, data())


@pytest.mark.parametrize(
    ("reason", "changes", "words"),
    [
        ("too_long", {"max_characters": 2500}, "more characters than data.max_characters = 2,500"),
        ("length_ratio", {"max_length_ratio": 1.5}, "more than data.max_length_ratio = 1.5 times the characters"),
        ("symbols", {"max_symbol_share": 0.4}, "than data.max_symbol_share = 40%"),
        ("script", {"min_script_share": 0.5, "src_lang": "en"}, "= 50% (data.src_lang = en, data.tgt_lang = unknown)"),
        ("overlap", {"drop_overlap": ["source", "pair"]}, "(data.drop_overlap = source, pair)"),
        ("overlap", {}, "(data.drop_overlap = none)"),
        ("too_many_pieces", {"max_pieces": 99}, "more pieces than data.max_pieces = 99"),
    ],
)
def test_an_explanation_names_the_setting_and_its_value(reason: Reason, changes: dict[str, Any], words: str) -> None:
    assert words in explain(reason, data(**changes))
