"""A curve under lint: what the rules ask of it, track by track, is computed once for all tracks."""

from functools import cached_property

from preheat.budget import Deadline
from preheat.curve import Curve, Floats

MOST_STEPS = 100_000
"""Iterations of a stepped schedule that are examined; of one with a closed form it is always all."""


class LintedCurve:
    """A curve with its rows and extremes as far as they were asked for; each of them has all columns."""

    def __init__(self, curve: Curve, deadline: Deadline) -> None:
        self.columns, self.total_iterations = curve.columns, curve.total_iterations
        self.own_total = curve.schedule.spec.total_iterations
        self._curve, self._deadline = curve, deadline
        self._rows: dict[int, list[float]] = {}
        self._extremes: dict[int, tuple[Floats, Floats]] = {}

    @cached_property
    def last(self) -> int:
        """The last iteration that is examined."""
        total = self.total_iterations
        return total if self._curve.has_closed_form else min(total, MOST_STEPS)

    @property
    def reaches_the_end(self) -> bool:
        """Whether the whole run is examined."""
        return self.last == self.total_iterations

    def row(self, iteration: int) -> list[float]:
        """Every column's value at an iteration. Raises ComputeTimeout, UndefinedLR."""
        if iteration not in self._rows:
            self._rows[iteration] = self._curve.lr(iteration, self._deadline)
        return self._rows[iteration]

    def extremes(self, first: int) -> tuple[Floats, Floats]:
        """Every column's lowest and highest value from an iteration to the last. Raises ComputeTimeout, UndefinedLR."""
        if first not in self._extremes:
            # In one part, whose extremes are those of all.
            _, lows, highs = self._curve.envelope(first, self.last + 1, 1, self._deadline)
            self._extremes[first] = lows[0], highs[0]
        return self._extremes[first]
