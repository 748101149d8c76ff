"""Analysis of a window: sum and mean (totals), highest value (peak), first crossing of a value."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preheat.budget import NO_DEADLINE, Deadline
from preheat.curve import Curve, Floats
from preheat.specs import Column

_MOST_ROWS, _MOST_VALUES = 1 << 16, 1 << 19
"""Rows, and values of all columns, that are computed before they are summed up: 4 MB."""


def pieces(window: range, columns: int) -> Iterator[range]:
    """A window in pieces that are computed one at a time, so that the memory grows with neither rows nor columns."""
    size = max(min(_MOST_ROWS, _MOST_VALUES // columns), 1)
    for begin in range(0, len(window), size):
        yield window[begin : begin + size]


@dataclass(frozen=True)
class Total:
    """Sum and mean of a column over iterations start … stop − 1."""

    column: Column
    sum: float
    mean: float


def totals(curve: Curve, start: int, stop: int, deadline: Deadline = NO_DEADLINE) -> list[Total]:
    """Sum and mean of every column over iterations `start` … `stop - 1`; both are 0 for an empty window.

    Every iteration is computed. Raises IterationOutOfRange, ComputeTimeout.
    """
    curve.check_window(start, stop)
    columns = len(curve.columns)
    parts: list[Floats] = []
    for piece in pieces(range(start, stop), columns):
        parts.append(curve.window(piece.start, piece.stop, 1, deadline).sum(axis=0))
        if len(parts) * columns > _MOST_VALUES:
            parts = _merged(parts)
    sums = _merged(parts)[0].tolist() if parts else [0.0] * columns
    length = max(stop - start, 1)
    return [Total(column, total, total / length) for column, total in zip(curve.columns, sums, strict=True)]


def _merged(parts: list[Floats]) -> list[Floats]:
    """The sum of the parts in every column, and what that leaves of it: a plain sum would lose digits at each part."""
    every = np.array(parts).T
    sums = np.array([math.fsum(column) for column in every.tolist()])
    rests = np.array(
        [math.fsum([*column, -total]) for column, total in zip(every.tolist(), sums.tolist(), strict=True)]
    )
    return [sums, rests]


_PARTS = 64


@dataclass(frozen=True)
class Crossing:
    """The first iteration at which a value is reached, coming from below (it rises) or from above."""

    iteration: int
    value: float
    rises: bool


def first_crossing(
    curve: Curve, value: float, column: int, start: int, stop: int, deadline: Deadline = NO_DEADLINE
) -> Crossing | None:
    """The first of iterations `start` … `stop - 1` at which the column at index `column` reaches `value`, or None.

    A column that begins below reaches it where it is ≥ value, one that begins above where it is ≤ value. The time taken
    does not grow with a closed form's length. Where `Curve.is_sampled` says so an earlier one may be missed. Raises
    IterationOutOfRange, ComputeTimeout.
    """
    curve.check_window(start, stop)
    if stop <= start:
        return None
    # ≤: a column that begins at the value reaches it at `start`.
    rises = curve.lr(start, deadline)[column] <= value
    window = range(start, stop)
    while len(window) > 1:
        firsts, lows, highs = curve.envelope(window.start, window.stop, _PARTS, deadline, column)
        is_reached = highs[:, 0] >= value if rises else lows[:, 0] <= value
        if not is_reached.any():
            return None
        window = _part(window, firsts, int(is_reached.argmax()))
    reached = curve.lr(window.start, deadline)[column]
    # a window of one iteration has not been looked at yet
    return Crossing(window.start, reached, rises) if (reached >= value if rises else reached <= value) else None


def peak(curve: Curve, column: int, window: range, deadline: Deadline = NO_DEADLINE) -> tuple[int, float]:
    """The first iteration of a window with the highest value of a column, and that value.

    Raises IterationOutOfRange, ComputeTimeout.
    """
    while len(window) > 1:
        firsts, _, highs = curve.envelope(window.start, window.stop, _PARTS, deadline, column)
        # argmax gives the first of equal values: the earliest part that has the peak.
        window = _part(window, firsts, int(highs[:, 0].argmax()))
    return window.start, curve.lr(window.start, deadline)[column]


def _part(window: range, firsts: NDArray[np.int64], index: int) -> range:
    bounds = [*firsts.tolist(), window.stop]
    return range(bounds[index], bounds[index + 1])
