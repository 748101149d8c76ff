"""A schedule, read from memory by a training loop."""

import operator
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from preheat_client.errors import IterationOutOfRange, RequestRefused, ServiceUnavailable
from preheat_client.transport import Transport, with_retries
from preheat_client.windows import Row, Window, Windows, fetch_window

_WHOLE = 100_000

Outage = Literal["hold", "raise"]


@dataclass(frozen=True)
class ReadingOptions:
    """How a schedule is read.

    `timeout_s`: longest wait for a value that never arrived before. `on_outage`: then hold the last value or raise.
    `strict`: raise past the end instead of holding. `window`: iterations fetched at a time for schedules of more
    than 100,000.
    """

    timeout_s: float
    on_outage: Outage
    strict: bool
    window: int


class Schedule:
    """A schedule of the service; made by `Preheat.create` and `Preheat.schedule`."""

    def __init__(self, transport: Transport, answer: dict[str, Any], options: ReadingOptions) -> None:
        self.id: str = answer["id"]
        """The schedule's id, the same everywhere for the same spec."""
        self.spec: dict[str, Any] = answer["spec"]
        """The normalised spec."""
        self.total_iterations: int = answer["total_iterations"]
        """Iterations of the run, warm-up included; LRs are defined for 0 … total_iterations."""
        self.group_names: list[str] = [group["name"] for group in answer["groups"]]
        """Names of the param groups, in order."""
        self.hyperparameter_columns = [
            (column["group"], column["hyperparameter"]) for column in answer["columns"][len(self.group_names) :]
        ]
        """Group and name of every hyperparameter besides the LR that has a schedule."""
        self.has_named_groups = any(group.get("name") for group in self.spec.get("param_groups", ()))
        """Whether the spec names its param groups."""
        self._transport = transport
        self._options = options
        rows = self.total_iterations + 1
        size = rows if rows <= _WHOLE + 1 else options.window
        self._columns = len(answer["columns"])
        self._windows = Windows(transport, self.id, rows, len(self.group_names), self._columns, size)
        self._current: tuple[int, Sequence[Row]] = (0, [])
        self._others: Sequence[list[float]] = ()
        self._is_holding = False
        self._has_warned_of_end = False
        self._windows.get(0)

    def lr(self, iteration: int) -> float | list[float]:
        """The learning rate at `iteration`: a number for one param group, a list for several.

        Update n of a loop that counts from 1 runs at lr(n). A read from memory; only a value that never arrived is
        waited for, at most `timeout_s`. Past the end the last LR is held, with one warning.

        Raises IterationOutOfRange below 0, or past the end if `strict`; ServiceUnavailable if the value did not
        arrive and there is none to hold, or `on_outage` is "raise"; RequestRefused if the service says no.
        """
        start, rows = self._current
        offset = iteration - start
        if 0 <= offset < len(rows):
            return rows[offset]
        return self._lr_elsewhere(operator.index(iteration))

    def hyperparameters(self, iteration: int) -> list[float]:
        """Values of the other hyperparameters at `iteration`, as `hyperparameter_columns` names them.

        Read, waited for, held and refused as `lr` is.
        """
        self.lr(iteration)
        offset = iteration - self._current[0]
        return self._others[min(max(offset, 0), len(self._others) - 1)] if self._others else []

    def lrs(self, start: int = 0, stop: int | None = None) -> list[float] | list[list[float]]:
        """Learning rates of iterations start … stop − 1, by default to the end: one entry (as of `lr`) each.

        Asks the service. Raises IterationOutOfRange, ServiceUnavailable, RequestRefused.
        """
        stop = self.total_iterations + 1 if stop is None else stop
        for bound in (start, max(stop - 1, 0)):
            if not 0 <= bound <= self.total_iterations:
                raise IterationOutOfRange(bound, self.total_iterations)
        rows: list[Any] = []
        for first in range(start, stop, _WHOLE):
            rows += self._fetch(first, min(first + _WHOLE, stop)).lrs
        return rows

    def plot(self, path: str | Path, **options: int | str) -> None:
        """Writes the schedule's picture to a file: SVG if its name ends so, else PNG.

        `options` are those of the route: width_px, height_px, scale, theme, start, stop, at.
        Raises ServiceUnavailable, RequestRefused.
        """
        name = "plot.svg" if Path(path).suffix.lower() == ".svg" else "plot.png"
        picture = with_retries(
            lambda: self._transport.get(f"/v1/schedules/{self.id}/{name}", "image/*", **options).content,
            self._options.timeout_s,
        )
        Path(path).write_bytes(picture)

    def close(self) -> None:
        """Fetches nothing any more; what is in memory can still be read."""
        self._windows.close()

    def _lr_elsewhere(self, iteration: int) -> Row:
        if iteration < 0:
            raise IterationOutOfRange(iteration, self.total_iterations)
        if iteration > self.total_iterations:
            iteration = self._end(iteration)
        index = self._windows.index(iteration)
        try:
            window = self._windows.get(index) or self._waited_for(index)
        except (ServiceUnavailable, RequestRefused) as error:
            return self._held(iteration, error)
        self._is_holding = False
        start = self._windows.start(index)
        self._current, self._others = (start, window.lrs), window.others
        return window.lrs[iteration - start]

    def _end(self, iteration: int) -> int:
        if self._options.strict:
            raise IterationOutOfRange(iteration, self.total_iterations)
        if not self._has_warned_of_end:
            self._has_warned_of_end = True
            _warn(
                f"iteration {iteration} is past the end of the schedule ({self.total_iterations}): holding its last LR"
            )
        return self.total_iterations

    def _waited_for(self, index: int) -> Window:
        """Waits once an outage: a loop that holds a value must not stand still at each iteration."""
        return self._windows.wait_for(index, 0 if self._is_holding else self._options.timeout_s)

    def _held(self, iteration: int, error: ServiceUnavailable | RequestRefused) -> Row:
        start, rows = self._current
        if not rows or self._options.on_outage == "raise":
            raise error
        if not self._is_holding:
            self._is_holding = True
            _warn(f"no LR for iteration {iteration}: holding the last known one ({error})")
        return rows[-1] if iteration >= start else rows[0]

    def _fetch(self, start: int, stop: int) -> Window:
        return with_retries(
            lambda: fetch_window(self._transport, self.id, start, stop, len(self.group_names), self._columns),
            self._options.timeout_s,
        )


def _warn(message: str) -> None:
    warnings.warn(message, UserWarning, stacklevel=5)  # the line that asked for an LR
