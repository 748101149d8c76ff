"""Shelf: curves by schedule id, as a database with a cache before it has them, for tests of the pure room."""

from typing import Any

from preheat.curve import Curve
from preheat.runs.draft import Outcome
from preheat.schedule import Schedule


class Violation(AssertionError):
    """A promise that was broken."""


class Shelf:
    """Curves by id: what was kept with a run is stored; the others are made, and computed once."""

    def __init__(self) -> None:
        self._curves: dict[str, Curve] = {}
        self._stored: set[str] = set()

    def curve(self, schedule_id: str) -> Curve:
        """The curve of a stored schedule."""
        if schedule_id not in self._stored:
            raise Violation(f"{schedule_id} was not stored")
        return self._curves[schedule_id]

    def curve_of(self, schedule: Schedule) -> Curve:
        """The curve of a schedule, which need not be stored."""
        return self._curves.setdefault(schedule.id, Curve(schedule))

    def check(self) -> None:
        """There is time enough."""

    def keep(self, outcome: Outcome[Any]) -> None:
        """Stores the revisions of an outcome, after which every attempt's schedule must be there."""
        for _, schedule in outcome.revisions:
            self.curve_of(schedule)
            self._stored.add(schedule.id)
        run = outcome.run
        lost = {run.schedule_id, *(each.schedule_id for each in run.attempts)} - self._stored
        if lost:
            raise Violation(f"schedules of {lost} are not stored")
