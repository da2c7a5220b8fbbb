"""The options of `nmt translate` about words, markup and documents."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from nmt.translate import Options, Translator

Run = Callable[..., str]
Invoke = Callable[..., Result]
Records = Callable[..., list[Any]]


# words


def test_words_that_must_and_must_not_appear(run: Run, refused: Run) -> None:
    found = run("--must", "mapo", "--must", "logo", "--must-not", "bato", lines=["bat cow", "", "den"])
    first, blank, last, _ = found.split("\n")
    assert {"mapo", "logo"} <= set(first.split())
    assert {"mapo", "logo"} <= set(last.split())
    assert "bato" not in first.split()
    assert blank == ""
    assert (
        refused("--must", "", code=2) == "error: found the blank word '' among those that translations must contain\n"
    )


def test_terms_appear_where_their_source_does(run: Run, refused: Run, tmp_path: Path) -> None:
    terms = tmp_path / "terms.tsv"
    terms.write_text("# source, target\ncow\tmapo\n")
    first, second = run("--terms", terms, lines=["bat cow", "bat"]).splitlines()
    assert "mapo" in first.split()
    assert second == "bato"
    terms.write_text("cow\n")
    message = f"error: {terms}, line 1: found 1 column, expected 2: source term <tab> target term\n"
    assert refused("--terms", terms) == message


def test_a_prefix_stands_behind_a_tab(run: Run) -> None:
    found = run("--prefix-after-tab", lines=["bat cow hat\tmapo", "den", "\tmapo"]).split("\n")
    assert found[0].split()[0] == "mapo"
    assert found[1:] == ["deno", "mapo", ""]


def test_unknown_words_are_copied_or_looked_up(
    invoke: Invoke, run: Run, refused: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = watch(monkeypatch)
    run()
    copied = invoke("--replace-unknown")
    assert (copied.exit_code, len(copied.stderr.splitlines())) == (0, 1)
    assert copied.stderr.startswith("warning: a model of pieces (tokenizer.kind = unigram) hardly ever writes ")
    dictionary = tmp_path / "words.tsv"
    dictionary.write_text("走\tlogo\n", encoding="utf-8")
    run("--dictionary", dictionary)
    run("--no-carry-unknown")
    run("--carry-unknown")
    assert [options.unknown for options in given] == [None, {}, {"走": "logo"}, None, None]
    assert ["carry_unknown" in one.model_fields_set for one in given] == [False, False, False, True, True]
    assert [options.carry_unknown for options in given[3:]] == [False, True]
    dictionary.write_text("走\n", encoding="utf-8")
    assert refused("--dictionary", dictionary).startswith(f"error: {dictionary}, line 1: found 1 column")


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


def test_documents_keep_blank_lines_and_join_sentences(records: Records) -> None:
    first, blank, second = records("--document", lines=["Bat cow! Den fig.", "", "hat"])
    assert [len(one["translations"][0]["parts"]) for one in (first, blank, second)] == [2, 0, 1]
    assert second["translations"][0]["text"] == "hato"


def test_markup_survives(run: Run, refused: Run) -> None:
    lines = ["<b>bat</b> cow {n} %s", "<br/>", "", "bat @x"]
    assert run("--markup", lines=lines).splitlines()[:3] == ["<b>bato</b> cowo {n} %s", "<br/>", ""]
    assert run("--keep", "@[a-z]", lines=lines[::3]) == "<b>bato</b> cowo {n} %s\nbato @x\n"
    message = refused("--keep", "(", code=2)
    assert message.startswith("error: markup pattern '(' is not a Python regular expression: missing )")


def test_markup_goes_over_line_ends_whoever_works_on_them(run: Run) -> None:
    page = ["<p>bat <a", ' href="cow">cow</a></p> ', "<style>", "  den { fig }", "</style>", "", "hat"] * 72
    found = run("--markup", lines=page)
    assert run("--markup", "--workers", "2", "--batch-tokens", "100", lines=page) == found
    assert found.split("\n")[-8:] == [
        *("<p>bato <a", ' href="cow">cowo</a></p> ', "<style>", "  den { fig }", "</style>", "", "hato"),
        "",
    ]


def test_markup_that_nobody_closes_is_named(invoke: Callable[..., Result]) -> None:
    result = invoke("--markup", lines=["bat", "cow <pre>", "den"])
    assert (result.stdout, result.exit_code) == ("bato\ncowo <pre>\nden\n", 0)
    assert result.stderr == (
        "warning: <stdin>, line 2: '<pre>' is never closed, so all that follows was kept as it is\n"
    )


def test_markup_that_is_not_closed_for_long_is_named(invoke: Callable[..., Result]) -> None:
    result = invoke("--markup", lines=["bat <code>", *["cow"] * 99, "den"])
    assert result.stdout == "bato <code>\n" + "cow\n" * 99 + "deno\n"
    assert result.stderr == (
        "warning: <stdin>, line 1: '<code>' is not closed in 100 lines, which are kept as they are\n"
    )


def test_a_page_needs_markup(invoke: Callable[..., Result], refused: Run, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("<p>bat</p>\n")
    assert refused(page) == (
        f"error: {page} is not plain text, by its name: --markup translates its text and keeps the rest\n"
    )
    assert invoke("--markup", page).stdout == "<p>bato</p>\n"
    result = invoke(lines=["", "<!DOCTYPE html>", "<html>"])
    assert (result.exit_code, result.stdout.count("\n")) == (0, 3)
    assert result.stderr == (
        "warning: <stdin> begins as HTML or XML, but is translated as plain text; --markup keeps its tags\n"
    )
    assert invoke("--markup", lines=["<!DOCTYPE html>"]).stderr == ""


def test_a_tag_goes_to_the_library_and_the_model_has_to_know_it(refused: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    given = watch(monkeypatch)
    assert refused("--tag", "<news>", lines=["bat"]) == "error: the model knows no tag <news>\n"
    assert [options.tag for options in given] == ["<news>"]


def test_what_the_vocabulary_lacks_comes_out_as_it_went_in_unless_that_is_turned_off(run: Run) -> None:
    lines = ["😀", "bat 東京 cow", "bat cow 😀"]
    first, second, third = run(lines=lines).split("\n")[:3]
    assert (first, "東京" in second, third.endswith(" 😀")) == ("😀", True, True)
    assert not {"😀", "東京"} & set(run("--no-carry-unknown", lines=lines).split())
