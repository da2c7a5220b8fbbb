"""The options of `nmt translate` that choose what is searched for, and the lists and scores that it gives."""

import json
from collections.abc import Callable

import pytest
from typer.testing import CliRunner, Result

from nmt.search.sampling import Sampling
from nmt.translate import Options, Translator
from nmt_cli.main import app

Invoke = Callable[..., Result]
Run = Callable[..., str]


def scored(library: Translator, line: str, options: Options) -> str:
    """What the library says, in the form of `--scores`."""
    [[best, *_]] = library.translate([line], options)
    return f"{best.score:.4f}\t{best.text}\n"


# search


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (["--beam", "1"], Options(beam_size=1)),
        (["--beam", "7", "--length-penalty", "0.25"], Options(beam_size=7, length_penalty=0.25)),
        (["--coverage-penalty", "0.5"], Options(coverage_penalty=0.5)),
        (["--min-length-ratio", "1.5"], Options(min_length_ratio=1.5)),
        (["--max-length-ratio", "0.01"], Options(max_length_ratio=0.01)),
        (["--no-repeat-ngram", "1"], Options(no_repeat_ngram=1)),
    ],
)
def test_search_options_reach_the_search(run: Run, library: Translator, arguments: list[str], options: Options) -> None:
    line = "bat cow bat cow bat cow"
    found = run("--scores", *arguments, lines=[line, ""])
    assert found == scored(library, line, options) + "0.0000\t\n"
    assert found != run("--scores", lines=[line, ""]) or arguments == ["--beam", "1"]


def test_what_is_out_of_range_is_wrong_usage_or_an_error(refused: Run) -> None:
    for option, value in (("--beam", "0"), ("--n-best", "0"), ("--batch-tokens", "-1"), ("--workers", "0")):
        assert f"Invalid value for '{option}'" in refused(option, value, code=2)
    message = refused("--length-penalty", "inf", code=2)
    assert message == "error: settings: search.length_penalty = inf: input should be a finite number\n"
    message = refused("--n-best", "6", code=2)
    assert message == ("error: 6 translations per line were requested, but search.beam_size = 5 gives 1 to 5\n")


def test_the_size_of_a_shortlist_is_a_multiple_of_16_which_the_help_says(refused: Run) -> None:
    message = refused("--shortlist", "50", code=2)
    assert message == "error: search.shortlist = 50: expected a multiple of 16, or 0\n"
    assert "a multiple of 16" in CliRunner(env={"COLUMNS": "300"}).invoke(app, ["translate", "--help"]).stdout


def test_a_shortlist_that_was_not_learnt_is_an_error(run: Run, refused: Run) -> None:
    message = refused("--shortlist", "32")
    assert message.startswith("error: search.shortlist = 32 needs what `nmt shortlist MODEL_DIR DATA_DIR` learns")
    assert run("--shortlist", "0", lines=["bat"]) == "bato\n"


# n-best lists and JSON lines


def test_n_best_lines_have_the_form_of_moses(run: Run, library: Translator) -> None:
    lines = ["bat cow", "", "den"]
    found = library.translate(lines, Options(n_best=2))
    stdout = run("--n-best", "2", lines=lines)
    expected = [f"{index} ||| {one.text} ||| {one.score:.4f}" for index, line in enumerate(found) for one in line]
    assert stdout.split("\n") == [*expected, ""]
    assert [line.split(" ||| ")[0] for line in expected] == list("00122")


@pytest.mark.parametrize("form", [["--n-best", "2"], ["--format", "json"]])
def test_scores_are_for_plain_text(refused: Run, form: list[str]) -> None:
    assert refused("--scores", *form, code=2) == (
        "error: --scores is for plain text; n-best lists and JSON have scores anyway, so leave it out\n"
    )


