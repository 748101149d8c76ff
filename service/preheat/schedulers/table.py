"""Table: the schedulers of a spec, read as the columns of one table by iteration."""

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from preheat.errors import UndefinedLR
from preheat.schedulers.build import build
from preheat.schedulers.closed_forms import CycledMomentum
from preheat.schedulers.stand_in import StandInOptimizer
from preheat.schedulers.warmup import LearningRateWarmUP
from preheat.specs import Spec, Track
from preheat.specs.after_schedulers.scheduler import hull

_ROUNDING = 1e-12
"""Share of the target, or of the first LR, by which torch may miss 0: a LinearLR down to 0 does so by 1e-16."""

_MOST_AT_ONCE = 1 << 14
"""Values computed between two looks at the deadline."""


class Table(Protocol):
    """Columns by iteration; random access as in `RandomAccess`, for all columns at once."""

    has_closed_form: bool

    def row(self, iteration: int) -> list[float]:
        """Every column's value at an iteration. Raises UndefinedLR where there is none."""
        ...

    def rows(self, iterations: range) -> NDArray[np.float64]:
        """Every column's values at ascending iterations, shape (iterations, columns). Raises UndefinedLR."""
        ...

    def step(self, iteration: int) -> None:
        """Brings what has no closed form to an iteration, from which a state can be taken."""
        ...

    def state(self) -> list[dict[str, Any]]:
        """A copy of where what has no closed form stands."""
        ...

    def load_state(self, states: Sequence[dict[str, Any]]) -> None:
        """Goes on from where the state was taken."""
        ...

    def turning_points(self, start: int, stop: int) -> set[int]:
        """A few iterations of start … stop − 1 that hold, with both ends, every column's lowest and highest value."""
        ...

    def unproved(self, start: int, stop: int) -> range:
        """The part of start … stop − 1 within which `turning_points` may lack an extreme."""
        ...

    def value(self, column: int, iteration: int) -> float:
        """One column's value at an iteration; of the other tracks nothing is computed."""
        ...

    def tracks_of(self, columns: Iterable[int]) -> list[int]:
        """The tracks that have any of the columns, as `extremes` takes them."""
        ...

    def extremes(
        self, track: int, start: int, stop: int, whole: range, check: Callable[[], None]
    ) -> tuple[tuple[int, ...], NDArray[np.float64], NDArray[np.float64]]:
        """The columns of a track, and the lowest and the highest value of each in start … stop − 1.

        Where its turning points are not proved, every iteration that lies in `whole` is computed. `check` is called
        before every few thousand values.
        """
        ...


