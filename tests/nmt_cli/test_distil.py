"""`nmt distil` with the model that has learnt to put an -o behind every word."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from nmt.config import Settings, change_settings
from nmt.prepare.pipeline import prepare
from nmt.prepared import PreparedData
from nmt.translate import Options, Translator
from nmt_cli.main import app
from tests.conftest import WORDS
from tests.nmt_cli.conftest import Torchrun

Distil = Callable[..., Result]


@pytest.fixture
def distil(toy_model: Path, tmp_path: Path) -> Distil:
    """Run the command with one teacher and --output pairs.tsv."""

    def run(*options: str | Path) -> Result:
        usual = ["distil", "--teacher", str(toy_model), "--output", str(tmp_path / "pairs.tsv"), "--device", "cpu"]
        return CliRunner().invoke(app, [*usual, *map(str, options)])

    return run


def pairs(folder: Path) -> list[list[str]]:
    return [line.split("\t") for line in (folder / "pairs.tsv").read_text(encoding="utf-8").splitlines()]


def test_training_sources_get_the_translations_of_an_ensemble(
    distil: Distil, toy_data: PreparedData, toy_model: Path, toy_text: Path, tmp_path: Path
) -> None:
    done = distil(toy_data.folder, "--teacher", toy_model, "--beam", "2")
    assert done.exit_code == 0, done.stderr
    found = pairs(tmp_path)
    known = set((toy_text / "train.src").read_text(encoding="utf-8").splitlines())
    assert {src for src, _ in found} <= known
    assert sum(tgt == " ".join(f"{word}o" for word in src.split()) for src, tgt in found) > 0.9 * len(found) > 300
    assert done.stdout.splitlines()[-1].split() == ["pairs", "written", str(len(found))]


def test_the_nearest_of_the_beam_is_no_farther_from_the_references_than_the_best(
    distil: Distil, toy_data: PreparedData, toy_text: Path, tmp_path: Path
) -> None:
    sides = [(toy_text / f"train.{side}").read_text(encoding="utf-8").splitlines() for side in ("src", "tgt")]
    right = set(zip(*sides, strict=True))
    assert distil(toy_data.folder).exit_code == 0
    best = sum(tuple(pair) in right for pair in pairs(tmp_path))
    assert distil(toy_data.folder, "--nearest", "chrf").exit_code == 0
    nearest = sum(tuple(pair) in right for pair in pairs(tmp_path))
    assert best <= nearest == len(pairs(tmp_path))


def test_another_teacher_counts_as_much_as_each_of_those_that_search(
    distil: Distil, toy_model: Path, right_to_left_model: Path, tmp_path: Path
) -> None:
    lines = ["bat cow", "batcow den", "figg gum hat"]
    (tmp_path / "mono.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    done = distil("--text", tmp_path / "mono.txt", "--teacher", toy_model, "--rescore", right_to_left_model)
    assert done.exit_code == 0, done.stderr
    teachers = Translator.load(toy_model, toy_model, device="cpu", rescoring=[right_to_left_model])
    expected = [best.text for best, *_ in teachers.translate(lines, Options(rescore_weight=0.5))]
    assert pairs(tmp_path) == [list(pair) for pair in zip(lines, expected, strict=True)]


def test_a_beam_of_one_leaves_other_teachers_nothing_to_choose_from(distil: Distil, toy_model: Path) -> None:
    done = distil("--text", "mono.txt", "--rescore", toy_model, "--beam", "1")
    message = "error: search.beam_size = 1 leaves nothing to rescore: set it to 2 or more\n"
    assert (done.exit_code, done.stderr) == (2, message)


def test_text_in_one_language_is_translated_forward(distil: Distil, toy_model: Path, tmp_path: Path) -> None:
    text = tmp_path / "mono.txt"
    text.write_text("bat cow\n\nden fig\n", encoding="utf-8")
    done = distil("--text", text, "--rescore", toy_model)
    assert done.exit_code == 0, done.stderr
    assert pairs(tmp_path) == [["bat cow", "bato cowo"], ["den fig", "deno figo"]]
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["sources", "read", "3"],
        ["left", "out:", "empty", "1"],
        ["pairs", "written", "2"],
    ]


def test_a_text_that_is_edited_before_it_is_read_is_noticed(
    distil: Distil, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = tmp_path / "mono.txt"
    text.write_text("bat cow\n", encoding="utf-8")

    def edit_meanwhile(path: Path) -> str:
        text.write_text("gum\n", encoding="utf-8")
        return "digest"

    monkeypatch.setattr("nmt.translate.blockwise.sha256", edit_meanwhile)
    done = distil("--text", text)
    assert (done.exit_code, done.stderr) == (1, f"error: {text} was changed while it was translated\n")
    assert [path.name for path in tmp_path.iterdir()] == ["mono.txt"]


@pytest.mark.slow
def test_processes_of_torchrun_share_prepared_data_and_start_again_where_one_dies(
    distil: Distil, torchrun: Torchrun, toy_settings: Settings, toy_data: PreparedData, toy_model: Path, tmp_path: Path
) -> None:
    sides = [f"{one} {other} {third}" for one in WORDS for other in WORDS for third in WORDS]
    lines = [f"{side} {last}\t{side}o\n" for side in sides for last in WORDS[:9]]
    (tmp_path / "text.tsv").write_text("".join(lines), encoding="utf-8")
    changes = {"train_src": (), "train_tgt": (), "train_tsv": (tmp_path / "text.tsv",)}
    settings = change_settings(change_settings(toy_settings, "data", changes), "tokenizer", {"file": toy_data.folder})
    prepare(tmp_path / "data", settings)
    files = [tmp_path / "data", "--teacher", toy_model, "--output", tmp_path / "shared.tsv"]
    out = torchrun("distil", *files, "--beam", "1", until=".shared.tsv.work/*/.0.verdicts.work/*/.0*.tmp")
    assert out.count("pairs written") == 1, "the first process alone tells of all"
    assert distil(tmp_path / "data", "--beam", "1").exit_code == 0
    assert (tmp_path / "shared.tsv").read_bytes() == (tmp_path / "pairs.tsv").read_bytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "expected DATA_DIR or --text: one of both"),
        (["data", "--text", "mono.txt"], "expected DATA_DIR or --text: one of both"),
        (["--text", "t", "--nearest", "bleu"], "--nearest compares with references, so it goes without --text"),
        (
            ["d", "--rescore", "m", "--nearest", "bleu"],
            "--nearest compares with references, so it goes without --rescore",
        ),
        (["data", "--tag", "<a>"], "--tag is about text without a corpus; it needs --text"),
    ],
)
def test_options_at_odds_are_refused_in_a_line(distil: Distil, options: list[str], message: str) -> None:
    done = distil(*options)
    assert (done.exit_code, done.stderr) == (2, f"error: {message}\n")


def test_what_is_no_prepared_data_is_an_error(distil: Distil, tmp_path: Path) -> None:
    done = distil(tmp_path)
    assert done.exit_code == 1
    assert done.stderr.startswith("error: ")
    assert list(tmp_path.iterdir()) == []


def test_teachers_of_small_letters_are_told_of_unless_the_data_are_small_too(
    distil: Distil, toy_data: PreparedData, toy_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = change_settings(toy_settings, "data", {"lowercase": True})
    prepare(tmp_path / "small", change_settings(toy_data.settings, "data", {"lowercase": True}))
    monkeypatch.setattr("nmt.models.folder.read_settings", lambda folder: small)
    (tmp_path / "text").write_text("bat COW\n")
    told = (
        "warning: the model writes small letters only (data.lowercase = true): the targets of the pairs have no "
        "capitals\n"
    )
    assert told in distil("--text", tmp_path / "text").stderr
    assert [src for src, _ in pairs(tmp_path)] == ["bat COW"]
    assert told in distil(toy_data.folder).stderr
    assert "warning" not in distil(tmp_path / "small").stderr
