"""Difference (diff) of two schedules: where they differ first and most, and a table of both."""

from dataclasses import dataclass

import numpy as np

from preheat.analysis.window import pieces
from preheat.budget import NO_DEADLINE, Deadline
from preheat.curve import Curve, Floats
from preheat.errors import NotComparable
from preheat.messages import listed
from preheat.specs import Column

_MOST_TABLE_VALUES = 20_000
"""Pairs of values in a table, 3 MB of an answer: a thousand iterations of twenty columns."""


@dataclass(frozen=True)
class ValuePair:
    """The values of two schedules in one column at one iteration."""

    iteration: int
    column: Column
    a: float
    b: float

    @property
    def difference(self) -> float:
        """The second value minus the first."""
        return self.b - self.a


@dataclass(frozen=True)
class Difference:
    """Where two schedules differ first and most (None if they are the same), and values of both at even distances."""

    columns: list[Column]
    first: ValuePair | None
    largest: ValuePair | None
    table: list[ValuePair]


def difference(a: Curve, b: Curve, window: range, rows: int, deadline: Deadline = NO_DEADLINE) -> Difference:
    """The difference of `a` and `b` at the iterations of `window`, with up to `rows` of them in the table.

    The table has at most 20,000 values, and one iteration at least. Raises NotComparable if they have no column in
    common, IterationOutOfRange, ComputeTimeout.
    """
    columns = common_columns(a, b)
    for curve in (a, b):
        curve.check_window(window.start, window.stop)
    first: ValuePair | None = None
    largest: ValuePair | None = None
    for piece in pieces(window, len(a.columns) + len(b.columns)):
        block = _Block(a, b, columns, piece, deadline)
        distances = np.abs(block.b - block.a)
        if first is None and distances.any():
            # argmax of truth values is the first that is true
            row = int(distances.any(axis=1).argmax())
            first = block.pair(row, int(distances[row].argmax()))
        # the flat index of the greatest distance, as row and column
        most = block.pair(*divmod(int(distances.argmax()), len(columns)))
        if most.difference and (largest is None or abs(most.difference) > abs(largest.difference)):
            largest = most
    return Difference(columns, first, largest, _table(a, b, columns, window, rows, deadline))


def common_columns(a: Curve, b: Curve) -> list[Column]:
    """The columns that both have; of two schedules of one group each, whatever its name, the LR.

    Raises NotComparable if there are none.
    """
    others = set(b.columns)
    columns = [column for column in a.columns if column in others]
    if not columns and len(a.group_names) == len(b.group_names) == 1:
        columns = [a.columns[0]]
    if not columns:
        raise NotComparable(
            f"the schedules have no column in common: one has {listed(column.name for column in a.columns)}, the other "
            f"{listed(column.name for column in b.columns)}"
        )
    return columns


def values_of(curve: Curve, columns: list[Column], iterations: range, deadline: Deadline) -> Floats:
    """The values of the named columns, shape (iterations, columns)."""
    # a column that the curve has not is the LR of its only group under another name
    places = {column: index for index, column in enumerate(curve.columns)}
    indices = [places.get(column, 0) for column in columns]
    return curve.window(iterations.start, iterations[-1] + 1, iterations.step, deadline)[:, indices]


def evenly(window: range, most: int) -> range:
    """Up to `most` iterations of a window that is not empty, at even distances from its first."""
    # // rounds down, so between two minus signs it rounds up: rounded down, the step would give more than `most`.
    return window[:: -(-len(window) // most)]


class _Block:
    """The values of two curves in some columns at some iterations."""

    def __init__(self, a: Curve, b: Curve, columns: list[Column], iterations: range, deadline: Deadline) -> None:
        self.columns, self.iterations = columns, iterations
        self.a, self.b = (values_of(curve, columns, iterations, deadline) for curve in (a, b))

    def pair(self, row: int, column: int) -> ValuePair:
        a, b = float(self.a[row, column]), float(self.b[row, column])
        return ValuePair(self.iterations[row], self.columns[column], a, b)


def _table(a: Curve, b: Curve, columns: list[Column], window: range, rows: int, deadline: Deadline) -> list[ValuePair]:
    if not window or not rows:
        return []
    most = max(_MOST_TABLE_VALUES // len(columns), 1)
    block = _Block(a, b, columns, evenly(window, min(rows, most)), deadline)
    return [block.pair(row, column) for row in range(len(block.iterations)) for column in range(len(columns))]
