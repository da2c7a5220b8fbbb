import errno
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from nmt.errors import ModelError
from nmt.training.observers import (
    LOG,
    Logbook,
    Observer,
    Records,
    Scores,
    Silence,
    StepProgress,
    StepReport,
    ValidationReport,
    read_metrics,
)

STEP = StepReport(
    step=50,
    total_steps=900,
    epoch=2,
    tokens=12345,
    loss=3.14159,
    tokens_per_second=5432.1,
    seconds=1.0,
    seconds_per_step=0.25,
    learning_rate=0.00123456,
    gradient_norm=0.98765,
)
VALIDATION = ValidationReport(100, Scores(1.5, 23.456), is_best=True)
WORSE = ValidationReport(150, Scores(1.75, 22.0), is_best=False)

HOLD_THE_LOCK = """
import fcntl, sys
file = open(sys.argv[1], "a")
fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
print("locked", flush=True)
sys.stdin.read()
"""


class Recorder:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.told: list[StepReport | StepProgress | ValidationReport | str] = []

    def on_step(self, report: StepReport) -> None:
        self.told.append(report)

    def on_progress(self, progress: StepProgress) -> None:
        self.told.append(progress)

    def on_validation(self, report: ValidationReport) -> None:
        self.told.append(report)

    def on_message(self, message: str) -> None:
        self.told.append(message)


