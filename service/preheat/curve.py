"""A schedule made computable: the only place where torch is stepped."""

import sys
import threading
from collections import OrderedDict
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preheat.budget import NO_DEADLINE, Deadline
from preheat.errors import IterationOutOfRange
from preheat.schedule import Schedule
from preheat.schedulers.amended import table_of
from preheat.schedulers.table import Table

_MAX_BLOCK = 4096
"""Most iterations computed between two looks at the deadline; fewer if there are many columns."""

_VALUES_KEPT = 64 * _MAX_BLOCK
"""Values of all blocks kept, 2 MB; at least two blocks are."""

_MOST_LIGHT_SCHEDULERS, _MOST_LIGHT_CHARACTERS = 100, 20_000
"""Of a spec whose point takes a millisecond at most, and its curve a few: longer texts have long formulas and lists."""

_MOST_LIGHT_AMENDMENTS, _CHARACTERS_OF_AN_AMENDMENT = 1_000, 60
"""They make the text longer, and a point by a bisection and a multiplication each."""

_MOST_NEAR = 10_000
"""Steps of single schedulers that are taken within a tenth of a second."""

_MOST_LOOKED_AT = 65_536
"""Iterations of which every one is computed where turning points are not proved; it takes some tenths of a second."""

_MOST_VALUES_LOOKED_AT = 4 * _MOST_LOOKED_AT
"""The same in values, of which a row has as many as there are columns."""

_MAX_CHECKPOINT_BYTES = 16_000_000
_RECENT_CHECKPOINTS = 8

Floats = NDArray[np.float64]
State = list[dict[str, Any]]


