"""Logged: what a framework logs of a run, reported to it: numbers alone, by the names that the framework gives them."""

from collections.abc import Mapping
from typing import Any

LONGEST_NAME = 100
_NOT_REPORTED = {"learning_rate", "lr", "epoch", "step"}
"""What the service knows, or what is no result."""


def report_logged(run: Any, iteration: int, logs: Mapping[str, Any] | None) -> None:
    """Reports the numbers in what was logged after an iteration, but for names that the service does not take."""
    values = {}
    for name, value in (logs or {}).items():
        number = _number(value)
        if number is not None and name not in _NOT_REPORTED and is_name(name):
            values[name] = number
    if values:
        run.report(iteration, **values)


def is_name(name: str) -> bool:
    """Whether the service takes a name of a number."""
    return 0 < len(name) <= LONGEST_NAME and name.isprintable() and not name.isspace()


def _number(value: Any) -> float | None:
    if isinstance(value, str | bytes | bool) or value is None:
        return None
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError):
        return None
