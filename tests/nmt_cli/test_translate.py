"""Every option of the command, on a model that has learnt to put an -o behind every word."""

import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner, Result

from nmt.search.sampling import Sampling
from nmt.translate import Options, Translator
from nmt_cli.main import app

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in (".", "cli", "data"))}

LINES = ["bat cow", "", "den fig gum", "\x0b", "hat\u2028jam", "kit \0 log", "map 😀"]


def invoke(*arguments: str | Path, lines: list[str] | bytes = b"") -> Result:
    stdin = lines if isinstance(lines, bytes) else as_bytes(lines)
    return CliRunner().invoke(app, ["translate", *map(str, arguments), "--device", "cpu"], input=stdin)


def run(*arguments: str | Path, lines: list[str] | bytes = b"") -> str:
    """Run the command; return its output."""
    result = invoke(*arguments, lines=lines)
    assert result.exit_code == 0, result.stderr
    assert result.stderr == ""
    return result.stdout


def refused(*arguments: str | Path, lines: list[str] | bytes = b"bat\n", code: int = 1) -> str:
    """Run the command; return what it says before it gives up."""
    result = invoke(*arguments, lines=lines)
    assert (result.exit_code, result.stdout) == (code, "")
    return result.stderr


def as_bytes(lines: list[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def records(*arguments: str | Path, lines: list[str]) -> list[Any]:
    return [json.loads(line) for line in run(*arguments, "--format", "json", lines=lines).split("\n")[:-1]]


@pytest.fixture(scope="module")
def library(toy_model: Path) -> Translator:
    return Translator.load(toy_model, device="cpu")


@pytest.fixture(scope="module")
def expected(library: Translator) -> list[str]:
    """What the library makes of `LINES`."""
    found = [best.text for best, *_ in library.translate(LINES)]
    assert found[:3] == ["bato cowo", "", "deno figo gumo"]
    return found


def scored(library: Translator, line: str, options: Options) -> str:
    """What the library says, in the form of `--scores`."""
    [[best, *_]] = library.translate([line], options)
    return f"{best.score:.4f}\t{best.text}\n"


# input and output


def test_stdin_goes_to_stdout_line_by_line(toy_model: Path, expected: list[str]) -> None:
    assert run(toy_model, lines=LINES) == as_bytes(expected).decode()
    assert run(toy_model, "-", "--output", "-", lines=LINES) == as_bytes(expected).decode()


def test_a_file_goes_to_a_file(toy_model: Path, expected: list[str], tmp_path: Path) -> None:
    source, output = tmp_path / "in.txt.gz", tmp_path / "out.txt"
    source.write_bytes(gzip.compress(as_bytes(LINES)))
    assert run(toy_model, source, "-o", output) == ""
    assert output.read_bytes() == as_bytes(expected)
    assert sorted(tmp_path.iterdir()) == [source, output]


def test_a_last_line_without_end_gets_one(toy_model: Path) -> None:
    assert run(toy_model, lines=b"bat cow\r\n\nden") == "bato cowo\n\ndeno\n"


def test_no_lines_give_no_lines(toy_model: Path, tmp_path: Path) -> None:
    output, links = tmp_path / "out.txt", tmp_path / "links.txt"
    assert run(toy_model, "--output", output, "--alignment", links) == ""
    assert (output.read_bytes(), links.read_bytes()) == (b"", b"")
    assert run(toy_model, "--format", "json") == ""


def test_bad_bytes_are_an_error_behind_the_lines_before(toy_model: Path, tmp_path: Path) -> None:
    result = invoke(toy_model, lines=b"bat\ncow\n\xff\nden\n")
    assert (result.exit_code, result.stdout) == (1, "bato\ncowo\n")
    assert result.stderr.startswith("error: <stdin>, line 3: byte 1 (0xff) is not UTF-8")
    assert "line 3" in refused(toy_model, "--output", tmp_path / "out.txt", lines=b"bat\ncow\n\xff\nden\n")
    assert not list(tmp_path.iterdir())
    replaced = run(toy_model, "--on-bad-utf8", "replace", lines=b"bat\ncow\n\xff\nden\n")
    assert replaced.count("\n") == 4


def test_a_missing_file_is_found_out_before_the_model_is_loaded(tmp_path: Path) -> None:
    message = refused(tmp_path / "no-model", tmp_path / "nowhere.txt")
    assert message == f"error: cannot read {tmp_path / 'nowhere.txt'}: No such file or directory\n"


def test_a_missing_model_is_one_line(tmp_path: Path) -> None:
    message = refused(tmp_path / "no-model", "--output", tmp_path / "out.txt")
    assert re.fullmatch(r"error: .*no-model does not exist\n", message)
    assert not list(tmp_path.iterdir())


def test_output_that_cannot_be_written_is_one_line(toy_model: Path, tmp_path: Path) -> None:
    for option in ("--output", "--alignment"):
        assert refused(toy_model, option, tmp_path) == f"error: {tmp_path}: Is a directory\n"
        nowhere = tmp_path / "no" / "x"
        assert refused(toy_model, option, nowhere) == f"error: {nowhere}: No such file or directory\n"


def test_lines_too_long_for_the_model_are_named(toy_model: Path, tmp_path: Path) -> None:
    source = tmp_path / "in.txt"
    source.write_text("bat\n" + "bat cow " * 60 + "\nden\n")
    result = invoke(toy_model, source)
    assert (result.exit_code, result.stdout.count("\n")) == (0, 3)
    warning = r"warning: (.*), line 2: too long for the model, so it was translated in (\d) parts\n"
    found = re.fullmatch(warning, result.stderr)
    assert found is not None
    assert found[1] == str(source)
    assert int(found[2]) > 1
    assert invoke(toy_model, lines=["bat cow " * 60]).stderr.startswith("warning: <stdin>, line 1: too long")


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
def test_search_options_reach_the_search(
    toy_model: Path, library: Translator, arguments: list[str], options: Options
) -> None:
    line = "bat cow bat cow bat cow"
    found = run(toy_model, "--scores", *arguments, lines=[line, ""])
    assert found == scored(library, line, options) + "0.0000\t\n"
    assert found != run(toy_model, "--scores", lines=[line, ""]) or arguments == ["--beam", "1"]


def test_the_size_of_batches_changes_nothing(toy_model: Path, expected: list[str]) -> None:
    assert run(toy_model, "--batch-tokens", "1", lines=LINES) == as_bytes(expected).decode()


def test_what_is_out_of_range_is_wrong_usage_or_an_error(toy_model: Path) -> None:
    for option in ("--beam", "--n-best", "--batch-tokens", "--workers"):
        assert f"Invalid value for '{option}'" in refused(toy_model, option, "0", code=2)
    message = refused(toy_model, "--max-length-ratio", "0")
    assert message == "error: settings: search.max_length_ratio = 0.0: input should be greater than 0\n"
    message = refused(toy_model, "--n-best", "6")
    assert message == ("error: 6 translations of each line were asked for, but search.beam_size = 5 gives 1 to 5\n")


def test_a_shortlist_that_was_not_learnt_is_an_error(toy_model: Path) -> None:
    message = refused(toy_model, "--shortlist", "20")
    assert message.startswith("error: search.shortlist = 20 needs what `nmt shortlist MODEL_DIR DATA_DIR` learns")
    assert run(toy_model, "--shortlist", "0", lines=["bat"]) == "bato\n"


# n-best lists and JSON lines


def test_n_best_lines_have_the_form_of_moses(toy_model: Path, library: Translator) -> None:
    lines = ["bat cow", "", "den"]
    found = library.translate(lines, Options(n_best=2))
    stdout = run(toy_model, "--n-best", "2", lines=lines)
    expected = [f"{index} ||| {one.text} ||| {one.score:.4f}" for index, line in enumerate(found) for one in line]
    assert stdout.split("\n") == [*expected, ""]
    assert [line.split(" ||| ")[0] for line in expected] == list("00122")


def test_json_has_an_object_for_every_line(toy_model: Path, library: Translator) -> None:
    lines = ["bat cow", "", "bat cow " * 60, "hat\u2028jam"]
    result = invoke(toy_model, "--format", "json", "--n-best", "2", lines=lines)
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


def test_samples_are_those_of_the_library(toy_model: Path, library: Translator) -> None:
    arguments = ["--sample", "--temperature", "3", "--top-k", "9", "--top-p", "0.9", "--seed", "4", "--n-best", "7"]
    options = Options(sampling=Sampling(temperature=3.0, top_k=9, top_p=0.9, seed=4), n_best=7)
    [found] = library.translate(["bat cow"], options)
    expected = "".join(f"0 ||| {one.text} ||| {one.score:.4f}\n" for one in found)
    assert run(toy_model, *arguments, lines=["bat cow"]) == expected
    assert len({one.text for one in found}) > 1
    assert run(toy_model, *arguments, "--seed", "5", lines=["bat cow"]) != expected


def test_plain_samples_have_a_seed_too(toy_model: Path, library: Translator) -> None:
    [[found]] = library.translate(["bat cow"], Options(sampling=Sampling()))
    assert run(toy_model, "--sample", lines=["bat cow"]) == f"{found.text}\n"


@pytest.mark.parametrize("arguments", [["--temperature", "0.5"], ["--top-k", "5"], ["--top-p", "0.9"], ["--seed", "1"]])
def test_what_is_about_samples_needs_samples(toy_model: Path, arguments: list[str]) -> None:
    assert refused(toy_model, *arguments) == (
        f"error: {arguments[0]} is about random translations; it needs --sample\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--temperature", "0"], "temperature = 0.0 of sampling: expected from 1e-6 to 1e6"),
        (["--top-k", "-1"], "top_k = -1 of sampling: expected 0 or more"),
        (["--top-p", "1.5"], "top_p = 1.5 of sampling: expected above 0 and at most 1"),
        (["--seed", "-1"], "seed = -1 of sampling: expected from 0 to 2^63 - 1"),
        (
            ["--must", "mapo"],
            "words cannot be required of translations that are drawn at random; leave one of them out",
        ),
    ],
)
def test_samples_that_cannot_be_drawn_are_an_error(toy_model: Path, arguments: list[str], message: str) -> None:
    assert refused(toy_model, "--sample", *arguments) == f"error: {message}\n"


