"""Text of data that were prepared before, read again beside new text."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nmt.config import Settings
from nmt.errors import ConfigError, DataError
from nmt.prepare.pipeline import prepare
from nmt.prepared import PreparedData
from nmt.text.sequences import Sequences

Pairs = list[tuple[str, str]]
MakeSettings = Callable[..., Settings]
Write = Callable[[str, Pairs], None]


@pytest.fixture
def old(tmp_path: Path, pairs: Pairs, write: Write, make_settings: MakeSettings) -> Path:
    """Data of 160 pairs, 60 of which count twice, with two validation sets; new text of 30 pairs beside it."""
    for name, part in {"old": pairs[:100], "more": pairs[100:160], "check": pairs[160:165]}.items():
        write(name, part)
    files = [
        "data.train_src=['old.src']",
        "data.train_tgt=['old.tgt']",
        "data.valid_src=check.src",
        "data.valid_tgt=check.tgt",
    ]
    more = "data.corpora=[{src='more.src', tgt='more.tgt', weight=2}]"
    prepare(tmp_path / "old", make_settings(*files, more, "data.validation=[{src='more.src', tgt='more.tgt'}]"))
    write("train", pairs[170:200])
    write("valid", pairs[200:])
    return tmp_path / "old"


def test_old_text_has_its_share_of_an_epoch(tmp_path: Path, old: Path, make_settings: MakeSettings) -> None:
    share = make_settings(
        "data.replay=old", "data.replay_share=0.25", "data.valid_src=valid.src", "data.valid_tgt=valid.tgt"
    )
    prepare(tmp_path / "new", share)
    data = PreparedData.open(tmp_path / "new")
    names = [(corpus.name, corpus.train, corpus.weight) for corpus in data.corpora]
    # a quarter of 40 pairs: 10 for 100 that count once and 60 that count twice
    assert names == [("train.src", 30, 1), ("replay", 100, 10 / 220), ("replay-2", 60, 20 / 220)]
    assert (data.size.pairs, data.size.pieces) == (40, round(data.pieces * 40 / 190))


def test_the_first_old_validation_set_is_watched_beside_the_new_one(
    tmp_path: Path, old: Path, pairs: Pairs, make_settings: MakeSettings
) -> None:
    prepare(tmp_path / "new", make_settings("data.replay=old", "data.valid_src=valid.src", "data.valid_tgt=valid.tgt"))
    sets = PreparedData.open(tmp_path / "new").valid_sets
    assert [(one.name, len(one.src_texts)) for one in sets] == [("valid.src", 10), ("replay", 5)]


def test_only_new_pairs_are_held_out(tmp_path: Path, old: Path, pairs: Pairs, make_settings: MakeSettings) -> None:
    prepare(tmp_path / "new", make_settings("data.replay=old"))
    first, second = PreparedData.open(tmp_path / "new").valid_sets
    assert (first.name, second.name, len(first.src_texts)) == ("held out", "replay", 3)
    assert set(first.src_texts) <= {src for src, _ in pairs[170:200]}


def test_what_old_data_held_out_is_watched_and_not_trained_on(
    tmp_path: Path, old: Path, pairs: Pairs, make_settings: MakeSettings
) -> None:
    corpora = (
        "data.corpora=[{src='more.src', tgt='more.tgt', tag='<more>'}, {src='old.src', tgt='old.tgt', reversed=true}]"
    )
    overrides = ["data.train_src=['old.src']", "data.train_tgt=['old.tgt']", "tokenizer.byte_fallback=true"]
    prepare(tmp_path / "held", make_settings(*overrides, "tokenizer.vocab_size=310", corpora))
    held = PreparedData.open(tmp_path / "held")
    settings = make_settings("data.replay=held", f"tokenizer.file={tmp_path / 'held/joint.spm.model'}")
    prepare(tmp_path / "new", settings)
    new = PreparedData.open(tmp_path / "new")
    assert [(one.name, len(one.src_texts)) for one in new.valid_sets] == [("held out", 3), ("replay", 26)]
    watched = new.valid_sets[1]
    assert (watched.src_texts, watched.tgt_texts) == (held.valid.src_texts, held.valid.tgt_texts)
    # with the tags that they had, and none where they had none
    assert ids_of(watched.src) == ids_of(held.valid.src)
    assert set(held.valid_tags) == {None, "<more>"}
    assert set(ids_of(new.train_src)).isdisjoint(ids_of(watched.src))
    assert [one.train for one in new.corpora] == [27, *(one.train for one in held.corpora)]
    assert prepare(tmp_path / "new", settings).up_to_date


def ids_of(rows: Sequences) -> list[tuple[int, ...]]:
    flat = rows.take(np.arange(len(rows)))
    return [tuple(flat.values[first : first + size]) for first, size in zip(flat.starts, flat.lengths, strict=True)]


def test_data_are_up_to_date_until_the_text_that_they_replay_changes(
    tmp_path: Path, old: Path, pairs: Pairs, write: Write, make_settings: MakeSettings
) -> None:
    settings = make_settings("data.replay=old")
    prepare(tmp_path / "new", settings)
    assert prepare(tmp_path / "new", settings).up_to_date
    write("more", pairs[100:159])
    with pytest.raises(DataError, match="prepared from other text"):
        prepare(tmp_path / "new", settings)


def test_what_data_replay_themselves_is_left_out(tmp_path: Path, old: Path, make_settings: MakeSettings) -> None:
    settings = make_settings("data.replay=old")
    prepare(tmp_path / "new", settings)
    prepare(
        tmp_path / "newer",
        make_settings("data.replay=new", "data.train_src=['more.src']", "data.train_tgt=['more.tgt']"),
    )
    assert [(one.name, one.train) for one in PreparedData.open(tmp_path / "newer").corpora] == [
        ("more.src", 54), ("replay", 27)
    ]  # fmt: skip


def test_a_missing_file_of_the_old_text_is_named(tmp_path: Path, old: Path, make_settings: MakeSettings) -> None:
    (tmp_path / "more.tgt").unlink()
    with pytest.raises(DataError, match=r"cannot read .*more\.tgt \(data\.replay: data\.corpora\.0\): No such file"):
        prepare(tmp_path / "new", make_settings("data.replay=old"))


def test_text_of_a_language_model_is_no_text_to_replay(tmp_path: Path, old: Path, make_settings: MakeSettings) -> None:
    alone = ["data.train_src=[]", "data.train_tgt=[]"]
    prepare(tmp_path / "text", make_settings("data.train_text=['old.src']", "tokenizer.vocab_size=40", *alone))
    with pytest.raises(ConfigError, match=r"text \(data\.replay\) was prepared from text for a language model"):
        prepare(tmp_path / "new", make_settings("data.replay=text"))
    with pytest.raises(ConfigError, match=r"data\.train_text and data\.replay are both set"):
        prepare(tmp_path / "new", make_settings("data.train_text=['old.src']", "data.replay=old", *alone))


def test_a_model_is_no_data_to_replay(tmp_path: Path, old: Path, make_settings: MakeSettings) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model/model.json").touch()
    with pytest.raises(DataError, match="holds a model, not prepared data"):
        prepare(tmp_path / "new", make_settings("data.replay=model"))
