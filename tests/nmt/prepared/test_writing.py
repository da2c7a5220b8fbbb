from pathlib import Path

from datasets import Dataset

from nmt.prepared.writing import flatten, write_train, write_valid


def test_training_pairs_are_a_dataset(tmp_path: Path) -> None:
    blocks = [{"src": [[4, 5], [6]], "tgt": [[7], [8, 9]]}, {"src": [[10]], "tgt": [[11, 12, 13]]}]
    assert write_train(tmp_path / "a.arrow", ("src", "tgt"), blocks) == 3
    assert Dataset.from_file(str(tmp_path / "a.arrow"))[:] == {
        "src": [[4, 5], [6], [10]],
        "tgt": [[7], [8, 9], [11, 12, 13]],
    }


def test_validation_pairs_are_a_dataset_with_their_text(tmp_path: Path) -> None:
    texts = {"src_text": ["x", "y"], "tgt_text": ["é\u2028", "z"]}
    write_valid(tmp_path / "a.arrow", texts, {"src": [[4], [5]], "tgt": [[6, 7], []]})
    assert Dataset.from_file(str(tmp_path / "a.arrow"))[:] == {
        "src_text": ["x", "y"],
        "tgt_text": ["é\u2028", "z"],
        "src": [[4], [5]],
        "tgt": [[6, 7], []],
    }


def test_the_same_pairs_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_train(tmp_path / name, ["ids"], [{"ids": [[4, 5]]}])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_text_of_no_lines_is_a_dataset_too(tmp_path: Path) -> None:
    assert write_train(tmp_path / "a.arrow", ["ids"], []) == 0
    assert Dataset.from_file(str(tmp_path / "a.arrow"))[:] == {"ids": []}


def test_rows_are_laid_end_to_end() -> None:
    assert flatten([[4, 5], [], [6]]).tolist() == [4, 5, 6]
    assert flatten([]).tolist() == []
