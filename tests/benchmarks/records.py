"""What one measure of a benchmark is: a line of JSON, whoever prints it.

Its keys are peer, measure, value, unit, params and notes.
"""

import json
from typing import Any

Record = dict[str, Any]


def record(peer: str, measure: str, value: float, unit: str, params: str = "", notes: str = "") -> Record:
    """Make a record; of its value, six digits count."""
    fields = {"peer": peer, "measure": measure, "value": float(f"{value:.6g}"), "unit": unit}
    return {**fields, "params": params, "notes": notes}


def emit(peer: str, measure: str, value: float, unit: str, params: str = "", notes: str = "") -> None:
    """Print a record."""
    print(json.dumps(record(peer, measure, value, unit, params, notes)), flush=True)


def parse(output: str) -> list[Record]:
    """Return the records among the lines of an output."""
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]
