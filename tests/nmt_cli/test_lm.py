"""`nmt lm` with a language model that has learnt nothing."""

import io
import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from nmt.lm import Generation, Generator, LanguageScorer, Totals
from nmt.search.sampling import Sampling
from nmt_cli.lm import sentence, to_json, to_table
from nmt_cli.main import app

ROOT = Path(__file__).parents[2]
NMT = [sys.executable, "-m", "nmt_cli", "lm"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in (".", "cli", "data"))}
StartProcess = Callable[..., "subprocess.Popen[Any]"]
LINES = ["bat cow den", "", "fig \u4e09", "hat jam"]
TEXT = "".join(f"{line}\n" for line in LINES)


def lm(*arguments: str | Path, stdin: str = "") -> Result:
    return CliRunner().invoke(app, ["lm", *map(str, arguments)], input=stdin)


@pytest.fixture(scope="module")
def library(toy_language_model: Path) -> LanguageScorer:
    return LanguageScorer.load(toy_language_model, device="cpu")


@pytest.fixture
def score(toy_language_model: Path) -> Callable[..., Result]:
    """Run the command on stdin; it has nothing to complain about."""

    def score(*arguments: str | Path, stdin: str = TEXT) -> Result:
        result = lm("score", toy_language_model, *arguments, "--device", "cpu", stdin=stdin)
        assert result.exit_code == 0, result.stderr
        return result

    return score


@pytest.mark.parametrize("arguments", [[], ["score"], ["generate"]])
def test_the_commands_have_help_with_an_example(arguments: list[str]) -> None:
    result = lm(*arguments, "-h")
    assert result.exit_code == 0
    assert "nmt lm" in result.stdout.partition("Example")[2]


def test_a_line_has_perplexity_log_probability_and_words(score: Callable[..., Result], library: LanguageScorer) -> None:
    rows = [line.split("\t") for line in score().stdout.splitlines()]
    expected = library.score_text(LINES)
    assert [row[0] for row in rows] == [f"{one.perplexity:.4f}" for one in expected]
    assert [row[1] for row in rows] == [f"{one.log_probability:.4f}" for one in expected]
    assert [row[2] for row in rows] == [str(one.pieces) for one in expected]
    assert rows[1] == ["nan", "0.0000", "0"]


def test_the_totals_are_said_beside_the_lines(score: Callable[..., Result], library: LanguageScorer) -> None:
    pieces = sum(one.pieces for one in library.score_text(LINES))
    assert score().stderr.startswith(
        f"4 lines, each after those before it, {pieces} pieces, 1 of them unknown: perplexity "
    )
    assert score("--independent", stdin="bat\n").stderr.startswith("1 line, each by itself, ")


def test_lines_are_scored_as_a_text_or_by_themselves(score: Callable[..., Result]) -> None:
    as_trained, carried, apart = (score(*option).stdout for option in ([], ["--carry"], ["--independent"]))
    assert as_trained == carried != apart
    assert apart.splitlines()[2:] == score("--independent", stdin="fig \u4e09\nhat jam\n").stdout.splitlines()


def test_json_lines_hold_the_pieces(score: Callable[..., Result], library: LanguageScorer) -> None:
    records = [json.loads(line) for line in score("--format", "json").stdout.splitlines()]
    assert [record["line"] for record in records] == [1, 2, 3, 4]
    for record, one in zip(records, library.score_text(LINES), strict=True):
        assert record["pieces"] == [library.tokenizer.pieces[index] for index in one.ids]
        assert record["log_probabilities"] == list(one.log_probs)
        assert (record["log_probability"], record["words"]) == (one.log_probability, one.pieces)
    assert records[1]["perplexity"] is None
    assert records[2]["pieces"][-2:] == ["<unk>", "</s>"]


