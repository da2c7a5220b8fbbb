"""The files of a data folder, from what the stages before have left; most of it is seen in test_pipeline."""

import gzip
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from nmt.config import Settings
from nmt.errors import ConfigError, DataError, NmtError
from nmt.prepare.pipeline import prepare
from nmt.prepare.stages import StageProgress
from nmt.prepared import PreparedData
from nmt.prepared.manifest import Counts, OverlapCount, ValidationCount
from nmt.prepared.statistics import read_statistics

Pairs = list[tuple[str, str]]
MakeSettings = Callable[..., Settings]
Write = Callable[[str, Pairs], None]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def train_texts(folder: Path) -> list[str]:
    data = PreparedData.open(folder)
    return data.tokenizers.src.decode([data.train_src.row(row) for row in range(len(data.train_src))])


def test_every_rejected_pair_is_counted_and_listed(tmp_path: Path, pairs: Pairs, write: Write,
                                                   make_settings: MakeSettings) -> None:  # fmt: skip
    bad = [("", "x"), ("x" * 1001, "x" * 1001), ("x" * 7, "x"), ("same", "same"), pairs[0], ("x y " * 40, "z y " * 40)]
    write("train", pairs + bad)
    write("valid", pairs[:3])
    report = prepare(
        tmp_path / "data", make_settings("data.valid_src=valid.src", "data.valid_tgt=valid.tgt", "data.max_pieces=64")
    )
    assert (report.counts.read, report.counts.train, report.counts.heldout, report.counts.valid) == (216, 210, 0, 3)
    reasons = ["empty", "too_long", "length_ratio", "copy", "duplicate", "too_many_pieces"]
    assert {reason: count for reason, count in report.counts.rejected.items() if count} == dict.fromkeys(reasons, 1)
    assert [json.loads(line) for line in report.rejected.read_text().splitlines()] == [
        {"file": str(tmp_path / "train.src"), "line": 211 + number, "reason": reason}
        for number, reason in enumerate(reasons)
    ]
    assert sorted(contents(tmp_path / "data")) == [
        "joint.spm.model",
        "manifest.json",
        "rejected.jsonl",
        "statistics.json",
        "train.arrow",
        "valid.arrow",
        "vocab.src.tsv",
        "vocab.tgt.tsv",
    ]


def test_the_same_text_and_settings_give_the_same_bytes(
    tmp_path: Path, corpus: Pairs, make_settings: MakeSettings
) -> None:
    prepare(tmp_path / "one", make_settings())
    prepare(tmp_path / "two", make_settings())
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_compression_does_not_change_the_data(tmp_path: Path, corpus: Pairs, make_settings: MakeSettings) -> None:
    prepare(tmp_path / "plain", make_settings())
    (tmp_path / "train.src.gz").write_bytes(gzip.compress((tmp_path / "train.src").read_bytes()))
    prepare(tmp_path / "packed", make_settings("data.train_src=['train.src.gz']"))
    for name in ("train.arrow", "valid.arrow", "joint.spm.model"):
        assert contents(tmp_path / "plain")[name] == contents(tmp_path / "packed")[name]


def test_at_most_a_tenth_is_held_out_and_the_seed_decides_which(
    tmp_path: Path, corpus: Pairs, make_settings: MakeSettings
) -> None:
    assert prepare(tmp_path / "tenth", make_settings()).counts.heldout == 21
    for seed in (1, 2):
        report = prepare(tmp_path / f"seed{seed}", make_settings("data.heldout_pairs=5", f"data.seed={seed}"))
        assert (report.counts.heldout, report.counts.valid, report.counts.train) == (5, 5, 205)
    one, two = (PreparedData.open(tmp_path / f"seed{seed}").valid.src_texts for seed in (1, 2))
    assert one != two
    assert not set(one) & set(train_texts(tmp_path / "seed1"))


def test_the_validation_text_is_not_filtered_but_empty_sides_are_left_out(
    tmp_path: Path, corpus: Pairs, write: Write, make_settings: MakeSettings
) -> None:
    write("valid", [corpus[0], ("same", "same"), ("x" * 2000, "x"), ("", ""), ("the cat", " "), corpus[0]])
    report = prepare(tmp_path / "data", make_settings("data.valid_src=valid.src", "data.valid_tgt=valid.tgt"))
    assert (report.counts.valid, report.counts.valid_dropped, report.counts.train) == (4, 2, 210)
    assert PreparedData.open(tmp_path / "data").valid.src_texts == [corpus[0][0], "same", "x" * 2000, corpus[0][0]]


