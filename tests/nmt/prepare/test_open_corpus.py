import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import polib
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset

from nmt.config import CorpusSettings, DataSettings
from nmt.corpus import FORMATS
from nmt.corpus.base import PairSource
from nmt.corpus.plain import TextFiles
from nmt.errors import ConfigError, DataError
from nmt.prepare.inputs import open_corpus


def opened(root: Path, **corpus: Any) -> PairSource:
    data = DataSettings(root=root, src_lang="en", tgt_lang="fr")
    return open_corpus(CorpusSettings.model_validate(corpus), data, split="train", setting="data.corpora.0")


def texts(source: PairSource) -> list[tuple[str, ...]]:
    return [pair[:2] for pair in source.records()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One pair in every format; what its source says is the format."""
    (tmp_path / "a.en").write_text("text\n")
    (tmp_path / "a.fr").write_text("x\n")
    (tmp_path / "a.tsv").write_text("tsv\tx\n")
    (tmp_path / "a.tsv.gz").write_bytes(gzip.compress(b"tsv.gz\tx\n"))
    (tmp_path / "a.jsonl").write_text(json.dumps({"en": "jsonl", "fr": "x"}))
    pq.write_table(pa.table({"en": ["parquet"], "fr": ["x"]}), tmp_path / "a.parquet")
    tuvs = '<tuv xml:lang="en"><seg>tmx</seg></tuv><tuv xml:lang="fr"><seg>x</seg></tuv>'
    (tmp_path / "a.tmx").write_text(f"<tmx><body><tu>{tuvs}</tu></body></tmx>")
    catalogue = polib.POFile()
    catalogue.append(polib.POEntry(msgid="po", msgstr="x"))
    catalogue.save(str(tmp_path / "a.po"))
    Dataset.from_dict({"en": ["hf"], "fr": ["x"]}).save_to_disk(tmp_path / "saved")
    return tmp_path


@pytest.mark.parametrize("suffix", ["tsv", "tsv.gz", "jsonl", "parquet", "tmx", "po"])
def test_the_suffix_says_the_format(folder: Path, suffix: str) -> None:
    source = opened(folder, path=[f"a.{suffix}"])
    assert texts(source) == [(suffix, "x")]
    assert (source.name, source.files, source.fingerprint) == (f"a.{suffix}", (folder / f"a.{suffix}",), None)


def test_two_sides_are_read_as_text(folder: Path) -> None:
    source = opened(folder, src=["a.en"], tgt=["a.fr"])
    assert (texts(source), source.name) == ([("text", "x")], "a.en")
    assert opened(folder, src=["a.en"], tgt=["a.fr"], name="mine").name == "mine"


def test_files_of_all_formats_are_one_corpus_in_their_order(folder: Path) -> None:
    source = opened(folder, path=["a.po", "a.tsv*", "hf:saved", "a.tmx"])
    assert [src for src, _ in texts(source)] == ["po", "tsv", "tsv.gz", "hf", "tmx"]
    assert [path.name for path in source.files][:3] == ["a.po", "a.tsv", "a.tsv.gz"]
    assert source.files[-1] == folder / "a.tmx"
    assert source.name == "a.po"
    for _ in range(2):
        seen = [source.read_bytes for _ in source.blocks(1)]
        assert seen == sorted(set(seen))
        assert seen[0] == (folder / "a.po").stat().st_size
    assert seen[-1] == source.total_bytes


def test_fields_are_columns_of_a_table_and_languages_of_a_memory(folder: Path) -> None:
    assert texts(opened(folder, path=["a.tsv"], src_field="2", tgt_field="1")) == [("x", "tsv")]
    assert texts(opened(folder, path=["a.tmx"], src_field="fr", tgt_field="en")) == [("x", "tmx")]


@pytest.mark.parametrize(
    ("corpus", "message"),
    [
        ({}, "data.corpora.0: found neither; a corpus has either src and tgt, its two sides, or path"),
        (
            {"path": ["a.tsv"], "src": ["a.en"]},
            "data.corpora.0: found both; a corpus has either src and tgt, its two sides, or path",
        ),
        (
            {"path": ["a.tsv"], "src_field": "1"},
            "data.corpora.0.src_field is set but data.corpora.0.tgt_field is not; both sides need a field",
        ),
        (
            {"src": ["a.en"], "tgt": ["a.fr"], "src_field": "1", "tgt_field": "2"},
            "data.corpora.0: src_field, tgt_field and split are about what is in path, not about src and tgt",
        ),
        (
            {"path": ["a.tsv"], "split": "test"},
            "data.corpora.0.split is about datasets (hf:NAME), but data.corpora.0.path names files alone",
        ),
    ],
)
def test_half_a_corpus_is_refused(folder: Path, corpus: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        opened(folder, **corpus)
    assert str(caught.value) == message


@pytest.mark.parametrize("name", ["a.en", "a.json", "a.gz", "a", "a.txt.gz", "a.parquet.gz"])
def test_an_unknown_suffix_is_an_error_with_those_that_are_known(tmp_path: Path, name: str) -> None:
    streams = " ".join(ending for ending in FORMATS if ending != ".parquet")
    with pytest.raises(ConfigError) as caught:
        opened(tmp_path, path=[name])
    assert str(caught.value) == (
        f"{tmp_path / name}: cannot tell its format from its name; expected {streams}, these also with .gz "
        ".xz .bz2 .zst after it, .parquet, or hf:NAME; plain text is given as src and tgt"
    )


def test_of_a_csv_file_it_is_said_how_it_is_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"or hf:NAME; a folder of \.csv files is read as hf:FOLDER$"):
        opened(tmp_path, path=["a.csv"])


def test_a_catalogue_of_messages_has_no_fields_to_choose(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"a\.po: a \.po file has a message and its translation, and no src_field"):
        opened(tmp_path, path=["a.po"], src_field="en", tgt_field="fr")


def test_patterns_that_match_nothing_and_sides_that_do_not_match_name_their_settings(folder: Path) -> None:
    with pytest.raises(DataError, match=r"^no file matches \S+b\*\.tsv \(data\.corpora\.0\.path\)$"):
        opened(folder, path=["b*.tsv"])
    with pytest.raises(DataError, match=r"^no file matches \S+b\*\.en \(data\.corpora\.0\.src\)$"):
        opened(folder, src=["b*.en"], tgt=["a.fr"])
    with pytest.raises(DataError, match=r"^2 source files but 1 target files; every source file needs its target"):
        opened(folder, src=["a.e*", "a.en"], tgt=["a.fr"])


def test_processes_that_read_blocks_load_no_heavy_libraries() -> None:
    code = (
        "import sys, nmt.prepare.stages\n"
        "print([name for name in ('torch', 'datasets', 'pandas') if name in sys.modules])"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_text_in_one_language_is_read_in_its_order(folder: Path) -> None:
    source = TextFiles([folder / "a.fr", folder / "a.en"], "error")
    assert [line.text for line in source.records()] == ["x", "text"]