def lines(folder: Path) -> list[str]:
    """Read the log; every line has to begin with date and time, which are left out."""
    text = (folder / LOG).read_text(encoding="utf-8")
    assert text == "" or text.endswith("\n")
    found = [re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  (.*)", line) for line in text.splitlines()]
    assert all(found), text
    return [match[1] for match in found if match]


def tell(observer: Observer) -> None:
    observer.on_message("7 pairs, 5 % padding")
    observer.on_step(STEP)
    observer.on_validation(VALIDATION)
    observer.on_validation(WORSE)


def test_what_an_observer_is_told_becomes_lines_with_the_time(tmp_path: Path) -> None:
    with Logbook(tmp_path, Silence()) as logbook:
        tell(logbook)
    assert lines(tmp_path) == [
        "7 pairs, 5 % padding",
        "step 50/900  epoch 2  loss 3.1416  5432 pieces/s  lr 0.00123  norm 0.988",
        "step 100  valid loss 1.5000  ppl 4.482  BLEU 23.46  best so far",
        "step 150  valid loss 1.7500  ppl 5.755  BLEU 22.00",
    ]


def test_a_language_model_has_a_perplexity_too(tmp_path: Path) -> None:
    with Logbook(tmp_path, Silence(), of_text=True) as logbook:
        logbook.on_step(STEP)
    assert lines(tmp_path) == ["step 50/900  epoch 2  loss 3.1416  ppl 23.141  5432 pieces/s  lr 0.00123  norm 0.988"]


def test_everything_is_passed_on(tmp_path: Path) -> None:
    recorder = Recorder()
    with Logbook(tmp_path, recorder) as logbook:
        tell(logbook)
    assert recorder.told == ["7 pairs, 5 % padding", STEP, VALIDATION, WORSE]


def test_a_line_is_in_the_file_as_soon_as_it_is_told(tmp_path: Path) -> None:
    with Logbook(tmp_path, Silence()) as logbook:
        logbook.on_message("now")
        assert lines(tmp_path) == ["now"]


def test_the_log_of_a_run_that_is_continued_goes_on(tmp_path: Path) -> None:
    for message in ("first", "zweiter Lauf: für alle"):
        with Logbook(tmp_path / "new" / "run", Silence()) as logbook:
            logbook.on_message(message)
    assert lines(tmp_path / "new" / "run") == ["first", "zweiter Lauf: für alle"]


def refusal(folder: Path) -> str:
    return f"^another process is training in {re.escape(str(folder))}; stop it, or choose a new folder$"


def test_a_folder_has_one_logbook_at_a_time(tmp_path: Path) -> None:
    recorder = Recorder()
    with Logbook(tmp_path, Silence()) as logbook:
        with pytest.raises(ModelError, match=refusal(tmp_path)), Logbook(tmp_path, recorder):
            pass
        logbook.on_message("still here")
        with pytest.raises(ModelError, match=refusal(tmp_path)), Logbook(tmp_path, recorder):
            pass
    assert recorder.told == []
    assert lines(tmp_path) == ["still here"]
    with Logbook(tmp_path, Silence()) as logbook:
        logbook.on_message("free again")
    with Logbook(tmp_path / "another", Silence()), Logbook(tmp_path, Silence()):
        pass


def test_another_process_keeps_the_folder_until_it_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD_THE_LOCK, str(tmp_path / LOG)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        with pytest.raises(ModelError, match=refusal(tmp_path)), Logbook(tmp_path, Silence()):
            pass
        process.kill()
        process.wait()
        with Logbook(tmp_path, Silence()) as logbook:
            logbook.on_message("mine")
    assert lines(tmp_path) == ["mine"]


def test_other_processes_find_the_folder_taken(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD_THE_LOCK, str(tmp_path / LOG)]
    with Logbook(tmp_path, Silence()):
        taken = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert taken.returncode == 1
    assert "BlockingIOError" in taken.stderr
    free = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert (free.returncode, free.stdout) == (0, "locked\n")


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_what_ended_a_run_is_in_its_log_and_reaches_the_caller(tmp_path: Path, failure: type[BaseException]) -> None:
    with pytest.raises(failure, match="the loss is not a number"), Logbook(tmp_path, Silence()):
        raise failure("the loss is not a number")
    assert lines(tmp_path) == [f"ended by {failure.__name__}: the loss is not a number"]
    with Logbook(tmp_path, Silence()):
        pass  # the folder is free again


def test_a_message_of_several_lines_and_an_end_without_words_are_one_line_each(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), Logbook(tmp_path, Silence()) as logbook:
        logbook.on_message("one\ntwo")
        raise KeyboardInterrupt
    assert lines(tmp_path) == ["one two", "ended by KeyboardInterrupt"]


def test_where_nothing_can_be_locked_the_run_goes_on_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(file: object, how: int) -> None:
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", refuse)
    recorder = Recorder()
    with Logbook(tmp_path, recorder):
        pass
    assert recorder.told == [
        f"{tmp_path} cannot be locked (Operation not supported): start one training in it at a time"
    ]


def test_a_full_disk_names_the_log_and_does_not_hide_an_earlier_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        def write(self, text: str) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(ValueError, match="earlier"), Logbook(tmp_path, Silence()) as logbook:
        file = logbook._file
        monkeypatch.setattr(logbook, "_file", Full())
        with pytest.raises(OSError, match=r"No space left on device: '.*train.log'"):
            logbook.on_message("hello")
        raise ValueError("earlier")
    file.close()


def test_the_progress_of_every_step_is_passed_on_and_not_logged(tmp_path: Path) -> None:
    recorder = Recorder()
    progress = StepProgress(step=1, total_steps=8, loss=None, tokens_per_second=900.0, seconds_left=90.0)
    with Logbook(tmp_path, recorder) as logbook:
        logbook.on_progress(progress)
    assert recorder.told == [progress]
    assert lines(tmp_path) == []


def test_silence_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    tell(Silence())
    assert capsys.readouterr() == ("", "")


def test_a_language_model_has_no_bleu_to_log(tmp_path: Path) -> None:
    with Logbook(tmp_path, Silence()) as logbook:
        logbook.on_validation(ValidationReport(40, Scores(2.0, None), is_best=True))
    assert lines(tmp_path) == ["step 40  valid loss 2.0000  ppl 7.389  best so far"]


def test_every_further_validation_set_has_a_line_of_its_own(tmp_path: Path) -> None:
    others = {"news": Scores(2.5, 20.0), "talks": Scores(1.0, None)}
    with Logbook(tmp_path, Recorder()) as logbook:
        logbook.on_validation(ValidationReport(40, Scores(2.0, 31.25, others), is_best=True))
    assert lines(tmp_path) == [
        "step 40  valid loss 2.0000  ppl 7.389  BLEU 31.25  best so far",
        "step 40  valid on news: loss 2.5000  ppl 12.182  BLEU 20.00",
        "step 40  valid on talks: loss 1.0000  ppl 2.718",
    ]


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


def test_perplexity_is_how_many_equally_likely_words_would_be_as_hard() -> None:
    assert Scores(math.log(8), bleu=None).perplexity == pytest.approx(8.0)


def test_a_loss_that_has_exploded_still_has_a_perplexity() -> None:
    assert Scores(1e6, bleu=None).perplexity == math.exp(50)


def test_the_numbers_of_further_sets_have_their_names() -> None:
    scores = Scores(0.0, 12.5, {"news": Scores(0.0, 10.0), "lines": Scores(math.log(2), None)})
    assert scores.numbers() == {
        "loss": 0.0,
        "perplexity": 1.0,
        "bleu": 12.5,
        "news/loss": 0.0,
        "news/perplexity": 1.0,
        "news/bleu": 10.0,
        "lines/loss": math.log(2),
        "lines/perplexity": pytest.approx(2.0),
    }
    assert Scores(0.0, None).numbers() == {"loss": 0.0, "perplexity": 1.0}


def test_sets_with_a_weight_share_the_score_and_others_do_not() -> None:
    scores = Scores(2.0, 30.0, {"old": Scores(1.0, 10.0), "talks": Scores(9.0, 90.0)})
    assert scores.score("bleu", {}) == 30.0
    assert scores.score("bleu", {"old": 3.0}) == 15.0  # (30 + 3 * 10) / 4
    assert scores.score("loss", {"old": 1.0}) == -1.5
    assert Scores(2.0, None).score("bleu", {}) == -2.0
