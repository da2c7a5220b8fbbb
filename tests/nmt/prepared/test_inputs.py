import os
from hashlib import sha256
from pathlib import Path

import pytest

from nmt.config import DataSettings
from nmt.errors import ConfigError, DataError
from nmt.prepared.inputs import PairInputs, TextInputs, find_inputs, record_inputs


def test_paths_count_from_the_root_and_absolute_ones_do_not(tmp_path: Path) -> None:
    data = DataSettings(root=Path("here"), train_src=(Path("a.en"),), train_tgt=(tmp_path / "a.fr",))
    inputs = find_inputs(data)
    assert isinstance(inputs, PairInputs)
    assert (inputs.train.src, inputs.train.tgt, inputs.valid) == ((Path("here/a.en"),), (tmp_path / "a.fr",), None)


def test_every_file_is_recorded_with_its_setting_and_checksum(tmp_path: Path) -> None:
    for name in ("a.en", "a.fr", "b.tsv", "v.en", "v.fr"):
        (tmp_path / name).write_text(name)
    inputs = find_inputs(
        DataSettings(
            root=tmp_path,
            train_src=(Path("a.en"),),
            train_tgt=(Path("a.fr"),),
            train_tsv=(Path("b.tsv"),),
            valid_src=Path("v.en"),
            valid_tgt=Path("v.fr"),
        )
    )
    records = record_inputs(inputs.named)
    assert [(record.setting, record.path, record.sha256) for record in records] == [
        (f"data.{setting}", str(tmp_path / name), sha256(name.encode()).hexdigest())
        for setting, name in [
            ("train_src", "a.en"),
            ("train_tgt", "a.fr"),
            ("train_tsv", "b.tsv"),
            ("valid_src", "v.en"),
            ("valid_tgt", "v.fr"),
        ]
    ]


def test_text_for_a_language_model_is_found_and_recorded_in_its_order(tmp_path: Path) -> None:
    for name in ("b.en", "a.en", "v.en"):
        (tmp_path / name).write_text(name)
    data = DataSettings(root=tmp_path, train_text=(Path("b.en"), Path("a.en")), valid_text=Path("v.en"))
    inputs = find_inputs(data)
    assert inputs == TextInputs((tmp_path / "b.en", tmp_path / "a.en"), tmp_path / "v.en")
    assert [(record.setting, record.path, record.sha256) for record in record_inputs(inputs.named)] == [
        (f"data.{setting}", str(tmp_path / name), sha256(name.encode()).hexdigest())
        for setting, name in [("train_text", "b.en"), ("train_text", "a.en"), ("valid_text", "v.en")]
    ]


def test_a_text_needs_no_validation_text() -> None:
    assert find_inputs(DataSettings(train_text=(Path("a"),))) == TextInputs((Path("a"),), None)


def test_no_training_text_names_all_ways_to_give_it() -> None:
    with pytest.raises(
        ConfigError,
        match=r"no training text: give --src and --tgt, or --tsv; or set data\.train_src and data\.train_tgt, or "
        r"data\.train_tsv, in a recipe; for a language model give --text, or set data\.train_text",
    ):
        find_inputs(DataSettings())


@pytest.mark.parametrize("other", ["train_src", "train_tgt", "train_tsv", "valid_src", "valid_tgt"])
def test_text_and_pairs_together_are_refused(other: str) -> None:
    data = DataSettings.model_validate({"train_text": ["a"], other: "v" if "valid" in other else ["v"]})
    with pytest.raises(ConfigError, match=rf"^data\.train_text and data\.{other} are both set, .* not from both$"):
        find_inputs(data)


def test_validation_text_alone_is_refused() -> None:
    data = DataSettings(valid_text=Path("v"), train_tsv=(Path("a"),))
    with pytest.raises(
        ConfigError, match=r"^data\.valid_text is set but data\.train_text is not; give .* with --text$"
    ):
        find_inputs(data)


@pytest.mark.parametrize(("given", "missing"), [("valid_src", "valid_tgt"), ("valid_tgt", "valid_src")])
def test_validation_text_needs_both_sides(given: str, missing: str) -> None:
    data = DataSettings.model_validate({"train_tsv": ["a"], given: "v"})
    with pytest.raises(ConfigError, match=rf"data\.{given} is set but data\.{missing} is not"):
        find_inputs(data)


def test_a_missing_file_is_named_with_its_setting() -> None:
    with pytest.raises(DataError, match=r"^cannot read none\.tsv \(data\.train_tsv\): No such file or directory$"):
        record_inputs([("data.train_tsv", (Path("none.tsv"),))])


def test_a_pipe_is_refused_because_it_can_be_read_only_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match=r"pipe \(data\.train_tsv\) is not a regular file; it is read more than once"):
        record_inputs([("data.train_tsv", (tmp_path / "pipe",))])
