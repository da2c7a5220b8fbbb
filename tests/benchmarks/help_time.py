"""How long `nmt --help` takes, beside a Python that does nothing: the best and the median of many runs, as JSON lines.

python tests/benchmarks/help_time.py
"""

import json
import statistics
import subprocess
import sys
import time

RUNS = 15
LIMIT_SECONDS = 0.3


def seconds(*arguments: str) -> list[float]:
    """Time `python ARGUMENTS` again and again."""
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - start)
    return times


def main() -> None:
    for measure, arguments in {"python": ("-c", "pass"), "nmt --help": ("-m", "nmt_cli", "--help")}.items():
        times = seconds(*arguments)
        notes = f"best of {RUNS}; median {statistics.median(times):.3f}; wanted: under {LIMIT_SECONDS}"
        print(json.dumps({"measure": measure, "value": round(min(times), 3), "unit": "s", "notes": notes}))


if __name__ == "__main__":
    main()