# words


def test_words_that_must_and_must_not_appear(toy_model: Path) -> None:
    found = run(toy_model, "--must", "mapo", "--must", "logo", "--must-not", "bato", lines=["bat cow", "", "den"])
    first, blank, last, _ = found.split("\n")
    assert {"mapo", "logo"} <= set(first.split())
    assert {"mapo", "logo"} <= set(last.split())
    assert "bato" not in first.split()
    assert blank == ""
    assert (
        refused(toy_model, "--must", "")
        == "error: found the blank word '' among those that translations must contain\n"
    )


def test_terms_appear_where_their_source_does(toy_model: Path, tmp_path: Path) -> None:
    terms = tmp_path / "terms.tsv"
    terms.write_text("# source, target\ncow\tmapo\n")
    first, second = run(toy_model, "--terms", terms, lines=["bat cow", "bat"]).splitlines()
    assert "mapo" in first.split()
    assert second == "bato"
    terms.write_text("cow\n")
    message = f"error: {terms}, line 1: found 1 column, expected 2: source term <tab> target term\n"
    assert refused(toy_model, "--terms", terms) == message


def test_a_prefix_stands_behind_a_tab(toy_model: Path) -> None:
    found = run(toy_model, "--prefix-after-tab", lines=["bat cow hat\tmapo", "den", "\tmapo"]).split("\n")
    assert found[0].split()[0] == "mapo"
    assert found[1:] == ["deno", "", ""]


