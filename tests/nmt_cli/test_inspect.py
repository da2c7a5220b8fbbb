import copy
import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from nmt.io.lines import Pair
from nmt.prepared import PreparedData, PreparedText
from nmt.prepared.manifest import CorpusCount, OverlapCount, read_manifest
from nmt.report.inspection import CORPUS, Inspection
from nmt.report.inspection import inspect as look
from nmt_cli.inspect import show
from nmt_cli.main import app


@pytest.fixture
def folder(toy_data: PreparedData, tmp_path: Path) -> Path:
    copy = tmp_path / "v1.2"
    shutil.copytree(toy_data.folder, copy)
    return copy


def inspect(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["inspect", *map(str, arguments)])


def test_the_report_goes_to_stdout_and_the_page_beside_the_folder(folder: Path) -> None:
    result = inspect(folder)
    page = folder.with_name("v1.2.html")
    assert (result.exit_code, result.stderr) == (0, f"page: {page}\n")
    assert result.stdout.startswith(f"{folder}: 400 pairs read, ")
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_the_data_can_still_be_used_and_prepared_again(folder: Path) -> None:
    before = sorted(folder.iterdir())
    inspect(folder)
    assert sorted(folder.iterdir()) == before


def test_a_folder_named_by_a_dot_has_its_page_beside_it_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert inspect(".").stderr == f"page: {folder}.html\n"


def test_another_file_can_be_named(folder: Path, tmp_path: Path) -> None:
    result = inspect(folder, "--html", tmp_path / "report.htm")
    assert (result.exit_code, result.stderr) == (0, f"page: {tmp_path / 'report.htm'}\n")
    assert (tmp_path / "report.htm").stat().st_size > 10_000
    assert not folder.with_name("v1.2.html").exists()


def test_no_page_is_written_where_none_is_wanted(folder: Path, tmp_path: Path) -> None:
    result = inspect(folder, "--no-html")
    assert (result.exit_code, result.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == [folder]


def test_programs_get_json(folder: Path) -> None:
    result = inspect(folder, "--json", "--no-html")
    tree = json.loads(result.stdout)
    assert tree["counts"]["read"] == 400
    assert set(tree["sides"]) == {"source", "target"}


def test_a_page_within_the_data_is_wrong_usage(folder: Path) -> None:
    result = inspect(folder, "--html", folder / "page.html")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "would lie within the prepared data, where only they may be" in " ".join(result.stderr.split())


def test_a_page_on_stdout_is_wrong_usage(folder: Path) -> None:
    result = inspect(folder, "--html", "-")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "expected a file, since the report goes to stdout" in " ".join(result.stderr.split())


def test_a_page_in_the_place_of_text_that_was_prepared_is_refused(folder: Path, tmp_path: Path) -> None:
    text = Path(read_manifest(folder).inputs[0].path)
    before, link = text.read_bytes(), tmp_path / "link"
    link.symlink_to(text)
    for page in (text, link):
        result = inspect(folder, "--html", page)
        message = f"error: {page} is an input, so it cannot be written: the result would replace it\n"
        assert (result.exit_code, result.stdout, result.stderr) == (2, "", message)
    assert text.read_bytes() == before


def test_a_page_and_none_is_wrong_usage(folder: Path) -> None:
    result = inspect(folder, "--html", "a.html", "--no-html")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "expected only one of --html and --no-html" in result.stderr


def test_a_folder_without_prepared_data_is_one_line(tmp_path: Path) -> None:
    result = inspect(tmp_path)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"error: {tmp_path} holds no prepared data: manifest.json is missing;")
    assert len(result.stderr.splitlines()) == 1


