"""What this machine could not test, said at the end of the tests."""

from collections import Counter

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many tests were left out, and why: a hook, which the conftest brings in."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in skipped)
    if reasons:
        said = ", ".join(f"{reason} ({count} test{'s' * (count > 1)})" for reason, count in reasons.most_common())
        terminalreporter.write_line(f"not tested here: {said}")