class SchedulerTable(Table):
    """The schedulers of a normalised spec, without its amendments."""

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self._spec_tracks = spec.tracks  # made anew at every look
        self._tracks = [(track.columns, _scheduler(_once(track))) for track in self._spec_tracks]
        self._columns = len(spec.columns)
        places = [column for columns, _ in self._tracks for column in columns]
        self._is_in_order = places == list(range(self._columns))
        is_alone = len(self._tracks) == 1 and self._is_in_order and not _is_repeated(self._spec_tracks[0])
        self._only = self._tracks[0][1] if is_alone else None
        self.has_closed_form = all(scheduler.has_closed_form for _, scheduler in self._tracks)

    @override
    def row(self, iteration: int) -> list[float]:
        values: list[float]
        # The short way of nearly every point: one track, its columns in order, nothing to sort.
        if self._only is not None:
            values = self._only.rates(range(iteration, iteration + 1))  # type: ignore[assignment]
        else:
            values = [0.0] * self._columns
            for track, (columns, _) in enumerate(self._tracks):
                for column, value in zip(columns, self._rates(track, iteration), strict=True):
                    values[column] = value
        is_sound = min(values) >= 0 and math.isfinite(sum(values))  # of a NaN or an infinity the sum is one too
        return values if is_sound else self.rows(range(iteration, iteration + 1))[0].tolist()

    @override
    def rows(self, iterations: range) -> NDArray[np.float64]:
        values = self.computed(iterations)
        # Of a NaN neither is true.
        is_sound = values.min(initial=0.0) >= 0 and values.max(initial=0.0) < math.inf
        return values if is_sound else self._without_rounding(values, iterations)

    def computed(self, iterations: range) -> NDArray[np.float64]:
        """As `rows`, but exactly what torch computes, be it below 0."""
        if self._only is not None:
            return np.reshape(np.array(self._only.rates(iterations)), (-1, self._columns))
        values = np.empty((len(iterations), self._columns))
        for columns, scheduler in self._tracks:
            # Where all columns have one value, it is put into each of them.
            values[:, columns] = np.reshape(np.array(scheduler.rates(iterations)), (len(iterations), -1))
        return values

    @override
    def step(self, iteration: int) -> None:
        for scheduler in self._stepped():
            scheduler.step(iteration)

    @override
    def state(self) -> list[dict[str, Any]]:
        return [copy.deepcopy(scheduler.state_dict()) for scheduler in self._stepped()]

    @override
    def load_state(self, states: Sequence[dict[str, Any]]) -> None:
        for scheduler, state in zip(self._stepped(), states, strict=True):
            scheduler.load_state_dict(copy.deepcopy(state))

    @override
    def turning_points(self, start: int, stop: int) -> set[int]:
        return set().union(*(track.turning_points(start, stop) for track in self._spec_tracks))

    @override
    def value(self, column: int, iteration: int) -> float:
        place, position = self._places[column]
        return self._track_row(place, iteration)[position]

    @override
    def tracks_of(self, columns: Iterable[int]) -> list[int]:
        return sorted({self._places[column][0] for column in columns})

    @override
    def extremes(
        self, track: int, start: int, stop: int, whole: range, check: Callable[[], None]
    ) -> tuple[tuple[int, ...], NDArray[np.float64], NDArray[np.float64]]:
        columns, spec_track = self._tracks[track][0], self._spec_tracks[track]
        check()
        points = {start, stop - 1} | spec_track.turning_points(start, stop)
        values = np.array([self._track_row(track, point) for point in sorted(points)])
        inside = common(spec_track.unproved(start, stop), whole)
        return columns, *extended(values, inside, lambda part: self._track_rows(track, part), check)

    @override
    def unproved(self, start: int, stop: int) -> range:
        return hull(track.unproved(start, stop) for track in self._spec_tracks)

    def _track_row(self, track: int, iteration: int) -> list[float]:
        """The values of a track's columns at an iteration."""
        values = self._rates(track, iteration)
        if min(values) >= 0 and math.isfinite(sum(values)):
            return values
        row = self.rows(range(iteration, iteration + 1))[0]
        return [float(row[column]) for column in self._tracks[track][0]]

    def _rates(self, track: int, iteration: int) -> list[float]:
        """What a track's scheduler computes for its columns at an iteration, be it below 0."""
        columns, scheduler = self._tracks[track]
        values: list[float] = list(scheduler.rates(range(iteration, iteration + 1)))  # type: ignore[arg-type]
        return values * len(columns) if _is_repeated(self._spec_tracks[track]) else values

    def _track_rows(self, track: int, iterations: range) -> NDArray[np.float64]:
        """As `rows`, of a track's columns."""
        columns, scheduler = self._tracks[track]
        values = np.reshape(np.array(scheduler.rates(iterations)), (len(iterations), -1))
        is_sound = values.min(initial=0.0) >= 0 and values.max(initial=0.0) < math.inf
        return values if is_sound else self.rows(iterations)[:, columns]

    @cached_property
    def _places(self) -> dict[int, tuple[int, int]]:
        """The track of every column, and its place there."""
        return {
            column: (track, position)
            for track, (columns, _) in enumerate(self._tracks)
            for position, column in enumerate(columns)
        }

    def _without_rounding(self, values: NDArray[np.float64], iterations: range) -> NDArray[np.float64]:
        """0 where torch's rounding ends just below it; raises UndefinedLR where a value is negative."""
        for track, lowest in zip(self._spec_tracks, self._lowest, strict=True):
            found = values[:, track.columns]
            for row, column in np.argwhere(~(found >= lowest) | (found == math.inf))[:1]:
                kind = track.after_scheduler.type if track.after_scheduler else "warmup"
                reason = f"torch computes {float(found[row, column])!r}"
                raise UndefinedLR(kind, iterations[row] - track.warmup.origin, reason)
        return np.maximum(values, 0.0)

    @cached_property
    def _lowest(self) -> list[float]:
        """For each track the value below 0 that torch's rounding may come to."""
        # Tables of their own: schedulers that are stepped have gone past the origin.
        origins = {track.warmup.origin for track in self._spec_tracks}
        computed = {n: SchedulerTable(self._spec).computed(range(n, n + 1))[0] for n in origins}
        firsts = [computed[track.warmup.origin] for track in self._spec_tracks]
        # A cycle has LRs of its own, which the target says nothing of.
        return [
            -_ROUNDING * max(*first[list(track.columns)], *track.targets)
            for track, first in zip(self._spec_tracks, firsts, strict=True)
        ]

    def _stepped(self) -> list[LearningRateWarmUP]:
        return [
            scheduler
            for _, scheduler in self._tracks
            if isinstance(scheduler, LearningRateWarmUP) and not scheduler.has_closed_form
        ]


def common(one: range, other: range) -> range:
    """The iterations that lie in both."""
    return range(max(one.start, other.start), min(one.stop, other.stop))


def extended(
    values: NDArray[np.float64],
    iterations: range,
    rows: Callable[[range], NDArray[np.float64]],
    check: Callable[[], None],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The lowest and the highest value of each column of `values`, and of all rows at the iterations."""
    lows, highs = values.min(axis=0), values.max(axis=0)
    size = max(_MOST_AT_ONCE // values.shape[1], 1)
    for begin in range(0, len(iterations), size):
        check()
        values = rows(iterations[begin : begin + size])
        lows, highs = np.minimum(lows, values.min(axis=0)), np.maximum(highs, values.max(axis=0))
    return lows, highs


def _is_repeated(track: Track) -> bool:
    """Whether all of several columns have one value: so it is of every hyperparameter but the LR and its momentum."""
    return len(track.columns) > 1 and "hyperparameters" in track.location


def _once(track: Track) -> Track:
    """The track with the first of the columns that have one value."""
    return replace(track, columns=track.columns[:1], targets=track.targets[:1]) if _is_repeated(track) else track


def _scheduler(track: Track) -> LearningRateWarmUP | CycledMomentum:
    scheduler = build(track, StandInOptimizer(track.targets))
    if track.is_momentum and scheduler.after_scheduler is not None:
        return CycledMomentum(scheduler.after_scheduler, track.warmup.origin)
    return scheduler
