import gzip
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from nmt.config import load_settings
from nmt.errors import ConfigError, DataError
from nmt.models.build import build_model
from nmt.models.folder import ModelFolder, Vocabularies
from nmt.subword import JOINT_MODEL, Tokenizer, train_tokenizer
from nmt.translate import Translator
from nmt_cli.translate import translate

TEXT = ["the dog runs .", "a cat sleeps .", "the cat and a dog run .", "ABCDEFGHIJ"]
LINES = ["the dog runs .", "", "a cat sleeps .", "the cat", "a dog", "\x0b", "the\u2028dog runs"]

app = typer.Typer()
app.command()(translate)


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny untrained model on disk, for lines of up to 20 pieces."""
    folder = tmp_path_factory.mktemp("trained")
    tokenizer = folder / JOINT_MODEL
    tokenizer.write_bytes(train_tokenizer(TEXT, kind="unigram", vocab_size=32))
    size = len(Tokenizer.load(tokenizer))
    tiny = ["model.embedding_size=8", "model.hidden_size=8", "model.encoder_layers=1", "search.beam_size=3"]
    settings = load_settings(overrides=[*tiny, "data.max_pieces=20"])
    model = build_model(settings.model, src_vocab_size=size, tgt_vocab_size=size, joint=True, seed=2)
    sizes = Vocabularies(src=size, tgt=size, joint=True)
    written = ModelFolder(folder / "model", settings=settings, vocabularies=sizes, tokenizers=[tokenizer])
    written.create()
    written.save(model, {})
    return folder / "model"


def run(*arguments: str | Path, stdin: bytes = b"") -> tuple[str, str]:
    """Run the command; return what it wrote to stdout and to stderr."""
    options = ["--device", "cpu", "--threads", "1"]
    result = CliRunner().invoke(app, [*map(str, arguments), *options], input=stdin, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout, result.stderr


def as_bytes(lines: list[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


@pytest.fixture(scope="module")
def expected(model_dir: Path) -> list[str]:
    """What the library makes of `LINES`."""
    return [best.text for best, *_ in Translator.load(model_dir, device="cpu").translate(LINES)]


def test_stdin_goes_to_stdout_line_by_line(model_dir: Path, expected: list[str]) -> None:
    stdout, stderr = run(model_dir, stdin=as_bytes(LINES))
    assert stdout == as_bytes(expected).decode()
    assert stdout.split("\n")[1] == ""
    assert stderr == ""
    assert any(expected)


def test_a_file_goes_to_a_file(model_dir: Path, expected: list[str], tmp_path: Path) -> None:
    source, output = tmp_path / "in.txt.gz", tmp_path / "out.txt"
    source.write_bytes(gzip.compress(as_bytes(LINES)))
    stdout, _ = run(model_dir, source, "--output", output)
    assert stdout == ""
    assert output.read_bytes() == as_bytes(expected)
    assert sorted(tmp_path.iterdir()) == [source, output]


def test_a_dash_is_stdin_and_stdout(model_dir: Path, expected: list[str]) -> None:
    stdout, _ = run(model_dir, "-", "--output", "-", stdin=as_bytes(LINES))
    assert stdout == as_bytes(expected).decode()


def test_a_last_line_without_end_gets_one(model_dir: Path, expected: list[str]) -> None:
    assert run(model_dir, stdin=b"the dog runs .")[0] == f"{expected[0]}\n"


def test_no_lines_give_no_lines(model_dir: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.txt"
    run(model_dir, "--output", output)
    assert output.read_bytes() == b""


def test_scores_come_before_a_tab(model_dir: Path, expected: list[str]) -> None:
    [best] = Translator.load(model_dir, device="cpu").translate(LINES[:1])[0]
    stdout, _ = run(model_dir, "--scores", stdin=as_bytes(LINES[:2]))
    assert stdout == f"{best.score:.4f}\t{expected[0]}\n0.0000\t\n"


def test_n_best_lines_have_the_form_of_moses(model_dir: Path) -> None:
    first, blank, second = Translator.load(model_dir, device="cpu").translate([LINES[0], "", LINES[2]], n_best=2)
    stdout, _ = run(model_dir, "--n-best", "2", stdin=as_bytes([LINES[0], "", LINES[2]]))
    rows = [*((0, one) for one in first), (1, blank[0]), *((2, one) for one in second)]
    assert stdout == "".join(f"{index} ||| {one.text} ||| {one.score:.4f}\n" for index, one in rows)
    assert len(rows) == 5


def test_indices_of_n_best_lines_go_on_from_block_to_block(
    model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nmt_cli.translate._BLOCK_LINES", 2)
    source = tmp_path / "in.txt"
    source.write_bytes(as_bytes(["the dog"] * 5))
    stdout, _ = run(model_dir, source, "--n-best", "2")
    assert [line.split(" ||| ")[0] for line in stdout.splitlines()] == list("0011223344")


def test_search_options_reach_the_search(model_dir: Path) -> None:
    translator = Translator.load(model_dir, device="cpu")
    stdout, _ = run(
        *(model_dir, "--beam", "7", "--length-penalty", "0.25", "--batch-tokens", "9", "--scores"),
        stdin=as_bytes(LINES[:1]),
    )
    [best] = translator.translate(LINES[:1], beam_size=7, length_penalty=0.25)[0]
    assert stdout == f"{best.score:.4f}\t{best.text}\n"


def test_a_line_that_was_cut_is_named(model_dir: Path, tmp_path: Path) -> None:
    source = tmp_path / "in.txt"
    source.write_bytes(as_bytes(["the dog", "the dog runs . " * 6]))
    stdout, stderr = run(model_dir, source)
    [best] = Translator.load(model_dir, device="cpu").translate(["the dog runs . " * 6])[0]
    assert stdout.count("\n") == 2
    assert stderr == (f"warning: {source}, line 2: longer than 20 pieces, so it was translated in {best.parts} parts\n")


def test_lines_after_blocks_are_counted_from_the_beginning(
    model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nmt_cli.translate._BLOCK_LINES", 2)
    source = tmp_path / "in.txt"
    source.write_bytes(as_bytes(["the", "dog", "the", "the dog runs . " * 6]))
    assert f"{source}, line 4:" in run(model_dir, source)[1]


def test_bad_bytes_are_an_error_and_leave_no_output(model_dir: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.txt"
    with pytest.raises(DataError, match=r"^<stdin>, line 2: byte 1 \(0xff\) is not UTF-8"):
        run(model_dir, "--output", output, stdin=b"the dog\n\xff\n")
    assert not list(tmp_path.iterdir())
    stdout, _ = run(model_dir, "--on-bad-utf8", "replace", stdin=b"the dog\n\xff\n")
    assert stdout.count("\n") == 2


def test_a_missing_file_is_found_out_before_the_model_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^cannot read .*nowhere\.txt: No such file"):
        run(tmp_path / "no-model", tmp_path / "nowhere.txt")


def test_a_beam_smaller_than_n_best_is_an_error(model_dir: Path) -> None:
    with pytest.raises(ConfigError, match=r"^4 translations of each line were asked for"):
        run(model_dir, "--n-best", "4", stdin=b"the dog\n")


def test_a_line_is_translated_before_the_next_one_arrives(model_dir: Path, expected: list[str]) -> None:
    command = "import typer; from nmt_cli.translate import translate; typer.run(translate)"
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{root / 'cli'}"}
    with subprocess.Popen(
        [sys.executable, "-c", command, str(model_dir), "--threads", "1", "--device", "cpu"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for row in (0, 3):
            process.stdin.write(as_bytes([LINES[row]]))
            process.stdin.flush()
            assert process.stdout.readline() == as_bytes([expected[row]])
        process.stdin.close()
        assert process.wait() == 0


def test_importing_the_command_does_not_import_torch() -> None:
    command = "import sys, nmt_cli.translate; sys.exit('torch' in sys.modules)"
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{root / 'cli'}"}
    assert subprocess.run([sys.executable, "-c", command], env=environment, check=False).returncode == 0
