"""A schedule's learning rates in memory, fetched ahead by a thread of their own."""

import logging
import math
import sys
import threading
import time
from array import array
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from preheat_client.errors import PreheatError, RequestRefused, ServiceUnavailable
from preheat_client.transport import Transport, pause_s

_LOG = logging.getLogger("preheat_client")
_KEPT = 16
_AHEAD = 2

Row = float | list[float]
"""The LR of one iteration: a number for one param group, a list for several."""


@dataclass(frozen=True)
class Window:
    """Successive iterations: the LRs of each and, where there are any, the values of its other hyperparameters."""

    lrs: Sequence[Row]
    others: Sequence[list[float]] = ()


class Windows:
    """Windows of `size` iterations, each fetched once it is wanted; the ones used last are kept.

    One daemon thread does all requests. Reading never waits for it but in `wait_for`.
    """

    def __init__(self, transport: Transport, schedule_id: str, rows: int, groups: int, columns: int, size: int) -> None:
        self._transport = transport
        self._id, self._rows, self._size = schedule_id, rows, size
        self._groups, self._columns = groups, columns
        self._windows: OrderedDict[int, Window] = OrderedDict()
        self._wanted: list[int] = []
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._failure: PreheatError | None = None
        self._refusal: RequestRefused | None = None
        self._is_urgent = False
        self._is_closed = False

    def index(self, iteration: int) -> int:
        """Number of the window that an iteration lies in."""
        return iteration // self._size

    def start(self, index: int) -> int:
        """First iteration of a window."""
        return index * self._size

    def get(self, index: int) -> Window | None:
        """A window if it is in memory; if not it is fetched, and the windows after it are in any case."""
        last = self.index(self._rows - 1)
        with self._changed:
            self._want(*range(index, min(index + _AHEAD, last) + 1))
            window = self._windows.get(index)
            if window is not None:
                self._windows.move_to_end(index)
            return window

    def wait_for(self, index: int, timeout_s: float) -> Window:
        """A window that is being fetched.

        Raises ServiceUnavailable after `timeout_s`, RequestRefused as soon as the service says no.
        """
        give_up = time.monotonic() + timeout_s
        with self._changed:
            self._refusal = None
            self._is_urgent = timeout_s > 0
            self._changed.notify_all()
            while (window := self._windows.get(index)) is None:
                if self._refusal is not None:
                    raise self._refusal
                if self._is_closed:
                    raise ServiceUnavailable("the client is closed")
                if not self._changed.wait(max(give_up - time.monotonic(), 0)):
                    raise ServiceUnavailable(
                        f"no LR for iteration {self.start(index)} in {timeout_s:g} s: {self._failure}"
                    )
            return window

    def close(self) -> None:
        """Ends the thread; what is in memory stays."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _want(self, *indices: int) -> None:
        """Puts windows that are not in memory first in the queue. The lock is held."""
        missing = [index for index in indices if index not in self._windows]
        if not missing or self._is_closed:
            return
        self._wanted = [*missing, *(index for index in self._wanted if index not in missing)][:_KEPT]
        if self._thread is None:
            self._thread = threading.Thread(target=self._fetch_wanted, name="preheat", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _fetch_wanted(self) -> None:
        failures = 0
        while True:
            with self._changed:
                while not self._wanted and not self._is_closed:
                    self._changed.wait()
                if self._is_closed:
                    return
                index = self._wanted[0]
            try:
                window = self._fetch(index)
            except PreheatError as error:
                failures += 1
                self._note(index, error)
                self._pause(pause_s(failures, error if isinstance(error, ServiceUnavailable) else None))
            else:
                failures = 0
                self._keep(index, window)

    def _fetch(self, index: int) -> Window:
        start, stop = self.start(index), min(self.start(index + 1), self._rows)
        return fetch_window(self._transport, self._id, start, stop, self._groups, self._columns)

    def _note(self, index: int, error: PreheatError) -> None:
        with self._changed:
            if self._failure is None:
                _LOG.warning("window %d of schedule %s did not arrive: %s", index, self._id, error)
            self._failure = error
            if isinstance(error, RequestRefused):
                self._refusal = error
                self._wanted = [wanted for wanted in self._wanted if wanted != index]
            self._changed.notify_all()

    def _pause(self, pause: float) -> None:
        """Waits before the next attempt, but no longer than until somebody waits for a window."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or self._is_urgent, pause)
            self._is_urgent = False

    def _keep(self, index: int, window: Window) -> None:
        with self._changed:
            self._failure = None
            self._windows[index] = window
            self._wanted = [wanted for wanted in self._wanted if wanted != index]
            while len(self._windows) > _KEPT:
                self._windows.popitem(last=False)
            self._changed.notify_all()


def fetch_window(transport: Transport, schedule_id: str, start: int, stop: int, groups: int, columns: int) -> Window:
    """Iterations start … stop − 1.

    Raises RequestRefused, and ServiceUnavailable unless the answer is exactly that: a wrong LR is worse than none.
    """
    path = f"/v1/schedules/{schedule_id}/lr"
    answer = transport.get(path, "application/x-npy", start=start, stop=stop)
    place = f"{path}?start={start}&stop={stop}&step=1"
    if answer.headers.get("content-location") != place:
        raise ServiceUnavailable(f"the service answered something that is not iterations {start} … {stop - 1}")
    return window_of(answer.content, stop - start, groups, columns)


def window_of(npy: bytes, length: int, groups: int, columns: int) -> Window:
    """The window in a NPY file (format version 1.0: numpy.lib.format) of float64, shape (length, columns), LRs first.

    Raises ServiceUnavailable unless it is exactly that, of values that are finite and not negative.
    """
    header_length = int.from_bytes(npy[8:10], "little")
    header, data = npy[10 : 10 + header_length], npy[10 + header_length :]
    expected = f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({length}, {columns}), }}"
    if npy[:8] != b"\x93NUMPY\x01\x00" or header.decode("latin-1").strip() != expected:
        raise ServiceUnavailable(f"the service answered something that is not {length} × {columns} LRs")
    if len(data) != length * columns * 8:
        raise ServiceUnavailable(f"the service answered {len(data)} bytes of {length} × {columns} LRs")
    values = array("d", data)
    if sys.byteorder == "big":
        values.byteswap()
    if not math.isfinite(sum(values)) or min(values, default=0.0) < 0:  # one that is not finite makes the sum so
        raise ServiceUnavailable("the service answered an LR that is negative or not finite")
    if columns == 1:
        return Window(values)
    rows = [values[first : first + columns].tolist() for first in range(0, len(values), columns)]
    if columns == groups:
        return Window(rows)
    lrs = values[::columns] if groups == 1 else [row[:groups] for row in rows]
    return Window(lrs, [row[groups:] for row in rows])
