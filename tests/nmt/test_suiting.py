from importlib.util import find_spec

import pytest

from nmt import metrics
from nmt.metrics import suiting_tokenizer

TEXTS = {
    "en": "The dog runs fast through the garden.",
    "zh": "小狗在花园里跑得很快。",
    "ja": "犬が庭を速く走っています。",
    "ko": "개가 정원에서 빨리 달린다.",
    "th": "สุนัขวิ่งเร็วในสวน",
    "lo": "ໝາແລ່ນໄວໃນສວນ",
    "km": "ឆ្កែរត់លឿនក្នុងសួន",
    "my": "ခွေးသည်ဥယျာဉ်ထဲတွင်မြန်မြန်ပြေးသည်",
    "bo": "ཁྱི་དེ་མགྱོགས་པོར་རྒྱུག",
}


@pytest.mark.parametrize("language", TEXTS)
@pytest.mark.parametrize(("installed", "japanese", "korean"), [(True, "ja-mecab", "ko-mecab"), (False, "char", "13a")])
def test_text_and_language_alike_choose_what_finds_words(
    monkeypatch: pytest.MonkeyPatch, language: str, installed: bool, japanese: str, korean: str
) -> None:
    monkeypatch.setattr(metrics, "find_spec", lambda package: find_spec("nmt") if installed else None)
    expected = {"en": "13a", "zh": "zh", "ja": japanese, "ko": korean}.get(language, "char")
    assert suiting_tokenizer([TEXTS[language]]) == expected
    assert suiting_tokenizer(["1234"], language) == expected
    assert suiting_tokenizer([TEXTS[language]], "xx") == expected, "a code that says nothing"


@pytest.mark.parametrize("code", ["zh", "zh-Hant", "zh_CN", "yue-Hant"])
def test_chinese_has_many_codes(code: str) -> None:
    assert suiting_tokenizer([], code) == "zh"


def test_a_few_foreign_letters_change_nothing() -> None:
    assert suiting_tokenizer([TEXTS["en"]] * 9 + [TEXTS["zh"]]) == "13a"
    assert suiting_tokenizer([TEXTS["zh"]] * 9 + [TEXTS["en"]]) == "zh"


def test_text_without_letters_has_the_usual_tokenizer() -> None:
    assert suiting_tokenizer([]) == suiting_tokenizer(["", "12 + 3"]) == "13a"
