"""Amended: the table of a spec whose amendments are folded on its values, segment by segment.

Between two iterations at which an amendment begins or ends, the same ones are in force: a segment. Each has a chain,
from its last amendment back to the schedule itself, or to the last amendment that takes the place of all before it.
A point costs one bisection and one walk along a chain; chains share what they have in common.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from typing_extensions import override

from preheat.schedulers.amendment_steps import (
    Chain,
    Cooldown,
    Floats,
    FlooredScale,
    Frozen,
    Hold,
    Later,
    Planned,
    Rewarm,
    Scale,
    Source,
    planned,
)
from preheat.schedulers.closed_forms import shift
from preheat.schedulers.table import SchedulerTable, Table, common, extended
from preheat.specs import Spec
from preheat.specs.after_schedulers.sampling import sampled_iterations
from preheat.specs.after_schedulers.scheduler import hull
from preheat.specs.amending import amended_columns, held_from, lengths, moved_by, origin
from preheat.specs.amendments import (
    CooldownAmendment,
    ExtendAmendment,
    HoldAmendment,
    ReplaceAmendment,
    RewarmAmendment,
    ScaleAmendment,
)

_MOST_PLANS = 32
"""Chains whose steps are kept in a list; a thousand scales in one take 8 kB."""


class _Segments:
    """The chains by iteration: `starts[i]` is the first iteration of `chains[i]`, which lasts until the next starts."""

    def __init__(self, chain: Chain) -> None:
        self.starts: list[int] = [0]
        self.chains: list[Chain] = [chain]

    def index(self, n: int) -> int:
        """Which segment an iteration is in."""
        return bisect_right(self.starts, n) - 1

    def put(self, step: Any, start: int, stop: int | None, *, alone: bool = False) -> None:
        """Puts a step after the chains of start … stop − 1, or, alone, in their place."""
        if stop is not None and stop <= start:
            return
        first = self._split(start)
        last = len(self.starts) if stop is None else self._split(stop)
        self.chains[first:last] = [Chain(step, None if alone else chain) for chain in self.chains[first:last]]

    def delay(self, last: int, by: int, start: int, stop: int | None) -> None:
        """Puts `by` iterations after `last`, all like it; what follows comes so much later: in start … stop − 1."""
        first = self._split(last + 1)
        starts = [last + 1, *(each + by for each in self.starts[first:])]
        chains = [Chain(Frozen(last), self.chains[first - 1])]
        chains += [Chain(Later(by), chain) for chain in self.chains[first:]]
        if start > last + 1:
            first = self._split(start)
            kept = bisect_right(starts, start) - 1
            starts, chains = [start, *starts[kept + 1 :]], chains[kept:]
        if stop is not None:
            end = self._split(max(stop, start, last + 1))
            kept = bisect_left(starts, max(stop, start, last + 1))
            starts, chains = starts[:kept] + self.starts[end:], chains[:kept] + self.chains[end:]
        self.starts[first:], self.chains[first:] = starts, chains

    def freeze(self, last: int, stop: int) -> None:
        """Makes everything after `last` and before `stop` like it."""
        if stop > last + 1:
            held = Chain(Frozen(last), self.chains[self.index(last)])
            first, end = self._split(last + 1), self._split(stop)
            self.chains[first:end] = [held] * (end - first)

    def _split(self, n: int) -> int:
        """The index of the segment that starts at n, from now on."""
        index = bisect_left(self.starts, n)
        if index == len(self.starts) or self.starts[index] != n:
            self.starts.insert(index, n)
            self.chains.insert(index, self.chains[index - 1])
        return index


class AmendedTable(Table):
    """The table of a normalised spec with its amendments; random access as in `SchedulerTable`."""

    def __init__(self, spec: Spec) -> None:
        self._columns = spec.columns
        self._whole = tuple(range(len(self._columns)))
        self._sources: list[Source] = []
        base = spec.model_copy(update={"amendments": None})
        self._plans: dict[int, list[Planned]] = {}
        self._segments = _Segments(Chain(self._source(base, 0, self._whole), None))
        for amendment, (before, _) in zip(spec.amendments or (), pairwise(lengths(spec)), strict=True):
            self.lay(amendment, before)
        self.has_closed_form = all(source.table.has_closed_form for source in self._sources)

    @override
    def row(self, iteration: int) -> list[float]:
        return self._point(self._segments.chains[self._segments.index(iteration)], iteration)

    @override
    def rows(self, iterations: range) -> Floats:
        values = np.empty((len(iterations), len(self._whole)))
        done = 0
        while done < len(iterations):
            index = self._segments.index(iterations[done])
            following = self._segments.starts[index + 1 : index + 2]
            end = bisect_left(iterations, following[0]) if following else len(iterations)
            values[done:end] = self._block(self._segments.chains[index], iterations[done:end])
            done = end
        return values

    @override
    def step(self, iteration: int) -> None:
        chain = self._segments.chains[self._segments.index(iteration)]
        for step, by, frozen in self._plan(chain):
            if isinstance(step, Source):
                step.table.step(step.own(iteration - by if frozen is None else frozen))

    @override
    def state(self) -> list[dict[str, Any]]:
        return [{"state": source.table.state()} for source in self._sources]

    @override
    def load_state(self, states: Sequence[dict[str, Any]]) -> None:
        for source, state in zip(self._sources, states, strict=True):
            source.table.load_state(state["state"])

    @override
    def turning_points(self, start: int, stop: int) -> set[int]:
        found: set[int] = set()
        for index, within in self._within(start, stop):
            found |= {within.start, within[-1]}
            sources, has_ramp = self._parts_of(index)
            if has_ramp:  # a rise times a fall turns somewhere in between
                found.update(sampled_iterations(within.start, within.stop))
            for source, by in sources:
                own = _own(source, by, within)
                points = source.table.turning_points(own.start, own.stop) if own else ()
                found.update(point + source.origin + by for point in points)
        return {point for point in found if start <= point < stop}

    @override
    def unproved(self, start: int, stop: int) -> range:
        found = []
        for index, within in self._within(start, stop):
            sources, has_ramp = self._parts_of(index)
            owns = ((source, _own(source, by, within)) for source, by in sources)
            if has_ramp or any(own and source.table.unproved(own.start, own.stop) for source, own in owns):
                found.append(within)
        return hull(found)

    @override
    def value(self, column: int, iteration: int) -> float:
        return self.row(iteration)[column]

    @override
    def tracks_of(self, columns: Iterable[int]) -> list[int]:
        return [0]  # what is amended may be of several tracks: all columns are one

    @override
    def extremes(
        self, track: int, start: int, stop: int, whole: range, check: Callable[[], None]
    ) -> tuple[tuple[int, ...], Floats, Floats]:
        check()
        points = {start, stop - 1} | self.turning_points(start, stop)
        values = np.array([self.row(point) for point in sorted(points)])
        return self._whole, *extended(values, common(self.unproved(start, stop), whole), self.rows, check)

    def _source(self, spec: Spec, first: int, columns: tuple[int, ...]) -> Source:
        theirs = spec.columns
        own = tuple(theirs.index(self._columns[column]) for column in columns)
        source = Source(table_of(spec), first, spec.amended_total_iterations, columns, own)
        self._sources.append(source)
        return source

    def lay(self, amendment: Any, before: int) -> None:
        """Lays an amendment over the segments; `before` is the last iteration without it."""
        self._plans.clear()  # they are by chains, of which some may go
        start, stop, put = amendment.start, amendment.stop, self._segments.put
        columns = amended_columns(self._columns, amendment)
        alone = columns == self._whole
        match amendment:
            case ExtendAmendment(moved_from=None):
                self._segments.freeze(held_from(amendment, before), start)
            case ExtendAmendment(moved_from=int(last)):
                since = 0 if amendment.moved_by is None else start
                self._segments.delay(last, moved_by(amendment, before), since, stop)
            case ReplaceAmendment():
                put(self._source(amendment.schedule, origin(amendment), columns), start, stop, alone=alone)
            case ScaleAmendment(factor=factor, floor=None):
                put(Scale(columns, (factor,)), start, stop)
            case ScaleAmendment(factor=factor, floor=floor):
                put(FlooredScale(columns, factor, self._values(columns, floor)), start, stop)
            case HoldAmendment():
                put(Hold(columns, self._values(columns, amendment.value)), start, stop, alone=alone)
            case RewarmAmendment():
                # At its last iteration the factor is 1: nothing is multiplied, and the last bit stays.
                end = start + amendment.iterations - 1
                step = Rewarm(columns, start, amendment.iterations, amendment.start_factor)
                put(step, start, end if stop is None else min(end, stop))
            case CooldownAmendment():
                n = max(start - 1, 0)
                chain = self._segments.chains[self._segments.index(n)]
                put(Cooldown(columns, amendment, lambda: self._point(chain, n)), start, stop, alone=alone)

    def _values(self, columns: tuple[int, ...], value: Any) -> tuple[float, ...]:
        """One value for each column."""
        return tuple(value[self._columns[c].group] if isinstance(value, dict) else float(value) for c in columns)

    def _point(self, chain: Chain, n: int) -> list[float]:
        values = [0.0] * len(self._whole)
        for step, by, frozen in self._plan(chain):
            step.on_row(values, n - by if frozen is None else frozen)
        return values

    def _block(self, chain: Chain, iterations: range) -> Floats:
        values = np.empty((len(iterations), len(self._whole)))
        plan = self._plan(chain)
        held = [each for each in plan if each[2] is not None]
        if held:
            row = [0.0] * len(self._whole)
            for step, _, frozen in held:
                step.on_row(row, frozen or 0)
            values[:] = row
        for step, by, _ in plan[len(held) :]:
            step.on_rows(values, shift(iterations, -by))
        return values

    def _plan(self, chain: Chain) -> list[Planned]:
        """The steps of a chain from the first on; those of the chains asked for last are kept."""
        plan = self._plans.get(id(chain))
        if plan is None:
            plan = planned(chain, self._plans)
            self._plans[id(chain)] = plan
            if len(self._plans) > _MOST_PLANS:
                del self._plans[next(iter(self._plans))]
        return plan

    def _within(self, start: int, stop: int) -> list[tuple[int, range]]:
        """The segments of start … stop − 1, by index, with what is in it of each."""
        starts = self._segments.starts
        indices = range(self._segments.index(start), bisect_left(starts, stop)) if start < stop else range(0)
        ends = [*starts[1:], stop]
        return [(index, range(max(starts[index], start), min(ends[index], stop))) for index in indices]

    def _parts_of(self, index: int) -> tuple[list[tuple[Source, int]], bool]:
        """The tables of a segment, each with the iterations that it comes later, and whether there is a ramp in it."""
        plan = [(step, by) for step, by, frozen in self._plan(self._segments.chains[index]) if frozen is None]
        sources = [(step, by) for step, by in plan if isinstance(step, Source)]
        return sources, any(isinstance(step, Rewarm) for step, _ in plan)


def table_of(spec: Spec) -> Table:
    """The table of a normalised spec, with its amendments if it has any."""
    return AmendedTable(spec) if spec.amendments else SchedulerTable(spec)


def held_in_one(spec: Spec, at: Mapping[int, int], check: Callable[[], None]) -> dict[int, dict[str, float]]:
    """What holds hold that take the values of an iteration, by their indices in `at`, which has that iteration of each.

    These are the values without the hold and the amendments after it, past the end those of the end. All schedulers of
    the spec must have closed forms. `check` is called before each.
    """
    table = AmendedTable(spec.model_copy(update={"amendments": None}))
    columns, found = spec.columns, dict[int, dict[str, float]]()
    for index, (amendment, before) in enumerate(zip(spec.amendments or (), lengths(spec), strict=False)):
        laid = amendment
        if index in at:
            check()
            row = table.row(min(at[index], before))
            found[index] = {columns[column].group: row[column] for column in amended_columns(columns, amendment)}
            laid = amendment.model_copy(update={"value": found[index]})
        table.lay(laid, before)
    return found


def _own(source: Source, by: int, within: range) -> range:
    """Iterations on a table's own clock; what is past its end is constant."""
    own = shift(within, -by - source.origin)
    return range(own.start, min(own.stop, source.last + 1))
