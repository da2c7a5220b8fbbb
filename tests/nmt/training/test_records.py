import errno
import json
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from nmt.training.observers import Records, read_metrics


def test_records_are_json_lines(tmp_path: Path) -> None:
    with Records(tmp_path, step=0, tensorboard=False) as records:
        records.add("train", 50, {"loss": 2.0, "learning_rate": 0.0012345678})
        records.add("valid", 100, {"bleu": 12.5})
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"kind": "train", "step": 50, "loss": 2.0, "learning_rate": 0.00123457},
        {"kind": "valid", "step": 100, "bleu": 12.5},
    ]
    assert not (tmp_path / "tensorboard").exists()


def test_records_of_steps_made_again_are_dropped_with_a_line_cut_off_by_a_kill(tmp_path: Path) -> None:
    with Records(tmp_path, step=0, tensorboard=False) as records:
        records.add("train", 50, {"loss": 2.0})
        records.add("train", 100, {"loss": 1.0})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "train", "st')
    with Records(tmp_path, step=70, tensorboard=False) as records:
        records.add("train", 100, {"loss": 1.5})
    found = read_metrics(tmp_path / "metrics.jsonl")
    assert [(record.step, record.values["loss"]) for record in found] == [(50, 2.0), (100, 1.5)]


def test_lines_that_a_crash_has_spoilt_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'\0\0\0{"kind": "train"}\n[1]\n{"kind": "train", "step": 5, "loss": 1.0}\n\xff{}\n')
    assert [record.step for record in read_metrics(path)] == [5]


def test_a_full_disk_names_the_file_and_does_not_hide_an_earlier_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        def write(self, text: str) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        close = flush = lambda self: self.write("")

    records = Records(tmp_path, step=0, tensorboard=False)
    records._file.close()
    monkeypatch.setattr(records, "_file", Full())
    with pytest.raises(OSError, match=r"No space left on device: '.*metrics.jsonl'"):
        records.add("train", 1, {})
    with pytest.raises(ValueError, match="earlier"), records:
        raise ValueError("earlier")


def test_tensorboard_has_the_same_numbers(tmp_path: Path) -> None:
    with Records(tmp_path, step=0, tensorboard=True) as records:
        records.add("valid", 100, {"bleu": 12.5, "news/bleu": 10.5})
        records.add("valid", 200, {"bleu": 13.5})
    curves = EventAccumulator(str(tmp_path / "tensorboard"))
    curves.Reload()
    assert [(point.step, point.value) for point in curves.Scalars("valid/bleu")] == [(100, 12.5), (200, 13.5)]
    assert [(point.step, point.value) for point in curves.Scalars("valid/news/bleu")] == [(100, 10.5)]
