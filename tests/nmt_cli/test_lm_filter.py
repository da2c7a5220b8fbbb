import os
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from nmt.lm.filtering import Difference
from nmt.text.tokenizer import tokenizer_files
from nmt_cli.main import app

MakeLanguageModel = Callable[..., Path]

SRC = ["bat cow", "den", "", "fig gum hat", "jam", "kit log map bat"]
TGT = ["bato cowo", "deno", "gumo", "figo gumo hato", "jamo", "kito logo mapo bato"]


@pytest.fixture(scope="module")
def models(
    toy_model: Path, tmp_path_factory: pytest.TempPathFactory, make_language_model: MakeLanguageModel
) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("models")
    [tokenizer] = tokenizer_files(toy_model)
    return make_language_model(folder / "in", tokenizer), make_language_model(folder / "general", tokenizer, seed=2)


@pytest.fixture
def text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, lines in (("src", SRC), ("tgt", TGT)):
        (tmp_path / name).write_text("".join(f"{line}\n" for line in lines))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def invoke(models: tuple[Path, Path], *arguments: str, repeat: int = 1) -> Result:
    judges = [part for _ in range(repeat) for part in ("--in-domain", str(models[0]), "--general", str(models[1]))]
    return CliRunner().invoke(app, ["lm", "filter", *judges, *arguments, "--device", "cpu"])


PAIRS = ["--src", "src", "--tgt", "tgt", "--output-src", "src.out", "--output-tgt", "tgt.out"]


def kept(path: Path) -> list[str]:
    return path.read_text().splitlines()


@pytest.mark.parametrize("side", ["src", "tgt"])
def test_the_most_similar_pairs_are_kept_in_their_order(text: Path, models: tuple[Path, Path], side: str) -> None:
    result = invoke(models, *PAIRS, "--side", side, "--keep", "0.5", "--scores", "scores")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "kept 3 of 6 lines\n")
    scores = Difference.load(*models, device="cpu").of(SRC if side == "src" else TGT)
    best = sorted(sorted(range(6), key=lambda number: scores[number])[:3])
    assert kept(text / "src.out") == [SRC[number] for number in best]
    assert kept(text / "tgt.out") == [TGT[number] for number in best]
    assert kept(text / "scores") == [f"{score:.6f}" for score in scores]


def test_both_sides_are_added_and_have_a_pair_of_models_each(text: Path, models: tuple[Path, Path]) -> None:
    result = invoke(models, *PAIRS, "--threshold", "0", "--scores", "scores", repeat=2)
    assert result.exit_code == 0, result.stderr
    judge = Difference.load(*models, device="cpu")
    scores = [sum(pair) for pair in zip(judge.of(SRC), judge.of(TGT), strict=True)]
    assert kept(text / "scores") == [f"{score:.6f}" for score in scores]
    assert kept(text / "tgt.out") == [line for line, score in zip(TGT, scores, strict=True) if score <= 0]


def test_a_score_equal_to_the_threshold_is_kept(text: Path, models: tuple[Path, Path]) -> None:
    threshold = sorted(float(score) for score in Difference.load(*models, device="cpu").of(SRC))[2]
    result = invoke(models, "--text", "src", "--threshold", repr(threshold), "--output", "out")
    assert (result.exit_code, result.stderr) == (0, "kept 3 of 6 lines\n")


def test_text_in_one_language_is_filtered_too(text: Path, models: tuple[Path, Path]) -> None:
    result = invoke(models, "--text", "tgt", "--text", "src", "--keep", "1", "--output", "out")
    assert (result.exit_code, result.stderr) == (0, "kept 11 of 12 lines\n")
    assert kept(text / "out") == [line for line in (*TGT, *SRC) if line]


