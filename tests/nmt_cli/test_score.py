import json
import sys
from pathlib import Path

import pytest
import sacrebleu
from typer.testing import CliRunner

from nmt_cli.main import app

VERSION = f"version:{sacrebleu.__version__}"
REFERENCE = "a b c d f\ng h i j\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "ref").write_text(REFERENCE)
    (tmp_path / "out").write_text("a b c d e\ng h i j\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_the_table_has_a_row_for_each_file_and_a_signature_for_each_score() -> None:
    result = CliRunner().invoke(app, ["score", "ref", "out", "ref"])
    assert result.exit_code == 0
    assert result.stderr == ""
    head, out, ref, *signatures = (line.split() for line in result.stdout.splitlines())
    assert head == ["against", "ref", "BLEU", "chrF2", "TER"]
    bleu = 100 * (8 / 9 * 6 / 7 * 4 / 5 * 2 / 3) ** 0.25
    assert (out[0], out[1], out[3]) == ("out", f"{bleu:.2f}", f"{100 / 9:.2f}")
    assert ref == ["ref", "100.00", "100.00", "0.00"]
    assert signatures == [
        ["BLEU", f"nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|{VERSION}"],
        ["chrF2", f"nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|{VERSION}"],
        ["TER", f"nrefs:1|case:lc|tok:tercom|norm:no|punct:yes|asian:no|{VERSION}"],
    ]


@pytest.mark.usefixtures("folder")
def test_runs_of_several_seeds_get_their_mean_and_standard_deviation() -> None:
    options = ["score", "--mean", "--metric", "ter", "ref", "out", "ref", "out"]
    *_, mean, deviation, signature = CliRunner().invoke(app, options).stdout.splitlines()
    assert mean.split() == ["mean", f"{100 / 9 * 2 / 3:.2f}"]
    assert deviation.split() == ["standard", "deviation", f"{100 / 9 / 3**0.5:.2f}"]  # n - 1
    assert signature.startswith("TER ")
    spread = json.loads(CliRunner().invoke(app, [*options, "--json"]).stdout)["spread"]
    assert spread["ter"] == {"mean": pytest.approx(200 / 27), "deviation": pytest.approx(100 / 9 / 3**0.5)}
    alone = CliRunner().invoke(app, ["score", "--mean", "ref", "out"])
    assert (alone.exit_code, alone.stdout) == (2, "")
    assert alone.stderr == "error: --mean is that of two files of translations or more, found 1\n"
    both = CliRunner().invoke(app, ["score", "--mean", "--paired", "ref", "out", "ref"])
    assert (both.exit_code, both.stdout) == (2, "")
    assert "--paired compares with the first file, --mean is of runs of one system: expected one of both" in both.stderr


@pytest.mark.usefixtures("folder")
def test_a_mean_goes_with_intervals_and_further_references() -> None:
    options = ["score", "--mean", "--confidence", "--reference", "ref", "--metric", "bleu", "ref", "ref", "ref"]
    head, *_, mean, deviation, signature = CliRunner().invoke(app, options).stdout.splitlines()
    assert head.split() == ["against", "ref", "and", "1", "more", "BLEU"]
    assert (mean.split(), deviation.split()) == (["mean", "100.00"], ["standard", "deviation", "0.00"])
    assert "|nrefs:2|" in f"|{signature.split()[1]}"


@pytest.mark.usefixtures("folder")
def test_json_has_keys_that_programs_can_rely_on() -> None:
    result = CliRunner().invoke(app, ["score", "--json", "ref", "ref"])
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    bleu = found["hypotheses"][0]["scores"].pop("bleu")
    assert round(bleu.pop("score"), 9) == 100
    assert bleu == {"name": "BLEU", "signature": f"nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|{VERSION}"}
    assert set(found["hypotheses"][0]["scores"]) == {"chrf", "ter"}
    assert (found["reference"], found["lines"], found["hypotheses"][0]["file"]) == ("ref", 2, "ref")


@pytest.mark.usefixtures("folder")
def test_options_choose_metric_case_tokenizer_and_intervals() -> None:
    options = ["--metric", "ter", "--metric", "bleu", "--lowercase", "--tokenize", "char", "--confidence"]
    result = CliRunner().invoke(app, ["score", *options, "--json", "ref", "ref"])
    scores = json.loads(result.stdout)["hypotheses"][0]["scores"]
    assert list(scores) == ["bleu", "ter"]
    assert "case:lc|eff:no|tok:char" in scores["bleu"]["signature"]
    assert scores["ter"]["confidence"] == {"mean": 0, "half_width": 0}
    table = CliRunner().invoke(app, ["score", *options, "ref", "ref"]).stdout
    assert table.splitlines()[1].split() == "ref 100.00 ± 0.00 0.00 ± 0.00".split()


@pytest.mark.usefixtures("folder")
def test_a_tokenizer_whose_packages_are_missing_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "MeCab", None)  # as if it were not installed
    monkeypatch.delitem(sys.modules, "sacrebleu.tokenizers.tokenizer_ja_mecab", raising=False)
    result = CliRunner().invoke(app, ["score", "ref", "out", "--tokenize", "ja-mecab"])
    assert (result.exit_code, result.stdout) == (1, "")
    line = "error: the BLEU tokenizer ja-mecab needs packages for Japanese: pip install 'sacrebleu[ja]'\n"
    assert result.stderr == line


