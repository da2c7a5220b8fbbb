"""How long `nmt --help` takes, beside a Python that does nothing: the best and the median of many runs, as JSON lines.

    python tests/benchmarks/help_time.py [--old COMMAND]

COMMAND is another nmt; both are started in turns.
"""

import argparse
import json
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

RUNS = 15
LIMIT_SECONDS = 0.3


def seconds(command: Sequence[str]) -> float:
    """Time a command."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--old", metavar="COMMAND", type=shlex.split, default=[])
    commands = {"python": [sys.executable, "-c", "pass"], "nmt --help": [sys.executable, "-m", "nmt_cli", "--help"]}
    if old := parser.parse_args().old:
        commands["old nmt --help"] = [*old, "--help"]
    rounds = [{measure: seconds(command) for measure, command in commands.items()} for _ in range(RUNS)]
    for measure in commands:
        times = [each[measure] for each in rounds]
        notes = f"best of {RUNS}; median {statistics.median(times):.3f}; wanted: under {LIMIT_SECONDS}"
        print(json.dumps({"measure": measure, "value": round(min(times), 3), "unit": "s", "notes": notes}))


if __name__ == "__main__":
    main()
