"""A curve under lint: what the rules ask of it, track by track."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from preheat.budget import Deadline
from preheat.curve import Curve, Floats
from preheat.schedulers.amended import table_of

MOST_STEPS = 100_000
"""Iterations of a stepped schedule that are examined; of one with a closed form it is always all."""


_MOST_VALUES_KEPT = 1 << 20
"""Values of rows that are kept, 8 MB: tracks with the same warm-up are looked at in the same places."""


class LintedCurve:
    """A curve's values and extremes as far as they were asked for, each computed once.

    Of a closed form the columns that are asked for are computed, and no others; of one that is stepped whole rows.
    """

    def __init__(self, curve: Curve, deadline: Deadline) -> None:
        self.columns, self.total_iterations = curve.columns, curve.total_iterations
        self.own_total = curve.schedule.spec.total_iterations
        self.amendments = curve.schedule.spec.amendments or ()
        self._curve, self._deadline = curve, deadline
        self._table = table_of(curve.schedule.spec) if curve.has_closed_form else None
        self._values: dict[tuple[int, int], float] = {}
        self._rows: dict[int, Floats] = {}
        self._extremes: dict[int, tuple[Floats, Floats]] = {}

    @cached_property
    def last(self) -> int:
        """The last iteration that is examined."""
        total = self.total_iterations
        return total if self._table is not None else min(total, MOST_STEPS)

    @property
    def reaches_the_end(self) -> bool:
        """Whether the whole run is examined."""
        return self.last == self.total_iterations

    def value(self, column: int, iteration: int) -> float:
        """A column's value at an iteration. Raises ComputeTimeout, UndefinedLR."""
        self._deadline.check()
        if self._table is not None:
            place = column, iteration
            if place not in self._values:
                self._values[place] = self._table.value(column, iteration)
            return self._values[place]
        if iteration not in self._rows:
            while self._rows and (len(self._rows) + 1) * len(self.columns) > _MOST_VALUES_KEPT:
                del self._rows[next(iter(self._rows))]
            self._rows[iteration] = np.array(self._curve.lr(iteration, self._deadline))
        return float(self._rows[iteration][column])

    def extremes(self, columns: Sequence[int], first: int) -> tuple[list[float], list[float]]:
        """The lowest and the highest value of each column of a track, from an iteration to the last.

        Raises ComputeTimeout, UndefinedLR.
        """
        if self._table is not None:
            (track,) = self._table.tracks_of(columns)
            whole = self._curve.looked_at(self._table, first, self.last + 1)
            found, lows, highs = self._table.extremes(track, first, self.last + 1, whole, self._deadline.check)
            places = [place for place, column in enumerate(found) if column in set(columns)]
            return lows[places].tolist(), highs[places].tolist()
        if first not in self._extremes:
            # In one part, whose extremes are those of all.
            _, all_lows, all_highs = self._curve.envelope(first, self.last + 1, 1, self._deadline)
            self._extremes[first] = all_lows[0], all_highs[0]
        lows, highs = self._extremes[first]
        return lows[list(columns)].tolist(), highs[list(columns)].tolist()