def test_totals_alone_go_to_stdout(score: Callable[..., Result], library: LanguageScorer) -> None:
    scores = library.score_text(LINES)
    log_probability, words = math.fsum(one.log_probability for one in scores), sum(one.pieces for one in scores)
    result = score("--total", "--format", "json")
    assert result.stderr == ""
    found = json.loads(result.stdout)
    assert found["log_probability"] == pytest.approx(log_probability)
    assert found["perplexity"] == pytest.approx(math.exp(-log_probability / words))
    # bat cow den . fig 三 . hat jam . with a point for each end
    assert found["space_separated_words"] == 10
    assert found["characters"] == 11 + 5 + 7 + 3
    assert (found["lines"], found["words"], found["unknown"], found["carried"]) == (4, words, 1, True)


def test_the_table_of_totals_has_a_row_for_each(score: Callable[..., Result]) -> None:
    result = score("--total", "--independent")
    assert result.stderr == ""
    names = [line.split("  ")[0] for line in result.stdout.splitlines()]
    assert names == [
        "lines",
        "scored",
        "pieces and </s>",
        "unknown",
        "log-probability",
        "perplexity",
        "perplexity per space-separated word",
        "bits a character",
    ]
    assert "each by itself" in result.stdout


def test_nothing_to_score_is_no_error(score: Callable[..., Result]) -> None:
    assert score(stdin="").stdout == ""
    assert json.loads(score("--total", "--format", "json", stdin="").stdout)["perplexity"] is None


def test_files_are_scored_as_stdin_is(score: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "text").write_text(TEXT, encoding="utf-8")
    for options in ([], ["--independent"]):
        result = score(tmp_path / "text", "--output", tmp_path / "scores", *options, stdin="")
        assert (result.stdout, result.stderr) == ("", score(*options).stderr)
        assert (tmp_path / "scores").read_text() == score(*options).stdout


def test_a_file_is_counted_as_it_is_scored_and_not_after_thousands_of_lines(
    score: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []

    @contextmanager
    def status(name: str, *, visible: bool) -> Iterator[Callable[[str], None]]:
        yield shown.append

    monkeypatch.setattr("nmt_cli.lm.status", status)
    (tmp_path / "text").write_text("bat cow den\n" * 600)
    assert score(tmp_path / "text", "--output", tmp_path / "scores").exit_code == 0
    assert [text.partition(",")[0] for text in shown] == ["250 lines", "500 lines", "600 lines"]


def test_the_first_line_of_a_stream_is_scored_before_the_second_comes(
    toy_language_model: Path, start_process: StartProcess
) -> None:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = start_process([*NMT, "score", str(toy_language_model)], env=ENVIRONMENT, text=True, **pipes)
    process.stdin.write("bat\n")
    process.stdin.flush()
    assert process.stdout.readline().count("\t") == 2
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=120) == 130
    assert process.stderr.read() == "interrupted\n"


