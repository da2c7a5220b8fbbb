"""Corpora of every format: each is read as blocks that are cheap to make, and decoded wherever a block is sent."""

from typing import Final

FORMATS: Final = {
    ".tsv": "nmt.corpus.plain:TsvFiles",
    ".jsonl": "nmt.corpus.jsonl:JsonFiles",
    ".parquet": "nmt.corpus.parquet:ParquetFiles",
    ".tmx": "nmt.corpus.tmx:TmxFiles",
    ".po": "nmt.corpus.po:PoFiles",
}
"""How the names of files of pairs end, and the `PairFiles` that reads each; imported when such a file is met."""
