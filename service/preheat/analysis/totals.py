"""Sum and mean of a curve over a window: how much learning rate a run has spent."""

import math
from dataclasses import dataclass

from preheat.budget import NO_DEADLINE, Deadline
from preheat.curve import Curve
from preheat.specs import Column

_BLOCK = 1 << 16


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
    blocks = [
        curve.window(first, min(first + _BLOCK, stop), 1, deadline).sum(axis=0) for first in range(start, stop, _BLOCK)
    ]
    # fsum: a plain sum of the blocks would lose digits with each of them
    sums = [math.fsum(float(block[index]) for block in blocks) for index in range(len(curve.columns))]
    length = max(stop - start, 1)
    return [Total(column, total, total / length) for column, total in zip(curve.columns, sums, strict=True)]