def test_text_is_composed_before_it_is_cut(
    tmp_path: Path, pairs: Pairs, write: Write, make_settings: MakeSettings
) -> None:
    write("train", [(f"  cafe\u0301 {src} ", tgt) for src, tgt in pairs])
    prepare(tmp_path / "data", make_settings())
    assert PreparedData.open(tmp_path / "data").valid.src_texts[0].startswith("caf\u00e9 ")
    assert train_texts(tmp_path / "data")[0].startswith("caf\u00e9 ")


@pytest.mark.parametrize(("cleans", "expected"), [("true", "my cat "), ("false", "m\u00ady\u00a0cat ")])
def test_what_nobody_sees_is_left_out_of_all_text_unless_a_setting_says_so(
    tmp_path: Path, pairs: Pairs, write: Write, make_settings: MakeSettings, cleans: str, expected: str
) -> None:
    write("train", [(f"m\u00ady\u00a0cat {src}", f"m\u00ady\u00a0cat {tgt}") for src, tgt in pairs])
    write("valid", [("m\u00ady\u00a0cat .", "m\u00ady\u00a0cat ."), ("\u00ad", "the cat")])
    valid = "data.valid_src=valid.src", "data.valid_tgt=valid.tgt"
    report = prepare(tmp_path / "data", make_settings(f"data.clean_invisible={cleans}", *valid))
    assert report.counts.valid_dropped == (1 if cleans == "true" else 0)
    data = PreparedData.open(tmp_path / "data")
    assert data.valid.src_texts[0].startswith(expected)
    assert data.valid.tgt_texts[0].startswith(expected)
    assert all(text.startswith(expected) for text in train_texts(tmp_path / "data"))


def test_all_text_is_in_small_letters_where_a_setting_says_so(
    tmp_path: Path, pairs: Pairs, write: Write, make_settings: MakeSettings
) -> None:
    shown, test = [("ÉTÉ " + src.upper(), "Ein " + tgt) for src, tgt in pairs], [("Été a cat", "Ein b")]
    write("train", [*shown, *((src.lower(), tgt) for src, tgt in shown[:5]), *test])
    write("valid", [("Été .", "Ein B.")])
    write("test", [(src.upper(), tgt.upper()) for src, tgt in test])
    given = [f"data.{name}_{side}={name}.{side}" for name in ("valid", "test") for side in ("src", "tgt")]
    report = prepare(tmp_path / "data", make_settings("data.lowercase=true", "data.drop_overlap=['pair']", *given))
    assert (report.counts.rejected["duplicate"], report.counts.rejected["overlap"]) == (5, 1)
    data = PreparedData.open(tmp_path / "data")
    assert (data.valid.src_texts, data.valid.tgt_texts) == (["été ."], ["ein b."])
    assert all(text.startswith("été ") and text == text.lower() for text in train_texts(tmp_path / "data"))


def test_the_tokenizer_may_be_trained_on_a_sample(tmp_path: Path, corpus: Pairs, make_settings: MakeSettings) -> None:
    settings = make_settings("tokenizer.max_training_lines=20", "tokenizer.vocab_size=40")
    prepare(tmp_path / "one", settings)
    prepare(tmp_path / "two", settings)
    prepare(tmp_path / "all", make_settings("tokenizer.vocab_size=40"))
    models = [contents(tmp_path / name)["joint.spm.model"] for name in ("one", "two", "all")]
    assert models[0] == models[1] != models[2]


def test_numbers_are_masked_when_asked_for(
    tmp_path: Path, pairs: Pairs, write: Write, make_settings: MakeSettings
) -> None:
    write("train", [(f"{src} {number}", f"{number} {tgt}") for number, (src, tgt) in enumerate(pairs)])
    prepare(tmp_path / "data", make_settings("tokenizer.placeholders=['number']"))
    data = PreparedData.open(tmp_path / "data")
    assert train_texts(tmp_path / "data")[0].endswith(" [NUM]")
    assert data.valid.src_texts[0].rpartition(" ")[2].isdigit()
    assert data.target_counts[data.tokenizers.tgt.pieces.index("[NUM]")] == 189