def test_a_reader_that_goes_away_ends_the_command_quietly(toy_language_model: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [*NMT, "generate", str(toy_language_model)]
    done = subprocess.run(command, env=ENVIRONMENT, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_generated_lines_are_those_of_the_library(toy_language_model: Path) -> None:
    options = ["--temperature", "0.8", "--top-k", "9", "--top-p", "0.95", "--seed", "3", "--max-length", "12"]
    generation = Generation(Sampling(temperature=0.8, top_k=9, top_p=0.95, seed=3), 12, "bat")
    generator = Generator.load(toy_language_model, device="cpu")
    text = generator.text(generation)
    for extra, expected in (
        (["--lines", "4"], list(generator.lines(generation, count=4))),
        (["--lines", "3", "--carry"], [next(text) for _ in range(3)]),
    ):
        result = lm("generate", toy_language_model, *options, "--prefix", "bat", *extra, "--device", "cpu")
        assert (result.exit_code, result.stderr) == (0, "")
        assert io.StringIO(result.stdout, newline="\n").read().split("\n")[:-1] == expected


def test_ten_lines_are_generated_unless_told_otherwise(toy_language_model: Path) -> None:
    assert lm("generate", toy_language_model, "--max-length", "5").stdout.count("\n") == 10


def test_a_prefix_that_fills_the_line_is_an_error(toy_language_model: Path) -> None:
    result = lm("generate", toy_language_model, "--prefix", "bat cow", "--max-length", "1")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: the prefix has ")


@pytest.mark.parametrize("command", ["score", "generate"])
def test_other_folders_are_refused(command: str, toy_model: Path, tmp_path: Path) -> None:
    result = lm(command, toy_model, stdin="bat\n")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"error: {toy_model} holds a translation model, expected a language model\n"
    result = lm(command, tmp_path / "no", stdin="bat\n")
    assert (result.exit_code, result.stderr) == (1, f"error: model folder {tmp_path / 'no'} does not exist\n")


def test_bad_bytes_are_an_error_after_the_lines_before_them(toy_language_model: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"bat\n\xff\n")
    result = lm("score", toy_language_model, tmp_path / "text")
    assert (result.exit_code, result.stdout.count("\n")) == (1, 1)
    assert result.stderr.startswith(f"error: {tmp_path / 'text'}, line 2: byte 1 (0xff) is not UTF-8")
    assert lm("score", toy_language_model, tmp_path / "text", "--on-bad-utf8", "replace").exit_code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["score"],
        ["score", "m", "--format", "xml"],
        ["score", "m", "--precision", "int8"],
        ["score", "m", "--threads", "0"],
        ["generate", "m", "--lines", "0"],
        ["generate", "m", "--max-length", "0"],
        ["generate", "m", "--temperature", "0"],
        ["generate", "m", "--top-k", "-1"],
        ["generate", "m", "--top-p", "0"],
        ["generate", "m", "--top-p", "1.5"],
        ["generate", "m", "--seed", "-1"],
        ["draw"],
    ],
)
def test_wrong_usage_is_refused(arguments: list[str]) -> None:
    result = lm(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Usage: nmt lm" in result.stderr


def test_scores_do_not_replace_the_text(toy_language_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "in.txt"
    path.write_text(TEXT)
    result = lm("score", toy_language_model, path, "--output", path, "--device", "cpu")
    message = f"error: {path} is an input, so it cannot be written: the result would replace it\n"
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", message)
    assert path.read_text() == TEXT


def test_totals_alone_need_no_file(toy_language_model: Path, tmp_path: Path) -> None:
    result = lm("score", toy_language_model, "--total", "--output", tmp_path / "scores")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Invalid value for --total: it prints the totals alone; leave --output out" in result.stderr
    assert not (tmp_path / "scores").exists()


# 2 bits for each of 1,000 pieces: a perplexity of 4, of 16 for half as many units, and half a bit for 4 times as many
TOTALS = Totals(
    lines=100, pieces=1000, unknown=0, log_probability=-2000 * math.log(2), characters=4000, space_separated=500
)


def test_the_totals_make_a_sentence() -> None:
    assert sentence(TOTALS, carried=True) == (
        "100 lines, each after those before it, 1,000 pieces: perplexity 4.00, 16.00 per space-separated word, "
        "0.500 bits a character"
    )


def test_unknown_pieces_are_told() -> None:
    said = sentence(Totals(lines=1, pieces=2, unknown=1, log_probability=-1.0), carried=False)
    assert said.startswith("1 line, each by itself, 2 pieces, 1 of them unknown: perplexity 1.65")


def test_the_totals_make_a_table() -> None:
    page = io.StringIO()
    Console(file=page, width=200).print(to_table(TOTALS, carried=False))
    rows = [line.rsplit(maxsplit=1) for line in page.getvalue().splitlines()]
    assert rows[2] == ["pieces and </s>", "1,000"]
    assert rows[-3:] == [
        ["perplexity", "4.00"],
        ["perplexity per space-separated word", "16.00"],
        ["bits a character", "0.500"],
    ]


def test_the_totals_make_an_object_for_programs() -> None:
    record = json.loads(to_json(TOTALS, carried=True))
    figures = [record.pop(name) for name in list(record) if name.startswith(("perplexity", "bits", "log"))]
    assert figures == pytest.approx([-2000 * math.log(2), 4, 16, 0.5])
    assert record == {
        "lines": 100,
        "carried": True,
        "words": 1000,
        "unknown": 0,
        "space_separated_words": 500,
        "characters": 4000,
    }


def test_what_json_has_no_number_for_is_null() -> None:
    record = json.loads(to_json(Totals(lines=1), carried=True))
    assert (record["perplexity"], record["bits_per_character"]) == (None, None)
