import json
from pathlib import Path

import pytest

from nmt.errors import DataError, UsageError
from nmt.io.files import written
from nmt.io.shards import Header, Shard, join_shards

KEY = {"input": "a", "options": "b"}
TEXTS = ["one\n", "two\n", "", "four\n", "five\n"]


def write(folder: Path, shard: Shard, key: dict[str, str] = KEY) -> Path:
    """Write a shard of five blocks."""
    parts = []
    for number in shard.numbers(len(TEXTS)):
        parts.append(folder / f"part-{number}")
        parts[-1].write_text(TEXTS[number])
    path = shard.name(folder / "out")
    with path.open("wb") as file:
        Header.of(shard, parts, key=key, blocks=len(TEXTS)).write(file)
        for part in parts:
            file.write(part.read_bytes())
    return path


@pytest.mark.parametrize("count", [1, 2, 5, 7])
def test_shards_are_joined_in_the_order_of_the_blocks(tmp_path: Path, count: int) -> None:
    paths = [write(tmp_path, Shard(number, count)) for number in range(count, 0, -1)]
    with (tmp_path / "out").open("wb") as out:
        assert join_shards(paths, out) == 5
    assert (tmp_path / "out").read_text() == "".join(TEXTS)


def test_a_shard_has_every_nth_block_and_a_name() -> None:
    shard = Shard.parse("2/3")
    assert list(shard.numbers(7)) == [1, 4]
    assert shard.name(Path("a/big.fr")) == Path("a/big.fr.2-of-3")


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "1/0", "-1/2", "a/b", "1/2/3", ""])
def test_what_is_no_shard_of_so_many_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=rf"^--shard {text}: expected I/N, the I-th of N shards, I from 1 to N"):
        Shard.parse(text)


def refused(folder: Path, *paths: Path) -> str:
    (folder / "out").write_text("old")
    with pytest.raises(DataError) as error, written(folder / "out") as out:
        join_shards(paths, out)
    assert (folder / "out").read_text() == "old"
    return str(error.value).replace(f"{folder}/", "")


def test_shards_that_do_not_make_a_whole_are_named(tmp_path: Path) -> None:
    first, second, third = (write(tmp_path, Shard(number, 3)) for number in (1, 2, 3))
    assert refused(tmp_path, second) == "of 3 shards, these are missing: 1, 3"
    assert refused(tmp_path, first, second, second) == "out.2-of-3 and out.2-of-3 are both shard 2; expected each once"
    other = write(tmp_path, Shard(2, 2))
    assert refused(tmp_path, first, other) == "out.2-of-2 is one of 2 shards, out.1-of-3 one of 3"
    another = write(tmp_path, Shard(3, 3), {**KEY, "input": "c"})
    assert refused(tmp_path, first, second, another) == (
        "out.3-of-3 and out.1-of-3 do not belong together: they differ in the input"
    )
    assert third == another


def test_what_is_no_shard_or_a_damaged_one_is_named(tmp_path: Path) -> None:
    first, second = (write(tmp_path, Shard(number, 2)) for number in (1, 2))
    text = tmp_path / "text"
    text.write_text("one\n")
    assert refused(tmp_path, first, text) == "text is no shard: its first line is not the header that --shard writes"
    assert refused(tmp_path, tmp_path / "none") == "cannot read none: No such file or directory"
    whole = second.read_bytes()
    second.write_bytes(whole[:-1])
    assert refused(tmp_path, first, second) == "out.2-of-2 is damaged or incomplete: block 2 is not what was written"
    second.write_bytes(whole.replace(b"two", b"TWO"))
    assert refused(tmp_path, first, second) == "out.2-of-2 is damaged or incomplete: block 1 is not what was written"
    second.write_bytes(whole + b"more\n")
    assert refused(tmp_path, first, second) == "out.2-of-2 is damaged: something stands behind its last block"
    second.write_bytes(whole.replace(b'"nmt_shard": 1', b'"nmt_shard": 9'))
    assert refused(tmp_path, first, second) == "out.2-of-2 was written by another version of nmt; make it anew"


@pytest.mark.parametrize(
    "change", [{"sizes": [-1]}, {"sizes": ["4"]}, {"blocks": 10**30}, {"shard": {"number": 1}}, {"key": "["}]
)
def test_a_header_that_nobody_wrote_is_no_header(tmp_path: Path, change: dict[str, object]) -> None:
    path = tmp_path / "shard"
    header = {"nmt_shard": 1, "shard": {"number": 1, "count": 1}, "key": {}, "blocks": 1, "sizes": [4], "digests": [""]}
    path.write_text(json.dumps(header | change) + "\n")
    expected = "shard is no shard: its first line is not the header that --shard writes"
    assert refused(tmp_path, path) == expected
    path.write_text("[" * 100_000)
    assert refused(tmp_path, path) == expected
