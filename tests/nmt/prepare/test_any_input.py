"""Whatever is in a file: it is read right, or refused with one line, and nothing is left half-written."""

import bz2
import gzip
import io
import json
import lzma
import random
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path
from xml.sax.saxutils import escape

import polib
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nmt.config import CorpusSettings, DataSettings, load_settings
from nmt.errors import NmtError
from nmt.io.lines import OnBadUtf8, Pair, normalise
from nmt.prepare.inputs import open_corpus
from nmt.prepare.pipeline import prepare

Texts = list[tuple[str, str]]

COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".bz2": bz2.compress,
    ".zst": zstandard.compress,
}
MANY = settings(max_examples=100)


def to_tsv(texts: Texts) -> bytes:
    return "".join(f"{src}\t{tgt}\n" for src, tgt in texts).encode()


def to_jsonl(texts: Texts) -> bytes:
    return "".join(json.dumps({"src": src, "tgt": tgt}) + "\n" for src, tgt in texts).encode()


def to_parquet(texts: Texts) -> bytes:
    file = io.BytesIO()
    columns = {"src": [src for src, _ in texts], "tgt": [tgt for _, tgt in texts]}
    pq.write_table(pa.table(columns, schema=pa.schema({"src": pa.string(), "tgt": pa.string()})), file)
    return file.getvalue()


def to_tmx(texts: Texts) -> bytes:
    units = "".join(
        f'<tu><tuv xml:lang="en"><seg>{escape(src)}</seg></tuv><tuv xml:lang="fr"><seg>{escape(tgt)}</seg></tuv></tu>\n'
        for src, tgt in texts
    )
    return f'<tmx version="1.4"><header/><body>{units}</body></tmx>'.encode("utf-16")


def to_po(texts: Texts) -> bytes:
    catalogue = polib.POFile(wrapwidth=0)
    catalogue.metadata = {"Content-Type": "text/plain; charset=UTF-8"}
    catalogue.extend(polib.POEntry(msgid=src, msgstr=tgt) for src, tgt in texts)
    return str(catalogue).encode()


WRITERS: dict[str, Callable[[Texts], bytes]] = {
    ".tsv": to_tsv,
    ".jsonl": to_jsonl,
    ".parquet": to_parquet,
    ".tmx": to_tmx,
    ".po": to_po,
}
PARTS = [(suffix, more) for suffix in WRITERS for more in COMPRESS if not (suffix == ".parquet" and more)]
SOME = [("the cat", "le chat"), ("caf\u00e9 \u2028 \U0001f600", "\u00e9t\u00e9"), ("7 \u00a0 8", "x" * 100)] * 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("any")


def read(folder: Path, on_bad_utf8: OnBadUtf8 = "error", **corpus: list[str]) -> list[Pair] | None:
    """Read a corpus; None: it was refused, with one line that names a file."""
    data = DataSettings(root=folder, src_lang="en", tgt_lang="fr", on_bad_utf8=on_bad_utf8)
    source = open_corpus(CorpusSettings.model_validate(corpus), data, split="train", setting="data.corpora.0")
    try:
        blocks = [(len(block), block.records()) for block in source.blocks(5)]
    except NmtError as error:
        message = str(error)
        assert message
        assert len(message) < 1000
        assert message.isprintable(), message
        assert any(str(path) in message for path in source.files), message
        return None
    assert all(size == len(records) <= 5 for size, records in blocks)
    pairs = [pair for _, records in blocks for pair in records]
    for text in (text for pair in pairs for text in pair[:2]):
        assert text.encode().decode() == text
        assert "\n" not in text
        assert normalise(text) == text
    return pairs


def written(folder: Path, name: str, data: bytes) -> str:
    (folder / name).write_bytes(data)
    return name


def texts_without(characters: str) -> st.SearchStrategy[Texts]:
    side = st.text(st.characters(codec="utf-8", exclude_characters=characters), max_size=20)
    return st.lists(st.tuples(side, side), max_size=8)


CONTROLS = "".join(map(chr, range(32)))
NOT_IN = {".tsv": "\n\t", ".tmx": CONTROLS.replace("\n", "").replace("\t", "") + "\ufffe\uffff"}


@pytest.mark.parametrize(("suffix", "more"), PARTS)
@settings(max_examples=20)
@given(data=st.data())
def test_what_is_written_is_read_back_in_nfc_and_one_line(
    folder: Path, suffix: str, more: str, data: st.DataObject
) -> None:
    texts = data.draw(texts_without(NOT_IN.get(suffix, "")))
    name = written(folder, f"right{suffix}{more}", COMPRESS[more](WRITERS[suffix](texts)))
    if suffix == ".po":  # an entry without a source is none
        texts = [(src, tgt) for src, tgt in texts if src]
    inner = (lambda text: text) if suffix == ".tsv" else (lambda text: re.sub(r" *[\n\r\t][\n\r\t ]*", " ", text))
    expected = [tuple(unicodedata.normalize("NFC", inner(text)).strip() for text in pair) for pair in texts]
    pairs = read(folder, path=[name])
    assert pairs is not None
    assert [pair[:2] for pair in pairs] == expected


