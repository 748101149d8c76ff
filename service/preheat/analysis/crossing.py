"""When a learning rate reaches a value."""

from dataclasses import dataclass

from preheat.budget import NO_DEADLINE, Deadline
from preheat.curve import Curve

_PARTS = 64


@dataclass(frozen=True)
class Crossing:
    """The first iteration at which a value is reached, coming from below (it rises) or from above."""

    iteration: int
    value: float
    rises: bool


def first_crossing(
    curve: Curve, value: float, place: int, start: int, stop: int, deadline: Deadline = NO_DEADLINE
) -> Crossing | None:
    """The first of iterations `start` … `stop - 1` at which column `place` reaches `value`, or None.

    A column that begins below reaches it where it is ≥ value, one that begins above where it is ≤ value. The time taken
    does not grow with a closed form's length. Raises IterationOutOfRange, ComputeTimeout.
    """
    curve.check_window(start, stop)
    if stop <= start:
        return None
    rises = curve.lr(start, deadline)[place] <= value
    window = range(start, stop)
    while len(window) > 1:
        firsts, lows, highs = curve.envelope(window.start, window.stop, _PARTS, deadline)
        reached = highs[:, place] >= value if rises else lows[:, place] <= value
        if not reached.any():
            return None
        part = int(reached.argmax())
        bounds = [*firsts.tolist(), window.stop]
        window = range(bounds[part], bounds[part + 1])
    found = curve.lr(window.start, deadline)[place]
    is_reached = found >= value if rises else found <= value
    return Crossing(window.start, found, rises) if is_reached else None