def test_json_has_an_object_for_every_line(invoke: Invoke, library: Translator) -> None:
    lines = ["bat cow", "", "bat cow " * 60, "hat\u2028jam"]
    result = invoke("--format", "json", "--n-best", "2", lines=lines)
    found = [json.loads(line) for line in result.stdout.split("\n")[:-1]]
    assert [record["line"] for record in found] == [1, 2, 3, 4]
    assert [len(record["translations"]) for record in found] == [2, 1, 2, 2]
    [[best, _]] = library.translate(["bat cow"], Options(n_best=2, alignment=True, details=True))
    first = found[0]["translations"][0]
    assert list(first) == ["text", "score", "log_probability", "alignment", "parts"]
    assert (first["text"], first["score"], first["alignment"]) == ("bato cowo", best.score, "0-0 1-1")
    assert first["log_probability"] == best.log_probability
    [part] = first["parts"]
    assert "".join(part["source_pieces"]) == "\u2581bat\u2581cow"
    assert "".join(part["pieces"]) == "\u2581bato\u2581cowo"
    assert found[1]["translations"] == [
        {"text": "", "score": 0.0, "log_probability": 0.0, "alignment": "", "parts": []}
    ]
    assert len(found[2]["translations"][0]["parts"]) > 1


# random translations


def test_samples_are_those_of_the_library(run: Run, library: Translator) -> None:
    arguments = ["--sample", "--temperature", "3", "--top-k", "9", "--top-p", "0.9", "--seed", "4", "--n-best", "7"]
    options = Options(sampling=Sampling(temperature=3.0, top_k=9, top_p=0.9, seed=4), n_best=7)
    [found] = library.translate(["bat cow"], options)
    expected = "".join(f"0 ||| {one.text} ||| {one.score:.4f}\n" for one in found)
    assert run(*arguments, lines=["bat cow"]) == expected
    assert len({one.text for one in found}) > 1
    assert run(*arguments, "--seed", "5", lines=["bat cow"]) != expected


def test_plain_samples_have_a_seed_too(run: Run, library: Translator) -> None:
    [[found]] = library.translate(["bat cow"], Options(sampling=Sampling()))
    assert run("--sample", lines=["bat cow"]) == f"{found.text}\n"


@pytest.mark.parametrize("arguments", [["--temperature", "0.5"], ["--top-k", "5"], ["--top-p", "0.9"], ["--seed", "1"]])
def test_what_is_about_samples_needs_samples(refused: Run, arguments: list[str]) -> None:
    assert refused(*arguments, code=2) == (f"error: {arguments[0]} is about sampling; it needs --sample\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--beam", "3"], "search.beam_size = 3 has no effect on sampling; leave one of them out"),
        (["--coverage-penalty", "0"], "search.coverage_penalty = 0.0 has no effect on sampling; leave one of them out"),
        (["--must", "mapo"], "required words cannot be combined with sampling; leave one of them out"),
    ],
)
def test_samples_that_cannot_be_drawn_are_an_error(refused: Run, arguments: list[str], message: str) -> None:
    assert refused("--sample", *arguments, code=2) == f"error: {message}\n"


# minimum Bayes risk


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (["--mbr", "6", "--n-best", "2"], Options(mbr=6, n_best=2)),
        (
            ["--mbr", "6", "--n-best", "2", "--utility", "chrf", "--sample", "--temperature", "3"],
            Options(mbr=6, n_best=2, utility="chrf", sampling=Sampling(temperature=3.0)),
        ),
    ],
)
def test_the_most_alike_are_those_of_the_library(
    run: Run, library: Translator, arguments: list[str], options: Options
) -> None:
    [found] = library.translate(["bat cow"], options)
    assert run(*arguments, lines=["bat cow"]) == "".join(f"0 ||| {one.text} ||| {one.score:.4f}\n" for one in found)
    [first, _] = json.loads(run(*arguments, "--format", "json", lines=["bat cow"]))["translations"]
    assert (first[f"expected_{options.utility}"], first["text"]) == (found[0].score, found[0].text)
    assert "score" not in first


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--utility", "bleu"], "--utility is about minimum Bayes risk decoding; it needs --mbr"),
        (["--mbr", "4", "--n-best", "5"], "5 translations per line were requested, but mbr = 4 chooses among 4"),
        (
            ["--mbr", "4", "--sample", "--beam", "3"],
            "search.beam_size = 3 has no effect on sampling; leave one of them out",
        ),
    ],
)
def test_what_does_not_go_with_the_most_alike_is_an_error(refused: Run, arguments: list[str], message: str) -> None:
    assert refused(*arguments, code=2) == f"error: {message}\n"