def any_bytes(rng: random.Random, valid: bytes) -> bytes:
    """Damage a file in one of the ways that files get damaged."""
    broken = bytearray(valid)
    for _ in range(rng.randrange(4)):
        start, size = rng.randrange(len(broken) + 1), rng.randrange(40)
        bits = [rng.randbytes(size), b"\xed\xa0\x80", b"\xff\xfe", b"\n", b"\t", b"\0", b'"', b"\\ud800", b"<", b"\xc3"]
        broken[start : start + rng.choice([0, size])] = rng.choice(bits)
    if rng.random() < 0.4:
        del broken[rng.randrange(len(broken) + 1) :]
    if rng.random() < 0.2:
        try:
            return bytes(broken).decode().encode(rng.choice(["latin-1", "utf-16", "utf-7", "utf-8-sig", "cp1252"]))
        except UnicodeError:
            pass
    return bytes(broken) if rng.random() < 0.9 else rng.randbytes(rng.randrange(200))


@pytest.mark.parametrize(("suffix", "more"), PARTS)
def test_damaged_files_are_read_or_refused_with_one_line(folder: Path, suffix: str, more: str) -> None:
    rng = random.Random(f"{suffix}{more}")
    valid = WRITERS[suffix](SOME)
    outcomes = []
    for _ in range(40):
        inside = any_bytes(rng, valid) if rng.random() < 0.7 else valid
        whole = packed = COMPRESS[more](inside)
        if more and rng.random() < 0.5:
            packed = any_bytes(rng, whole) if rng.random() < 0.5 else whole[: rng.randrange(1, len(whole))]
        name = written(folder, f"damaged{suffix}{more}", packed)
        pairs = read(folder, path=[name])
        outcomes.append(pairs is not None)
        replaced = read(folder, "replace", path=[name])
        assert pairs is None or replaced == pairs
        if packed and packed != whole and whole.startswith(packed):
            assert replaced is None
        elif inside is valid and packed == whole:
            assert pairs is not None
            assert [pair[:2] for pair in pairs] == SOME
    assert {True, False} <= set(outcomes)


LINES = st.lists(st.binary(max_size=12) | st.text(max_size=6).map(lambda text: text.encode("utf-8", "surrogatepass")))


@MANY
@given(src=LINES, tgt=LINES, more=st.sampled_from(sorted(COMPRESS)), cut=st.integers(0, 4))
@example(src=[b"\xef\xbb\xbfa", b"\xef\xbb\xbf"], tgt=[b"\r", b"\r\r"], more="", cut=0)
@example(src=[], tgt=[b"\xef\xbb\xbf"], more="", cut=0)
@example(src=[b"\xed\xa0\x80"], tgt=[b"x"], more="", cut=0)
@example(src=[], tgt=[], more=".gz", cut=4)
@example(src=[], tgt=[], more=".xz", cut=1)
@example(src=[], tgt=[], more=".bz2", cut=1)
@example(src=[], tgt=[], more=".zst", cut=1)
def test_two_sides_are_read_line_by_line_or_refused(
    folder: Path, src: list[bytes], tgt: list[bytes], more: str, cut: int
) -> None:
    sides = [b"\n".join(side) for side in (src, tgt)]
    packed = [COMPRESS[more](side) for side in sides]
    damaged = bool(more and cut)
    packed[0] = packed[0][:-cut] if damaged else packed[0]
    files = [written(folder, f"side{number}{more}", data) for number, data in enumerate(packed)]
    pairs = read(folder, src=files[:1], tgt=files[1:])
    rows = [re.findall(rb"[^\n]*\n|[^\n]+$", side) for side in sides]  # a byte order mark alone is an empty line
    rows = [[row.removeprefix(b"\xef\xbb\xbf") if i == 0 else row for i, row in enumerate(side)] for side in rows]
    try:
        expected = [tuple(normalise(line.decode()) for line in pair) for pair in zip(*rows, strict=True)]
    except ValueError:  # bytes or numbers of lines that are wrong
        expected = None
    assert (pairs and [pair[:2] for pair in pairs]) == (None if damaged else expected)


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_text_of_up_to_a_mebibyte_is_read_and_a_longer_one_is_too_long(folder: Path, suffix: str) -> None:
    long, too_long = ("x\u00e9" * 70_000, "y"), ("x", "y\u00e9" * 700_000)
    name = written(folder, f"huge{suffix}", WRITERS[suffix]([("a", "b"), long, too_long, ("c", "d")]))
    pairs = read(folder, path=[name])
    assert pairs is not None
    assert [(len(pair.src), pair.tgt, pair.fault) for pair in pairs] == [
        (1, "b", None),
        (140_000, "y", None),
        (0, "", "too_long"),
        (1, "d", None),
    ]


@pytest.mark.parametrize(
    ("suffix", "more"), [(".tsv", ".gz"), (".jsonl", ""), (".parquet", ""), (".tmx", ".zst"), (".po", "")]
)
def test_nothing_is_left_of_data_prepared_from_what_is_damaged_at_its_end(
    tmp_path: Path, suffix: str, more: str
) -> None:
    texts = [(f"word {number}", f"mot {number}") for number in range(300)]
    whole = COMPRESS[more](WRITERS[suffix](texts))
    cut = written(tmp_path, f"cut{suffix}{more}", whole[:-4] if suffix != ".po" else whole + b"what?\n")
    before = sorted(tmp_path.rglob("*"))
    recipe = [f"data.corpora=[{{path=['{cut}']}}]", f"data.root={tmp_path}", "data.src_lang=en", "data.tgt_lang=fr"]
    with pytest.raises(NmtError, match=rf"cut\{suffix}"):
        prepare(tmp_path / "data", load_settings(None, recipe), workers=1, block=50)
    assert sorted(tmp_path.rglob("*")) == before
