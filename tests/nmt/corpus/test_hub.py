import random
from pathlib import Path

import datasets
import pytest
from datasets import Dataset, DatasetDict, Features, Translation, Value

from nmt.corpus.fields import Wanted
from nmt.corpus.hub import DatasetName, HubDataset
from nmt.errors import ConfigError, DataError
from nmt.io.lines import Pair

LANGUAGES = Wanted(src_lang="en", tgt_lang="fr")
ROWS = [{"id": str(number), "translation": {"en": f"a{number}", "fr": f"b{number}"}} for number in range(5)]
FEATURES = Features({"id": Value("string"), "translation": Translation(["en", "fr"])})


@pytest.fixture(autouse=True)
def nothing_leaves_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the cache in the folder of the test, and the hub out of reach."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


def source(name: str, root: Path, *, split: str = "train", wanted: Wanted = LANGUAGES) -> HubDataset:
    return HubDataset(DatasetName.parse(name, root), split, "error", wanted, name="corpus")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as the hub has them: Parquet files of two splits, and a configuration of its own."""
    made = tmp_path / "some/opus"
    (made / "data").mkdir(parents=True)
    rows = Dataset.from_list(ROWS, features=FEATURES)
    rows.to_parquet(made / "data/train-00000.parquet")
    rows.select([1]).to_parquet(made / "data/validation-00000.parquet")
    (made / "more").mkdir()
    rows.select([2]).to_parquet(made / "more/train.parquet")
    (made / "README.md").write_text(
        "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: data/train-*\n"
        "  - split: validation\n    path: data/validation-*\n"
        "- config_name: more\n  data_files: more/train.parquet\n---\n"
    )
    return tmp_path


def test_splits_and_configurations_of_a_local_folder_are_read_block_by_block(folder: Path) -> None:
    train = source("hf:some/opus", folder)
    assert list(train.records()) == [Pair(f"a{row}", f"b{row}", "hf:some/opus", row + 1) for row in range(5)]
    assert [len(block) for block in train.blocks(2)] == [2, 2, 1]
    assert [train.read_bytes / train.total_bytes for _ in train.blocks(2)] == pytest.approx([0.4, 0.8, 1], abs=0.01)
    assert [pair.src for pair in source("hf:some/opus", folder, split="validation").records()] == ["a1"]
    assert [pair.src for pair in source("hf:some/opus:more", folder).records()] == ["a2"]


def test_the_files_of_a_local_folder_stand_for_it(folder: Path) -> None:
    (folder / "some/opus/.git").mkdir()
    (folder / "some/opus/.git/x").touch()
    opus = source("hf:some/opus", folder)
    names = ["README.md", "data/train-00000.parquet", "data/validation-00000.parquet", "more/train.parquet"]
    assert [str(path.relative_to(folder / "some/opus")) for path in opus.files] == names
    assert opus.fingerprint is None


def test_a_folder_of_csv_files_is_read(tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables/a.csv").write_text('fr,en\n"b, ""b""",a\n"two\nlines",c\n')
    pairs = list(source("hf:tables", tmp_path).records())
    assert [(pair.src, pair.tgt, pair.line) for pair in pairs] == [("a", 'b, "b"', 1), ("c", "two lines", 2)]


def test_plain_columns_of_a_saved_dataset_are_read(tmp_path: Path) -> None:
    rows = Dataset.from_dict({"source": ["a", "b", "c"], "target": ["x", "y", "z"]})
    rows.filter(lambda row: row["source"] != "b").save_to_disk(tmp_path / "saved")
    assert [pair[:2] for pair in source("hf:saved", tmp_path).records()] == [("a", "x"), ("c", "z")]
    DatasetDict(train=rows, test=rows.select([1])).save_to_disk(tmp_path / "splits")
    assert [pair[:2] for pair in source("hf:splits", tmp_path, split="test").records()] == [("b", "y")]
    with pytest.raises(DataError, match=r"^cannot load hf:splits: found the splits train, test, expected dev$"):
        list(source("hf:splits", tmp_path, split="dev").records())


def test_errors_of_datasets_are_one_line(folder: Path) -> None:
    with pytest.raises(DataError, match=r"^cannot load hf:some/opus: ValueError: Unknown split \"dev\"\. .*$"):
        list(source("hf:some/opus", folder, split="dev").records())
    with pytest.raises(
        DataError, match=r"^cannot load hf:some/opus:other: ValueError: BuilderConfig 'other' not found"
    ):
        list(source("hf:some/opus:other", folder).records())
    (folder / "empty").mkdir()
    with pytest.raises(DataError, match=r"^cannot load hf:empty: \w+: .*$"):
        list(source("hf:empty", folder).records())


