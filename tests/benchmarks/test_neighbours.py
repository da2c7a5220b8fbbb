import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.neighbours import training_rate


def test_a_training_that_fails_has_no_speed(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError, match="exit status 3"):
        training_rate([sys.executable, "-c", "raise SystemExit(3)"], tmp_path, [], 1)
