"""Scales: where iterations and values lie in a picture, in pixels."""

import sys

import numpy as np
from numpy.typing import NDArray

from preheat.plot.content import Line
from preheat.plot.scene import Pixels
from preheat.plot.ticks import Ticks, linear_ticks, log_ticks

Values = NDArray[np.float64]

_HIGHEST, _LEAST_SPAN = sys.float_info.max, 1e-300
"""What an axis may reach at most, and have at least from end to end: a job may report any float."""


class IterationScale:
    """Iterations start … last between two pixels, with a little air on both sides."""

    def __init__(self, start: int, last: int, left: float, right: float) -> None:
        inset = min((right - left) * 0.02, 20)
        self._start, self._begin = start, left + inset
        self._per_iteration = (right - left - 2 * inset) / max(last - start, 1)
        if start == last:
            self._begin = (left + right) / 2

    def x(self, iteration: float) -> float:
        """Pixels of an iteration."""
        return self._begin + (iteration - self._start) * self._per_iteration

    def xs(self, iterations: Values) -> Pixels:
        """Pixels of many."""
        return self._begin + (iterations - self._start) * self._per_iteration


class ValueScale:
    """Values between two pixels, the higher ones above; `headroom` stays free for what is written at the top."""

    def __init__(self, lines: list[Line], top: float, bottom: float, headroom: float) -> None:
        lows = min((float(line.lows.min()) for line in lines), default=0.0)
        highs = max((float(line.highs.max()) for line in lines), default=0.0)
        self._is_positive = highs > 0 or lows < 0
        self.low, high = self._range(lows, highs)
        high = max(high, self.low + _LEAST_SPAN)
        self.top, self.bottom = top, bottom
        # by halves: from the lowest to the highest float it is further than any float
        self._per_half = (bottom - top - headroom) / (high / 2 - self.low / 2)
        self.high = min(2 * (self.low / 2 + (bottom - top) / self._per_half), _HIGHEST)

    def _range(self, lowest: float, highest: float) -> tuple[float, float]:
        return min(lowest, 0.0), max(highest, 0.0) or 1.0

    def ys(self, values: Values) -> Pixels:
        """Pixels of many values."""
        return self.bottom - (values / 2 - self.low / 2) * self._per_half

    def y(self, value: float) -> float:
        """Pixels of a value."""
        return float(self.ys(np.array([value]))[0])

    def ticks(self, wanted: int, most: int) -> Ticks:
        """Round values on the axis; of zeros alone, nothing else."""
        if not self._is_positive:
            return Ticks((0.0,), ("0",))
        return linear_ticks(self.low, self.high, wanted, most)


class PanelScale(ValueScale):
    """From the lowest to the highest value, without 0 if it is not among them. Without any there are no ticks."""

    def __init__(self, lines: list[Line], top: float, bottom: float, headroom: float) -> None:
        super().__init__(lines, top, bottom, headroom)
        self._is_empty = not lines

    def ticks(self, wanted: int, most: int) -> Ticks:
        """Round values on the axis; of zeros alone, nothing else."""
        return Ticks((), ()) if self._is_empty else super().ticks(wanted, most)

    def _range(self, lowest: float, highest: float) -> tuple[float, float]:
        margin = max((highest / 2 - lowest / 2) * 0.2, max(abs(lowest), abs(highest)) * 1e-3)
        margin = margin if highest > lowest else abs(highest) * 0.1 or 1.0
        return max(lowest - margin, -_HIGHEST), min(highest + margin, _HIGHEST)


class LogScale(ValueScale):
    """Equal distances for equal ratios. Zeros lie on the bottom line, below a break of the axis."""

    def __init__(self, lines: list[Line], top: float, bottom: float, headroom: float, below_break: float) -> None:
        values = np.concatenate([part for line in lines for part in (line.lows, line.highs)])
        positive = values[values > 0]
        self.zero = bottom if len(positive) < len(values) else None
        self._is_positive = len(positive) > 0
        lowest = float(positive.min()) if len(positive) else 0.1
        highest = float(positive.max()) if len(positive) else 1.0
        if highest < lowest * 1.2:
            lowest, highest = lowest / 1.5, highest * 1.5
        self.top = top
        self.bottom = bottom - (below_break if self.zero is not None else 0)
        air = 0.15 * below_break
        self._low_log, high_log = float(np.log10(lowest)), float(np.log10(highest))
        self._per_decade = (self.bottom - air - top - headroom) / (high_log - self._low_log)
        self._low_log -= air / self._per_decade
        self.low = max(10.0**self._low_log, 5e-324)
        self.high = 10.0 ** min(self._low_log + (self.bottom - top) / self._per_decade, 308.0)

    def ys(self, values: Values) -> Pixels:
        """Pixels of many values; of what is not positive, the bottom line."""
        positive = values > 0
        logs = np.log10(values, where=positive, out=np.zeros(len(values)))
        zero = self.bottom if self.zero is None else self.zero
        return np.where(positive, self.bottom - (logs - self._low_log) * self._per_decade, zero)

    def ticks(self, wanted: int, most: int) -> Ticks:  # noqa: ARG002 - as of any scale
        """Powers of ten, or finer; of zeros alone, none."""
        if not self._is_positive:
            return Ticks((), ())
        return log_ticks(self.low, self.high, wanted)
