import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from nmt.config import Settings
from nmt.config.data import DataSettings
from nmt.errors import ConfigError
from nmt.io.lines import Pair
from nmt.synthesis.judging import (
    Agreement,
    Judge,
    Outputs,
    Verdict,
    as_line,
    cleaning_of,
    of_model,
    read_text,
    refuse_reversed,
    refuse_same_direction,
    write_verdicts,
)

PAIRS = [
    Pair("a dog runs", "un chien court", "mono", 1),
    Pair("", "un chat", "mono", 2),
    Pair("a cat", "un chat", "mono", 3),
    Pair("a a a a a", "une", "mono", 4),
    Pair("a bird", "un oiseau", "mono", 5),
]


class Lengths:
    """Models that disagree on a pair by the letters of its source."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def disagreements(self, pairs: Sequence[Pair]) -> list[float]:
        self.asked += [pair.src for pair in pairs]
        return [float(len(pair.src)) for pair in pairs]


def judge(**options: Any) -> list[Verdict]:
    return list(Judge.of(cleaning_of(DataSettings()), **options)(PAIRS))


def filed(path: Path, verdicts: list[Verdict]) -> list[Path]:
    """Write verdicts to two files."""
    files = [path / "1", path / "2"]
    for file, some in zip(files, (verdicts[:2], verdicts[2:]), strict=True):
        file.write_bytes(b"".join(map(as_line, some)))
    return files


def objects(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_pairs_are_judged_by_the_rules_of_cleaning_and_phrases_over_and_over() -> None:
    assert [one.reason for one in judge()] == [None, "empty", None, "repetition", None]


def test_the_settings_may_allow_more_repetition() -> None:
    assert cleaning_of(DataSettings(max_repeats=7)).max_repeats == 7
    assert cleaning_of(DataSettings(drop_overlap=("pair",))).drop_overlap == ()


def test_models_are_asked_about_pairs_that_there_is_nothing_else_against() -> None:
    models = Lengths()
    found = judge(agreement=cast(Agreement, models), max_disagreement=6)
    assert models.asked == ["a dog runs", "a cat", "a bird"]
    assert [one.reason for one in found] == ["disagreement", "empty", None, "repetition", None]
    assert [one.disagreement for one in found] == [10, None, 5, None, 6]


def test_what_is_kept_and_what_is_left_out_stand_in_the_order_of_the_text(tmp_path: Path) -> None:
    outputs = Outputs(tmp_path / "pairs.tsv", tmp_path / "rejected.jsonl")
    outcome = write_verdicts(filed(tmp_path, judge()), outputs)
    assert outputs.pairs.read_text(encoding="utf-8") == (
        "a dog runs\tun chien court\na cat\tun chat\na bird\tun oiseau\n"
    )
    assert objects(tmp_path / "rejected.jsonl") == [
        {"file": "mono", "line": 2, "reason": "empty", "src": "", "tgt": "un chat"},
        {"file": "mono", "line": 4, "reason": "repetition", "src": "a a a a a", "tgt": "une"},
    ]
    assert (outcome.read, outcome.written, outcome.rejected) == (5, 3, {"empty": 1, "repetition": 1})


def test_the_share_that_models_agree_on_best_is_kept(tmp_path: Path) -> None:
    outputs = Outputs(tmp_path / "pairs.tsv", tmp_path / "rejected.jsonl", keep_share=0.5)
    outcome = write_verdicts(filed(tmp_path, judge(agreement=cast(Agreement, Lengths()))), outputs)
    assert outputs.pairs.read_text(encoding="utf-8") == "a cat\tun chat\t5.0000\na bird\tun oiseau\t6.0000\n"
    assert objects(tmp_path / "rejected.jsonl")[0] == {
        "file": "mono",
        "line": 1,
        "reason": "disagreement",
        "src": "a dog runs",
        "tgt": "un chien court",
        "disagreement": 10.0,
    }
    assert list(outcome.rejected.items()) == [("empty", 1), ("repetition", 1), ("disagreement", 1)]


@pytest.mark.parametrize(("share", "kept"), [(0.2, [0]), (0.4, [0, 1]), (0.6, [0, 1, 3]), (0.61, [0, 1, 2, 3])])
def test_of_pairs_that_models_agree_on_alike_the_first_are_kept_and_no_more_than_the_share(
    tmp_path: Path, share: float, kept: list[int]
) -> None:
    disagreements = (2.0, 3.0, 5.0, 3.0, 7.0)
    verdicts = [Verdict(Pair("a", str(number), "", 1), None, one) for number, one in enumerate(disagreements)]
    outcome = write_verdicts(filed(tmp_path, verdicts), Outputs(tmp_path / "pairs.tsv", keep_share=share))
    written = (tmp_path / "pairs.tsv").read_text(encoding="utf-8").splitlines()
    assert [int(line.split("\t")[1]) for line in written] == kept
    assert outcome.written == len(kept)


def test_a_model_of_the_other_direction_is_refused_unless_it_goes_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(src: str | None, tgt: str | None, **more: object) -> None:
        own = DataSettings.model_validate({"src_lang": "fr", "tgt_lang": "en", **more})
        monkeypatch.setattr("nmt.synthesis.judging.read_settings", lambda folder: Settings(data=own))
        refuse_reversed([Path("models/b")], DataSettings(src_lang=src, tgt_lang=tgt))

    with pytest.raises(ConfigError, match=r"^models/b translates from fr to en, expected a model from en to fr$"):
        refuse("en", "fr")
    reversed_corpus = {"path": ["a.tsv"], "reversed": True}
    refuse("en", "fr", corpora=[reversed_corpus])
    refuse("en", "fr", corpora=[reversed_corpus], train_tsv=["b.tsv"])
    with pytest.raises(ConfigError, match=r"models/b translates from en to fr, expected a model from fr to en"):
        refuse("fr", "en", corpora=[reversed_corpus])
    for src, tgt in (("fr", "en"), ("en", None), (None, None), ("en", "de")):
        refuse(src, tgt)


def test_a_model_for_the_way_back_of_one_that_goes_both_ways_may_go_either_way(monkeypatch: pytest.MonkeyPatch) -> None:
    languages = {"src_lang": "en", "tgt_lang": "fr"}
    corpora = [{"path": ["a.tsv"]}, {"path": ["a.tsv"], "reversed": True}]
    known = {"one": DataSettings(**languages), "both": DataSettings.model_validate(languages | {"corpora": corpora})}
    monkeypatch.setattr("nmt.synthesis.judging.read_settings", lambda folder: Settings(data=known[folder.name]))
    refuse_same_direction(Path("one"), Path("both"))
    refuse_same_direction(Path("both"), Path("one"))
    with pytest.raises(ConfigError, match=r"^one translates from en to fr, expected a model from fr to en$"):
        refuse_same_direction(Path("one"), Path("one"))


def test_the_languages_of_a_model_are_the_others_where_all_its_pairs_were_reversed() -> None:
    def languages(*is_reversed: bool, **more: object) -> str:
        corpora = [{"path": ["a.tsv"], "reversed": one} for one in is_reversed]
        data = DataSettings.model_validate({"src_lang": "en", "tgt_lang": "fr", "corpora": corpora, **more})
        return f"{of_model(data).src_lang}-{of_model(data).tgt_lang}"

    assert languages() == languages(False) == languages(True, False) == languages(True, train_tsv=["b"]) == "en-fr"
    assert languages(True) == languages(True, True) == "fr-en"


def test_text_of_people_keeps_its_capitals_beside_a_model_that_has_none(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("A\u00a0Dog \n", encoding="utf-8")
    [line] = read_text(tmp_path / "text", DataSettings(lowercase=True), "error")
    assert line.text == "A Dog"
