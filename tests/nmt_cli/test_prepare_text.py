"""`nmt prepare --text`: data for a language model."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from nmt.prepared import PreparedData, PreparedText, open_data
from nmt_cli.main import app

LINES = [f"the {a} {b}" for a in ("cat", "dog", "cow", "pig") for b in ("sleeps", "eats", "runs", "sees", "is")]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with 20 lines in train.txt."""
    monkeypatch.chdir(tmp_path)
    write("train.txt", LINES)
    return tmp_path


def write(name: str, lines: list[str]) -> None:
    Path(name).write_text("".join(f"{line}\n" for line in lines))


def prepare(*arguments: str, data: str = "data") -> Result:
    return CliRunner().invoke(app, ["prepare", data, *arguments])


def words(*arguments: str, data: str = "data") -> Result:
    return prepare("--text", "train.txt", "--set", "tokenizer.kind=word", *arguments, data=data)


def rows(result: Result) -> dict[str, str]:
    """The table on stdout: the name of each row and its number."""
    return dict(line.strip().rsplit(maxsplit=1) for line in result.stdout.splitlines() if line[-1:] in "0123456789%")


def refused(result: Result, code: int = 1) -> str:
    assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (code, "", 1)
    return result.stderr


def test_the_table_counts_lines_and_tells_how_much_is_unknown() -> None:
    write("more.txt", ["", "the end"])
    write("valid.txt", ["the cat sleeps", "", "the zebra"])
    result = words("--text", "more.txt", "--valid-text", "valid.txt")
    assert result.exit_code == 0
    assert rows(result) == {
        "lines read": "22",
        "rejected: empty": "1",
        "left for training": "21",
        "validation lines": "2",
        "left out: empty": "1",
        "vocabulary": "15",  # four specials, the, four animals, five verbs, end
        "training pieces": "62",
        "validation pieces": "5",
        "of them unknown": "20.00%",
    }
    assert result.stderr.splitlines()[-1] == "prepared data: data; rejected lines are listed in data/rejected.jsonl"
    assert json.loads(Path("data/rejected.jsonl").read_text()) == {"file": str(Path("more.txt").absolute()), "line": 1,
                                                                  "reason": "empty"}  # fmt: skip


def test_without_validation_text_lines_at_the_end_are_held_out() -> None:
    assert rows(words())["held out for validation"] == "2"
    assert PreparedText.open(Path("data")).valid_texts == LINES[18:]


def test_a_second_call_has_nothing_to_do() -> None:
    words()
    result = words()
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "data is up to date: nothing to do\n")


def test_a_recipe_alone_names_everything() -> None:
    Path("r.toml").write_text(
        '[data]\nroot = "."\ntrain_text = ["train.txt"]\nvalid_text = "train.txt"\n'
        '[tokenizer]\nkind = "char"\n[model]\nkind = "lm"\n'
    )
    assert prepare("--recipe", "r.toml").exit_code == 0
    assert PreparedText.open(Path("data")).tokenizer.kind == "char"


@pytest.mark.parametrize(
    "recipe", ['train_src = ["no"]\ntrain_tgt = ["no"]\nvalid_src = "no"\nvalid_tgt = "no"', 'train_text = ["no"]']
)
def test_text_of_the_command_line_replaces_that_of_the_recipe(recipe: str) -> None:
    Path("r.toml").write_text(f"[data]\n{recipe}\n")
    assert words("--recipe", "r.toml").exit_code == 0


def test_pairs_of_the_command_line_replace_the_text_of_the_recipe() -> None:
    Path("r.toml").write_text('[data]\ntrain_text = ["no"]\nvalid_text = "no"\n')
    write("train.tgt", [line[::-1] for line in LINES])
    pairs = ("--src", "train.txt", "--tgt", "train.tgt", "--set", "tokenizer.kind=word")
    result = prepare("--recipe", "r.toml", *pairs)
    assert (result.exit_code, type(open_data(Path("data")))) == (0, PreparedData)


