"""Labels: names of phases and texts of marks, each where it hides nothing, or left out."""

import math
from collections.abc import Iterator, Sequence

from preheat.plot.obstacles import Obstacles
from preheat.plot.scene import Box, Ring, moved, text_box


def place_phase(
    name: str, size: float, begin: float, end: float, top: float, obstacles: Obstacles, *, may_stand: bool
) -> tuple[Box, bool] | None:
    """Where a phase's name goes between two columns below a row, and whether upright; None if it has no room."""
    for is_upright in (False, True) if may_stand else (False,):
        box = text_box(name, size, is_upright=is_upright)
        room = end - begin - box.width - 4
        if room >= 0:
            places = (moved(box, begin + 2 + room * share, top) for share in (0.5, 0.25, 0.75, 0.0, 1.0))
            found = obstacles.first_free(places)
            if found is not None:
                return found, is_upright
    return None


def place_mark(
    text: str, size: float, x: float, y: float, obstacles: Obstacles, others: Sequence[Ring], *, is_on_line: bool
) -> Box | None:
    """Where the text of a mark goes, as near to its point as can be; None if there is no room beside it.

    Nor is there room where it would seem to belong to one of the `others`.

    A mark on a vertical line may have its text anywhere along the line.
    """
    box = text_box(text, size)
    reach = obstacles.height if is_on_line else _REACH * size
    around = (place for place in _around(box, size, x, y, reach) if _belongs(place, x, y, others))
    places = sorted(around, key=lambda place: _distance(place, size, x, y))
    return obstacles.first_free(places)


_REACH = 5.0
"""Farthest that a text lies from its point, in units of its size: farther off nobody would relate the two."""


def _around(box: Box, size: float, x: float, y: float, reach: float) -> Iterator[Box]:
    """Places above, below and beside a point."""
    gap = 0.75 * size
    lefts = [x - box.width * share for share in (0.5, 0.0, 1.0, 0.25, 0.75)]
    lefts += [x - box.width * 0.5 + side * step * 0.5 * size for step in range(1, 10) for side in (-1, 1)]
    lefts += [x + 0.5 * size, x - 0.5 * size - box.width]
    for step in (step * 0.4 * size for step in range(int(reach / (0.4 * size)))):
        for left in lefts:
            yield moved(box, left, y - gap - step - box.height)
            yield moved(box, left, y + gap + step)
        for beside in (x + gap + step, x - gap - step - box.width):
            for lift in (0.0, 0.35, -0.35, 0.7, -0.7):
                yield moved(box, beside, y - box.height / 2 - lift * size)


def _belongs(place: Box, x: float, y: float, others: Sequence[Ring]) -> bool:
    own = _gap(place, x, y)
    return all(own <= _gap(place, other.x, other.y) + 1 for other in others)


def _gap(place: Box, x: float, y: float) -> float:
    return math.hypot(max(place.left - x, x - place.right, 0.0), max(place.top - y, y - place.bottom, 0.0))


def _distance(place: Box, size: float, x: float, y: float) -> float:
    """How far a text seems to be from its point; one that is centred above it seems nearest."""
    off_centre = abs((place.left + place.right) / 2 - x) / place.width
    is_below = place.top > y
    return _gap(place, x, y) + (0.6 * off_centre + 0.4 * is_below) * size