@pytest.mark.parametrize("name", ["train.parquet", "train.jsonl", "train.csv", "train.arrow"])
def test_a_folder_of_anything_is_refused_with_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "any").mkdir()
    (tmp_path / "any" / name).write_bytes(random.Random(name).randbytes(1000))
    with pytest.raises(DataError) as caught:
        list(source("hf:any", tmp_path).records())
    assert str(caught.value).startswith(("cannot load hf:any: ", "hf:any: found the fields "))
    assert str(caught.value).isprintable()


def test_a_saved_dataset_that_is_cut_short_is_refused_with_one_line(tmp_path: Path) -> None:
    Dataset.from_list(ROWS, features=FEATURES).save_to_disk(tmp_path / "saved")
    (data,) = (tmp_path / "saved").glob("*.arrow")
    for size in (data.stat().st_size // 2, 10, 0):
        data.write_bytes(data.read_bytes()[:size])
        with pytest.raises(DataError) as caught:
            list(source("hf:saved", tmp_path).records())
        assert str(caught.value) == f"cannot load hf:saved: {data} is incomplete: it ends before the end of its data"


def test_a_saved_dataset_has_no_configurations(tmp_path: Path) -> None:
    Dataset.from_list(ROWS, features=FEATURES).save_to_disk(tmp_path / "saved")
    with pytest.raises(DataError, match=r"hf:saved:more: what save_to_disk wrote has no configurations, found more$"):
        list(source("hf:saved:more", tmp_path).records())


def test_a_name_that_cannot_be_reached_is_one_line(tmp_path: Path) -> None:
    for wish in (lambda one: one.fingerprint, lambda one: list(one.records())):
        with pytest.raises(DataError, match=r"^cannot load hf:nobody/nothing: \w+: .*$"):
            wish(source("hf:nobody/nothing", tmp_path))


def test_a_script_is_not_run(tmp_path: Path) -> None:
    (tmp_path / "coded").mkdir()
    (tmp_path / "coded/coded.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    with pytest.raises(DataError, match=r"^cannot load hf:coded: \w+: .*$"):
        list(source("hf:coded", tmp_path).records())
    assert not (tmp_path / "ran").exists()


def test_fields_that_are_not_there_are_named(folder: Path) -> None:
    with pytest.raises(DataError) as caught:
        list(source("hf:some/opus", folder, wanted=Wanted("en", "fr")).records())
    assert str(caught.value) == (
        "hf:some/opus: found the fields id, translation.en, translation.fr; expected en and fr"
    )


def test_progress_bars_are_left_as_they_were(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    datasets.enable_progress_bars()
    list(source("hf:some/opus", folder).records())
    assert not datasets.are_progress_bars_disabled()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hf:opus", ("opus", None)),
        ("hf:user/opus:en-fr", ("user/opus", "en-fr")),
        ("hf:user/opus:", ("user/opus", None)),
        ("hf:user/opus:a:b", ("user/opus", "a:b")),
    ],
)
def test_names_of_the_hub_and_their_configurations(tmp_path: Path, text: str, expected: tuple[str, str | None]) -> None:
    found = DatasetName.parse(text, tmp_path)
    assert (found.name, found.config, found.folder) == (*expected, None)


@pytest.mark.parametrize("text", ["hf:", "hf::config", "hf: "])
def test_a_dataset_without_a_name_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=rf"^found '{text}', expected hf:NAME, hf:NAME:CONFIG or hf:FOLDER$"):
        DatasetName.parse(text, tmp_path)


def test_folders_may_have_colons_in_their_names(tmp_path: Path) -> None:
    for name in ("a", "a:b", "a:b:c"):
        (tmp_path / name).mkdir()
    expected = {
        "hf:a": ("a", None),
        "hf:a:b": ("a:b", None),
        "hf:a:x": ("a", "x"),
        "hf:a:b:x": ("a:b", "x"),
        f"hf:{tmp_path}/a:b:c": (f"{tmp_path}/a:b:c", None),
    }
    for text, (folder, config) in expected.items():
        found = DatasetName.parse(text, tmp_path)
        assert (found.folder, found.config) == (tmp_path / folder, config)