def test_the_validation_text_of_the_recipe_goes_with_the_text_of_the_command_line() -> None:
    Path("r.toml").write_text('[data]\ntrain_text = ["no"]\nvalid_text = "train.txt"\n')
    assert rows(words("--recipe", "r.toml"))["validation lines"] == "20"


@pytest.mark.parametrize("option", ["--src", "--tgt", "--tsv", "--corpus", "--valid-tgt"])
def test_text_and_pairs_are_not_prepared_together(option: str) -> None:
    assert refused(words(option, "train.txt"), code=2) == (
        f"error: {option} is about pairs and --text about text for a language model: data hold one of them\n"
    )


@pytest.mark.parametrize(
    ("setting", "value"), [("train_src", ["a"]), ("train_tgt", ["a"]), ("train_tsv", ["a"]), ("valid_tgt", "a")]
)
def test_text_of_a_recipe_and_pairs_are_not_prepared_together(setting: str, value: object) -> None:
    Path("r.toml").write_text(f'[data]\ntrain_text = ["train.txt"]\n{setting} = {value!r}\n')
    assert refused(prepare("--recipe", "r.toml")) == (
        f"error: data.train_text and data.{setting} are both set, but data are prepared from text for a language model "
        "(--text) or from pairs (--src and --tgt, --tsv or --corpus), not from both\n"
    )


def test_validation_text_needs_training_text() -> None:
    assert "no training text: give --src" in refused(prepare("--valid-text", "train.txt"), code=2)
    Path("r.toml").write_text('[data]\nvalid_text = "train.txt"\n')
    message = refused(prepare("--recipe", "r.toml"))
    assert message.startswith("error: data.valid_text is set but data.train_text is not; give the training text")


def test_too_few_words_are_a_warning_where_more_were_asked_for() -> None:
    result = words("--set", "tokenizer.vocab_size=100")
    assert result.stderr.startswith("warning: the corpus gives 14 pieces, not tokenizer.vocab_size = 100\n")


def test_a_tokenizer_is_taken_from_another_folder() -> None:
    words("--set", "tokenizer.vocab_size=16", data="one")
    write("other.txt", ["the zebra sleeps"] * 20)
    result = prepare("--text", "other.txt", "--tokenizer", "one", data="two")
    assert (result.exit_code, rows(result)["of them unknown"]) == (0, "33.33%")
    one, two = (PreparedText.open(Path(name)) for name in ("one", "two"))
    assert (two.tokenizer.pieces, two.settings.tokenizer.kind) == (one.tokenizer.pieces, "word")
    assert prepare("--text", "other.txt", "--tokenizer", "two/joint.spm.model", data="two").stderr == (
        "two is up to date: nothing to do\n"
    )


def test_pairs_may_take_a_tokenizer_too() -> None:
    words(data="one")
    write("train.tgt", LINES[::-1])
    result = prepare("--src", "train.txt", "--tgt", "train.tgt", "--tokenizer", "one", data="two")
    assert (result.exit_code, rows(result)["joint vocabulary"]) == (0, "14")
    assert PreparedData.open(Path("two")).tokenizers.tgt.kind == "word"
    again = ("--src", "train.txt", "--tgt", "train.tgt", "--tokenizer", "one", "--set", "tokenizer.joint=false")
    assert "tokenizer.file is one tokenizer for both sides of pairs" in refused(prepare(*again, data="three"))


def test_what_is_no_tokenizer_is_refused() -> None:
    assert "cannot read tokenizer" in refused(words("--tokenizer", "none"))
    assert "train.txt cannot be used as a tokenizer: not a Sent" in refused(words("--tokenizer", "train.txt"))


def test_the_example_for_text_runs(folder: Path) -> None:
    help_text = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["prepare", "--help"]).stdout
    (example,) = (line.split() for line in help_text.splitlines() if "--text train.fr" in line)
    write("train.fr", LINES)
    assert CliRunner().invoke(app, example[1:]).exit_code == 0
    assert isinstance(open_data(Path("data/lm")), PreparedText)