class Curve:
    """The values of a schedule, by iteration 0 … total_iterations; row n is iteration n.

    A row has the LR of each param group, then every other hyperparameter of each, as `columns` names them.

    Closed forms answer any iteration in O(1); the others are stepped from the nearest checkpoint. Both give bit for
    bit what stepping 1 … n gives. Safe to use from several threads.
    """

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.total_iterations = schedule.spec.amended_total_iterations
        self.group_names = schedule.spec.group_names
        self.columns = schedule.spec.columns
        self.on_growth: Callable[[], None] = lambda: None
        """Called whenever `nbytes` has grown, so that a cache need not look at every curve."""

        self._schedule_bytes, self._table_bytes = _weights(schedule, len(self.columns))
        self._table = table_of(schedule.spec)
        self.has_closed_form = self._table.has_closed_form
        self.is_light = is_light(schedule.text)
        self.amendments = _amendments(schedule.text)
        self._point_lock = threading.Lock()
        self._lock = threading.Lock()
        self._block_table: Table | None = None
        self._block_size = min(_MAX_BLOCK, max(_VALUES_KEPT // 2 // len(self.columns), 1))
        self._blocks: OrderedDict[int, Floats] = OrderedDict()
        self._checkpoints: dict[int, State] = {}
        self._recent: OrderedDict[int, State] = OrderedDict()
        self._stride = 1
        self._checkpoint_bytes = 0
        if not self.has_closed_form:
            self._checkpoints[0] = self._table.state()
            seen: set[int] = set()
            _size(self._checkpoints[0], seen)  # names and the like, which all states share
            self._checkpoint_bytes = _size(self._table.state(), seen)
            self._table_bytes += 2 * self._checkpoint_bytes  # its schedulers have their state, and that at their start

    @property
    def nbytes(self) -> int:
        """Memory that the curve holds, in bytes, roughly: schedule, schedulers, blocks and checkpoints."""
        tables = self._table_bytes * (1 if self._block_table is None else 2)
        rows = min(len(self._blocks) * self._block_size, self.total_iterations + 1)  # the last block may be a short one
        blocks = rows * len(self.columns) * 8
        recent = len(self._recent) if self._stride > 1 else 0  # else they are among the others
        checkpoints = (len(self._checkpoints) + recent) * self._checkpoint_bytes
        return self._schedule_bytes + tables + blocks + checkpoints

    def row_at_hand(self, iteration: int) -> list[float] | None:
        """`lr(iteration)` if it takes microseconds, without stepping and without waiting for a block; None if not.

        None outside 0 … total_iterations, too. Raises UndefinedLR.
        """
        if not self.is_light or not 0 <= iteration <= self.total_iterations:
            return None
        if self.has_closed_form:
            # torch's closed forms read an iteration that is set on the scheduler first, so two points must not mix.
            # Nothing but points takes this lock, and none of them holds it for longer than a point takes.
            return self._closed_row(iteration)
        # Once looked up, the block stays whole whatever is evicted meanwhile; looking first and reading later would
        # not. No lock: `_keep` replaces blocks and never changes one.
        block, offset = divmod(iteration, self._block_size)
        values = self._blocks.get(block)
        if values is None:
            return None
        row: list[float] = values[offset].tolist()
        return row

    def is_near(self, first: int, last: int) -> bool:
        """Whether each of iterations `first` … `last` is of a closed form, in memory or a short step from there."""
        if self.has_closed_form:
            return True
        is_short = self._block_size * self.schedule.text.count('"type":') <= _MOST_NEAR

        def is_known(block: int) -> bool:
            return block in self._blocks or (is_short and (block in self._checkpoints or block in self._recent))

        return all(map(is_known, range(first // self._block_size, last // self._block_size + 1)))

    def lr(self, iteration: int, deadline: Deadline = NO_DEADLINE) -> list[float]:
        """Learning rate of each param group at `iteration`, then each other hyperparameter's value.

        Raises IterationOutOfRange outside 0 … total_iterations, ComputeTimeout past the deadline.
        """
        if not 0 <= iteration <= self.total_iterations:
            raise IterationOutOfRange("iteration", iteration, self.total_iterations)
        if self.has_closed_form:
            return self._closed_row(iteration)
        row = self.row_at_hand(iteration)
        if row is None:
            block, offset = divmod(iteration, self._block_size)
            row = self._block(block, deadline)[offset].tolist()
        return row

    def _closed_row(self, iteration: int) -> list[float]:
        with self._point_lock:
            return self._table.row(iteration)

    def window(self, start: int, stop: int, step: int = 1, deadline: Deadline = NO_DEADLINE) -> Floats:
        """Values of iterations `start`, `start + step`, … below `stop`.

        Returns float64, shape (rows, columns); row 0 belongs to `start`.
        Raises IterationOutOfRange if the window leaves 0 … total_iterations, ComputeTimeout past the deadline.
        """
        self.check_window(start, stop)
        return self._at(range(start, stop, step), deadline)

    def envelope(
        self, start: int, stop: int, parts: int, deadline: Deadline = NO_DEADLINE, column: int | None = None
    ) -> tuple[NDArray[np.int64], Floats, Floats]:
        """Lowest and highest values in each of up to `parts` equal parts of start … stop − 1.

        Returns the first iteration of each part, shape (parts,), and lows and highs, shape (parts, columns), or
        (parts, 1) of one column. No peak and no valley is lost, however short, unless `is_sampled` says so; the time
        taken does not grow with a closed form's length, and the memory with nothing but the answer's.
        """
        self.check_window(start, stop)
        parts = min(parts, stop - start)
        bounds = [start + (stop - start) * part // parts for part in range(parts + 1)]
        firsts = np.array(bounds[:-1], dtype=np.int64)
        columns = range(len(self.columns)) if column is None else range(column, column + 1)
        shape = (parts, len(columns))
        lows, highs = np.full(shape, np.inf), np.full(shape, -np.inf)
        if self.has_closed_form and stop - start > parts:
            self._closed_form_extremes(bounds, columns, lows, highs, deadline)
        else:
            self._extremes_of_all(firsts, range(start, stop), columns, lows, highs, deadline)
        return firsts, lows, highs

    def is_sampled(self, start: int, stop: int) -> bool:
        """Whether `envelope` looks at sixteen places of each part only, since where the LR turns cannot be told.

        So it is in a user's formula, and where several schedulers, or a warm-up and another, are computed into one LR;
        in a window of up to 65,536 such iterations, and 262,144 values, every one is computed.
        """
        return self.has_closed_form and len(self._table.unproved(start, stop)) > self._most_looked_at

    @property
    def _most_looked_at(self) -> int:
        return min(_MOST_LOOKED_AT, _MOST_VALUES_LOOKED_AT // len(self.columns))

    def check_window(self, start: int, stop: int) -> None:
        """Raises IterationOutOfRange unless 0 ≤ start ≤ stop ≤ total_iterations + 1."""
        if not 0 <= start <= self.total_iterations:
            raise IterationOutOfRange("start", start, self.total_iterations)
        if not start <= stop <= self.total_iterations + 1:
            raise IterationOutOfRange("stop", stop, self.total_iterations + 1, first=start)

    def _at(self, iterations: range, deadline: Deadline) -> Floats:
        values = np.empty((len(iterations), len(self.columns)))
        pick = self._pick_closed if self.has_closed_form and iterations.step > 1 else self._pick_from_block
        row = 0
        while row < len(iterations):
            picked = pick(iterations[row:], deadline)
            values[row : row + len(picked)] = picked
            row += len(picked)
        return values

    def _pick_closed(self, iterations: range, deadline: Deadline) -> Floats:
        """The first of the iterations, each computed for itself."""
        deadline.check()
        with self._lock:
            values = self._closed_bench().rows(iterations[: self._block_size])
        self.on_growth()  # the first time, by the bench
        return values

    def _pick_from_block(self, iterations: range, deadline: Deadline) -> Floats:
        """Those of the iterations that lie in the first one's block."""
        block, offset = divmod(iterations.start, self._block_size)
        return self._block(block, deadline)[offset :: iterations.step][: len(iterations)]

    def _closed_form_extremes(
        self, bounds: list[int], columns: range, lows: Floats, highs: Floats, deadline: Deadline
    ) -> None:
        """Fills in the extremes of each part, track by track: each is computed where it turns, and nowhere else."""
        bench = table_of(self.schedule.spec)
        whole = self.looked_at(bench, bounds[0], bounds[-1])
        for track in bench.tracks_of(columns):
            for part, (first, last) in enumerate(pairwise(bounds)):
                of_track, lowest, highest = bench.extremes(track, first, last, whole, deadline.check)
                if len(columns) < len(self.columns):
                    at = of_track.index(columns.start)
                    lows[part, 0], highs[part, 0] = lowest[at], highest[at]
                else:
                    lows[part, of_track], highs[part, of_track] = lowest, highest

    def looked_at(self, bench: Table, start: int, stop: int) -> range:
        """The iterations of start … stop − 1 of which every one is computed, since turning points are not proved."""
        unproved = bench.unproved(start, stop)
        return unproved if len(unproved) <= self._most_looked_at else range(0)

    def _extremes_of_all(
        self, firsts: NDArray[np.int64], window: range, columns: range, lows: Floats, highs: Floats, deadline: Deadline
    ) -> None:
        """Fills in the extremes of each part from every iteration, a block at a time."""
        row = 0
        while row < len(window):
            values = self._pick_from_block(window[row:], deadline)[:, columns.start : columns.stop]
            begin = window.start + row
            part = int(np.searchsorted(firsts, begin, side="right")) - 1
            end = int(np.searchsorted(firsts, begin + len(values), side="left"))
            offsets = np.maximum(firsts[part:end] - begin, 0)
            lows[part:end] = np.minimum(lows[part:end], np.minimum.reduceat(values, offsets))
            highs[part:end] = np.maximum(highs[part:end], np.maximum.reduceat(values, offsets))
            row += len(values)

    def _block(self, block: int, deadline: Deadline) -> Floats:
        """The values of one block; of a stepped curve, from the nearest checkpoint before, keeping all passed."""
        found = self._blocks.get(block)
        while found is None:
            deadline.check()
            with self._lock:
                found = self._close_block(block) if self.has_closed_form else self._step_block(block)
            self.on_growth()
        return found

    def _close_block(self, block: int) -> Floats:
        return self._keep(block, self._closed_bench().rows(self._iterations(block)))

    def _closed_bench(self) -> Table:
        """Schedulers for blocks alone, made for the first, so that a point never waits for a block."""
        if self._block_table is None:
            self._block_table = table_of(self.schedule.spec)
        return self._block_table

    def _step_block(self, wanted: int) -> Floats | None:
        """One block on the way to the wanted one; None if there are more to come."""
        states = self._recent | self._checkpoints
        block = max(block for block in states if block <= wanted)
        self._table.load_state(states[block])
        iterations = self._iterations(block)
        values = self._keep(block, self._table.rows(iterations))
        if iterations.stop <= self.total_iterations and block + 1 not in states:
            self._table.step(iterations.stop)
            self._keep_checkpoint(block + 1, self._table.state())
        return values if block == wanted else None

    def _iterations(self, block: int) -> range:
        return range(block * self._block_size, min((block + 1) * self._block_size, self.total_iterations + 1))

    def _keep(self, block: int, values: Floats) -> Floats:
        """Keeps a block; the one kept for longest leaves. The order of use is not worth a lock at every point.

        Most readers go through a run in order and are done with a block when they leave it.
        """
        self._blocks[block] = values
        while len(self._blocks) > max(_VALUES_KEPT // (self._block_size * len(self.columns)), 2):
            self._blocks.popitem(last=False)
        return values

    def _keep_checkpoint(self, block: int, state: State) -> None:
        """Keeps where a block begins: for long at every `_stride`-th, which grows so that they fit, and the last few.

        The last few are for whoever is on the way between two: after a timeout it goes on from there.
        """
        self._recent[block] = state
        if len(self._recent) > _RECENT_CHECKPOINTS:
            self._recent.popitem(last=False)
        if block % self._stride == 0:
            self._checkpoints[block] = state
        if len(self._checkpoints) * self._checkpoint_bytes > _MAX_CHECKPOINT_BYTES:
            self._stride *= 2
            self._checkpoints = {
                block: state for block, state in self._checkpoints.items() if block % self._stride == 0
            }


def is_light(text: str) -> bool:
    """Whether a schedule with this text takes some milliseconds to be made computable, and less for a point."""
    amendments = _amendments(text)
    characters = len(text) - _CHARACTERS_OF_AN_AMENDMENT * amendments
    are_few = text.count('"type":') <= _MOST_LIGHT_SCHEDULERS and amendments <= _MOST_LIGHT_AMENDMENTS
    return are_few and characters <= _MOST_LIGHT_CHARACTERS


def _amendments(text: str) -> int:
    """How many amendments a schedule has, those of schedules that replace it included."""
    return text.count('"op":')


def _weights(schedule: Schedule, columns: int) -> tuple[int, int]:
    """Bytes of a schedule (text, spec, formulas), and of a table for it, as measured with tracemalloc.

    A number of the spec is an object of 24 bytes and a reference of 8; in a formula it is text and constant once more.
    """
    numbers, schedulers = schedule.text.count(","), schedule.text.count('"type":')
    content = (len(schedule.text) + 32 * numbers) * (2 if schedule.has_formulas else 1)
    amendments = 600 * _amendments(schedule.text)  # in a table: a step, the chains of two segments
    return content + 4_000 + 800 * columns + 700 * schedulers, 4_000 + 1_000 * columns + 3_100 * schedulers + amendments


def _size(state: Any, seen: set[int]) -> int:
    """Bytes of what a state is made of, without what was seen before."""
    if id(state) in seen:
        return 0
    seen.add(id(state))
    parts = state.values() if isinstance(state, dict) else state if isinstance(state, list | tuple) else ()
    return sys.getsizeof(state) + sum(_size(part, seen) for part in parts)