@pytest.mark.usefixtures("folder")
def test_paired_files_are_tested_against_the_first() -> None:
    options = ["--paired", "--metric", "ter", "ref", "out", "ref"]
    first, second, signature = CliRunner().invoke(app, ["score", *options]).stdout.splitlines()[1:]
    assert first.split() == ["out", "11.11"]
    assert " ".join(second.split()).startswith("ref 0.00 (p = ")
    assert "|bs:1000|seed:12345|" in signature
    found = json.loads(CliRunner().invoke(app, ["score", "--json", *options]).stdout)["hypotheses"]
    assert "p_value" not in found[0]["scores"]["ter"]
    assert f"(p = {found[1]['scores']['ter']['p_value']:.4f})" in second
    alone = CliRunner().invoke(app, ["score", "--paired", "ref", "out"])
    assert (alone.exit_code, alone.stdout) == (2, "")
    assert alone.stderr == "error: a paired test compares two files of translations or more, found 1\n"


@pytest.mark.parametrize("paired", [[], ["--paired"]])
def test_several_references_are_counted_in_the_signatures(folder: Path, paired: list[str]) -> None:
    (folder / "second").write_text("a b c d e\nno\n")
    options = ["--reference", "second", "--metric", "bleu", *paired, "ref", "out", "ref"]
    result = CliRunner().invoke(app, ["score", *options])
    assert result.exit_code == 0, result.stderr
    _, out, _, signature = result.stdout.splitlines()
    assert out.split() == ["out", "100.00"]
    assert signature.startswith("BLEU   nrefs:2|")
    (folder / "second").write_text("a\n")
    result = CliRunner().invoke(app, ["score", *options])
    assert result.stderr == "error: second has 1 line but ref has 2; scoring needs one translation per line\n"