def test_unknown_words_are_copied_or_looked_up(
    toy_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = watch(monkeypatch)
    run(toy_model)
    run(toy_model, "--replace-unknown")
    dictionary = tmp_path / "words.tsv"
    dictionary.write_text("走\tlogo\n", encoding="utf-8")
    run(toy_model, "--dictionary", dictionary)
    assert [options.unknown for options in given] == [None, {}, {"走": "logo"}]
    dictionary.write_text("走\n", encoding="utf-8")
    assert refused(toy_model, "--dictionary", dictionary).startswith(f"error: {dictionary}, line 1: found 1 column")


def watch(monkeypatch: pytest.MonkeyPatch) -> list[Options]:
    """Return the list of the options that translators are asked for."""
    given: list[Options] = []
    flow = Translator.flow

    def watched(self: Translator, options: Options, **numbers: Any) -> Any:
        given.append(options)
        return flow(self, options, **numbers)

    monkeypatch.setattr(Translator, "flow", watched)
    return given


# text


def test_documents_keep_blank_lines_and_join_sentences(toy_model: Path) -> None:
    first, blank, second = records(toy_model, "--document", lines=["Bat cow! Den fig.", "", "hat"])
    assert [len(one["translations"][0]["parts"]) for one in (first, blank, second)] == [2, 0, 1]
    assert second["translations"][0]["text"] == "hato"


def test_markup_survives(toy_model: Path) -> None:
    lines = ["<b>bat</b> cow {n} %s", "<br/>", "", "bat @x"]
    assert run(toy_model, "--markup", lines=lines).splitlines()[:3] == ["<b>bato</b> cowo {n} %s", "<br/>", ""]
    assert run(toy_model, "--keep", "@[a-z]", lines=lines[::3]) == "<b>bato</b> cowo {n} %s\nbato @x\n"
    message = refused(toy_model, "--keep", "(")
    assert message.startswith("error: markup pattern '(' is not a Python regular expression: missing )")


# output


def test_alignments_have_a_line_for_every_line(toy_model: Path, tmp_path: Path) -> None:
    links = tmp_path / "links.txt"
    stdout = run(toy_model, "--alignment", links, "--n-best", "2", lines=["bat cow hat", "", "den"])
    assert stdout.startswith("0 ||| bato cowo hato |||")
    assert links.read_text() == "0-0 1-1 2-2\n\n0-0\n"


def test_attention_is_drawn_for_every_line_that_is_not_blank(toy_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "plots"
    assert run(toy_model, "--attention-plot", folder, lines=["bat cow", "", "den"]) == "bato cowo\n\ndeno\n"
    assert sorted(path.name for path in folder.iterdir()) == ["line-1.png", "line-3.png"]
    assert (folder / "line-1.png").read_bytes().startswith(b"\x89PNG")


# computation


@pytest.mark.parametrize("precision", ["auto", "fp32", "bf16"])
def test_every_precision_gives_a_line_for_a_line(toy_model: Path, precision: str) -> None:
    assert run(toy_model, "--precision", precision, lines=["bat cow", "", "den"]) == "bato cowo\n\ndeno\n"


def test_a_precision_that_the_hardware_lacks_is_an_error(toy_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: False)
    message = refused(toy_model, "--precision", "int8")
    assert message == 'error: precision "int8" needs a CPU with AVX-512 VNNI, which this one lacks; use "fp32"\n'
    assert "'int4' is not one of" in refused(toy_model, "--precision", "int4", code=2)


def test_a_missing_gpu_is_an_error(toy_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    result = CliRunner().invoke(app, ["translate", str(toy_model), "--device", "cuda"], input=b"bat\n")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == 'error: device "cuda" was asked for, but torch finds no GPU here; use "cpu" or "auto"\n'


def test_models_of_one_vocabulary_decide_together(toy_model: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(toy_model, other, ignore=shutil.ignore_patterns("checkpoints", "tensorboard"))
    assert run(toy_model, "--ensemble", other, "--ensemble", toy_model, lines=["bat cow"]) == "bato cowo\n"
    message = refused(toy_model, "--ensemble", tmp_path / "nowhere")
    assert re.fullmatch(r"error: .*nowhere does not exist\n", message)


def test_workers_write_the_same_bytes(toy_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nmt_cli.translate._STREAM_BLOCK", 3)
    arguments = [toy_model, "--sample", "--temperature", "3", "--n-best", "2"]
    lines = [*LINES, "bat cow " * 60, *LINES]
    one, two = (
        invoke(*arguments, "--alignment", tmp_path / workers, "--workers", workers, lines=lines)
        for workers in ("1", "2")
    )
    assert (one.exit_code, two.exit_code) == (0, 0)
    assert (two.stdout, two.stderr) == (one.stdout, one.stderr)
    assert "line 8: too long" in two.stderr
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def start(toy_model: Path, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "nmt_cli", "translate", str(toy_model), "--device", "cpu", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=ENVIRONMENT)


def test_a_line_is_translated_before_the_next_one_arrives_and_ctrl_c_ends_it(toy_model: Path) -> None:
    with start(toy_model) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        for line, translation in ((b"bat cow\n", b"bato cowo\n"), (b"\n", b"\n"), (b"den\n", b"deno\n")):
            process.stdin.write(line)
            process.stdin.flush()
            assert process.stdout.readline() == translation
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
        assert process.stderr.read() == b"interrupted\n"


def test_a_reader_that_has_seen_enough_ends_it_without_a_word(toy_model: Path) -> None:
    with start(toy_model) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(b"bat cow\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"bato cowo\n"
        process.stdout.close()
        process.stdin.write(b"den\n" * 10)
        process.stdin.close()
        assert process.wait(timeout=30) == 141
        assert process.stderr.read() == b""
