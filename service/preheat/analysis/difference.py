"""What tells two schedules apart."""

from dataclasses import dataclass

import numpy as np

from preheat.budget import NO_DEADLINE, Deadline
from preheat.curve import Curve, Floats
from preheat.errors import NotComparable
from preheat.specs import Column

_AT_ONCE = 1 << 16


@dataclass(frozen=True)
class Place:
    """One iteration of one column, and both values there."""

    iteration: int
    column: Column
    a: float
    b: float

    @property
    def difference(self) -> float:
        """B − a."""
        return self.b - self.a


@dataclass(frozen=True)
class Difference:
    """Where two schedules differ first and most (None if nowhere), and a table of what they are."""

    columns: list[Column]
    first: Place | None
    largest: Place | None
    table: list[Place]


def difference(a: Curve, b: Curve, window: range, rows: int, deadline: Deadline = NO_DEADLINE) -> Difference:
    """What tells `a` and `b` apart at the iterations of `window`, with a table of up to `rows` of them per column.

    Raises NotComparable if they have no column in common, IterationOutOfRange, ComputeTimeout.
    """
    columns = common_columns(a, b)
    for curve in (a, b):
        curve.check_window(window.start, window.stop)
    first: Place | None = None
    largest: Place | None = None
    for begin in range(0, len(window), _AT_ONCE):
        iterations = window[begin : begin + _AT_ONCE]
        ours, theirs = (values_of(curve, columns, iterations, deadline) for curve in (a, b))
        apart = np.abs(theirs - ours)
        if first is None and apart.any():
            row = int(apart.any(axis=1).argmax())
            first = _place(iterations, row, int(apart[row].argmax()), columns, ours, theirs)
        row, column = divmod(int(apart.argmax()), len(columns))
        most = _place(iterations, row, column, columns, ours, theirs)
        if most.difference and (largest is None or abs(most.difference) > abs(largest.difference)):
            largest = most
    return Difference(columns, first, largest, _table(a, b, columns, window, rows, deadline))


def common_columns(a: Curve, b: Curve) -> list[Column]:
    """The columns that both have; of two schedules of one group each, whatever it is called, its LR.

    Raises NotComparable if there are none.
    """
    found = [column for column in a.columns if column in b.columns]
    if not found and len(a.group_names) == len(b.group_names) == 1:
        found = [a.columns[0]]
    if not found:
        raise NotComparable(
            f"the schedules have no column in common: one has {', '.join(column.name for column in a.columns)}, the "
            f"other {', '.join(column.name for column in b.columns)}"
        )
    return found


def values_of(curve: Curve, columns: list[Column], iterations: range, deadline: Deadline) -> Floats:
    """The values of the named columns, shape (iterations, columns)."""
    places = [curve.columns.index(column) if column in curve.columns else 0 for column in columns]
    return curve.window(iterations.start, iterations[-1] + 1, iterations.step, deadline)[:, places]


def _place(iterations: range, row: int, column: int, columns: list[Column], a: Floats, b: Floats) -> Place:
    return Place(iterations[row], columns[column], float(a[row, column]), float(b[row, column]))


def _table(a: Curve, b: Curve, columns: list[Column], window: range, rows: int, deadline: Deadline) -> list[Place]:
    if not window or not rows:
        return []
    chosen = window[:: -(-len(window) // rows)]
    ours, theirs = (values_of(curve, columns, chosen, deadline) for curve in (a, b))
    return [
        _place(chosen, row, column, columns, ours, theirs)
        for row in range(len(chosen))
        for column in range(len(columns))
    ]
