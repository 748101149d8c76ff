"""The budget of one request: how long it may compute, and how large its answer may be."""

import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from preheat.errors import ComputeTimeout, LimitExceeded
from preheat.settings import Settings
from preheat.specs import Spec


class Deadline:
    """Expires `timeout_s` after it was made; long computations ask it at every block of their work."""

    def __init__(self, timeout_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._timeout_s = timeout_s
        self._clock = clock
        self._expires = clock() + timeout_s

    def check(self) -> None:
        """Raises ComputeTimeout once the time is over."""
        if self._clock() > self._expires:
            raise ComputeTimeout(self._timeout_s)


NO_DEADLINE = Deadline(float("inf"))

MOST_VALUES_UNASKED = 5_000
"""Values of an answer to which no window was asked for: some screens of them, 100 kB."""

_P = ParamSpec("_P")
_Result = TypeVar("_Result")


def in_time(compute: Callable[_P, _Result], *arguments: _P.args, **options: _P.kwargs) -> _Result | None:
    """What a computation gives, None if its deadline passes first: for what an answer can do without, such as lint."""
    try:
        return compute(*arguments, **options)
    except ComputeTimeout:
        return None


def check_length(spec: Spec, settings: Settings) -> None:
    """Raises LimitExceeded if the run, or a schedule within it, is longer than schedulers of its kind may be."""
    for within in spec.replacing:
        check_length(within, settings)
    if spec.has_closed_form:
        setting, limit = "max_total_iterations", settings.max_total_iterations
        way_around = "count in larger units, or ask the operator for more"
    else:
        setting, limit = "max_total_iterations_stepped", settings.max_total_iterations_stepped
        way_around = "this scheduler must be stepped; use one with a closed form, such as ExponentialLR"
    total = max(spec.total_iterations, spec.amended_total_iterations)
    if total > limit:
        raise LimitExceeded("total_iterations", total, setting, limit, way_around)


def rows_unasked(columns: int, settings: Settings) -> int:
    """Most iterations of so many columns in an answer to which no window was asked for: one at least, if it may be."""
    return min(max(MOST_VALUES_UNASKED // columns, 1), settings.max_values_per_answer // columns)


def check_values(rows: int, columns: int, settings: Settings) -> None:
    """Raises LimitExceeded if an answer of `rows` × `columns` values is too large."""
    if rows * columns > settings.max_values_per_answer:
        raise LimitExceeded(
            "values in this answer",
            rows * columns,
            "max_values_per_answer",
            settings.max_values_per_answer,
            "choose a smaller window with start and stop, or a larger step",
        )


def check_picture(width_px: int, height_px: int, settings: Settings) -> None:
    """Raises LimitExceeded if a picture is larger than allowed."""
    for name, value, limit in (
        ("width_px", width_px, settings.max_width_px),
        ("height_px", height_px, settings.max_height_px),
    ):
        if value > limit:
            raise LimitExceeded(
                name, value, f"max_{name}", limit, "ask for a smaller picture, or for SVG, which scales"
            )
