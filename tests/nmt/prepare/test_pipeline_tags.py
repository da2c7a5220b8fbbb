"""Corpora with a tag before their sources, and reversed ones: one model of several kinds of text, or directions."""

from collections.abc import Callable
from pathlib import Path

from nmt.config import Settings
from nmt.prepare.pipeline import prepare
from nmt.prepared import PreparedData
from nmt.prepared.manifest import Counts
from nmt.prepared.statistics import read_statistics
from nmt.text.sequences import FlatSequences

Pairs = list[tuple[str, str]]
MakeSettings = Callable[..., Settings]
Write = Callable[[str, Pairs], None]


def tag_of(data: PreparedData, rows: FlatSequences, row: int) -> str | None:
    """The tag that a source begins with, after the mark of a space that every text has before it."""
    mark, first = (data.tokenizers.src.pieces[id] for id in rows.row(row)[:2])
    return first if mark == "\u2581" and first.startswith("<") else None


def test_a_validation_set_is_stored_with_its_tag_before_each_source(
    tmp_path: Path, corpus: Pairs, write: Write, make_settings: MakeSettings
) -> None:
    write("valid", corpus[:2])
    write("other", [*corpus[2:5], ("", "x")])
    files = ["data.valid_src=valid.src", "data.valid_tgt=valid.tgt"]
    further = "data.validation=[{src=['other.src'], tgt=['other.tgt'], name='other', tag='<web>'}]"
    counts = prepare(tmp_path / "data", make_settings(*files, further)).counts
    assert isinstance(counts, Counts)
    assert [one.tags for one in counts.validation] == [(), ("<web>",)]
    data = PreparedData.open(tmp_path / "data")
    plain, tagged = data.valid_sets
    assert [tag_of(data, plain.src, row) for row in range(2)] == [None, None]
    assert [tag_of(data, tagged.src, row) for row in range(3)] == ["<web>", "<web>", "<web>"]
    assert tagged.src_texts == [src for src, _ in corpus[2:5]]  # as they were
    for pairs, tag in ((plain, ""), (tagged, "<web> ")):
        texts = [tag + text for text in pairs.src_texts]
        assert [pairs.src.row(row) for row in range(len(texts))] == data.tokenizers.src.encode(texts)
        assert [pairs.tgt.row(row) for row in range(len(texts))] == data.tokenizers.tgt.encode(pairs.tgt_texts)
    lengths = read_statistics(tmp_path / "data").valid["other"].columns["src"].pieces
    assert lengths.total == tagged.src.lengths.sum()


def test_pairs_that_are_held_out_keep_the_tag_of_their_corpus(
    tmp_path: Path, pairs: Pairs, write: Write, make_settings: MakeSettings
) -> None:
    write("train", pairs[:70])
    for name, part in (("one", pairs[70:140]), ("two", pairs[140:])):
        write(name, part)
    corpora = ", ".join(f"{{src=['{name}.src'], tgt=['{name}.tgt'], tag='<{name}>'}}" for name in ("one", "two"))
    counts = prepare(tmp_path / "data", make_settings(f"data.corpora=[{corpora}]"), block=30).counts
    assert isinstance(counts, Counts)
    tags = {src: tag for part, tag in ((0, None), (70, "<one>"), (140, "<two>")) for src, _ in pairs[part : part + 70]}
    data = PreparedData.open(tmp_path / "data")
    found = [tag_of(data, data.valid.src, row) for row in range(21)]
    assert found == [tags[text] for text in data.valid.src_texts]
    assert set(found) == {None, "<one>", "<two>"}
    assert [found.count(tag) for tag in (None, "<one>", "<two>")] == [one.heldout for one in counts.corpora]
    assert [one.tags for one in counts.validation] == [("<one>", "<two>")]


def test_one_model_learns_both_directions_and_languages_are_judged_as_they_are_exchanged(
    tmp_path: Path, write: Write, make_settings: MakeSettings
) -> None:
    pairs = [(f"the cat {word}", f"le chat {word} \u0436\u0436\u0436\u0436") for word in "abcdefghijklmnopqrst"]
    write("one", pairs)
    both = "[{src='one.src', tgt='one.tgt', tag='<2ru>'}, {src='one.src', tgt='one.tgt', tag='<2en>', reversed=true}]"
    rules = ["data.src_lang=en", "data.tgt_lang=ru", "data.min_script_share=0.3", "data.heldout_pairs=1"]
    alone = ["data.train_src=[]", "data.train_tgt=[]", "tokenizer.kind=char"]
    settings = make_settings(f"data.corpora={both}", *rules, *alone)
    counts = prepare(tmp_path / "data", settings).counts
    assert [corpus.read for corpus in counts.corpora] == [20, 20]
    data = PreparedData.open(tmp_path / "data")
    texts = data.tokenizers.src.decode([data.train_src.row(row) for row in range(len(data.train_src))])
    assert all(text.startswith(("<2ru> the cat", "<2en> le chat")) for text in texts)
    assert {text.partition(" ")[0] for text in texts} == {"<2ru>", "<2en>"}
    ways = [text.partition(" ")[2] for text in texts]
    (held,) = zip(data.valid.src_texts, data.valid.tgt_texts, strict=True)
    assert not set(held) & set(ways)  # it is not learnt from the other corpus either, the other way round
    assert (len(texts), {rule: count for rule, count in counts.rejected.items() if count}) == (38, {"overlap": 1})
