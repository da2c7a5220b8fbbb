"""BLEU as older papers have it, the protocol lc-norm-tok."""

import math
from collections import Counter
from pathlib import Path

import pytest
import sacrebleu

from nmt.errors import UsageError
from nmt.metrics import ScoreOptions, compare_files, score_files, score_lines

pytest.importorskip("sacremoses", reason="no sacremoses")

OLDER = ScoreOptions(metrics=("lc-norm-tok",), tgt_lang="de")
BOTH = ScoreOptions(metrics=("bleu", "lc-norm-tok"), tgt_lang="de")
SIGNATURE = f"nrefs:1|case:lc|eff:no|tok:lc-norm-tok-de-sacremoses-0.2.0|smooth:none|version:{sacrebleu.__version__}"
HYPOTHESES = [
    "Ein Hund läuft schnell nach Hause.",
    "„Halt“, ruft die Frau im roten Kleid!",
    "Zwei Kinder spielen am See.",
]
REFERENCES = [
    "Ein hund rennt schnell nach Hause.",
    '"Halt" ruft eine Frau im roten Kleid!',
    "Zwei Kinder spielen an einem See.",
]


def multi_bleu(hypotheses: list[str], references: list[str]) -> float:
    """What multi-bleu.perl does with tokens: clipped counts over the corpus, a brevity penalty, no smoothing."""
    lengths, correct, total = [0, 0], [0] * 4, [0] * 4
    for pair in zip(hypotheses, references, strict=True):
        hypothesis, reference = (line.split() for line in pair)
        lengths = [lengths[0] + len(hypothesis), lengths[1] + len(reference)]
        for n in range(1, 5):
            counts, known = (
                Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1)) for words in (hypothesis, reference)
            )
            correct[n - 1] += sum((counts & known).values())
            total[n - 1] += sum(counts.values())
    penalty = math.exp(min(0.0, 1 - lengths[1] / lengths[0]))
    return 100 * penalty * math.prod(right / all_ for right, all_ in zip(correct, total, strict=True)) ** 0.25


def test_case_does_not_count_and_punctuation_is_cut_off() -> None:
    # ein hund läuft schnell nach haus . : 6 of 7 words, 4 of 6 pairs, 3 of 5 triples, 2 of 4 quadruples are right
    (one,) = score_lines(["ein Hund läuft schnell nach Haus."], ["Ein Hund läuft schnell nach Hause."], OLDER)
    assert one.score == pytest.approx(100 * (6 / 7 * 4 / 6 * 3 / 5 * 2 / 4) ** 0.25)


def test_it_is_what_multi_bleu_counts_in_tokenised_text() -> None:
    hypotheses = [
        "ein hund läuft schnell nach hause .",
        "&quot; halt &quot; , ruft die frau im roten kleid !",
        "zwei kinder spielen am see .",
    ]
    references = [
        "ein hund rennt schnell nach hause .",
        "&quot; halt &quot; ruft eine frau im roten kleid !",
        "zwei kinder spielen an einem see .",
    ]
    (one,) = score_lines(HYPOTHESES, REFERENCES, OLDER)
    assert one.score == pytest.approx(multi_bleu(hypotheses, references))


def test_there_is_no_smoothing() -> None:
    today, older = score_lines(["Ein Hund läuft."], ["Ein Hund rennt."], BOTH)
    assert (today.score > 0, older.score) == (True, 0)


def test_its_signature_names_protocol_language_and_library() -> None:
    (one,) = score_lines(HYPOTHESES, REFERENCES, OLDER)
    assert (one.metric, one.name, one.signature) == ("lc-norm-tok", "BLEU lc-norm-tok", SIGNATURE)


def test_it_stands_beside_the_bleu_of_today_with_intervals_tests_and_several_references(tmp_path: Path) -> None:
    for name, lines in {"ref": REFERENCES, "out": HYPOTHESES, "more": HYPOTHESES[::-1]}.items():
        (tmp_path / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    ref, out, more = (tmp_path / name for name in ("ref", "out", "more"))
    first, second = compare_files(ref, [out, ref], BOTH)
    (today,) = score_files(ref, [out], ScoreOptions(metrics=("bleu",)))[0].scores
    (older,) = score_lines(HYPOTHESES, REFERENCES, OLDER)
    assert [one.score for one in first.scores] == [today.score, older.score]
    assert [round(one.score, 9) for one in second.scores] == [100, 100]
    assert all(one.p_value is not None for one in second.scores)
    assert "tok:lc-norm-tok-de" in second.scores[1].signature
    (interval,) = score_lines(HYPOTHESES, REFERENCES, ScoreOptions(("lc-norm-tok",), tgt_lang="de", confidence=True))
    assert interval.confidence is not None
    (both,) = score_files(ref, [out], OLDER, more=[out])[0].scores
    assert (round(both.score, 9), both.signature) == (100, SIGNATURE.replace("nrefs:1", "nrefs:2"))
    assert score_files(ref, [more], OLDER)[0].scores[0].score < older.score


def test_a_language_is_needed() -> None:
    with pytest.raises(
        UsageError, match=r"^the protocol lc-norm-tok needs --tgt-lang, the language of the translations, such as de$"
    ):
        ScoreOptions(metrics=("lc-norm-tok",))
