"""The summary of what was compared, which a long run is started for."""

import pytest

from conformance.comparison import COUNTS


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line: how many sequences of LRs were compared with each library."""
    if COUNTS:
        counted = ", ".join(f"{name} {count}" for name, count in sorted(COUNTS.items()))
        terminalreporter.write_line(f"compared sequences: {counted}, in all {sum(COUNTS.values())}")
