import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.neighbours import main, prepare_rate, training_rate


def test_a_training_that_fails_has_no_speed(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError, match="exit status 3"):
        training_rate([sys.executable, "-c", "raise SystemExit(3)"], tmp_path, [], 1)


def test_a_name_of_nothing_that_is_measured_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["neighbours.py", str(tmp_path), "--only", "nonsense"])
    with pytest.raises(SystemExit):
        main()
    told = capsys.readouterr()
    assert told.out == ""
    assert "--only nonsense: expected a part of one of train demo's model, train default model" in told.err


def test_the_preparation_that_is_measured_succeeds(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("".join(f"line {number} of a text\n" for number in range(200)))
    assert prepare_rate([sys.executable, "-m", "nmt_cli"], text, 200, 1) > 0
