"""Obstacles: what is in the way of a text, that is lines, rings and other texts."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from preheat.plot.scene import Box, Pixels, Stroke


class Obstacles:
    """Boxes and curves of a panel. A curve is kept as the pixels from top to bottom that it has in each column."""

    def __init__(self, box: Box, margin: float, curves: Sequence[Stroke]) -> None:
        self._box, self._margin = box, margin
        self._left = int(box.left)
        self._columns = int(box.right) - self._left + 2
        extents = [column_extent(curve, self._left, self._columns) for curve in curves]
        reach = np.array([[curve.width / 2 + curve.dot] for curve in curves])
        self._tops = np.array([tops for tops, _ in extents]) - reach
        self._bottoms = np.array([bottoms for _, bottoms in extents]) + reach
        self._boxes: list[Box] = []

    @property
    def height(self) -> float:
        """Of the panel, in pixels."""
        return self._box.height

    def add_box(self, box: Box) -> None:
        """Keeps texts off a box."""
        self._boxes.append(box)

    def is_free(self, box: Box) -> bool:
        """Whether a text can be here: within the panel, and nothing is nearer than the margin."""
        if not self._box.holds(box.grown(1)):
            return False
        near = box.grown(self._margin)
        if any(near.overlaps(other) for other in self._boxes):
            return False
        columns = slice(max(int(near.left) - self._left, 0), int(near.right) - self._left + 1)
        hides = (self._tops[:, columns] < near.bottom) & (self._bottoms[:, columns] > near.top)
        return not bool(hides.any())

    def first_free(self, boxes: Iterable[Box]) -> Box | None:
        """The first of the boxes where a text can be, which from then on is in the way of others."""
        box = next((box for box in boxes if self.is_free(box)), None)
        if box is not None:
            self.add_box(box)
        return box


def column_extent(curve: Stroke, left: int, columns: int) -> tuple[Pixels, Pixels]:
    """The top and the bottom of a curve in each column of pixels from `left` on; ∞ and −∞ where it is not."""
    edges = np.arange(left, left + columns + 1, dtype=float)
    ys = np.interp(edges, curve.xs, curve.ys)
    # beyond its ends a curve is not; a column that has an end gets it from the points below
    ys[(edges < curve.xs[0]) | (edges > curve.xs[-1])] = np.nan
    tops, bottoms = np.fmin(ys[:-1], ys[1:]), np.fmax(ys[:-1], ys[1:])
    tops[np.isnan(tops)], bottoms[np.isnan(bottoms)] = np.inf, -np.inf
    places: NDArray[np.int64] = np.clip(curve.xs.astype(np.int64) - left, 0, columns - 1)
    np.minimum.at(tops, places, curve.ys)
    np.maximum.at(bottoms, places, curve.ys)
    return tops, bottoms
