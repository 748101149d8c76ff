"""Obstacles: what is in the way of a text, that is lines, rings and other texts."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from preheat.plot.scene import Box, Pixels, Stroke

_STILL_PX = 1e-9
"""Lines that go less far across or down go straight."""


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
        self._boxes, self._solid = np.empty((0, 4)), np.empty(0, dtype=bool)

    @property
    def height(self) -> float:
        """Of the panel, in pixels."""
        return self._box.height

    def add_box(self, box: Box, *, is_solid: bool = True) -> None:
        """Keeps texts off a box; lines that lead to texts too, if it is solid."""
        self._add(np.array([[box.left, box.top, box.right, box.bottom]]), is_solid=is_solid)

    def _add(self, boxes: NDArray[np.float64], *, is_solid: bool) -> None:
        self._boxes = np.vstack([self._boxes, boxes])
        self._solid = np.append(self._solid, np.full(len(boxes), is_solid))

    def add_stroke(self, stroke: Stroke) -> None:
        """Keeps texts off a straight line."""
        xs, ys = _points_of(stroke)
        self._add(np.column_stack([xs - 1, ys - 1, xs + 1, ys + 1]), is_solid=True)

    def crossed(self, lines: Pixels) -> NDArray[np.bool_]:
        """Of straight lines, rows x, y of both ends, which go through a solid box (Liang and Barsky's clipping)."""
        boxes = self._boxes[self._solid]
        begins, ends = np.zeros((len(lines), len(boxes))), np.ones((len(lines), len(boxes)))
        for axis in (0, 1):
            starts = lines[:, axis, None]
            steps = lines[:, axis + 2, None] - starts
            steps = np.where(np.abs(steps) < _STILL_PX, _STILL_PX, steps)
            to_low, to_high = (boxes[:, axis] - starts) / steps, (boxes[:, axis + 2] - starts) / steps
            begins = np.maximum(begins, np.minimum(to_low, to_high))
            ends = np.minimum(ends, np.maximum(to_low, to_high))
        return np.asarray((begins < ends).any(axis=1))

    def is_free(self, box: Box) -> bool:
        """Whether a text can be here: within the panel, and nothing is nearer than the margin."""
        if not self._box.holds(box.grown(1)):
            return False
        near = box.grown(self._margin)
        if self.meets(np.array([[near.left, near.top, near.right, near.bottom]]))[0]:
            return False
        columns = slice(max(int(near.left) - self._left, 0), int(near.right) - self._left + 1)
        hides = (self._tops[:, columns] < near.bottom) & (self._bottoms[:, columns] > near.top)
        return not bool(hides.any())

    def meets(self, boxes: Pixels) -> NDArray[np.bool_]:
        """Of boxes, rows left, top, right, bottom, which have something in common with one that is in the way."""
        lefts, tops, rights, bottoms = boxes.T[:, :, None]
        others = self._boxes.T
        across, down = (lefts < others[2]) & (others[0] < rights), (tops < others[3]) & (others[1] < bottoms)
        return np.asarray((across & down).any(axis=1))

    def first_free(self, boxes: Iterable[Box]) -> Box | None:
        """The first of the boxes where a text can be, which from then on is in the way of others."""
        box = next((box for box in boxes if self.is_free(box)), None)
        if box is not None:
            self.add_box(box)
        return box


def _points_of(stroke: Stroke) -> tuple[Pixels, Pixels]:
    """Points of a straight line, at most two pixels apart."""
    (x0, x1), (y0, y1) = stroke.xs, stroke.ys
    share = np.linspace(0, 1, int(np.hypot(x1 - x0, y1 - y0) / 2) + 2)
    return x0 + share * (x1 - x0), y0 + share * (y1 - y0)


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
