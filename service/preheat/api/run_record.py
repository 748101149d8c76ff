"""The record of a live run as answers have it: which LRs an attempt's line had, has and will have, and how certain."""

from dataclasses import dataclass

import numpy as np

from preheat.api.run_curves import StoredCurves
from preheat.budget import Deadline
from preheat.curve import Curve, Floats
from preheat.errors import IterationOutOfRange
from preheat.runs.record import Entry, entries
from preheat.runs.revision import base_of
from preheat.runs.run import Run
from preheat.specs import InvalidSpec, violation


@dataclass(frozen=True)
class Record:
    """Iterations of an attempt's line, in parts of which each lies in one schedule."""

    attempt: int
    window: range
    parts: list[tuple[range, Entry]]
    columns: int

    def rows(self, curves: StoredCurves, deadline: Deadline) -> tuple[Curve, Floats]:
        """A curve that names the columns, and the values, shape (iterations, columns). Raises ComputeTimeout."""
        values = np.empty((len(self.window), self.columns))
        curve: Curve | None = None
        for part, found in self.parts:
            first, last = (_place(self.window, n) for n in (part.start, part.stop))
            curve = curves.curve(found.schedule_id)
            values[first:last] = held_rows(curve, self.window[first:last], deadline)
        assert curve is not None  # noqa: S101 - a window has a part
        return curve, values


def record_of(run: Run, attempt: int | None, start: int | None, stop: int | None, step: int = 1) -> Record:
    """The record of iterations start, start + step, … below stop in an attempt, by default the present one.

    Raises InvalidSpec for an attempt that is not there, IterationOutOfRange.
    """
    number = (run.attempt_number if run.attempt is not None else 0) if attempt is None else attempt
    if number and run.attempt_of(number) is None:
        raise InvalidSpec([violation(("attempt",), f"must be one of this run's, up to {run.attempt_number}", number)])
    end = max(run.total_iterations + 1, run.horizon)
    first, last = start or 0, end if stop is None else stop
    if first >= end:
        raise IterationOutOfRange("start", first, end - 1)
    if not first < last <= end:
        raise IterationOutOfRange("stop", last, end, first=first + 1)
    columns = len(base_of(run).spec.columns)
    return Record(number, range(first, last, step), entries(run, number, first, last), columns)


def held_rows(curve: Curve, window: range, deadline: Deadline) -> Floats:
    """The values of a window; past the end of the run its last ones."""
    inside = window[: _place(window, curve.total_iterations + 1)]
    rows = (
        curve.window(inside.start, inside.stop, inside.step, deadline) if inside else np.empty((0, len(curve.columns)))
    )
    if len(inside) == len(window):
        return rows
    last = np.array(curve.lr(curve.total_iterations, deadline))
    return np.concatenate([rows, np.tile(last, (len(window) - len(inside), 1))])


def _place(window: range, iteration: int) -> int:
    """How many of the iterations come before one."""
    return min(max(-(-(iteration - window.start) // window.step), 0), len(window))
