"""Labels: names of phases and texts of marks, each where it hides nothing, or left out."""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from preheat.plot.obstacles import Obstacles
from preheat.plot.scene import Box, Pixels, Ring, Stroke, moved, segment, text_box


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
    text: str, size: float, x: float, y: float, obstacles: Obstacles, others: Sequence[Ring], reach: float
) -> Box | None:
    """Where the text of a mark goes, as near to its point as can be; None if there is no room beside it.

    Nor is there room where it would seem to belong to one of the `others`.

    It lies up to `reach` pixels away.
    """
    box = text_box(text, size)
    places = sorted(_around(box, size, x, y, reach), key=lambda place: _distance(place, size, x, y))
    rings = np.array([(other.x, other.y) for other in others]).reshape(-1, 2)
    return obstacles.first_free(place for place in places if _belongs(place, x, y, rings))


def place_far(
    text: str, size: float, ring: Ring, colour: str, obstacles: Obstacles
) -> tuple[Box, Stroke] | tuple[None, None]:
    """Where a mark's text goes that has no room beside it, and the line that leads there; None if there is none."""
    box = text_box(text, size)
    rows = int(obstacles.height / size)
    columns = 2 * size * np.arange(-_FAR_COLUMNS, _FAR_COLUMNS)
    lefts, tops = np.meshgrid(
        np.append(ring.x + columns, ring.x - box.width + columns), ring.y + size * np.arange(-rows, rows)
    )
    boxes = np.column_stack([lefts.ravel(), tops.ravel(), lefts.ravel() + box.width, tops.ravel() + box.height])
    gaps = _gaps_of(boxes, ring.x, ring.y)
    nearest = np.argsort(gaps, kind="stable")[:_MOST_FAR]
    boxes = boxes[nearest]
    boxes = boxes[(gaps[nearest] > _reach(ring) + _LEAST_LEADER_PX) & ~obstacles.meets(boxes)]
    leaders = _leaders(boxes, ring)
    is_open = ~obstacles.crossed(leaders)
    for place, (x0, y0, x1, y1) in zip(boxes[is_open].tolist(), leaders[is_open].tolist(), strict=True):
        if obstacles.is_free(Box(*place)):
            leader = segment(x0, y0, x1, y1, colour, 0.8)
            obstacles.add_box(Box(*place))
            obstacles.add_stroke(leader)
            return Box(*place), leader
    return None, None


_FAR_COLUMNS, _MOST_FAR = 8, 600


def _reach(ring: Ring) -> float:
    """How far from its middle nothing is of a ring, nor of the box around it."""
    return 1.5 * ring.radius + ring.edge_width + 1


def _leaders(boxes: Pixels, ring: Ring) -> Pixels:
    """The shortest lines from a ring to boxes, rows x, y of both ends, with a little air at the ends."""
    lefts, tops, rights, bottoms = boxes.T
    across, down = np.clip(ring.x, lefts, rights) - ring.x, np.clip(ring.y, tops, bottoms) - ring.y
    long = np.hypot(across, down)
    begin, end = _reach(ring) / long, 1 - 2 / long
    return np.column_stack([ring.x + begin * across, ring.y + begin * down, ring.x + end * across, ring.y + end * down])


_LEAST_LEADER_PX = 6.0


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


def _belongs(place: Box, x: float, y: float, others: Pixels) -> bool:
    """Whether a text is not nearer to any other point than to its own."""
    box = np.array([[place.left, place.top, place.right, place.bottom]])
    return bool((_gaps_of(box, *others.T) + 1 >= _gaps_of(box, x, y)).all())


def _gaps_of(boxes: Pixels, x: Pixels | float, y: Pixels | float) -> Pixels:
    """How far points are from boxes, of rows left, top, right, bottom."""
    lefts, tops, rights, bottoms = boxes.T
    across = np.maximum(np.maximum(lefts - x, x - rights), 0)
    down = np.maximum(np.maximum(tops - y, y - bottoms), 0)
    gaps: Pixels = np.hypot(across, down)
    return gaps


def _gap(place: Box, x: float, y: float) -> float:
    return math.hypot(max(place.left - x, x - place.right, 0.0), max(place.top - y, y - place.bottom, 0.0))


def _distance(place: Box, size: float, x: float, y: float) -> float:
    """How far a text seems to be from its point; one that is centred above it seems nearest."""
    off_centre = abs((place.left + place.right) / 2 - x) / place.width
    is_below = place.top > y
    return _gap(place, x, y) + (0.6 * off_centre + 1.2 * is_below) * size
