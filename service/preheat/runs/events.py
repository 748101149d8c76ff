"""Events: what happened to a run, numbered 1, 2, 3, … without a gap; they notify, and no rule reads them."""

from dataclasses import dataclass
from typing import Any

from preheat.runs.errors import EventsTrimmed


@dataclass(frozen=True)
class Event:
    """One event of a run; `at` is its time, `data` depends on its kind."""

    number: int
    kind: str
    at: float
    data: dict[str, Any]


def check_kept(after: int, first: int) -> None:
    """Raises EventsTrimmed if events after the number `after` are missing: `first` is the first that is kept."""
    if after < first - 1:
        raise EventsTrimmed(after, first)