def test_a_page_that_cannot_be_written_is_one_line_after_the_report(folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "nowhere" / "page.html"
    result = inspect(folder, "--html", page)
    assert (result.exit_code, result.stderr) == (1, f"error: {page}: No such file or directory\n")
    assert result.stdout


def test_a_text_is_reported_by_its_lines(toy_text_data: PreparedText) -> None:
    result = inspect(toy_text_data.folder, "--no-html")
    assert result.exit_code == 0
    assert ": 300 lines read, 0 left out, 300 to train on, 30 to validate on\n" in result.stdout
    assert "\n  text, pieces " in result.stdout


@pytest.fixture
def inspection(toy_data: PreparedData) -> Inspection:
    return copy.deepcopy(look(toy_data.folder))


def with_counts(inspection: Inspection, **changes: Any) -> Inspection:
    counts = inspection.manifest.counts.model_copy(update=changes)
    manifest = inspection.manifest.model_copy(update={"counts": counts})
    return Inspection(inspection.folder, manifest, inspection.statistics, inspection.sides)


def printed(inspection: Inspection, *, width: int = 200) -> str:
    stream = io.StringIO()
    show(inspection, Console(file=stream, width=width, highlight=False, markup=False))
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines())


def test_reasons_have_bars_in_proportion_and_those_that_took_nothing_are_not_there(inspection: Inspection) -> None:
    text = printed(with_counts(inspection, read=1000, rejected={"empty": 20, "copy": 0, "duplicate": 5}))
    assert f"  empty          20  2.00%  {'█' * 24}\n" in text
    assert f"  duplicate       5  0.50%  {'█' * 6}\n" in text
    assert "copy" not in text.partition("\nlengths")[0]


def test_corpora_are_shown_when_there_are_several(inspection: Inspection) -> None:
    one = CorpusCount(name="a", weight=1, tag=None, read=10, rejected={"copy": 2}, heldout=1, train=7)
    assert "corpora" not in printed(with_counts(inspection, corpora=(one,)))
    text = printed(with_counts(inspection, corpora=(one, one.model_copy(update={"name": "b", "tag": "<b>"}))))
    head, first, second = text.partition("\ncorpora\n")[2].splitlines()[:3]
    assert re.split("  +", head.strip()) == list(CORPUS)
    numbers = ["10", "2", "1", "7", "1", "50.0%"]
    assert [first.split(), second.split()] == [["a", *numbers], ["b", *numbers, "<b>"]]


def test_lengths_have_a_histogram_of_block_characters(inspection: Inspection) -> None:
    words = inspection.sides[0].train.words
    words.counts[:] = 0
    words.counts[1:6] = [70, 1, 10, 35, 7]
    (row,) = (line for line in printed(inspection).splitlines() if line.startswith("  source, words"))
    assert row.endswith("   █▁▂▄▁")


def test_overlap_is_shown(inspection: Inspection) -> None:
    text = printed(with_counts(inspection, overlap={"test": OverlapCount(source=1234, target=0, pair=7)}))
    assert [line.split() for line in text.partition("\noverlap\n")[2].splitlines()[1:2]] == [
        ["with", "test", "1,234", "0", "7"]
    ]


def test_unknown_characters_are_shown_with_their_names(inspection: Inspection) -> None:
    inspection.sides[0].train.unknown_characters.update({"\u2603": 1_500, "\u00a0": 2})
    text = printed(inspection)
    assert "  source: \u2603     1,500           0  U+2603 SNOWMAN\n" in text
    assert "U+00A0 NO-BREAK SPACE" in text


def test_examples_are_cut_and_cannot_reach_the_terminal(inspection: Inspection) -> None:
    inspection.statistics.rejected.clear()
    inspection.statistics.reject(Pair("\x1b[31mred", "y" * 200, "[bold]a.en", 12), "copy", seed=1)
    text = printed(inspection)
    assert "  copy  [bold]a.en:12\n        \u241b[31mred\n" in text
    assert f"        {'y' * 100}…" in text


def test_at_most_two_examples_of_a_reason_are_shown(inspection: Inspection) -> None:
    inspection.statistics.rejected.clear()
    for line in range(9):
        inspection.statistics.reject(Pair("a", "a", "some.en", line), "copy", seed=1)
    assert printed(inspection).count("some.en:") == 2


def test_a_narrow_terminal_shows_every_number(inspection: Inspection) -> None:
    one = CorpusCount(name="n" * 50, weight=0.5, tag="<tag>", read=12_345_678, rejected={}, heldout=0, train=7)
    shown = with_counts(inspection, corpora=(one, one))
    text = printed(shown, width=80).partition("\nexamples")[0]
    assert "…" not in text
    assert "12,345,678" in text
