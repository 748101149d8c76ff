"""A schedule made computable: the only place where torch is stepped."""

import threading
from collections import OrderedDict
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preheat.budget import NO_DEADLINE, Deadline
from preheat.errors import IterationOutOfRange
from preheat.schedule import Schedule
from preheat.schedulers.table import Bench

_BLOCK = 4096
"""Iterations computed between two looks at the deadline; a stepped curve has a checkpoint at each multiple."""

_BLOCKS_KEPT = 64
"""Blocks kept for one column; fewer for several, so that the memory stays the same."""

_CHECKPOINT_BYTES = 4096
_COLUMN_BYTES = 32_768

Floats = NDArray[np.float64]


class Curve:
    """The values of a schedule, by iteration 0 … total_iterations; row n is iteration n.

    A row has the LR of each param group, then every other hyperparameter of each, as `columns` names them.

    Closed forms answer any iteration in O(1); the others are stepped from the nearest checkpoint. Both give bit for
    bit what stepping 1 … n gives. Safe to use from several threads.
    """

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.total_iterations = schedule.spec.total_iterations
        self.group_names = schedule.spec.group_names
        self.columns = schedule.spec.columns
        self._bench = Bench(schedule.spec)
        self.has_closed_form = self._bench.has_closed_form
        self._lock = threading.Lock()
        self._point_bench = Bench(schedule.spec)  # so that a point never waits for a block
        self._point_lock = threading.Lock()
        self._blocks: OrderedDict[int, Floats] = OrderedDict()
        self._checkpoints: list[list[dict[str, Any]]] = []
        if not self.has_closed_form:
            self._checkpoints.append(self._bench.state())

    @property
    def nbytes(self) -> int:
        """Memory that the curve holds, in bytes, roughly."""
        columns = len(self.columns)
        blocks = len(self._blocks) * _BLOCK * columns * 8
        return columns * _COLUMN_BYTES + blocks + len(self._checkpoints) * columns * _CHECKPOINT_BYTES

    def is_at_hand(self, iteration: int) -> bool:
        """Whether `lr(iteration)` takes microseconds: no stepping, no waiting."""
        return self.has_closed_form or iteration // _BLOCK in self._blocks

    def lr(self, iteration: int, deadline: Deadline = NO_DEADLINE) -> list[float]:
        """Learning rate of each param group at `iteration`, then each other hyperparameter's value.

        Raises IterationOutOfRange outside 0 … total_iterations, ComputeTimeout past the deadline.
        """
        if not 0 <= iteration <= self.total_iterations:
            raise IterationOutOfRange("iteration", iteration, self.total_iterations)
        if not self.has_closed_form:
            block, row = divmod(iteration, _BLOCK)
            row_lrs: list[float] = self._block(block, deadline)[row].tolist()
            return row_lrs
        with self._point_lock:
            return self._point_bench.row(iteration)

    def window(self, start: int, stop: int, step: int = 1, deadline: Deadline = NO_DEADLINE) -> Floats:
        """Values of iterations `start`, `start + step`, … below `stop`.

        Returns float64, shape (rows, columns); row 0 belongs to `start`.
        Raises IterationOutOfRange if the window leaves 0 … total_iterations, ComputeTimeout past the deadline.
        """
        self.check_window(start, stop)
        return self._at(range(start, stop, step), deadline)

    def envelope(
        self, start: int, stop: int, columns: int, deadline: Deadline = NO_DEADLINE
    ) -> tuple[NDArray[np.int64], Floats, Floats]:
        """Lowest and highest values in each of up to `columns` equal parts of start … stop − 1.

        Returns the first iteration of each part, shape (parts,), and lows and highs, shape (parts, columns). No
        peak and no valley is lost, however short (of a formula of the user's, sixteen places of each part are looked
        at); the time taken does not grow with a closed form's length.
        """
        self.check_window(start, stop)
        parts = min(columns, stop - start)
        bounds = [start + (stop - start) * part // parts for part in range(parts + 1)]
        firsts = np.array(bounds[:-1], dtype=np.int64)
        if self.has_closed_form and stop - start > parts:
            return firsts, *self._closed_form_extremes(bounds, deadline)
        values = self._at(range(start, stop), deadline)
        offsets = firsts - start
        return firsts, np.minimum.reduceat(values, offsets), np.maximum.reduceat(values, offsets)

    def check_window(self, start: int, stop: int) -> None:
        """Raises IterationOutOfRange unless 0 ≤ start ≤ stop ≤ total_iterations + 1."""
        if not 0 <= start <= self.total_iterations:
            raise IterationOutOfRange("start", start, self.total_iterations)
        if not start <= stop <= self.total_iterations + 1:
            raise IterationOutOfRange("stop", stop, self.total_iterations + 1)

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
            return self._bench.rows(iterations[:_BLOCK])

    def _pick_from_block(self, iterations: range, deadline: Deadline) -> Floats:
        """Those of the iterations that lie in the first one's block."""
        block, offset = divmod(iterations.start, _BLOCK)
        return self._block(block, deadline)[offset :: iterations.step][: len(iterations)]

    def _closed_form_extremes(self, bounds: list[int], deadline: Deadline) -> tuple[Floats, Floats]:
        bench = Bench(self.schedule.spec)
        shape = (len(bounds) - 1, len(self.columns))
        lows, highs = np.empty(shape), np.empty(shape)
        for part, (first, last) in enumerate(pairwise(bounds)):
            deadline.check()
            points = {first, last - 1} | bench.turning_points(first, last)
            values = np.array([bench.row(point) for point in points])
            lows[part], highs[part] = values.min(axis=0), values.max(axis=0)
        return lows, highs

    def _block(self, block: int, deadline: Deadline) -> Floats:
        """Iterations block · 4096 … of the run; stepped from the nearest checkpoint before, and all passed are kept."""
        found = self._blocks.get(block)
        while found is None:
            deadline.check()
            with self._lock:
                found = self._close_block(block) if self.has_closed_form else self._step_block(block)
        return found

    def _close_block(self, block: int) -> Floats:
        return self._keep(block, self._bench.rows(self._iterations(block)))

    def _step_block(self, wanted: int) -> Floats | None:
        """One block on the way to the wanted one; None if there are more to come."""
        block = min(wanted, len(self._checkpoints) - 1)
        self._bench.load_state(self._checkpoints[block])
        iterations = self._iterations(block)
        values = self._keep(block, self._bench.rows(iterations))
        if block == len(self._checkpoints) - 1 and iterations.stop <= self.total_iterations:
            self._bench.step(iterations.stop)
            self._checkpoints.append(self._bench.state())
        return values if block == wanted else None

    def _iterations(self, block: int) -> range:
        return range(block * _BLOCK, min((block + 1) * _BLOCK, self.total_iterations + 1))

    def _keep(self, block: int, values: Floats) -> Floats:
        self._blocks[block] = values
        while len(self._blocks) > max(_BLOCKS_KEPT // len(self.columns), 2):
            self._blocks.popitem(last=False)
        return values
