"""`nmt run` with recipes of stages."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from nmt.models.folder import read_settings
from nmt.prepared import PreparedData
from nmt.text.tokenizer import load_tokenizers
from nmt.translate import Options, Translator
from nmt.tuning import Plan, WeightValues
from nmt_cli.main import app
from nmt_cli.terminal import INTERRUPTED
from tests.nmt_cli.conftest import full_disk

STAGES = """
[stages.data]
do = "prepare"

[stages.model]
do = "train"
needs = ["data"]

[stages.quick]
do = "shortlist"
needs = ["model", "data"]

[stages.text]
do = "translate"
needs = ["quick"]

[stages.scores]
do = "score"
needs = ["text"]
"""
FEW = ["training.max_steps=40", "training.validate_every=20", "training.checkpoint_every=20"]

Run = Callable[..., Result]


@pytest.fixture
def run(toy_recipe: str, tmp_path: Path) -> Run:
    recipe = tmp_path / "stages.toml"
    recipe.write_text(toy_recipe + STAGES, encoding="utf-8")

    def run(*arguments: str, changes: list[str] = FEW) -> Result:
        options = [part for change in changes for part in ("--set", change)]
        return CliRunner().invoke(app, ["run", str(recipe), "--work", str(tmp_path / "w"), *arguments, *options])

    return run


def times(work: Path) -> dict[str, int]:
    names = ("data/train.arrow", "model/model.safetensors", "quick/lexicon.safetensors", "text.txt", "scores.json")
    return {name: (work / name).stat().st_mtime_ns for name in names}


def test_stages_go_from_text_to_a_table_and_are_not_repeated(run: Run, tmp_path: Path) -> None:
    first = run()
    assert first.exit_code == 0, first.stderr
    assert f"5/5 score scores: {tmp_path}/w/scores.json (not made yet)" in first.stderr
    heading, *rows = [line.split() for line in first.stdout.splitlines()]
    assert heading == ["stage", "does", "time", "size"]
    assert [row[4] for row in rows[3:5]] == ["kB", "kB"], "a text of some lines, and its scores"
    assert [row[:2] for row in rows[:5]] == [
        *(["data", "prepare"], ["model", "train"], ["quick", "shortlist"], ["text", "translate"], ["scores", "score"])
    ]
    assert rows[5][0] == "all"
    assert rows[7] == ["scores", "of", "BLEU", "chrF2", "TER"]
    assert [(row[0], len(row)) for row in rows[8:11]] == [("model", 3), ("quick", 3), ("text", 4)]
    assert rows[11][1].startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:")
    assert "next: " not in first.stderr, "the recipe says it"
    made = times(tmp_path / "w")
    second = run()
    assert (second.stdout, times(tmp_path / "w")) == (first.stdout, made)
    assert second.stderr.count("is up to date") == 5
    changed = run(changes=[*FEW, "search.beam_size=1"])
    assert changed.exit_code == 0
    assert "4/5 translate text: " in changed.stderr
    assert "(search.beam_size: default -> 1)" in changed.stderr
    again = times(tmp_path / "w")
    assert next(name for name in made if made[name] != again[name]) == "text.txt"
    tree = json.loads(run("--json", changes=[*FEW, "search.beam_size=1"]).stdout)
    assert [stage["do"] for stage in tree] == ["prepare", "train", "shortlist", "translate", "score"]
    assert [score["name"] for score in tree[4]["scores"]] == ["BLEU", "chrF2", "TER"]
    assert all(stage["seconds"] >= 0 and stage["bytes"] > 0 for stage in tree)


def test_one_stage_is_done_when_what_it_needs_is_done(run: Run, tmp_path: Path) -> None:
    early = run("--stage", "model")
    assert (early.exit_code, early.stdout) == (2, "")
    assert early.stderr == "error: --stage model: it needs data, which has to be done first\n"
    assert run("--stage", "data").exit_code == 0
    assert not (tmp_path / "w" / "model").exists()
    wrong = run("--stage", "modle")
    assert wrong.exit_code == 2
    assert wrong.stderr.endswith("stages.toml has no such stage; did you mean model?\n")


def test_a_plan_tells_what_is_to_do_and_why_and_writes_nothing(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("nmt.graph.forecast._STEPS", 0.2)
    plan = run("--dry-run", "--json")
    assert plan.exit_code == 0, plan.stderr
    assert not (tmp_path / "w").exists()
    stages = json.loads(plan.stdout)
    assert [(stage["stage"], stage["reasons"]) for stage in stages[:2]] == [
        ("data", ["not made yet"]),
        ("model", ["waits for data"]),
    ]
    assert all(stage["seconds"] > 0 for stage in stages)
    run("--stage", "data")
    before = sorted((tmp_path / "w").rglob("*"))
    data, model, *_ = json.loads(run("--dry-run", "--json").stdout)
    assert (data["done"], data["reasons"], data["seconds"]) == (True, [], 0)
    assert (model["done"], model["reasons"]) == (False, ["not made yet"])
    assert model["seconds"] > 0
    run("--stage", "model")
    run("--stage", "quick")
    text = json.loads(run("--dry-run", "--json", "--stage", "text").stdout)
    assert [stage["stage"] for stage in text] == ["text"]
    assert text[0]["seconds"] > 0
    assert not (tmp_path / "w" / "text.txt").exists()
    assert set(before) <= set((tmp_path / "w").rglob("*"))


def test_a_plan_and_the_table_of_results_fit_80_columns_in_a_pipe_too(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    name = "a_stage_of_a_long_name"
    recipe = tmp_path / "stages.toml"
    texts = [f"{name}_{number}" for number in range(10)]
    recipe.write_text(
        recipe.read_text().partition("[stages.text]")[0]
        + "".join(f'[stages.{text}]\ndo = "translate"\nneeds = ["quick"]\n' for text in texts)
        + f'[stages.{name}_that_is_last]\ndo = "score"\nneeds = {json.dumps(texts)}\n'
    )
    monkeypatch.setattr("nmt.graph.forecast._STEPS", 0.1)
    monkeypatch.setattr("nmt_cli.staging.clock", lambda seconds: "12 days, 23:59:59")
    for shown in (run("--dry-run"), run("--stage", "data")):
        assert shown.exit_code == 0, shown.stderr
        assert max(map(len, shown.stdout.splitlines())) <= 80
    plan = json.loads(run("--dry-run", "--json", "--stage", f"{name}_that_is_last").stdout)
    assert plan[0]["reasons"] == [f"waits for {', '.join(texts)}"], "which the table cuts short"


def test_what_an_older_run_made_is_recognised(run: Run, toy_text: Path, tmp_path: Path) -> None:
    options = [part for change in FEW for part in ("--set", change)]
    older = ["run", str(toy_text / "toy.toml"), "--work", str(tmp_path / "w"), *options]
    assert CliRunner().invoke(app, older).exit_code == 0
    made = (tmp_path / "w" / "model" / "model.safetensors").stat().st_mtime_ns
    found = run("--stage", "data")
    assert "data is up to date: nothing to do" in found.stderr
    assert "the run is already at its last step" in run("--stage", "model").stderr
    assert (tmp_path / "w" / "model" / "model.safetensors").stat().st_mtime_ns == made


def test_a_model_gets_more_pieces_and_another_stage_translates_beside_a_memory(
    run: Run, toy_text: Path, toy_data: PreparedData, toy_model: Path, tmp_path: Path
) -> None:
    source, *_ = (toy_text / "test.src").read_text().splitlines()
    (tmp_path / "pairs.tsv").write_text(f"{source}\twhat is known\n")
    recipe = tmp_path / "stages.toml"
    recipe.write_text(
        recipe.read_text().partition("[stages.quick]")[0]
        + '[stages.larger]\ndo = "vocabulary"\nneeds = ["model"]\nsymbols = ["<b>"]\n'
        + f'[stages.known]\ndo = "memory"\nneeds = ["model"]\npairs = ["{tmp_path}/pairs.tsv"]\n'
        + '[stages.text]\ndo = "translate"\nneeds = ["model", "known"]\n'
    )
    shutil.copytree(toy_data.folder, tmp_path / "w" / "data")
    shutil.copytree(toy_model, tmp_path / "w" / "model")
    first = run(changes=[])
    assert first.exit_code == 0, first.stderr
    assert (tmp_path / "w" / "text.txt").read_text().startswith("what is known\n")
    assert "<b>" in load_tokenizers(tmp_path / "w" / "larger").src.pieces
    assert run(changes=[]).stderr.count("is up to date") == 5
    (tmp_path / "pairs.tsv").write_text(f"{source}\tsomething else\n")
    assert [stage["reasons"] for stage in json.loads(run("--dry-run", "--json", changes=[]).stdout)[3:]] == [
        ["pairs has changed"],
        ["waits for known"],
    ]


def test_a_language_model_is_trained_and_weighed_and_has_a_say(
    run: Run, toy_data: PreparedData, toy_model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    weights = Plan(WeightValues((0.0, 0.3), 0.1), WeightValues((1.0,)), rounds=0)
    monkeypatch.setattr("nmt.tuning.DEFAULT", weights)
    recipe = tmp_path / "stages.toml"
    recipe.write_text(
        recipe.read_text().partition("[stages.quick]")[0]
        + '[stages.target]\ndo = "prepare"\nneeds = ["data"]\nset.tokenizer.file = "{data}"\n'
        'set.data = { train_text = ["train.tgt"], valid_text = "valid.tgt" }\n'
        '[stages.lm]\ndo = "train"\nneeds = ["target"]\n'
        "set.training = { max_steps = 10, segment_rows = 4, segment_steps = 10 }\n"
        '[stages.tuned]\ndo = "tune"\nneeds = ["model", "lm"]\nmetric = "chrf"\n'
        '[stages.text]\ndo = "translate"\nneeds = ["model", "lm", "tuned"]\n'
    )
    shutil.copytree(toy_data.folder, tmp_path / "w" / "data")
    shutil.copytree(toy_model, tmp_path / "w" / "model")
    done = run(changes=[])
    assert done.exit_code == 0, done.stderr
    assert read_settings(tmp_path / "w" / "lm").model.kind == "lm"
    tuned = json.loads((tmp_path / "w" / "tuned.json").read_text())
    assert [point["lm_weight"] for point in tuned["points"]] == [0.0, 0.3]
    assert ["tuned", "(validation)", f"{tuned['best']['score']:.2f}"] in [
        line.split() for line in done.stdout.split("\n")
    ]
    assert len((tmp_path / "w" / "text.txt").read_text().splitlines()) == 20
    assert run(changes=[]).stderr.count("is up to date") == 6


def test_models_that_rescore_are_weighed_and_have_a_say(
    run: Run,
    toy_data: PreparedData,
    toy_model: Path,
    right_to_left_model: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr("nmt.tuning.DEFAULT", Plan(length_penalty=WeightValues((1.0,)), rounds=0))
    monkeypatch.setattr("nmt.tuning.RESCORING", WeightValues((0.0, 0.5), 0.5))
    recipe, work = tmp_path / "stages.toml", tmp_path / "w"
    stages = recipe.read_text().partition("[stages.quick]")[0]
    text = '[stages.text]\ndo = "translate"\nneeds = ["model", "tuned"]\nright_to_left = "r2l"\n'
    recipe.write_text(
        f'{stages}[stages.r2l]\ndo = "train"\nneeds = ["data"]\nset.model.right_to_left = true\n'
        f'[stages.tuned]\ndo = "tune"\nneeds = ["model"]\nright_to_left = "r2l"\nmetric = "chrf"\n{text}'
    )
    for name, made in {"data": toy_data.folder, "model": toy_model, "r2l": right_to_left_model}.items():
        shutil.copytree(made, work / name)
    first = run(changes=[])
    assert first.exit_code == 0, first.stderr
    tuned = json.loads((work / "tuned.json").read_text())
    assert [point["rescore_weight"] for point in tuned["points"]] == [0.0, 0.5]
    assert len((work / "text.txt").read_text().splitlines()) == 20
    assert run(changes=[]).stderr.count("is up to date") == 5
    record = json.loads((work / "stages" / "text.json").read_text())["made_from"]
    assert "the result of r2l" in record["digests"]
    mean = '[stages.mean]\ndo = "average"\nneeds = ["r2l"]\nlast = 1\n'
    recipe.write_text(recipe.read_text().replace('right_to_left = "r2l"', 'right_to_left = "mean"') + mean)
    plan = {stage["stage"]: stage["reasons"] for stage in json.loads(run("--dry-run", "--json", changes=[]).stdout)}
    assert (plan["tuned"], plan["text"]) == (["waits for mean"], ["waits for tuned, mean"])
    weak = text.replace(', "tuned"', "").replace("text]", "weak]") + "set.search.rescore_weight = 1000.0\n"
    recipe.write_text(recipe.read_text() + weak.replace('"r2l"', '"mean"'))
    assert run(changes=[]).exit_code == 0
    by_hand = Translator.load(toy_model, device="cpu", rescoring=[work / "mean"])
    lines = (work / "weak.txt").read_text().splitlines()
    source = (toy_data.settings.data.root / "test.src").read_text().splitlines()
    assert lines == [best.text for best, *_ in by_hand.translate(source, Options(rescore_weight=1000.0))]


def test_a_stage_that_fails_is_one_line_and_ends_the_run(run: Run, tmp_path: Path) -> None:
    failed = run(changes=[*FEW, "tokenizer.vocab_size=5000"])
    assert failed.exit_code == 1
    assert failed.stderr.splitlines()[-1].startswith("error: ")
    assert len([line for line in failed.stderr.splitlines() if line.startswith("error")]) == 1
    assert not (tmp_path / "w" / "model").exists()


def test_a_stage_that_meets_a_full_disk_is_not_taken_for_done_and_goes_on_once_there_is_room(
    run: Run, toy_data: PreparedData, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    recipe, work, few = tmp_path / "stages.toml", tmp_path / "w", ["training.max_steps=4", "search.beam_size=1"]
    back = '[stages.back]\ndo = "backtranslate"\nneeds = ["model"]\ntext = "train.tgt"\n'
    recipe.write_text(recipe.read_text().replace('"quick"', '"model"').partition("[stages.scores]")[0] + back)
    shutil.copytree(toy_data.folder, work / "data")
    monkeypatch.setattr("nmt.translate.blockwise.LINES", 2)
    assert run("--stage", "data", changes=few).exit_code == 0
    for stage, size, told in (
        ("model", 20_000, "model/checkpoints/step-00000000.safetensors"),
        ("text", 300, "result.txt"),
        ("back", 300, "result.tsv"),
    ):
        with full_disk(size):
            failed = run("--stage", stage, changes=few)
        errors = [line for line in failed.stderr.splitlines() if line.startswith("error: ")]
        assert (failed.exit_code, len(errors)) == (1, 1)
        assert errors[0].endswith(f"{told}: File too large")
        record = work / "stages" / f"{stage}.json"
        assert not record.exists() or json.loads(record.read_text())["digest"] is None
        assert run("--stage", stage, changes=few).exit_code == 0
    assert len((work / "text.txt").read_text().splitlines()) == 20
    assert not [path for path in work.iterdir() if path.name.startswith(".")], "nothing hidden is left"


def test_an_interrupted_stage_interrupts_the_run(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("nmt.prepare.pipeline.prepare", interrupted)
    assert run().exit_code == INTERRUPTED


def test_options_about_stages_need_a_recipe_that_has_some(toy_text: Path) -> None:
    for option in (["--dry-run"], ["--json"], ["--stage", "data"], ["--parallel", "2"]):
        result = CliRunner().invoke(app, ["run", str(toy_text / "toy.toml"), *option])
        assert result.exit_code == 2
        assert result.stderr.endswith("toy.toml has no [stages]\n")


@pytest.mark.slow
def test_runs_that_are_killed_end_with_the_bytes_of_one_that_never_was(
    run: Run, start_process: Callable[..., "subprocess.Popen[Any]"], tmp_path: Path
) -> None:
    changes = [*FEW[:2], "training.checkpoint_every=5"]
    assert run(changes=changes).exit_code == 0
    straight, killed = tmp_path / "w", tmp_path / "killed"
    options = [part for change in changes for part in ("--set", change)]
    command = [sys.executable, "-m", "nmt_cli", "run", str(tmp_path / "stages.toml"), "--work", str(killed), *options]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    told = ""
    for sign in (
        "data/manifest.json",
        "model/checkpoints/step-*10.safetensors",
        "quick/lexicon.safetensors",
        "scores.json",
    ):
        process = start_process(command, stderr=subprocess.PIPE, text=True, env=environment)
        while process.poll() is None and not list(killed.glob(sign)):
            time.sleep(0.01)
        process.kill()
        told += process.communicate()[1]
    finish = start_process(command, stderr=subprocess.PIPE, text=True, env=environment)
    told += finish.communicate()[1]
    assert finish.returncode == 0
    for name in times(straight):
        if name != "scores.json":  # which names the text
            assert (killed / name).read_bytes() == (straight / name).read_bytes(), name
    scores = [json.loads((work / "scores.json").read_text())["hypotheses"][0]["scores"] for work in (straight, killed)]
    assert scores[0] == scores[1]
    assert told.count("1/5 prepare data: ") == 5
    assert told.count("continuing ") >= 1
    for stage in ("train model", "shortlist quick", "translate text", "score scores"):
        assert 1 <= len([line for line in told.splitlines() if stage in line and line.endswith("(not made yet)")]) <= 2


def newest_step(model: Path) -> int:
    names = [path.stem for path in (model / "checkpoints").glob("step-*.safetensors")]
    return max((int(name.removeprefix("step-")) for name in names), default=0)


@pytest.mark.slow
def test_stages_side_by_side_that_are_stopped_and_killed_end_with_the_bytes_of_one_at_a_time(
    run: Run, start_process: Callable[..., "subprocess.Popen[Any]"], tmp_path: Path
) -> None:
    recipe = tmp_path / "stages.toml"
    second = '[stages.second]\ndo = "train"\nneeds = ["data"]\nset.training.seed = 2\n'
    recipe.write_text(recipe.read_text() + second, encoding="utf-8")
    changes = [*FEW[1:], "training.max_steps=400", "training.validate_every=200"]
    assert run(changes=changes).exit_code == 0
    straight, work = tmp_path / "w", tmp_path / "together"
    options = [part for change in changes for part in ("--set", change)]
    command = [sys.executable, "-m", "nmt_cli", "run", str(recipe), "--work", str(work), "--parallel", "2", *options]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    told = ""
    for step, number in ((20, signal.SIGINT), (40, signal.SIGKILL)):
        process = start_process(command, stderr=subprocess.PIPE, text=True, env=environment)
        while process.poll() is None and min(newest_step(work / name) for name in ("model", "second")) < step:
            time.sleep(0.01)
        process.send_signal(number)
        told += process.communicate()[1]
        assert process.returncode == {signal.SIGINT: INTERRUPTED, signal.SIGKILL: -signal.SIGKILL}[number]
        while any(str(work).encode() in path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline")):
            time.sleep(0.05)
    finish = start_process(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    table, rest = finish.communicate()
    assert finish.returncode == 0, rest
    told += rest
    for name in (*times(straight), "second/model.safetensors"):
        if name != "scores.json":  # which names the text
            assert (work / name).read_bytes() == (straight / name).read_bytes(), name
    assert "second: stopping after this step" in told
    assert "\ninterrupted\n" in told
    assert "second: continuing " in told
    assert table.startswith("stage ")
