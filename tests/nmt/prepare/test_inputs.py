import os
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

from nmt.config import DataSettings
from nmt.errors import ConfigError, DataError
from nmt.io.lines import Pair
from nmt.prepare.inputs import Fingerprint, Inputs, find_pairs, find_test, find_text, record_inputs


def found(**data: Any) -> Inputs[Pair]:
    return find_pairs(DataSettings.model_validate(data))


def recorded(inputs: Inputs[Any]) -> list[tuple[str, str, str]]:
    return [(record.setting, record.path, record.sha256) for record in record_inputs(inputs.named)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files whose only line is their name, twice in .tsv files."""
    for name in ("a.en", "b.en", "a.fr", "b.fr", "v.en", "v.fr", "w.en", "w.fr", "t.en", "t.fr"):
        (tmp_path / name).write_text(name)
    for name in ("c.tsv", "d.tsv"):
        (tmp_path / name).write_text(f"{name}\t{name}")
    return tmp_path


def test_paths_count_from_the_root_and_absolute_ones_do_not(tmp_path: Path) -> None:
    inputs = found(root="here", train_src=["a.en"], train_tgt=[tmp_path / "a.fr"])
    (train,) = inputs.train
    assert train.source.files == (Path("here/a.en"), tmp_path / "a.fr")
    assert (inputs.valid, inputs.test) == ((), None)


def test_corpora_come_in_the_order_of_the_settings_with_weight_tag_and_name(folder: Path) -> None:
    corpora = [{"path": ["d.tsv"], "weight": 0.5, "tag": "<d>", "name": "fourth"}, {"src": ["b.en"], "tgt": ["b.fr"]}]
    inputs = found(root=folder, corpora=corpora, train_tsv=["c.tsv"], train_src=["a.en"], train_tgt=["a.fr"])
    assert [(one.name, one.weight, one.tag) for one in inputs.train] == [
        ("a.en", 1.0, None),
        ("c.tsv", 1.0, None),
        ("fourth", 0.5, "<d>"),
        ("b.en", 1.0, None),
    ]
    texts = [[pair[:2] for pair in one.source.records()] for one in inputs.train]
    assert texts == [[("a.en", "a.fr")], [("c.tsv", "c.tsv")], [("d.tsv", "d.tsv")], [("b.en", "b.fr")]]


def test_a_reversed_corpus_is_read_from_target_to_source(folder: Path) -> None:
    corpus = {"src": ["a.en"], "tgt": ["a.fr"], "tag": "<2fr>"}
    inputs = found(root=folder, corpora=[corpus, {**corpus, "tag": "<2en>", "reversed": True, "name": "back"}])
    there, back = inputs.train
    assert [pair[:2] for pair in back.source.records()] == [("a.fr", "a.en")]
    assert (there.is_reversed, back.is_reversed) == (False, True)
    assert back.source.read_bytes == back.source.total_bytes == there.source.total_bytes


def test_the_validation_files_come_before_further_sets(folder: Path) -> None:
    further = [{"src": ["w.en"], "tgt": ["w.fr"]}, {"path": ["c.tsv"], "name": "news", "tag": "<news>"}]
    inputs = found(root=folder, train_tsv=["d.tsv"], valid_src="v.en", valid_tgt="v.fr", validation=further)
    assert [(one.name, one.tag) for one in inputs.valid] == [("v.en", None), ("w.en", None), ("news", "<news>")]
    assert [pair.src for one in inputs.valid for pair in one.source.records()] == ["v.en", "w.en", "c.tsv"]


def test_names_that_come_twice_are_numbered_or_refused_where_they_were_given(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub/c.tsv").write_text("x\ty")
    again = {"path": ["sub/c.tsv"]}
    inputs = found(root=folder, train_tsv=["c.tsv"], corpora=[again, again])
    assert [one.name for one in inputs.train] == ["c.tsv", "c.tsv-2", "c.tsv-3"]
    named = {"path": ["c.tsv"], "name": "x"}
    with pytest.raises(
        ConfigError, match=r"^data\.validation\.1\.name is 'x', but another set before it has that name$"
    ):
        found(root=folder, train_tsv=["c.tsv"], validation=[named, named])


def test_patterns_stand_for_files(folder: Path) -> None:
    inputs = found(root=folder, train_src=["[ab].en"], train_tgt=["[ab].fr"])
    assert [pair[:2] for pair in inputs.train[0].source.records()] == [("a.en", "a.fr"), ("b.en", "b.fr")]
    with pytest.raises(DataError, match=r"^no file matches \S+x\*\.en \(data\.train_src\)$"):
        found(root=folder, train_src=["x*.en"], train_tgt=["a.fr"])


def test_every_file_is_recorded_with_its_setting_and_checksum(folder: Path) -> None:
    inputs = found(
        root=folder,
        train_src=["a.en"],
        train_tgt=["a.fr"],
        train_tsv=["c.tsv"],
        corpora=[{"path": ["d.tsv"]}],
        valid_src="v.en",
        valid_tgt="v.fr",
        validation=[{"src": ["w.en"], "tgt": ["w.fr"]}],
        test_src="t.en",
        test_tgt="t.fr",
        drop_overlap=["pair"],
    )
    assert recorded(inputs) == [
        (f"data.{setting}", str(folder / name), sha256((folder / name).read_bytes()).hexdigest())
        for setting, name in [
            ("train_src", "a.en"),
            ("train_tgt", "a.fr"),
            ("train_tsv", "c.tsv"),
            ("corpora.0", "d.tsv"),
            ("valid_src", "v.en"),
            ("valid_tgt", "v.fr"),
            ("validation.0", "w.en"),
            ("validation.0", "w.fr"),
            ("test_src", "t.en"),
            ("test_tgt", "t.fr"),
        ]
    ]


def test_the_data_depend_on_the_test_text_only_where_overlap_is_dropped(folder: Path) -> None:
    inputs = found(root=folder, train_tsv=["c.tsv"], test_src="t.en", test_tgt="t.fr")
    assert inputs.test is not None
    assert inputs.test.source.files == (folder / "t.en", folder / "t.fr")
    assert [setting for setting, _, _ in recorded(inputs)] == ["data.train_tsv"]


def test_a_folder_of_datasets_is_recorded_by_its_files_and_a_name_of_the_hub_by_its_fingerprint(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = Dataset.from_dict({"src": ["a"], "tgt": ["b"]})
    rows.save_to_disk(folder / "saved")
    local = recorded(found(root=folder, corpora=[{"path": ["hf:saved"]}]))
    assert {(setting, Path(path).parent.name) for setting, path, _ in local} == {("data.corpora.0", "saved")}
    assert "state.json" in {Path(path).name for _, path, _ in local}
    monkeypatch.setattr("datasets.load_dataset", lambda *_, **__: rows)
    ((setting, path, digest),) = recorded(found(corpora=[{"path": ["hf:user/opus:en-fr"]}]))
    assert (setting, path) == ("data.corpora.0", "hf:user/opus:en-fr")
    assert digest == sha256(rows._fingerprint.encode()).hexdigest()


def test_a_fingerprint_stands_for_text_that_is_in_no_file() -> None:
    (record,) = record_inputs([("data.corpora.0", (Fingerprint("hf:a", "0123"),))])
    assert (record.setting, record.path, record.sha256) == ("data.corpora.0", "hf:a", "0123")


def test_text_for_a_language_model_is_found_and_recorded_in_its_order(folder: Path) -> None:
    inputs = find_text(DataSettings(root=folder, train_text=(Path("b.en"), Path("a.*")), valid_text=Path("v.en")))
    [train], [valid] = inputs.train, inputs.valid
    assert [line.text for line in train.source.records()] == ["b.en", "a.en", "a.fr"]
    assert [line.text for line in valid.source.records()] == ["v.en"]
    assert recorded(inputs) == [
        (f"data.{setting}", str(folder / name), sha256(name.encode()).hexdigest())
        for setting, name in [
            ("train_text", "b.en"),
            ("train_text", "a.en"),
            ("train_text", "a.fr"),
            ("valid_text", "v.en"),
        ]
    ]


def test_a_text_needs_no_validation_text() -> None:
    assert find_text(DataSettings(train_text=(Path("a"),))).valid == ()


def test_no_training_text_names_all_ways_to_give_it() -> None:
    with pytest.raises(
        ConfigError,
        match=r"no training text: give --src and --tgt, --tsv or --corpus; or set data\.train_src and data\.train_tgt, "
        r"data\.train_tsv or data\.corpora in a recipe; for a language model give --text, or set data\.train_text",
    ):
        find_pairs(DataSettings())


PAIRS = ["train_src", "train_tgt", "train_tsv", "corpora", "valid_src", "valid_tgt", "validation"]


@pytest.mark.parametrize("other", PAIRS)
def test_text_and_pairs_together_are_refused(other: str) -> None:
    value = {"corpora": [{"path": ["v"]}], "validation": [{"path": ["v"]}], "valid_src": "v", "valid_tgt": "v"}
    data = DataSettings.model_validate({"train_text": ["a"], other: value.get(other, ["v"])})
    with pytest.raises(ConfigError, match=rf"^data\.train_text and data\.{other} are both set, .* not from both$"):
        find_text(data)


def test_validation_text_alone_is_refused() -> None:
    data = DataSettings(valid_text=Path("v"), train_tsv=(Path("a"),))
    with pytest.raises(
        ConfigError, match=r"^data\.valid_text is set but data\.train_text is not; give .* with --text$"
    ):
        find_pairs(data)


@pytest.mark.parametrize(("given", "missing"), [("valid_src", "valid_tgt"), ("valid_tgt", "valid_src")])
def test_validation_text_needs_both_sides(given: str, missing: str) -> None:
    with pytest.raises(ConfigError, match=rf"data\.{given} is set but data\.{missing} is not"):
        found(train_tsv=["a"], **{given: "v"})


@pytest.mark.parametrize(("given", "missing"), [("test_src", "test_tgt"), ("test_tgt", "test_src")])
def test_a_test_text_needs_both_sides(given: str, missing: str) -> None:
    with pytest.raises(ConfigError, match=rf"^a test text has two sides, but data\.{missing} is not set$"):
        find_test(DataSettings.model_validate({given: "v"}))


def test_a_missing_file_is_named_with_its_setting() -> None:
    with pytest.raises(DataError, match=r"^cannot read none\.tsv \(data\.train_tsv\): No such file or directory$"):
        record_inputs([("data.train_tsv", (Path("none.tsv"),))])


def test_a_missing_file_that_is_looked_for_in_the_root_says_so() -> None:
    with pytest.raises(
        DataError, match=r"No such file or directory; its path is relative to data\.root = recipes/corpus$"
    ):
        record_inputs([("data.train_tsv", (Path("recipes/corpus/none.tsv"),))], Path("recipes/corpus"))
    with pytest.raises(DataError, match=r"^cannot read /none\.tsv \(data\.train_tsv\): No such file or directory$"):
        record_inputs([("data.train_tsv", (Path("/none.tsv"),))], Path("recipes/corpus"))


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^.* \(data\.train_tsv\) is a folder, expected a file$"):
        record_inputs([("data.train_tsv", (tmp_path,))])


def test_a_pipe_is_refused_because_it_can_be_read_only_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match=r"pipe \(data\.train_tsv\) is not a regular file; it is read more than once"):
        record_inputs([("data.train_tsv", (tmp_path / "pipe",))])
