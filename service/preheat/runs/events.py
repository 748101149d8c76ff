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


def check_kept(after: int, first: int, last: int) -> None:
    """Returns if events after a number are those that followed it: there are `first` … `last`. Raises EventsTrimmed.

    A number beyond the last never was, or is of a database that has lost events since: those to come are others.
    """
    if not first - 1 <= after <= last:
        raise EventsTrimmed(after, first, last)
