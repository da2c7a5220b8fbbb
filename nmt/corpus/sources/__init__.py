"""Corpora of every format: each is read as blocks that are cheap to make, and decoded wherever a block is sent."""

from typing import Final

FORMATS: Final = {
    ".tsv": "nmt.corpus.sources.plain:TsvFiles",
    ".jsonl": "nmt.corpus.sources.jsonl:JsonFiles",
    ".parquet": "nmt.corpus.sources.arrow:ParquetFiles",
    ".tmx": "nmt.corpus.sources.tmx:TmxFiles",
    ".po": "nmt.corpus.sources.po:PoFiles",
}
"""How the names of files of pairs end, and the `PairFiles` that reads each; imported when such a file is met."""
