"""`nmt backtranslate` with the model that has learnt to put an -o behind every word."""

import json
from collections.abc import Callable
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from nmt.config import Settings, change_settings, load_settings
from nmt.models.folder import load_model
from nmt.prepare.pipeline import prepare
from nmt.prepared.manifest import Counts
from nmt.search.protocol import Hypothesis
from nmt_cli.main import app
from tests.nmt_cli.conftest import Torchrun

Backtranslate = Callable[..., Result]
WORDS = ("bat", "cow", "den", "fig", "gum", "hat", "jam", "kit", "log", "map")
LINES = ["bat cow", "", "den fig gum", "hat  \tjam", "cow " * 300, "map"]


@pytest.fixture
def backtranslate(toy_model: Path, tmp_path: Path) -> Backtranslate:
    """Run the command on `LINES` with --output pairs.tsv."""
    (tmp_path / "mono.txt").write_text("".join(f"{line}\n" for line in LINES), encoding="utf-8")

    def run(*options: str | Path) -> Result:
        files = [str(tmp_path / "mono.txt"), "--output", str(tmp_path / "pairs.tsv")]
        command = ["backtranslate", str(toy_model), *files, "--device", "cpu", *map(str, options)]
        return CliRunner().invoke(app, command)

    return run


def pairs(folder: Path) -> list[list[str]]:
    return [line.split("\t") for line in (folder / "pairs.tsv").read_text(encoding="utf-8").splitlines()]


