from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from nmt.config import SearchSettings
from nmt.errors import ConfigError
from nmt.search.sampling import Sampling
from nmt_cli.main import app

SETTINGS = {
    "--beam": "beam_size",
    "--length-penalty": "length_penalty",
    "--coverage-penalty": "coverage_penalty",
    "--min-length-ratio": "min_length_ratio",
    "--max-length-ratio": "max_length_ratio",
    "--no-repeat-ngram": "no_repeat_ngram",
    "--shortlist": "shortlist",
    "--lm-weight": "lm_weight",
    "--batch-tokens": "batch_tokens",
}
SAMPLING = {"--temperature": "temperature", "--top-k": "top_k", "--top-p": "top_p", "--seed": "seed"}
NUMBERS = ["-1", "0", "1", "100", "101", "1000001", str(2**63 - 1), str(2**63)]


def is_valid(kind: Any, **values: float) -> bool:
    try:
        kind(**values)
    except (ConfigError, ValidationError):
        return False
    return True


@pytest.mark.parametrize("value", NUMBERS)
@pytest.mark.parametrize("option", [*SETTINGS, *SAMPLING])
def test_a_number_is_wrong_usage_where_the_setting_would_not_hold_it(tmp_path: Path, option: str, value: str) -> None:
    kind, names = (SearchSettings, SETTINGS) if option in SETTINGS else (Sampling, SAMPLING)
    valid = is_valid(kind, **{names[option]: int(value)})
    needed = {"--lm-weight": ["--lm", str(tmp_path)]}.get(option, ["--sample"] if option in SAMPLING else [])
    missing = str(tmp_path / "nowhere.txt")
    result = CliRunner().invoke(app, ["translate", str(tmp_path), missing, option, value, *needed])
    assert result.exit_code == (1 if valid else 2)
    assert ("nowhere.txt" if valid else f"Invalid value for '{option}'") in result.stderr


@pytest.mark.parametrize("option", ["--max-length-ratio", "--top-p", "--temperature", "--length-penalty"])
def test_what_is_no_number_is_wrong_usage(tmp_path: Path, option: str) -> None:
    result = CliRunner().invoke(app, ["translate", str(tmp_path), option, "nan"])
    assert (result.exit_code, result.stdout) == (2, "")
