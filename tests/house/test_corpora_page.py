"""What docs/corpora.md shows works as it is written there."""

import gzip
import json
import re
import shlex
from pathlib import Path
from typing import Any

import datasets
import polib
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, DatasetDict
from typer.testing import CliRunner

from nmt.corpus import FORMATS
from nmt_cli.main import app

PAGE = (Path(__file__).parents[2] / "docs/corpora.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| [^|]+ \| ([^|]*--[^|]*) \|", PAGE, flags=re.MULTILINE)
EN = [f"word {number}" for number in range(20)]
FR = [f"mot {number}" for number in range(20)]
SMALL = ["--set", "tokenizer.kind=char"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with every corpus that the page names, of 20 pairs each."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    pairs = list(zip(EN, FR, strict=True))
    for language, lines in (("en", EN), ("fr", FR)):
        text = "".join(f"{line}\n" for line in lines)
        Path(f"train.{language}").write_text(text)
        Path(f"europarl-1.{language}.gz").write_bytes(gzip.compress(text.encode()))
    for name in ("pairs.tsv", "dev.tsv"):
        Path(name).write_text("".join(f"{en}\t{fr}\n" for en, fr in pairs))
    Path("scored.tsv").write_text("".join(f"0.5\t{en}\t{fr}\n" for en, fr in pairs))
    objects = "".join(json.dumps({"src": en, "tgt": fr}) + "\n" for en, fr in pairs)
    Path("pairs.jsonl").write_text(objects)
    Path("web-1.jsonl.gz").write_bytes(gzip.compress(objects.encode()))
    pq.write_table(pa.table({"source": EN, "target": FR}), "pairs.parquet")
    pq.write_table(pa.table({"text": [{"original": en, "translated": fr} for en, fr in pairs]}), "reviews.parquet")
    tuv = '<tuv xml:lang="{}"><seg>{}</seg></tuv>'
    units = "".join(f"<tu>{tuv.format('en-US', en)}{tuv.format('fr', fr)}</tu>" for en, fr in pairs)
    Path("memory.tmx").write_text(f"<tmx><header/><body>{units}</body></tmx>")
    catalogue = polib.POFile()
    catalogue.extend(polib.POEntry(msgid=en, msgstr=fr) for en, fr in pairs)
    catalogue.save("fr.po")
    rows = Dataset.from_dict({"en": EN, "fr": FR})
    rows.save_to_disk("FOLDER")
    DatasetDict(validation=rows).save_to_disk("held-out")
    return tmp_path


def prepared(*options: str) -> dict[str, Any]:
    """The counts of the data prepared with these options."""
    done = CliRunner().invoke(app, ["prepare", "data", *options, *SMALL, "--force"])
    assert done.exit_code == 0, done.stderr
    counts: dict[str, Any] = json.loads(Path("data/manifest.json").read_text())["counts"]
    return counts


def test_every_format_has_its_row() -> None:
    assert set(FORMATS) == {ending for row in ROWS for ending in re.findall(r"--corpus \w+(\.\w+)", row)}


def test_every_row_of_the_table_reads_its_corpus(folder: Path) -> None:
    assert len(ROWS) == len(FORMATS) + 2
    for row in ROWS:
        options = re.findall(r"`([^`]+)`", row)[0].replace("hf:NAME", "hf:FOLDER")
        languages = ["--src-lang", "en", "--tgt-lang", "fr"] if "hf:" in options else []
        assert prepared(*shlex.split(options), *languages)["read"] == 20, row


def test_the_command_and_the_recipe_run(folder: Path) -> None:
    (command,) = re.findall(r"^```\nnmt prepare data/en-fr (.*)\n```$", PAGE, flags=re.MULTILINE)
    assert prepared(*shlex.split(command))["read"] == 60
    (recipe,) = re.findall(r"^```toml\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    Path("recipe.toml").write_text(recipe)
    counts = prepared("--recipe", "recipe.toml", "--set", "data.drop_duplicates=false")
    assert [(one["name"], one["weight"], one["tag"], one["train"]) for one in counts["corpora"]] == [
        ("europarl-1.en.gz", 0.5, None, 20),
        ("scored.tsv", 1.0, "<web>", 20),
        ("reviews", 2.0, None, 20),
    ]
    assert [(one["name"], one["pairs"], one["tags"]) for one in counts["validation"]] == [
        ("dev", 20, ["<web>"]),
        ("held-out", 20, []),
    ]
