"""`nmt translate` with models that rescore what the beam holds."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from nmt.config import DataSettings, Settings
from nmt.translate import Options, Translator
from nmt_cli.main import app

LINES = ["bat cow", "den", "gum hat jam kit"]
Run = Callable[..., Result]


@pytest.fixture
def run(toy_model: Path, tmp_path: Path) -> Run:
    (tmp_path / "in.txt").write_text("".join(f"{line}\n" for line in LINES), encoding="utf-8")

    def invoke(*options: str | Path) -> Result:
        usual = ["translate", str(toy_model), str(tmp_path / "in.txt"), "--device", "cpu", "--precision", "fp32"]
        return CliRunner().invoke(app, [*usual, *map(str, options)])

    return invoke


@pytest.mark.parametrize("workers", ["1", "2"])
def test_options_name_the_models_and_their_weights(
    run: Run, toy_model: Path, right_to_left_model: Path, workers: str
) -> None:
    both = Translator.load(
        toy_model, device="cpu", precision="fp32", rescoring=[right_to_left_model], reverse=toy_model
    )
    expected = both.translate(LINES, Options(rescore_weight=0.5, reverse_weight=0.2, n_best=2, beam_size=4))
    beside = ["--right-to-left", right_to_left_model, "--rescore-weight", "0.5"]
    beside += ["--reverse-model", toy_model, "--reverse-weight", "0.2", "--workers", workers]
    done = run(*beside, "--n-best", "2", "--beam", "4")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == "".join(
        f"{index} ||| {one.text} ||| {one.score:.4f}\n" for index, some in enumerate(expected) for one in some
    )


def test_weights_need_their_models(run: Run) -> None:
    for options, needed in (
        (["--rescore-weight", "1"], "--right-to-left"),
        (["--reverse-weight", "1"], "--reverse-model"),
    ):
        done = run(*options)
        assert done.exit_code == 2
        assert done.stderr == f"error: {options[0]} is about a model that rescores; it needs {needed}\n"


def test_a_model_that_writes_from_left_to_right_is_none_from_right_to_left(run: Run, toy_model: Path) -> None:
    done = run("--right-to-left", toy_model)
    assert done.exit_code == 1
    message = f"error: --right-to-left: {toy_model} writes from left to right (model.right_to_left = false)\n"
    assert done.stderr == message


def test_a_model_of_the_same_direction_is_no_reverse_model(
    run: Run, toy_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = DataSettings(src_lang="en", tgt_lang="fr")
    monkeypatch.setattr("nmt.synthesis.judging.read_settings", lambda folder: Settings(data=data))
    done = run("--reverse-model", toy_model)
    assert done.exit_code == 1
    assert done.stderr == f"error: {toy_model} translates from en to fr, expected a model from fr to en\n"


def test_work_in_blocks_is_that_of_the_models_that_rescore(
    run: Run, right_to_left_model: Path, toy_model: Path, tmp_path: Path
) -> None:
    for number, options in enumerate(([], ["--right-to-left", right_to_left_model], ["--reverse-model", toy_model]), 1):
        assert run("--output", tmp_path / "out", "--shard", f"{number}/3", *options).exit_code == 0
    done = CliRunner().invoke(app, ["join", *map(str, tmp_path.glob("out.*-of-3")), "-o", str(tmp_path / "out")])
    assert done.exit_code == 1
    assert "do not belong together: they differ in the " in done.stderr
