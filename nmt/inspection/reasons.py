"""Why text was left out, in words."""

from collections.abc import Sequence
from typing import Any

from nmt.corpus.cleaning import Reason


def explain(reason: Reason, data: dict[str, Any]) -> str:
    """Say what is wrong with what was rejected for a reason, and which of the settings [data] says so."""
    languages = f"data.src_lang = {data.get('src_lang', 'unknown')}, data.tgt_lang = {data.get('tgt_lang', 'unknown')}"
    sentences: dict[Reason, str] = {
        "broken": "no record of the form that its file should have (data.on_bad_record)",
        "empty": "nothing but white space",
        "too_long": f"more characters than data.max_characters = {data['max_characters']:,}",
        "length_ratio": f"one side has more than data.max_length_ratio = {data['max_length_ratio']:g} "
        "times the characters of the other",
        "copy": "the target is the source (data.drop_copies)",
        "symbols": "more digits, punctuation and symbols among its characters than "
        f"data.max_symbol_share = {data['max_symbol_share']:.0%}",
        "script": "fewer letters of the script of its language than "
        f"data.min_script_share = {data['min_script_share']:.0%} ({languages})",
        "language": f"it looks like another language (data.identify_languages; {languages})",
        "overlap": f"it stands in the validation or test text (data.drop_overlap = {_listed(data['drop_overlap'])})",
        "duplicate": "it came before (data.drop_duplicates)",
        "too_many_pieces": f"more pieces than data.max_pieces = {data['max_pieces']:,}",
    }
    return sentences[reason]


def _listed(values: Sequence[str]) -> str:
    return ", ".join(values) or "none"