def test_a_different_number_of_lines_is_an_error(folder: Path) -> None:
    (folder / "short").write_text("a\n")
    result = CliRunner().invoke(app, ["score", "ref", "short"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "error: short has 1 line but ref has 2; scoring needs one translation per line\n"


@pytest.mark.usefixtures("folder")
def test_a_missing_file_is_an_error() -> None:
    result = CliRunner().invoke(app, ["score", "ref", "no"])
    assert (result.exit_code, result.stderr) == (1, "error: cannot read no: No such file or directory\n")


def test_bad_utf_8_can_be_read(folder: Path) -> None:
    (folder / "ref").write_bytes(b"\xff\n")
    assert CliRunner().invoke(app, ["score", "ref", "ref"]).exit_code == 1
    assert CliRunner().invoke(app, ["score", "ref", "ref", "--on-bad-utf8", "replace"]).exit_code == 0


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    "arguments", [["ref"], ["ref", "ref", "--metric", "meteor"], ["ref", "ref", "--tokenize", "x"]]
)
def test_wrong_usage_is_refused(arguments: list[str]) -> None:
    assert CliRunner().invoke(app, ["score", *arguments]).exit_code == 2


def test_of_a_text_without_spaces_a_tokenizer_is_named(folder: Path) -> None:
    (folder / "zh").write_text("他的妹妹今天需要一辆红色的汽车。\n")
    (folder / "out.zh").write_text("她的妹妹今天需要一辆红色的汽车。\n")
    result = CliRunner().invoke(app, ["score", "zh", "out.zh"])
    assert result.exit_code == 0
    expected = "zh has no spaces between words, which --tokenize 13a looks for; try --tokenize zh"
    assert result.stderr == f"warning: {expected}\n"
    assert CliRunner().invoke(app, ["score", "zh", "out.zh", "--tokenize", "zh"]).stderr == ""
    assert CliRunner().invoke(app, ["score", "zh", "out.zh", "--metric", "chrf"]).stderr == ""


def test_a_tokenizer_is_named_though_numbers_between_spaces_give_some_bleu(folder: Path) -> None:
    (folder / "th").write_text("ฉันมีหนังสือ 92 เล่ม\nครูมีหนังสือ 15 เล่ม\n")
    (folder / "out.th").write_text("ฉันมีหนังสือ 92 เล่ม\nครูมีสมุด 15 เล่ม\n")
    result = CliRunner().invoke(app, ["score", "th", "out.th"])
    assert result.stderr.endswith("; try --tokenize char\n")


def test_a_bleu_of_nothing_in_a_text_with_spaces_is_what_it_is(folder: Path) -> None:
    (folder / "bad").write_text("x\ny\n")
    assert CliRunner().invoke(app, ["score", "ref", "bad"]).stderr == ""


def test_many_lines_that_end_as_tokenized_text_does_are_warned_of(folder: Path) -> None:
    (folder / "ref").write_text("A dog runs.\n" * 101)
    (folder / "out").write_text("A dog runs .\n" * 100 + "A dog runs.\n")
    expected = (
        "100 lines of out end in ' .', as tokenized text does; BLEU compares with that of others only where text is"
    )
    assert CliRunner().invoke(app, ["score", "ref", "out"]).stderr == f"warning: {expected} detokenized\n"
    for unconcerned in (["--tokenize", "none"], ["--metric", "chrf"]):
        assert CliRunner().invoke(app, ["score", "ref", "out", *unconcerned]).stderr == ""
    (folder / "out").write_text("A dog runs .\n" * 99 + "A dog runs.\n" * 2)
    assert CliRunner().invoke(app, ["score", "ref", "out"]).stderr == ""


def test_small_letters_beside_capitals_are_warned_of(folder: Path) -> None:
    (folder / "cased").write_text("A b c d f\ng h i j\n")
    warned = CliRunner().invoke(app, ["score", "cased", "out", "cased"])
    line = (
        "warning: out has small letters only, cased capitals too, and case counts; to compare text of a lower-cased "
        "model, use --lowercase\n"
    )
    assert (warned.exit_code, warned.stderr) == (0, line)
    for fine in (["--lowercase", "cased", "out"], ["--metric", "ter", "cased", "out"], ["ref", "out"]):
        assert CliRunner().invoke(app, ["score", *fine]).stderr == ""
    swapped = CliRunner().invoke(app, ["score", "out", "cased"])
    assert swapped.stderr == line
    for reference, small in (("NATO \u10d0\n\u10d0\n", "nato \u10d0\n\u10d0\n"), ("走5G\n走\n", "走5g\n走\n")):
        (folder / "caseless").write_text(reference)
        (folder / "small").write_text(small)
        assert "small letters" not in CliRunner().invoke(app, ["score", "caseless", "small"]).stderr
    (folder / "digits").write_text("1 2\n3\n")
    assert CliRunner().invoke(app, ["score", "cased", "digits"]).stderr == ""


@pytest.mark.usefixtures("folder")
def test_a_protocol_adds_a_row_of_its_own() -> None:
    pytest.importorskip("sacremoses", reason="no sacremoses")
    options = ["score", "--metric", "bleu", "--protocol", "lc-norm-tok", "--tgt-lang", "en", "ref", "out"]
    head, out, today, older = CliRunner().invoke(app, options).stdout.splitlines()
    assert head.split() == ["against", "ref", "BLEU", "BLEU", "lc-norm-tok"]
    assert out.split() == ["out", *[f"{100 * (8 / 9 * 6 / 7 * 4 / 5 * 2 / 3) ** 0.25:.2f}"] * 2]
    assert today == f"BLEU              nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|{VERSION}"
    assert older.startswith("BLEU lc-norm-tok  nrefs:1|case:lc|eff:no|tok:lc-norm-tok-en-sacremoses-")
    scores = json.loads(CliRunner().invoke(app, [*options, "--json"]).stdout)["hypotheses"][0]["scores"]
    assert [(key, one["name"]) for key, one in scores.items()] == [
        ("bleu", "BLEU"),
        ("lc-norm-tok", "BLEU lc-norm-tok"),
    ]


@pytest.mark.usefixtures("folder")
def test_a_protocol_and_its_language_come_together() -> None:
    for options, message in {
        ("--protocol", "lc-norm-tok"): "the protocol lc-norm-tok needs --tgt-lang, the language of the translations, "
        "such as de",
        ("--tgt-lang", "de"): "--tgt-lang is about a protocol; it needs --protocol",
    }.items():
        result = CliRunner().invoke(app, ["score", *options, "ref", "out"])
        assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"error: {message}\n")
