from pathlib import Path

import pyarrow as pa
from datasets import Dataset

from nmt.files import sha256
from nmt.prepared.writing import Ids, write_train, write_valid
from nmt.sequences import FlatSequences


def flat(**columns: list[list[int]]) -> Ids:
    return {name: FlatSequences.from_lists(rows) for name, rows in columns.items()}


def test_training_pairs_are_a_dataset(tmp_path: Path) -> None:
    blocks = [flat(src=[[4, 5], [6]], tgt=[[7], [8, 9]]), flat(src=[[10]], tgt=[[11, 12, 13]])]
    written = write_train(tmp_path / "a.arrow", ("src", "tgt"), blocks)
    assert Dataset.from_file(str(tmp_path / "a.arrow"))[:] == {
        "src": [[4, 5], [6], [10]],
        "tgt": [[7], [8, 9], [11, 12, 13]],
    }
    assert written == (3, sha256(tmp_path / "a.arrow"))


def test_every_record_batch_but_the_last_has_as_many_rows(tmp_path: Path) -> None:
    rows = [[number] for number in range(11)]
    write_train(tmp_path / "a", ["ids"], [flat(ids=part) for part in (rows[:2], [], rows[2:9], rows[9:])], block=3)
    batches = list(pa.ipc.open_stream((tmp_path / "a").read_bytes()))
    assert [batch.num_rows for batch in batches] == [3, 3, 3, 2]
    assert [row for batch in batches for row in batch.column("ids").to_pylist()] == rows


def test_validation_pairs_are_a_dataset_with_their_text(tmp_path: Path) -> None:
    texts = {"src_text": ["x", "y"], "tgt_text": ["é\u2028", "z"]}
    write_valid(tmp_path / "a.arrow", texts, flat(src=[[4], [5]], tgt=[[6, 7], []]))
    assert Dataset.from_file(str(tmp_path / "a.arrow"))[:] == {
        "src_text": ["x", "y"],
        "tgt_text": ["é\u2028", "z"],
        "src": [[4], [5]],
        "tgt": [[6, 7], []],
    }


def test_a_text_of_no_lines_is_a_dataset_too(tmp_path: Path) -> None:
    assert write_train(tmp_path / "a.arrow", ["ids"], []).rows == 0
    assert Dataset.from_file(str(tmp_path / "a.arrow"))[:] == {"ids": []}