def test_a_warning_tells_that_the_default_vocabulary_was_reduced(
    tmp_path: Path, corpus: Pairs, make_settings: MakeSettings
) -> None:
    settings = make_settings()
    tokenizer = type(settings.tokenizer)()
    report = prepare(tmp_path / "data", settings.model_copy(update={"tokenizer": tokenizer}))
    assert report.warnings == (
        f"the corpus gives at most {report.counts.src_vocabulary} pieces, not the default 8000: using these",
    )
    assert report.joint


def test_text_with_capitals_that_the_tokenizer_never_saw_is_a_warning(
    tmp_path: Path, pairs: Pairs, write: Write, make_settings: MakeSettings
) -> None:
    write("train", [(src.upper(), tgt) for src, tgt in pairs])
    prepare(tmp_path / "small", make_settings("data.lowercase=true"))
    (warning,) = prepare(tmp_path / "data", make_settings("tokenizer.file='small'")).warnings
    assert re.match(r"\d\d\.\d% of the source pieces are unknown .* data\.lowercase = true makes this$", warning)


def test_progress_names_every_stage(tmp_path: Path, corpus: Pairs, make_settings: MakeSettings) -> None:
    seen: list[StageProgress] = []
    prepare(tmp_path / "data", make_settings(), seen.append)
    assert seen == [
        StageProgress("reading", 0),
        StageProgress("reading", 210, 210),
        StageProgress("finding duplicates", 0, 210),
        StageProgress("training the tokenizer", 0),
        StageProgress("encoding", 0, 210),
        StageProgress("encoding", 210, 210),
        StageProgress("writing", 0, 189),
        StageProgress("writing", 189, 189),
    ]


def test_data_that_are_up_to_date_are_left_alone(tmp_path: Path, corpus: Pairs, make_settings: MakeSettings) -> None:
    first = prepare(tmp_path / "data", make_settings())
    before = (tmp_path / "data" / "train.arrow").stat().st_mtime_ns
    second = prepare(tmp_path / "data", make_settings("training.seed=5"))
    assert (first.up_to_date, second.up_to_date) == (False, True)
    assert second.counts == first.counts
    assert (tmp_path / "data" / "train.arrow").stat().st_mtime_ns == before


def test_other_data_are_replaced_only_by_force(tmp_path: Path, corpus: Pairs, make_settings: MakeSettings) -> None:
    prepare(tmp_path / "data", make_settings())
    before = contents(tmp_path / "data")
    with pytest.raises(DataError, match="data holds data prepared from other text or settings; `nmt prepare --force`"):
        prepare(tmp_path / "data", make_settings("tokenizer.vocab_size=50"))
    assert contents(tmp_path / "data") == before
    report = prepare(tmp_path / "data", make_settings("tokenizer.vocab_size=50"), force=True)
    assert (report.up_to_date, report.counts.src_vocabulary) == (False, 50)


def test_data_of_an_older_format_are_replaced_by_force(
    tmp_path: Path, corpus: Pairs, make_settings: MakeSettings
) -> None:
    prepare(tmp_path / "data", make_settings())
    before = contents(tmp_path / "data")
    manifest = json.loads(before["manifest.json"])
    (tmp_path / "data" / "manifest.json").write_text(json.dumps({"format_version": 1, "files": manifest["files"]}))
    with pytest.raises(DataError, match=r"has format version 1, but .* reads 2; prepare the data again with --force"):
        prepare(tmp_path / "data", make_settings())
    prepare(tmp_path / "data", make_settings(), force=True)
    assert contents(tmp_path / "data") == before


@pytest.mark.parametrize("force", [False, True])
def test_what_comes_into_the_folder_in_the_meantime_is_not_lost(
    tmp_path: Path, corpus: Pairs, make_settings: MakeSettings, force: bool
) -> None:
    def put_notes(progress: StageProgress) -> None:
        (tmp_path / "data").mkdir(exist_ok=True)
        (tmp_path / "data" / "notes").touch()

    with pytest.raises(
        NmtError, match=r"^.*data holds other files \(notes\); .*; the same command continues from here$"
    ):
        prepare(tmp_path / "data", make_settings(), put_notes, force=force)
    (tmp_path / "data" / "notes").unlink()
    seen: list[StageProgress] = []
    prepare(tmp_path / "data", make_settings(), seen.append)
    assert seen[0].stage == "encoding"


