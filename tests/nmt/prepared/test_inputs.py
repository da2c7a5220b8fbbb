import os
from hashlib import sha256
from pathlib import Path

import pytest

from nmt.config import DataSettings
from nmt.errors import ConfigError, DataError
from nmt.prepared.inputs import find_inputs


def test_paths_count_from_the_root_and_absolute_ones_do_not(tmp_path: Path) -> None:
    data = DataSettings(root=Path("here"), train_src=(Path("a.en"),), train_tgt=(tmp_path / "a.fr",))
    inputs = find_inputs(data)
    assert (inputs.train.src, inputs.train.tgt, inputs.valid) == ((Path("here/a.en"),), (tmp_path / "a.fr",), None)


def test_every_file_is_recorded_with_its_setting_and_checksum(tmp_path: Path) -> None:
    for name in ("a.en", "a.fr", "b.tsv", "v.en", "v.fr"):
        (tmp_path / name).write_text(name)
    records = find_inputs(
        DataSettings(
            root=tmp_path,
            train_src=(Path("a.en"),),
            train_tgt=(Path("a.fr"),),
            train_tsv=(Path("b.tsv"),),
            valid_src=Path("v.en"),
            valid_tgt=Path("v.fr"),
        )
    ).record()
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


def test_no_training_text_names_both_ways_to_give_it() -> None:
    with pytest.raises(ConfigError, match=r"no training text: give --src and --tgt, or --tsv; or set data\.train_src"):
        find_inputs(DataSettings())


@pytest.mark.parametrize(("given", "missing"), [("valid_src", "valid_tgt"), ("valid_tgt", "valid_src")])
def test_validation_text_needs_both_sides(given: str, missing: str) -> None:
    data = DataSettings.model_validate({"train_tsv": ["a"], given: "v"})
    with pytest.raises(ConfigError, match=rf"data\.{given} is set but data\.{missing} is not"):
        find_inputs(data)


def test_a_missing_file_is_named_with_its_setting() -> None:
    with pytest.raises(DataError, match=r"^cannot read none\.tsv \(data\.train_tsv\): No such file or directory$"):
        find_inputs(DataSettings(train_tsv=(Path("none.tsv"),))).record()


def test_a_pipe_is_refused_because_it_can_be_read_only_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match=r"pipe \(data\.train_tsv\) is not a regular file; it is read more than once"):
        find_inputs(DataSettings(train_tsv=(tmp_path / "pipe",))).record()
