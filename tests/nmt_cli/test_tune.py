import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from nmt.metrics import Score
from nmt.text.tokenizer import tokenizer_files
from nmt.text.tokenizer_training import TokenizerPlan, train_tokenizer
from nmt.translate import Options, Translation, Translator
from nmt.tuning import Plan, Point, Tried, Validation, WeightValues
from nmt_cli.main import app
from nmt_cli.tune import _compare

MakeLanguageModel = Callable[..., Path]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try a few points only."""
    plan = Plan(WeightValues((0.0, 0.4), 0.4), WeightValues((0.0, 1.0), 1.0), rounds=1)
    monkeypatch.setattr("nmt.tuning.DEFAULT", plan)


@pytest.fixture(scope="module")
def lm(toy_model: Path, tmp_path_factory: pytest.TempPathFactory, make_language_model: MakeLanguageModel) -> Path:
    [tokenizer] = tokenizer_files(toy_model)
    return make_language_model(tmp_path_factory.mktemp("models") / "lm", tokenizer)


def invoke(model: Path, text: Path, *arguments: str | Path) -> Result:
    command = ["tune", model, "--src", text / "valid.src", "--tgt", text / "valid.tgt", *arguments, "--device", "cpu"]
    return CliRunner().invoke(app, list(map(str, command)))


def test_the_table_has_a_row_for_each_point_and_the_options_of_the_best_one(
    toy_model: Path, toy_text: Path, lm: Path, tmp_path: Path
) -> None:
    table = tmp_path / "table.json"
    result = invoke(toy_model, toy_text, "--lm", lm, "--beam", "2", "--output", table)
    assert result.exit_code == 0, result.stderr
    head, *rows, best, against, options = result.stdout.splitlines()
    assert head.split() == ["lm", "weight", "length", "penalty", "BLEU"]
    points = [tuple(map(float, row.split())) for row in rows]
    assert [point[:2] for point in points[:4]] == [(0.0, 0.0), (0.0, 1.0), (0.4, 0.0), (0.4, 1.0)]
    assert len({point[:2] for point in points}) == len(points) > 4
    translator = Translator.load(toy_model, device="cpu", language_model=lm)
    validation = Validation.read(toy_text / "valid.src", toy_text / "valid.tgt", "bleu")
    for weight, penalty, score in points[2:4]:
        texts = validation.translate(translator, Options(beam_size=2), Point(weight, penalty))
        found = validation.score(texts, translator.settings)
        assert score == round(found.score, 2)
    highest = max(score for _, _, score in points)
    ranked = [(point[0], abs(point[1] - 1), point[1]) for point in points if point[2] == highest]
    weight, _, penalty = min(ranked)
    assert best.startswith(f"best: BLEU {highest:.2f}  nrefs:1|case:mixed|")
    usual = next(point[2] for point in points if point[:2] == (0, 1))
    if (weight, penalty) == (0, 1):
        assert against == "that is what is used without tuning: nothing that was tried is better"
    else:
        assert against.startswith(f"without tuning: {usual:.2f} (lm weight 0, length penalty 1); the difference of ")
        assert " has p = " in against
    assert options == f"--lm {lm} --lm-weight {weight:g} --length-penalty {penalty:g} --beam 2"
    assert re.fullmatch(rf"{len(points)} points, each a translation of 20 lines: \d+ s\n", result.stderr)
    written = json.loads(table.read_text())
    assert (written["metric"], written["signature"]) == ("bleu", best.split()[-1])
    assert [round(one["score"], 2) for one in written["points"]] == [point[2] for point in points]
    assert round(written["usual"]["score"], 2) == usual
    assert 0 <= written["p_value"] <= 1
    assert (written["best"]["lm_weight"], written["best"]["length_penalty"]) == (weight, penalty)


def test_without_a_language_model_the_length_penalty_alone_is_tuned(toy_model: Path, toy_text: Path) -> None:
    result = invoke(toy_model, toy_text, "--metric", "chrf")
    assert result.exit_code == 0, result.stderr
    head, *rows, best, _, options = result.stdout.splitlines()
    assert head.split()[-1] == "chrF2"
    assert [row.split()[:2] for row in rows[:2]] == [["0", "0"], ["0", "1"]]
    assert {row.split()[0] for row in rows} == {"0"}
    assert best.startswith("best: chrF2 ")
    assert re.fullmatch(r"--length-penalty [0-9.]+", options)


@pytest.mark.parametrize(
    ("best", "p_value", "line"),
    [
        ((0.1, 0.5), 0.2, "the difference of 1.50 has p = 0.2000 (paired bootstrap), so it may be chance"),
        ((0.1, 0.5), 0.0123, "the difference of 1.50 has p = 0.0123 (paired bootstrap)"),
    ],
)
def test_how_sure_the_best_is_is_said(best: tuple[float, float], p_value: float, line: str) -> None:
    better, usual = (Score("bleu", "BLEU", score, "") for score in (31.5, 30.0))
    said = _compare(Tried(Point(*best), better), Tried(Point(0.0, 0.6), usual), p_value, Plan())
    assert said == f"without tuning: 30.00 (lm weight 0, length penalty 0.6); {line}"


def test_a_weight_that_is_given_is_not_tuned(toy_model: Path, toy_text: Path, lm: Path) -> None:
    result = invoke(toy_model, toy_text, "--lm", lm, "--lm-rescore", "--lm-weight", "0.3")
    assert {row.split()[0] for row in result.stdout.splitlines()[1:-3]} == {"0.3"}
    assert result.stdout.splitlines()[-1].startswith(f"--lm {lm} --lm-weight 0.3 --lm-rescore --length-penalty ")


def test_the_options_are_complete_and_can_be_pasted_into_a_shell(
    toy_model: Path, toy_text: Path, lm: Path, tmp_path: Path
) -> None:
    spaced = tmp_path / "my lm"
    spaced.symlink_to(lm)
    given = ["--ensemble", toy_model, "--beam", "1", "--precision", "fp32", "--length-penalty", "1"]
    result = invoke(toy_model, toy_text, "--lm", spaced, *given)
    assert result.exit_code == 0, result.stderr
    words = shlex.split(result.stdout.splitlines()[-1])
    assert words[:3] == ["--lm", str(spaced), "--lm-weight"]
    assert words[4:] == ["--length-penalty", "1", "--ensemble", str(toy_model), "--beam", "1", "--precision", "fp32"]


def test_text_is_translated_with_its_tag_and_the_options_name_it(
    toy_model: Path, toy_text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nmt.translate.words.check_tag", lambda tokenizer, tag: None)
    translate, found = Translator.translate, set[str | None]()

    def note(self: Translator, lines: list[str], options: Options, **more: Any) -> list[list[Translation]]:
        found.add(options.tag)
        return translate(self, lines, options, **more)

    monkeypatch.setattr(Translator, "translate", note)
    result = invoke(toy_model, toy_text, "--tag", "<bat>")
    assert result.exit_code == 0, result.stderr
    assert found == {"<bat>"}
    assert result.stdout.splitlines()[-1].endswith(" --tag '<bat>'")


def test_a_tag_that_the_model_does_not_know_is_an_error_before_the_work(toy_model: Path, toy_text: Path) -> None:
    result = invoke(toy_model, toy_text, "--tag", "<news>")
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "error: the model knows no tag <news>\n")


def test_a_table_on_stdout_is_wrong_usage(toy_model: Path, toy_text: Path) -> None:
    result = invoke(toy_model, toy_text, "--output", "-")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "expected a file, since the table goes to stdout" in " ".join(result.stderr.split())


def test_the_table_does_not_replace_the_text(toy_model: Path, toy_text: Path) -> None:
    before = (toy_text / "valid.tgt").read_bytes()
    result = invoke(toy_model, toy_text, "--output", toy_text / "valid.tgt")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "valid.tgt is an input, so it cannot be written: the result would replace it" in result.stderr
    assert (toy_text / "valid.tgt").read_bytes() == before


def test_a_language_model_of_other_pieces_is_an_error_before_the_work(
    toy_model: Path, toy_text: Path, tmp_path: Path, make_language_model: MakeLanguageModel
) -> None:
    foreign = tmp_path / "joint.spm.model"
    foreign.write_bytes(train_tokenizer(["bato cowo hato jamo kito logo deno"], TokenizerPlan("bpe", 21)))
    lm = make_language_model(tmp_path / "lm", foreign)
    result = invoke(toy_model, toy_text, "--lm", lm)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"error: {lm} has another tokenizer than {toy_model} has for its translations; ")


def test_a_table_that_cannot_be_written_is_an_error_before_the_work(
    toy_model: Path, toy_text: Path, tmp_path: Path
) -> None:
    result = invoke(toy_model, toy_text, "--output", tmp_path / "no" / "where")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"error: {tmp_path / 'no' / 'where'}: No such file or directory\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--length-penalty", "1"],
            "there is nothing to tune: the length penalty is given, and the weight of every model",
        ),
        (["--rescore-weight", "1"], "--rescore-weight is about a model that rescores; it needs --right-to-left"),
        (["--reverse-weight", "1"], "--reverse-weight is about a model that rescores; it needs --reverse-model"),
        (["--lm-weight", "1"], "--lm-weight is about a language model; it needs --lm"),
        (["--lm-rescore"], "--lm-rescore is about a language model; it needs --lm"),
    ],
)
def test_what_cannot_be_tuned_is_an_error(toy_model: Path, toy_text: Path, arguments: list[str], message: str) -> None:
    result = invoke(toy_model, toy_text, *arguments)
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"error: {message}\n")


def test_weights_of_models_that_rescore_are_tuned_and_named(
    toy_model: Path, right_to_left_model: Path, toy_text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nmt.tuning.RESCORING", WeightValues((0.0, 1.0), 1.0))
    arguments = ["--right-to-left", right_to_left_model, "--length-penalty", "1", "--beam", "2"]
    result = invoke(toy_model, toy_text, *arguments)
    assert result.exit_code == 0, result.stderr
    head, *rows, best, _, options = result.stdout.splitlines()
    assert head.split("  ")[:3] == ["lm weight", "length penalty", "rescore weight"]
    points = [tuple(map(float, row.split())) for row in rows]
    assert [point[:3] for point in points[:2]] == [(0, 1, 0), (0, 1, 1)]
    translator = Translator.load(toy_model, device="cpu", rescoring=[right_to_left_model])
    validation = Validation.read(toy_text / "valid.src", toy_text / "valid.tgt", "bleu")
    for point, weight in zip(points[:2], (0.0, 1.0), strict=True):
        texts = validation.translate(translator, Options(beam_size=2), Point(0.0, 1.0, weight))
        assert point[3] == round(validation.score(texts, translator.settings).score, 2)
    assert best.startswith(f"best: BLEU {max(point[3] for point in points):.2f}")
    words = shlex.split(options)
    assert words[:3] == ["--right-to-left", str(right_to_left_model), "--rescore-weight"]
    assert words[4:] == ["--length-penalty", "1", "--beam", "2"]


def test_rescoring_needs_something_to_choose_from_before_the_work(
    toy_model: Path, right_to_left_model: Path, toy_text: Path
) -> None:
    result = invoke(toy_model, toy_text, "--right-to-left", right_to_left_model, "--beam", "1")
    message = "error: search.beam_size = 1 leaves nothing to rescore: set it to 2 or more\n"
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", message)