def test_data_that_come_in_the_meantime_are_replaced_only_by_force(
    tmp_path: Path, corpus: Pairs, make_settings: MakeSettings
) -> None:
    prepare(tmp_path / "other", make_settings("tokenizer.vocab_size=50"))

    def put_data(progress: StageProgress) -> None:
        shutil.copytree(tmp_path / "other", tmp_path / "data", dirs_exist_ok=True)

    with pytest.raises(NmtError, match="data holds data that were not there before; `nmt prepare --force` replaces"):
        prepare(tmp_path / "data", make_settings(), put_data)
    assert contents(tmp_path / "data") == contents(tmp_path / "other")
    assert prepare(tmp_path / "data", make_settings(), put_data, force=True).counts.train == 189


def test_edited_text_is_noticed(tmp_path: Path, corpus: Pairs, write: Write, make_settings: MakeSettings) -> None:
    prepare(tmp_path / "data", make_settings())
    write("train", [*corpus[:-1], ("one more", "erom eno")])
    with pytest.raises(DataError, match="prepared from other text or settings"):
        prepare(tmp_path / "data", make_settings())


def test_text_that_is_edited_while_it_is_prepared_is_noticed(
    tmp_path: Path, corpus: Pairs, write: Write, make_settings: MakeSettings
) -> None:
    def edit(progress: StageProgress) -> None:
        if progress.stage == "encoding":
            write("train", [("a", "b"), *corpus[1:]])

    with pytest.raises(DataError, match=r"^the text of .*data was changed while it was prepared$"):
        prepare(tmp_path / "data", make_settings(), edit)
    assert not list(tmp_path.glob("*data*"))
    assert prepare(tmp_path / "data", make_settings()).counts.read == len(corpus)


def test_damaged_data_are_not_up_to_date(tmp_path: Path, corpus: Pairs, make_settings: MakeSettings) -> None:
    prepare(tmp_path / "data", make_settings())
    (tmp_path / "data" / "train.arrow").write_bytes(b"cut")
    with pytest.raises(DataError, match=r"train\.arrow was altered: .*; prepare it again with --force"):
        prepare(tmp_path / "data", make_settings())
    prepare(tmp_path / "data", make_settings(), force=True)
    assert len(PreparedData.open(tmp_path / "data").train_src) == 189


def test_too_few_pairs_to_hold_some_out_is_an_error(tmp_path: Path, pairs: Pairs, write: Write,
                                                    make_settings: MakeSettings) -> None:  # fmt: skip
    write("train", pairs[:9])
    with pytest.raises(
        DataError, match=r"^9 training pairs are too few to hold out a tenth .* --valid-src and --valid-tgt"
    ):
        prepare(tmp_path / "data", make_settings())


def test_duplicates_are_told_where_too_few_pairs_are_left(
    tmp_path: Path, pairs: Pairs, write: Write, make_settings: MakeSettings
) -> None:
    write("train", pairs[:1] * 50)
    with pytest.raises(DataError, match=r"^1 training pair, 49 duplicates left aside, is too few "):
        prepare(tmp_path / "data", make_settings())


def test_files_without_a_line_are_named(tmp_path: Path, write: Write, make_settings: MakeSettings) -> None:
    write("train", [])
    with pytest.raises(DataError, match=r"left after cleaning: none was read from \S+/train\.src, \S+/train\.tgt$"):
        prepare(tmp_path / "data", make_settings())


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.max_characters=5", r"no training pairs are left after cleaning: rejected were 210 as too_long$"),
        ("data.max_pieces=1", r"no training pairs are left after encoding: rejected were 189 as too_many_pieces$"),
        ("tokenizer.vocab_size=5000", r"tokenizer\.vocab_size = 5000 is too large for this corpus: at most \d+ pieces"),
        ("data.train_tgt=['none']", r"cannot read .*none \(data\.train_tgt\): No such file"),
        ("data.train_tgt=['short']", r"has 210 lines but .*short has 2; parallel files must match"),
        ("data.train_tgt=['latin1']", r"latin1, line 2: byte 4 \(0xe9\) is not UTF-8"),
    ],
)
def test_a_failure_leaves_nothing_behind(
    tmp_path: Path, corpus: Pairs, make_settings: MakeSettings, override: str, message: str
) -> None:
    (tmp_path / "short").write_text("a\nb\n")
    (tmp_path / "latin1").write_bytes(b"caf\ncaf\xe9\n" * 105)
    before = sorted(tmp_path.iterdir())
    with pytest.raises((ConfigError, DataError), match=message):
        prepare(tmp_path / "data", make_settings(override))
    assert sorted(tmp_path.iterdir()) == before


