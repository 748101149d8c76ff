"""Formulas that are not defined everywhere in the run, found before it starts."""

import math
from collections.abc import Iterator

from preheat.formula.language import compiled
from preheat.specs.after_schedulers.phases import PhasesLR
from preheat.specs.after_schedulers.points import ExpressionLR
from preheat.specs.after_schedulers.scheduler import Scheduler
from preheat.specs.after_schedulers.shape import Shape
from preheat.specs.fields import MAX_LR
from preheat.specs.tracks import Track
from preheat.specs.violations import Path, Violation, violation

_PLACES = 10_000
"""Iterations looked at, at even distances: all of a short run. One that fails elsewhere fails when it is asked."""

_MAY_FAIL = (ExpressionLR, PhasesLR)


def formula_violations(track: Track, total_iterations: int) -> list[Violation]:
    """What is wrong with the values of a normalised track's formulas, the first failure of each."""
    if track.after_scheduler is None:
        return []
    length = total_iterations - track.warmup.origin
    return [
        violation(path, *found)
        for path, shape in _shapes(track.after_scheduler, (*track.path, "after_scheduler"))
        if (found := _failure(shape, track.targets, length)) is not None
    ]


def _shapes(scheduler: Scheduler, path: Path) -> Iterator[tuple[Path, Shape]]:
    if isinstance(scheduler, _MAY_FAIL):
        yield (*path, "expression" if isinstance(scheduler, ExpressionLR) else "phases"), scheduler
    for pointer, child in scheduler.children.items():
        yield from _shapes(
            child, (*path, *(int(part) if part.isdecimal() else part for part in pointer[1:].split("/")))
        )


def _failure(shape: Shape, targets: tuple[float, ...], length: int) -> tuple[str] | None:
    rates = compiled(shape.formula())
    own = shape.length if isinstance(shape, ExpressionLR) and shape.length is not None else length
    for s in range(0, own + 1, max(own // _PLACES, 1)):
        try:
            values = rates((s,), targets)
        except (ArithmeticError, ValueError, TypeError) as error:
            return (f"must have a value at every iteration, but at s = {s}: {error}",)
        for value in values:
            if not math.isfinite(value) or not 0 <= value <= MAX_LR * 1e6:
                return (f"must be finite and ≥ 0 at every iteration, but at s = {s} the LR is {value!r}",)
    return None
