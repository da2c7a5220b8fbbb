import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from nmt.prepared import PreparedData
from nmt_cli.main import app

WORDS = ["cat", "dog", "house", "river", "moon", "child"]
PAIRS = [(f"the {a} and the {b}", f"le {b} et le {a}") for a, b in itertools.product(WORDS, WORDS)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with 36 pairs in train.en and train.fr."""
    monkeypatch.chdir(tmp_path)
    write("train", PAIRS)
    return tmp_path


SIZE = ["--set", "tokenizer.vocab_size=40"]


def write(name: str, pairs: list[tuple[str, str]]) -> None:
    for suffix, side in ((".en", 0), (".fr", 1)):
        Path(name + suffix).write_text("".join(pair[side] + "\n" for pair in pairs))


def nmt(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["prepare", *arguments])


def prepare(*more: str) -> Result:
    return nmt("data", "--src", "train.en", "--tgt", "train.fr", "--set", "tokenizer.kind=bpe", *SIZE, *more)


def rows(result: Result) -> dict[str, str]:
    """The table on stderr: the name of each row and its number."""
    return dict(line.strip().rsplit(maxsplit=1) for line in result.stderr.splitlines() if line[-1:].isdigit())


def test_the_table_goes_to_stderr_and_nothing_to_stdout(folder: Path) -> None:
    write("train", [*PAIRS, PAIRS[0], ("", "x")])
    result = prepare()
    assert (result.exit_code, result.stdout) == (0, "")
    found = rows(result)
    assert found["pairs read"] == "38"
    assert (found["rejected: empty"], found["rejected: duplicate"], found["rejected: copy"]) == ("1", "1", "0")
    assert (found["held out for validation"], found["left for training"], found["validation pairs"]) == ("3", "33", "3")
    assert found["joint vocabulary"] == "40"
    assert "rejected pairs are listed in data/rejected.jsonl" in result.stderr
    assert json.loads((folder / "data/rejected.jsonl").read_text().splitlines()[0])["line"] == 37


def test_options_are_repeated_for_several_files(folder: Path) -> None:
    write("more", [("good morning", "bonjour")])
    assert prepare("--src", "more.en", "--tgt", "more.fr", "--tsv", "more.tsv").exit_code == 1
    Path("more.tsv").write_text("good night\tbonne nuit\n")
    result = prepare("--src", "more.en", "--tgt", "more.fr", "--tsv", "more.tsv")
    assert rows(result)["pairs read"] == "38"


def test_validation_files_are_used_instead_of_held_out_pairs(folder: Path) -> None:
    write("valid", [("the end", "la fin"), ("", "")])
    found = rows(prepare("--valid-src", "valid.en", "--valid-tgt", "valid.fr"))
    assert (found["left for training"], found["validation pairs"], found["left out: empty"]) == ("36", "1", "1")
    assert "held out for validation" not in found


def test_separate_vocabularies_have_a_row_each(folder: Path) -> None:
    found = rows(prepare("--set", "tokenizer.joint=false"))
    assert (found["source vocabulary"], found["target vocabulary"]) == ("40", "40")


def test_files_of_the_command_line_replace_those_of_the_recipe(folder: Path) -> None:
    Path("recipes").mkdir()
    Path("recipes/r.toml").write_text(
        '[data]\nroot = "nowhere"\ntrain_tsv = ["none.tsv"]\nvalid_src = "v.en"\nvalid_tgt = "v.fr"\n'
        '[tokenizer]\nkind = "bpe"\nvocab_size = 39\n'
    )
    write("valid", [("the end", "la fin")])
    result = nmt("data", "--recipe", "recipes/r.toml", "--src", "train.en", "--tgt", "train.fr",
                 "--valid-src", "valid.en", "--valid-tgt", "valid.fr")  # fmt: skip
    assert (result.exit_code, rows(result)["joint vocabulary"]) == (0, "39")


def test_a_recipe_alone_names_everything(folder: Path) -> None:
    Path("r.toml").write_text(
        '[data]\nroot = "."\ntrain_src = ["train.en"]\ntrain_tgt = ["train.fr"]\n'
        '[tokenizer]\nkind = "bpe"\nvocab_size = 40\n'
    )
    assert nmt("data", "--recipe", "r.toml").exit_code == 0
    assert len(PreparedData.open(Path("data")).train_src) == 33


def test_a_second_call_has_nothing_to_do(folder: Path) -> None:
    prepare()
    result = prepare()
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "data is up to date: nothing to do\n")


def test_other_settings_need_force(folder: Path) -> None:
    prepare()
    refused = prepare("--set", "data.max_pieces=99")
    assert (refused.exit_code, refused.stderr) == (
        1,
        "error: data holds data prepared from other text or settings; `nmt prepare --force` replaces them\n",
    )
    assert prepare("--set", "data.max_pieces=99", "--force").exit_code == 0


def test_a_reduced_vocabulary_is_a_warning(folder: Path) -> None:
    result = nmt("data", "--src", "train.en", "--tgt", "train.fr")
    assert result.exit_code == 0
    assert result.stderr.startswith("warning: the corpus gives at most ")


def test_bad_utf8_is_one_line_and_can_be_replaced(folder: Path) -> None:
    Path("train.en").write_bytes(b"caf\xe9 au lait\n" + Path("train.en").read_bytes().partition(b"\n")[2])
    refused = prepare()
    assert (refused.exit_code, refused.stdout, len(refused.stderr.splitlines())) == (1, "", 1)
    assert "train.en, line 1: byte 4 (0xe9) is not UTF-8" in refused.stderr
    assert not Path("data").exists()
    assert prepare("--on-bad-utf8", "replace").exit_code == 0


def test_no_text_is_an_error_that_names_both_ways(folder: Path) -> None:
    result = nmt("data")
    assert result.exit_code == 1
    assert "no training text: give --src and --tgt, or --tsv; or set data.train_src" in result.stderr


def test_help_ends_with_an_example_that_runs(folder: Path) -> None:
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["prepare", "--help"])
    example = next(line.strip() for line in result.stdout.splitlines() if line.strip().startswith("nmt prepare data/"))
    ran = CliRunner().invoke(app, [*example.split()[1:], "--set", "tokenizer.kind=bpe", *SIZE])
    assert (ran.exit_code, Path("data/en-fr/manifest.json").is_file()) == (0, True)


def test_nothing_heavy_is_imported_with_the_command() -> None:
    code = (
        "import sys, nmt_cli.prepare\n"
        "print([name for name in ('torch', 'datasets', 'pyarrow', 'sentencepiece', 'numpy') if name in sys.modules])"
    )
    path = [entry for entry in sys.path if entry]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {path!r}\n{code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"