def test_real_text_gets_synthetic_sources_and_what_is_bad_is_left_out(
    backtranslate: Backtranslate, tmp_path: Path
) -> None:
    done = backtranslate("--rejected", tmp_path / "rejected.jsonl")
    assert done.exit_code == 0, done.stderr
    real = ["bat cow", "den fig gum", "hat jam", "map"]
    assert pairs(tmp_path)[:2] == [["bato cowo", "bat cow"], ["deno figo gumo", "den fig gum"]]
    assert [" ".join(tgt.split()) for _, tgt in pairs(tmp_path)] == real
    rejected = [json.loads(line) for line in (tmp_path / "rejected.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(one["line"], one["reason"]) for one in rejected] == [(2, "empty"), (5, "too_long")]
    rows = [line.split() for line in done.stdout.splitlines()]
    assert rows == [
        ["lines", "read", "6"],
        ["left", "out:", "empty", "1"],
        ["left", "out:", "too_long", "1"],
        ["pairs", "written", "4"],
    ]
    assert "6 lines in " in done.stderr


def test_where_nothing_is_left_a_warning_says_so(backtranslate: Backtranslate, tmp_path: Path) -> None:
    (tmp_path / "mono.txt").write_text("\n\n", encoding="utf-8")
    done = backtranslate()
    assert done.exit_code == 0
    assert "warning: no pair is left of what was read; --rejected FILE shows the pairs\n" in done.stderr


def test_the_pairs_are_a_corpus_with_weight_and_tag(backtranslate: Backtranslate, tmp_path: Path) -> None:
    assert backtranslate().exit_code == 0
    corpus = f"data.corpora=[{{path='{tmp_path / 'pairs.tsv'}', weight=2, tag='<bt>'}}]"
    files = ["data.valid_src=bat.txt", "data.valid_tgt=bat.txt", f"data.root='{tmp_path}'"]
    (tmp_path / "bat.txt").write_text("bat\n", encoding="utf-8")
    report = prepare(
        tmp_path / "data", load_settings(None, [corpus, *files, "tokenizer.kind=word", "tokenizer.vocab_size=40"])
    )
    assert isinstance(report.counts, Counts)
    [found] = report.counts.corpora
    assert (found.train, found.weight, found.tag) == (4, 2.0, "<bt>")


def test_several_processes_write_the_same_pairs(backtranslate: Backtranslate, tmp_path: Path) -> None:
    assert backtranslate().exit_code == 0
    alone = pairs(tmp_path)
    assert backtranslate("--workers", "2").exit_code == 0
    assert pairs(tmp_path) == alone


def test_samples_and_noise_depend_on_the_seed_alone(backtranslate: Backtranslate, tmp_path: Path) -> None:
    found = []
    for options in (["--sample"], ["--sample"], ["--sample", "--seed", "2"], ["--noise"], ["--noise"]):
        assert backtranslate(*options, *(["--temperature", "3"] if "--sample" in options else [])).exit_code == 0
        found.append(pairs(tmp_path))
    assert found[0] == found[1] != found[2]
    assert found[3] == found[4]


def test_noise_moves_the_words_of_sources_alone(backtranslate: Backtranslate, tmp_path: Path) -> None:
    assert backtranslate().exit_code == 0
    clean = pairs(tmp_path)
    for seed in ("2", "3", "4"):
        assert backtranslate("--noise", "--seed", seed).exit_code == 0
        noised = pairs(tmp_path)
        assert [tgt for _, tgt in noised] == [tgt for _, tgt in clean]
        assert all(set(one.split()) <= set(other.split()) for (one, _), (other, _) in zip(noised, clean, strict=True))
        if noised != clean:
            return
    pytest.fail("no seed of three makes any noise")


def test_a_forward_model_has_a_say(backtranslate: Backtranslate, toy_model: Path, tmp_path: Path) -> None:
    done = backtranslate("--forward-model", toy_model, "--keep-share", "0.5")
    assert done.exit_code == 0, done.stderr
    assert [len(columns) for columns in pairs(tmp_path)] == [3, 3]
    kept = max(float(score) for *_, score in pairs(tmp_path))
    assert backtranslate("--forward-model", toy_model, "--max-disagreement", kept + 1e-4).exit_code == 0
    assert len(pairs(tmp_path)) == 2
    done = backtranslate("--forward-model", toy_model, "--max-disagreement", "0")
    assert "disagreement  4" in done.stdout
    assert pairs(tmp_path) == []


def test_the_forward_model_gets_a_tag_of_its_own(
    backtranslate: Backtranslate, toy_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = backtranslate("--forward-model", toy_model, "--forward-tag", "<a>")
    assert (done.exit_code, done.stderr) == (1, "error: the model knows no tag <a>\n")
    asked = list[str | None]()

    def note(translator: Any, pairs: list[tuple[str, str]], *, tag: str | None = None) -> list[Hypothesis]:
        asked.append(tag)
        return [Hypothesis((), -1.0, -1.0) for _ in pairs]

    monkeypatch.setattr("nmt.translate.words.check_tag", lambda tokenizer, tag: None)
    monkeypatch.setattr("nmt.synthesis.judging.follow", note)
    assert backtranslate("--forward-model", toy_model, "--forward-tag", "<a>", "--tag", "<b>").exit_code == 0
    assert asked == ["<a>", "<b>"]


def test_what_was_translated_in_parts_is_not_judged_as_a_whole(
    backtranslate: Backtranslate, toy_model: Path, tmp_path: Path
) -> None:
    (tmp_path / "mono.txt").write_text("bat cow\n" + "map log hat den " * 40 + "\n", encoding="utf-8")
    usual = ["--set", "data.max_repeats=100", "--set", "data.max_length_ratio=1000"]
    alone = backtranslate(*usual)
    assert (alone.exit_code, len(pairs(tmp_path))) == (0, 2), "without a second model nothing is against it"
    assert "translated in parts: 1 line" in alone.stderr
    both = [*usual, "--forward-model", toy_model, "--rejected", tmp_path / "rejected.jsonl"]
    judged = backtranslate(*both, "--keep-share", "0.5")
    assert (judged.exit_code, [tgt for _, tgt, _ in pairs(tmp_path)]) == (0, ["bat cow"])
    assert "left out: too_many_pieces  1" in judged.stdout
    [rejected] = map(json.loads, (tmp_path / "rejected.jsonl").read_text(encoding="utf-8").splitlines())
    assert (rejected["line"], rejected["reason"], "disagreement" in rejected) == (2, "too_many_pieces", False)


def test_rules_of_cleaning_are_set(backtranslate: Backtranslate) -> None:
    assert "symbols" not in backtranslate().stdout
    assert "length_ratio  3" in backtranslate("--set", "data.max_length_ratio=1.01").stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--top-k", "3"], "--top-k is about sampling; it needs --sample"),
        (["--seed", "3"], "--seed is about samples and noise; it needs --sample or --noise"),
        (["--forward-tag", "<a>"], "--forward-tag is about two models that judge pairs; it needs --forward-model"),
        (["--keep-share", "0.5"], "--keep-share is about two models that judge pairs; it needs --forward-model"),
        (
            ["--set", "training.seed=1"],
            "--set training.seed=1: it does not judge single pairs; expected one of data.max_characters, "
            "data.max_length_ratio, data.drop_copies, data.max_repeats, data.max_symbol_share, data.min_script_share, "
            "data.identify_languages, data.src_lang, data.tgt_lang",
        ),
        (["--output", "-"], "expected a file, since the pairs are sorted out when all are known, found -"),
        (["--sample", "--beam", "3"], "search.beam_size = 3 has no effect on sampling; leave one of them out"),
    ],
)
def test_options_at_odds_are_refused_in_a_line(backtranslate: Backtranslate, options: list[str], message: str) -> None:
    done = backtranslate(*options)
    assert (done.exit_code, done.stderr) == (2, f"error: {message}\n")


def test_files_that_cannot_be_written_are_refused_before_the_work(backtranslate: Backtranslate, tmp_path: Path) -> None:
    same = tmp_path / "pairs.tsv"
    assert f"the pairs and what is left out cannot both go to {same}" in backtranslate("--rejected", same).stderr
    away = tmp_path / "nowhere" / "pairs.tsv"
    assert f"{away} cannot be written: there is no folder {away.parent}" in backtranslate("--output", away).stderr
    for no_file in (tmp_path, Path("/dev/null")):
        assert f"when all are known, found {no_file}\n" in backtranslate("--output", no_file).stderr
    assert backtranslate("--rejected", tmp_path).stderr == f"error: {tmp_path}: Is a directory\n"
    text = tmp_path / "mono.txt"
    assert f"{text} is an input, so it cannot be written" in backtranslate("--output", text).stderr


@pytest.mark.parametrize("busy", ["nmt.translate.blockwise.sha256", "nmt.io.lines.count_lines"])
def test_a_text_that_is_edited_before_it_is_read_is_noticed_and_the_next_run_translates_what_it_says_now(
    backtranslate: Backtranslate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, busy: str
) -> None:
    text, work = tmp_path / "mono.txt", resolve_name(busy)

    def edit_meanwhile(path: Path) -> Any:
        done = work(path)
        text.write_text("gum hat\n", encoding="utf-8")
        return done

    with monkeypatch.context() as patch:
        patch.setattr(busy, edit_meanwhile)
        done = backtranslate()
    assert (done.exit_code, done.stderr) == (1, f"error: {text} was changed while it was translated\n")
    assert [path.name for path in tmp_path.iterdir()] == ["mono.txt"]
    assert backtranslate().exit_code == 0
    assert pairs(tmp_path) == [["gumo hato", "gum hat"]]


def test_a_text_that_is_not_there_is_an_error(backtranslate: Backtranslate, tmp_path: Path) -> None:
    (tmp_path / "mono.txt").unlink()
    done = backtranslate()
    assert (done.exit_code, done.stderr) == (1, f"error: {tmp_path / 'mono.txt'}: No such file or directory\n")
    assert list(tmp_path.iterdir()) == []


def test_what_is_interrupted_goes_on(
    backtranslate: Backtranslate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("nmt.synthesis.working.as_line", interrupted)
        done = backtranslate()
    work = tmp_path / ".pairs.tsv.work"
    assert done.exit_code == 130
    assert f"what is done is kept in {work}: the same command continues from there" in done.stderr
    assert backtranslate().exit_code == 0
    assert not work.exists()


def test_shards_of_machines_that_see_no_common_folder_are_joined(
    backtranslate: Backtranslate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nmt.translate.blockwise.LINES", 2)
    usual = ["--noise", "--rejected", tmp_path / "rejected.jsonl"]
    assert backtranslate(*usual).exit_code == 0
    expected = {name: (tmp_path / name).read_bytes() for name in ("pairs.tsv", "rejected.jsonl")}
    tables = [backtranslate(*usual, "--shard", f"{number}/2").stdout.splitlines() for number in (1, 2)]
    read, written = (sum(int(table[row].split()[-1]) for table in tables) for row in (0, -1))
    assert (read, written) == (6, 4)
    for name, content in expected.items():
        shards = [str(tmp_path / f"{name}.{number}-of-2") for number in (2, 1)]
        done = CliRunner().invoke(app, ["join", *shards, "--output", str(tmp_path / name)])
        assert done.exit_code == 0, done.stderr
        assert (tmp_path / name).read_bytes() == content
    assert backtranslate("--noise", "--seed", "2", "--shard", "2/2").exit_code == 0
    done = CliRunner().invoke(
        app, ["join", *(str(tmp_path / f"pairs.tsv.{number}-of-2") for number in (1, 2)), "-o", "-"]
    )
    assert "do not belong together: they differ in the noise" in done.stderr


def test_a_shard_keeps_no_share_of_all_pairs(backtranslate: Backtranslate, toy_model: Path) -> None:
    done = backtranslate("--forward-model", toy_model, "--keep-share", "0.5", "--shard", "1/2")
    message = "--keep-share compares all pairs, and a shard has some of them; use --max-disagreement"
    assert (done.exit_code, done.stderr) == (2, f"error: {message}\n")


def test_the_backward_model_is_loaded_once(
    backtranslate: Backtranslate, toy_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = list[Path]()

    def load(path: Path, **how: Any) -> Any:
        loaded.append(path)
        return load_model(path, **how)

    monkeypatch.setattr("nmt.translate.translator.load_model", load)
    assert backtranslate("--forward-model", toy_model).exit_code == 0
    assert len(loaded) == 2, "one for each direction"


def test_what_was_warned_of_is_counted_by_kind_in_the_end(backtranslate: Backtranslate, tmp_path: Path) -> None:
    (tmp_path / "mono.txt").write_text("bat cow\n" + "map log " * 100 + "\n", encoding="utf-8")
    done = backtranslate("--set", "data.max_length_ratio=1000")
    assert done.exit_code == 0, done.stderr
    assert "; translated in parts: 1 line" in done.stderr.splitlines()[-1]


@pytest.mark.slow
def test_processes_of_torchrun_share_a_text_and_start_again_where_one_dies(
    backtranslate: Backtranslate, torchrun: Torchrun, toy_model: Path, tmp_path: Path
) -> None:
    lines = [f"{one} {other} {third}" for one in WORDS for other in WORDS for third in WORDS] * 9
    (tmp_path / "mono.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    files = [tmp_path / "mono.txt", "--output", tmp_path / "shared.tsv"]
    begun = ".shared.tsv.work/*/.0.verdicts.work/*/.0*.tmp"
    out = torchrun("backtranslate", toy_model, *files, "--beam", "1", until=begun)
    assert out.count("pairs written") == 1, "the first process alone tells of all"
    assert backtranslate("--beam", "1").exit_code == 0
    assert (tmp_path / "shared.tsv").read_bytes() == (tmp_path / "pairs.tsv").read_bytes()


def test_a_model_of_small_letters_is_told_of(
    backtranslate: Backtranslate, toy_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "warning" not in backtranslate().stderr
    small = change_settings(toy_settings, "data", {"lowercase": True})
    monkeypatch.setattr("nmt.models.folder.read_settings", lambda folder: small)
    (tmp_path / "mono.txt").write_text("Bat COW\n")
    told = backtranslate().stderr
    assert (
        "warning: the model writes small letters only (data.lowercase = true): the sources of the pairs have no "
        "capitals\n"
    ) in told
    assert [tgt for _, tgt in pairs(tmp_path)] == ["Bat COW"]