@pytest.mark.parametrize(
    ("arguments", "repeat", "message"),
    [
        (
            ["--text", "src", "--keep", "1"],
            1,
            "--text is filtered into --output, without --src, --tgt and their outputs",
        ),
        (
            ["--text", "src", "-o", "x", "--src", "src", "--keep", "1"],
            1,
            "--text is filtered into --output, without --src, --tgt and their outputs",
        ),
        (
            ["--src", "src", "--keep", "1"],
            1,
            "pairs are filtered from --src and --tgt into --output-src and --output-tgt, text from --text",
        ),
        (
            [*PAIRS, "-o", "x", "--keep", "1"],
            1,
            "pairs are filtered from --src and --tgt into --output-src and --output-tgt, text from --text",
        ),
        (PAIRS, 1, "give one of --keep and --threshold: which lines are kept"),
        ([*PAIRS, "--keep", "1", "--threshold", "1"], 1, "give one of --keep and --threshold: which lines are kept"),
        (
            ["--text", "src", "-o", "x", "--keep", "1", "--side", "src"],
            1,
            "--side is about pairs; leave it out with --text",
        ),
        (
            [*PAIRS, "--keep", "1"],
            1,
            "2 of --in-domain and of --general are needed, one for each side that is scored, found 1 and 1",
        ),
        (
            [*PAIRS, "--side", "tgt", "--keep", "1"],
            2,
            "1 of --in-domain and of --general are needed, one for each side that is scored, found 2 and 2",
        ),
        (
            ["--text", "src", "-o", "-", "--keep", "1"],
            1,
            "- is no file; the text is read twice, and what is kept goes to files",
        ),
    ],
)
@pytest.mark.usefixtures("text")
def test_what_cannot_be_filtered_is_wrong_usage(
    models: tuple[Path, Path], arguments: list[str], repeat: int, message: str
) -> None:
    result = invoke(models, *arguments, repeat=repeat)
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"error: {message}\n")


@pytest.mark.usefixtures("text")
def test_every_source_file_needs_its_target(models: tuple[Path, Path]) -> None:
    result = invoke(models, *PAIRS, "--src", "src", "--keep", "1", repeat=2)
    message = "2 source files but 1 target files; every source file needs its target (source: src, src; target: tgt)"
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", f"error: {message}\n")


@pytest.mark.usefixtures("text")
@pytest.mark.parametrize(
    ("option", "value", "why"),
    [
        ("--keep", "1.5", "Input should be less than or equal to 1"),
        ("--keep", "-1", "Input should be greater than or equal to 0"),
        ("--threshold", "nan", "Input should be a finite number"),
    ],
)
def test_what_is_out_of_range_is_refused_before_the_files(
    models: tuple[Path, Path], option: str, value: str, why: str
) -> None:
    unequal = "--src", "src"
    result = invoke(models, *PAIRS, *unequal, option, value)
    assert result.exit_code == 2
    assert f"Invalid value for '{option}': {why}" in result.stderr


@pytest.mark.parametrize("option", ["--output-tgt", "--scores"])
def test_what_cannot_be_written_is_an_error_before_the_work(
    text: Path, models: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    monkeypatch.setattr(Difference, "of", lambda self, lines: pytest.fail("lines are scored"))
    result = invoke(models, *PAIRS, "--keep", "1", option, "no/where", repeat=2)
    assert (result.exit_code, result.stderr) == (1, "error: no/where: No such file or directory\n")
    assert not (text / "src.out").exists()


@pytest.mark.parametrize(("option", "read"), [("--output-src", "src"), ("--output-tgt", "src"), ("--scores", "tgt")])
def test_what_is_read_is_not_replaced(text: Path, models: tuple[Path, Path], option: str, read: str) -> None:
    before = (text / read).read_text()
    result = invoke(models, *PAIRS, "--keep", "1", option, f"./{read}", repeat=2)
    message = f"error: {read} is an input, so it cannot be written: the result would replace it\n"
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", message)
    assert (text / read).read_text() == before


@pytest.mark.parametrize("option", ["--output-tgt", "--scores"])
def test_two_results_in_one_file_are_an_error(text: Path, models: tuple[Path, Path], option: str) -> None:
    result = invoke(models, *PAIRS, "--keep", "1", option, "./src.out", repeat=2)
    message = f"error: {text / 'src.out'} is to hold two results; give each a file of its own\n"
    assert (result.exit_code, result.stderr) == (2, message)
    assert not (text / "src.out").exists()


def test_a_pipe_is_not_filtered(text: Path, models: tuple[Path, Path]) -> None:
    os.mkfifo(text / "pipe")
    result = invoke(models, "--text", "pipe", "-o", "out", "--keep", "1")
    assert (result.exit_code, result.stderr) == (1, "error: pipe is not a regular file; it is read more than once\n")


@pytest.mark.usefixtures("text")
def test_what_is_not_wanted_goes_to_the_null_device_twice(models: tuple[Path, Path]) -> None:
    null = ["--output-src", os.devnull, "--output-tgt", os.devnull]
    result = invoke(models, *PAIRS[:4], *null, "--side", "src", "--keep", "1")
    assert (result.exit_code, result.stderr) == (0, "kept 5 of 6 lines\n")


@pytest.mark.usefixtures("text")
def test_nothing_is_filtered_into_nothing(models: tuple[Path, Path]) -> None:
    Path("src").write_text("")
    result = invoke(models, "--text", "src", "--keep", "0.5", "-o", "out")
    assert (result.exit_code, result.stderr, Path("out").read_text()) == (0, "kept 0 of 0 lines\n", "")
