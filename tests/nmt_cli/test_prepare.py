import errno
import gzip
import itertools
import json
import os
import re
import shlex
import subprocess
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest
import zstandard
from datasets import Dataset
from rich.progress import Progress
from typer.testing import CliRunner, Result

from nmt.prepare.pipeline import Assembly
from nmt.prepare.stages import StageProgress as Now
from nmt.prepared import PreparedData
from nmt.training.distributed import Ranks
from nmt_cli.main import app
from nmt_cli.prepare import show_stages
from nmt_cli.processes import cores_of_process
from tests.nmt_cli.conftest import full_disk

WORDS = ["cat", "dog", "house", "river", "moon", "child"]
PAIRS = [(f"the {a} and the {b}", f"le {b} et le {a}") for a, b in itertools.product(WORDS, WORDS)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with 36 pairs in train.en and train.fr."""
    monkeypatch.chdir(tmp_path)
    write("train", PAIRS)
    return tmp_path


SIZE = ["--set", "tokenizer.vocab_size=40"]
BPE = ["--set", "tokenizer.kind=bpe"]


def write(name: str, pairs: list[tuple[str, str]]) -> None:
    for suffix, side in ((".en", 0), (".fr", 1)):
        Path(name + suffix).write_text("".join(pair[side] + "\n" for pair in pairs))


def nmt(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["prepare", *arguments])


def prepare(*more: str) -> Result:
    return nmt("data", "--src", "train.en", "--tgt", "train.fr", *BPE, *SIZE, *more)


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def rows(result: Result) -> dict[str, str]:
    """The table on stdout: the name of each row and its number."""
    return dict(line.strip().rsplit(maxsplit=1) for line in result.stdout.splitlines() if line[-1:].isdigit())


def test_the_table_goes_to_stdout_and_where_the_data_are_to_stderr(folder: Path) -> None:
    write("train", [*PAIRS, PAIRS[0], ("", "x")])
    result = prepare()
    assert result.exit_code == 0
    found = rows(result)
    assert found["pairs read"] == "38"
    assert (found["rejected: empty"], found["rejected: duplicate"]) == ("1", "1")
    assert "rejected: copy" not in found
    assert (found["held out for validation"], found["left for training"], found["validation pairs"]) == ("3", "33", "3")
    assert found["joint vocabulary"] == "40"
    assert result.stderr == "prepared data: data; rejected pairs are listed in data/rejected.jsonl\n"
    assert json.loads((folder / "data/rejected.jsonl").read_text().splitlines()[0])["line"] == 37


@pytest.mark.parametrize("rank", [0, 1])
def test_of_several_processes_the_first_alone_tells_of_the_data(
    folder: Path, monkeypatch: pytest.MonkeyPatch, rank: int
) -> None:
    met = list[Path]()

    def meet(ranks: Ranks, work: Path) -> AbstractContextManager[None]:
        met.append(work.parent)
        return nullcontext()

    monkeypatch.setattr("nmt_cli.prepare.several_processes", lambda: nullcontext(Ranks(rank, 2)))
    monkeypatch.setattr(Ranks, "met", meet)
    result = prepare()
    assert (result.exit_code, met) == (0, [folder / ".data.work"])
    assert (bool(result.stdout), bool(result.stderr)) == (rank == 0, rank == 0)
    assert Path("data").is_dir()


def test_processes_that_torchrun_started_share_the_cores_of_a_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nmt.io.limits.usable_cores", lambda: 8)
    assert cores_of_process() == 8
    for processes, cores in (("3", 2), ("16", 1)):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", processes)
        assert cores_of_process() == cores


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


def test_corpora_of_all_formats_are_counted_one_by_one(folder: Path) -> None:
    Path("some.tsv").write_text("good night\tbonne nuit\n" * 2)
    Path("more.jsonl").write_text(json.dumps({"translation": {"fr": "bonjour", "en": "good morning"}}))
    found = rows(prepare("--corpus", "some.*", "--corpus", "more.jsonl", "--src-lang", "en", "--tgt-lang", "fr"))
    assert (found["pairs read"], found["rejected: duplicate"], found["left for training"]) == ("39", "1", "35")
    kept = [int(found[name]) for name in ("train.en", "some.tsv", "more.jsonl")]
    assert sum(kept) == 35
    assert max(kept[1:]) <= 1


def test_further_validation_sets_are_counted_one_by_one(folder: Path) -> None:
    write("valid", [("the end", "la fin"), ("", "")])
    write("news", [("the news", "la une"), ("the cat and the cat", "le chat")])
    files = ["--valid-src", "valid.en", "--valid-tgt", "valid.fr", "--valid-src", "news.en", "--valid-tgt", "news.fr"]
    found = rows(prepare(*files))
    assert (found["validation pairs"], found["valid.en"], found["news.en"], found["left out: empty"]) == tuple("3121")
    assert found["training sources in the validation text"] == "1"
    assert "training pairs in the validation text" not in found


def test_every_validation_set_needs_both_sides(folder: Path) -> None:
    refused = prepare("--valid-src", "a.en", "--valid-src", "b.en", "--valid-tgt", "a.fr")
    assert (refused.exit_code, refused.stderr) == (
        2,
        "error: found 2 of --valid-src but 1 of --valid-tgt; each set has two sides\n",
    )
    refused = prepare("--valid-src", "a.en")
    message = "error: --valid-src and --valid-tgt are the two sides of a text: give both\n"
    assert (refused.exit_code, refused.stderr) == (2, message)


def test_patterns_count_from_the_working_folder_whatever_is_in_its_name(folder: Path) -> None:
    inner = folder / "a[b]*"
    inner.mkdir()
    os.chdir(inner)
    write("part-1", PAIRS[:20])
    write("part-2", PAIRS[20:])
    found = rows(nmt("data", "--src", "part-*.en", "--tgt", "part-*.fr", "--set", "data.root=/nowhere", *BPE, *SIZE))
    assert found["pairs read"] == "36"


def test_local_datasets_count_from_the_working_folder(folder: Path) -> None:
    Dataset.from_dict({"src": ["good night"], "tgt": ["bonne nuit"]}).save_to_disk("saved")
    found = rows(prepare("--corpus", "hf:saved", "--set", "data.root=/nowhere"))
    assert found["pairs read"] == "37"


def test_the_number_of_processes_changes_nothing(folder: Path) -> None:
    prepare("--workers", "1")
    alone = Path("data/train.arrow").read_bytes()
    assert prepare("--workers", "3", "--force").exit_code == 0
    assert Path("data/train.arrow").read_bytes() == alone
    assert prepare("--workers", "0").exit_code == 2


def test_corpora_of_a_recipe_have_weights_and_tags(folder: Path) -> None:
    Path("more.tsv").write_text("good night\tbonne nuit\n")
    Path("r.toml").write_text(
        '[data]\nroot = "."\nvalid_src = "train.en"\nvalid_tgt = "train.fr"\n'
        '[[data.corpora]]\nsrc = ["train.en"]\ntgt = ["train.fr"]\nweight = 0.5\n'
        '[[data.corpora]]\npath = ["more.tsv"]\ntag = "<more>"\nname = "more"\n'
        '[tokenizer]\nkind = "bpe"\nvocab_size = 45\n'
    )
    found = rows(nmt("data", "--recipe", "r.toml"))
    assert (found["train.en"], found["more"]) == ("36", "1")
    corpora = json.loads(Path("data/manifest.json").read_text())["counts"]["corpora"]
    assert [(one["name"], one["weight"], one["tag"]) for one in corpora] == [
        ("train.en", 0.5, None),
        ("more", 1, "<more>"),
    ]
    assert rows(nmt("other", "--recipe", "r.toml", "--corpus", "more.tsv"))["pairs read"] == "1"


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


def test_a_stage_has_nothing_of_the_one_before_it_on_the_bar() -> None:
    bar = Progress(disable=True)
    show = show_stages(bar)
    shown = []
    for now in (Now("reading", 3, 4), Now("reading", 5, 5), Now("training the tokenizer", 0), Now("encoding", 1, 5)):
        show(now)
        (task,) = bar.tasks
        shown.append((task.description, task.completed, task.total))
    assert shown == [("reading", 3, 4), ("reading", 5, 5), ("training the tokenizer", 0, None), ("encoding", 1, 5)]


def test_an_interrupted_run_says_how_it_goes_on_and_does(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Assembly, "write", interrupt)
        result = prepare()
        assert (result.exit_code, Path("data").exists()) == (130, False)
        assert result.stderr.splitlines()[-2:] == [
            f"what is done is kept in {folder / '.data.work'}: the same command continues from there",
            "interrupted",
        ]
    assert prepare().exit_code == 0
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []


def test_after_a_full_disk_the_work_is_kept_and_it_is_said_where(folder: Path) -> None:
    with full_disk(300):
        early = prepare()
    assert (early.exit_code, len(early.stderr.splitlines())) == (1, 1)
    assert not Path(".data.work").exists(), "nothing has been done"
    with full_disk(3000):  # the tokenizer is larger, what comes before it is smaller
        result = prepare()
    assert (result.exit_code, Path("data").exists(), Path(".data.work").exists()) == (1, False, True)
    kept, error = result.stderr.splitlines()
    assert kept == f"what is done is kept in {folder / '.data.work'}: the same command continues from there"
    assert error.startswith("error: data: ")
    assert "File too large" in error
    assert prepare().exit_code == 0


def test_on_a_read_only_disk_the_folder_that_was_asked_for_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, mode: int) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr("os.mkdir", refuse)
    result = prepare()
    assert (result.exit_code, result.stderr) == (1, "error: data: Read-only file system\n")


def test_bad_utf8_is_one_line_and_can_be_replaced(folder: Path) -> None:
    Path("train.en").write_bytes(b"caf\xe9 au lait\n" + Path("train.en").read_bytes().partition(b"\n")[2])
    refused = prepare()
    assert (refused.exit_code, refused.stdout, len(refused.stderr.splitlines())) == (1, "", 1)
    assert "train.en, line 1: byte 4 (0xe9) is not UTF-8" in refused.stderr
    assert not Path("data").exists()
    assert prepare("--on-bad-utf8", "replace").exit_code == 0


def test_a_broken_record_is_one_line_and_can_be_left_out(folder: Path) -> None:
    Path("memory.tsv").write_text("good\tbon\nno translation\nbad\tmauvais\n")
    refused = prepare("--corpus", "memory.tsv")
    assert (refused.exit_code, len(refused.stderr.splitlines())) == (1, 1)
    assert "memory.tsv, line 2: found 1 column, expected 2: source <tab> target; --on-bad-record skip" in refused.stderr
    done = prepare("--corpus", "memory.tsv", "--on-bad-record", "skip")
    assert done.exit_code == 0
    assert rows(done)["rejected: broken"] == "1"
    [rejected] = [json.loads(line) for line in Path("data/rejected.jsonl").read_text().splitlines()]
    assert (Path(rejected["file"]).name, rejected["line"], rejected["reason"]) == ("memory.tsv", 2, "broken")


def test_no_text_is_an_error_that_names_both_ways(folder: Path) -> None:
    result = nmt("data")
    assert result.exit_code == 2
    message = "no training text: give --src and --tgt, --tsv, --corpus or --text, or a recipe that names it"
    assert result.stderr == f"error: {message}\n"
    result = nmt("data", "--set", "data.seed=2")
    assert result.exit_code == 1
    assert "no training text: give --src and --tgt, --tsv or --corpus; or set data.train_src" in result.stderr


def test_help_ends_with_examples_that_run(folder: Path) -> None:
    medical = [(f"{letter} pill", f"un comprimé {letter}") for letter in "abcdefghijklmnopqrst"]
    parts = {"part-1": PAIRS[:20], "part-2": PAIRS[20:], "dev": [("the end", "la fin")], "medical": medical}
    for name, pairs in parts.items():
        write(name, pairs)
        for language in ("en", "fr"):
            Path(f"{name}.{language}.gz").write_bytes(gzip.compress(Path(f"{name}.{language}").read_bytes()))
    objects = "".join(json.dumps({"en": src, "fr": tgt}) + "\n" for src, tgt in PAIRS)
    Path("web-1.jsonl.zst").write_bytes(zstandard.compress(objects.encode()))
    tuvs = "<tuv xml:lang='en-US'><seg>good</seg></tuv><tuv xml:lang='fr'><seg>bon</seg></tuv>"
    Path("memory.tmx").write_text(f"<tmx version='1.4'><header/><body><tu>{tuvs}</tu></body></tmx>")
    help_text = CliRunner().invoke(app, ["prepare", "--help"]).stdout
    help_text = re.sub(r"\\ *\n", "", help_text)  # as a shell does
    examples = [line.strip() for line in help_text.splitlines() if line.strip().startswith("nmt prepare data/")]
    assert len(examples) == 5
    read = []
    for example in examples:
        done = CliRunner().invoke(app, ["prepare", *BPE, *shlex.split(example)[2:], *SIZE, "--force"])
        assert done.exit_code == 0, done.stderr
        found = rows(done)
        read.append(found.get("pairs read") or found["lines read"])
    assert read == ["36", "36", "37", "57", "36"]


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


def test_the_size_of_the_vocabulary_follows_from_the_pairs_unless_it_is_set_or_there_is_a_recipe(folder: Path) -> None:
    text = ("--src", "train.en", "--tgt", "train.fr")
    found = nmt("data", *text)
    line, reduced, _ = found.stderr.splitlines()
    assert line.startswith("tokenizer.vocab_size = 500, chosen for 33 pairs: between 500 for 100 pairs (on paper) and ")
    assert re.fullmatch(r"warning: the corpus gives at most \d+ pieces, not the chosen 500: using these", reduced)
    assert json.loads(Path("data/manifest.json").read_text())["settings"]["tokenizer"]["vocab_size"] == 500
    assert "up to date" in nmt("data", *text).stderr
    assert "chosen" not in nmt("byword", *text, "--set", "tokenizer.kind=word").stderr
    Path("r.toml").write_text("[data]\nseed = 2\n")
    assert "not the default 8000" in nmt("recipe", *text, "--recipe", "r.toml").stderr
    assert "up to date" in nmt("recipe", *text, "--set", "data.seed=2").stderr, "as it was prepared before"


def test_only_subwords_have_a_size_that_follows_from_the_pairs(folder: Path) -> None:
    refused = nmt(
        "data", "--src", "a", "--tgt", "b", "--set", "tokenizer.kind=word", "--set", "tokenizer.vocab_size=auto"
    )
    message = 'tokenizer.vocab_size = "auto" is for unigram and bpe, found tokenizer.kind = "word"'
    assert (refused.exit_code, refused.stderr) == (1, f"error: settings: tokenizer: {message}\n")