def test_a_validation_text_without_full_pairs_is_an_error(
    tmp_path: Path, corpus: Pairs, write: Write, make_settings: MakeSettings
) -> None:
    write("valid", [("", "x")])
    with pytest.raises(DataError, match="the validation text holds no pair with two sides that are not empty"):
        prepare(tmp_path / "data", make_settings("data.valid_src=valid.src", "data.valid_tgt=valid.tgt"))


STAGES = ["reading", "finding duplicates", "training the tokenizer", "encoding", "writing"]


@pytest.mark.parametrize("stage", STAGES)
def test_after_an_interruption_the_next_run_goes_on_from_there(
    tmp_path: Path, corpus: Pairs, make_settings: MakeSettings, stage: str
) -> None:
    def interrupt(progress: StageProgress) -> None:
        if progress.stage == stage and (progress.done or stage in at_once):
            raise KeyboardInterrupt

    at_once = ("finding duplicates", "training the tokenizer")
    prepare(tmp_path / "straight", make_settings(), block=50, workers=1)
    with pytest.raises(KeyboardInterrupt):
        prepare(tmp_path / "data", make_settings(), interrupt, block=50, workers=1)
    assert sorted(path.name for path in tmp_path.glob("*data*")) == [".data.work"]
    seen: list[StageProgress] = []
    prepare(tmp_path / "data", make_settings(), seen.append, block=50, workers=1)
    seen = [progress for progress in seen if progress.done or progress.stage in at_once]
    assert list(dict.fromkeys(progress.stage for progress in seen)) == STAGES[STAGES.index(stage) :]
    if stage in ("reading", "encoding"):
        assert seen[0].done == 100  # one block of 50 was done before
    assert contents(tmp_path / "data") == contents(tmp_path / "straight")
    assert not list(tmp_path.glob(".*"))


@pytest.fixture
def counts(tmp_path: Path, corpus: Pairs, write: Write, make_settings: MakeSettings) -> Counts:
    """Of data with two validation sets and a test text."""
    write("valid", [corpus[0], ("", "x")])
    write("other", [("the cat", "tac eht"), ("a dog", "god a")])
    write("test", [(corpus[1][0], "another"), ("another", corpus[2][1]), corpus[2]])
    files = ["data.valid_src=valid.src", "data.valid_tgt=valid.tgt", "data.test_src=test.src", "data.test_tgt=test.tgt"]
    further = "data.validation=[{src=['other.src'], tgt=['other.tgt'], name='other'}]"
    counts = prepare(tmp_path / "data", make_settings(*files, further), block=50, workers=1).counts
    assert isinstance(counts, Counts)
    return counts


def test_validation_sets_lie_end_to_end(tmp_path: Path, corpus: Pairs, counts: Counts) -> None:
    assert counts.validation == (
        ValidationCount(name="valid.src", pairs=1, dropped=1),
        ValidationCount(name="other", pairs=2, dropped=0),
    )
    assert (counts.valid, counts.valid_dropped) == (3, 1)
    sets = PreparedData.open(tmp_path / "data").valid_sets
    assert [text for one in sets for text in one.src_texts] == [corpus[0][0], "the cat", "a dog"]


def test_overlap_is_counted_for_validation_and_test(counts: Counts) -> None:
    assert counts.overlap == {
        "validation": OverlapCount(source=1, target=1, pair=1),
        "test": OverlapCount(source=2, target=1, pair=1),
    }


def test_statistics_are_those_of_all_blocks(tmp_path: Path, counts: Counts) -> None:
    statistics = read_statistics(tmp_path / "data")
    assert statistics.train.columns["src"].pieces.total == counts.src_pieces
    assert statistics.train.columns["tgt"].pieces.rows == counts.train == 210
    assert {name: one.columns["src"].pieces.rows for name, one in statistics.valid.items()} == {
        "valid.src": 1,
        "other": 2,
    }


def test_there_is_one_corpus_and_it_has_all_pairs(counts: Counts) -> None:
    [corpus] = counts.corpora
    assert (corpus.name, corpus.weight, corpus.tag, corpus.heldout) == ("train.src", 1.0, None, 0)
    assert corpus.train == counts.train
    assert corpus.rejected == counts.rejected
