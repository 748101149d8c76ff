"""A schedule, read from memory by a training loop."""

import logging
import operator
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, Self

from preheat_client.connection import Connection
from preheat_client.document import Document, Request
from preheat_client.errors import IterationOutOfRange, ScheduleMismatch, ServiceUnavailable
from preheat_client.feed import Curve, FetchedCurve
from preheat_client.status import Health, State, Status
from preheat_client.windows import Row, Window

_LOG = logging.getLogger("preheat_client")
_AT_ONCE = 65_536

_View = tuple[int, Sequence[Row], Sequence[list[float]]]
_NOTHING: _View = (0, (), ())


class Opener(Protocol):
    """The client that a schedule was opened by, and is opened by again where it is unpickled."""

    def opened(self, request: Request, fallback: Any, known: FetchedCurve | None = None) -> "Schedule":
        """The schedule of a request."""


class Schedule:
    """A schedule of the service; made by `Preheat.create` and `Preheat.schedule`.

    Safe to read from several threads. Pickles to its client, its request, and what is known of it; a copy of it is
    itself.
    """

    def __init__(self, client: Opener, connection: Connection, request: Request, fallback: Any) -> None:
        self.request = request
        on_change = connection.configuration.on_state_change
        self.health = Health(
            request.name, connection.worker, None if on_change is None else lambda status: on_change(self, status)
        )
        self.feed = connection.feed(request, self.health, self._adopt_fetched)
        self._client, self._connection, self._fallback = client, connection, fallback
        self.known: Curve | None = None
        """What is read at present; another object once something else was adopted."""
        self._view: _View = _NOTHING
        self._is_holding = False
        self._has_said_end = False

    @property
    def document(self) -> Document:
        """What is said about the schedule, without its LRs."""
        return self._curve_in_use.document

    @property
    def id(self) -> str:
        """The schedule's id, the same everywhere for the same spec; empty while only a fallback is known."""
        return self.document.id or self.request.schedule_id or ""

    @property
    def spec(self) -> dict[str, Any]:
        """The normalised spec; that of the fallback, or an empty one, while only a fallback is known."""
        return self.document.spec

    @property
    def total_iterations(self) -> int:
        """Iterations of the run, warm-up included; LRs are defined for 0 … total_iterations.

        `sys.maxsize` while nothing but a constant is known.
        """
        return self.document.total_iterations

    @property
    def group_names(self) -> tuple[str, ...]:
        """Names of the param groups, in order."""
        return self.document.group_names

    @property
    def hyperparameter_columns(self) -> tuple[tuple[str, str], ...]:
        """Group and name of every hyperparameter besides the LR that has a schedule."""
        return self.document.hyperparameter_columns

    @property
    def status(self) -> Status:
        """Where the LRs come from, how old they are, and what went wrong last."""
        return self.health.status()

    def lr(self, iteration: int) -> float | list[float]:
        """The learning rate at `iteration`: a number for one param group, a list for several.

        Update n of a loop that counts from 1 runs at lr(n). A read from memory. An LR that has not arrived yet is
        waited for, at most `timeout_s`, while the service answers; if it does not, the last known LR is held. Past the
        end the last LR is held. Both are logged once.

        Raises IterationOutOfRange below 0, or past the end if `strict`; ServiceUnavailable or RequestRefused for an LR
        that did not arrive if `on_outage` is "raise", or if none was read before.
        """
        start, lrs, _ = self._view
        offset = iteration - start
        if 0 <= offset < len(lrs):
            return lrs[offset]
        return self._elsewhere(operator.index(iteration))[0]

    def hyperparameters(self, iteration: int) -> list[float]:
        """Values of the other hyperparameters at `iteration`, as `hyperparameter_columns` names them.

        Read, waited for, held and refused as `lr` is.
        """
        start, lrs, others = self._view
        offset = iteration - start
        if 0 <= offset < len(lrs):
            return others[offset] if others else []
        return self._elsewhere(operator.index(iteration))[1]

    def block(self, iteration: int, most: int) -> list[tuple[Row, list[float]]]:
        """LR and other hyperparameters of `iteration` and of those after it, up to `most`, that are in memory.

        The first is read as `lr` reads it; one that is held is alone.
        """
        first = (self.lr(iteration), self.hyperparameters(iteration))
        start, lrs, _ = self._view
        end = min(iteration - start + most, len(lrs))
        if not 0 <= iteration - start < end:
            return [first]
        return [_row(self._view, offset) for offset in range(iteration - start, end)]

    def lrs(self, start: int = 0, stop: int | None = None) -> Sequence[Row]:
        """Learning rates of iterations start … stop − 1, by default to the end: one entry (as of `lr`) each.

        What is not in memory is asked for. Raises IterationOutOfRange, ServiceUnavailable, RequestRefused.
        """
        stop = self.total_iterations + 1 if stop is None else stop
        for bound in (start, max(stop - 1, 0)):
            if not 0 <= bound <= self.total_iterations:
                raise IterationOutOfRange(bound, self.total_iterations)
        curve = self._curve_in_use
        rows: list[Row] = []
        while start < stop:
            window = curve.window(curve.layout.index(start)) or self._fetched(start, min(start + _AT_ONCE, stop))
            lrs = window.lrs
            end = min(stop - window.start, len(lrs))
            rows += [lrs[offset] for offset in range(start - window.start, end)]
            start = window.start + end
        return rows

    def plot(self, path: str | Path, **options: int | str) -> None:
        """Writes the schedule's picture to a file: SVG if its name ends so, else PNG.

        `options` are those of the route: width_px, height_px, scale, theme, start, stop, at.
        Raises ServiceUnavailable, RequestRefused.
        """
        name = "plot.svg" if Path(path).suffix.lower() == ".svg" else "plot.png"
        document = self.document
        picture = self._connection.asked(lambda: self._connection.service.picture(document, name, **options))
        Path(path).write_bytes(picture)

    @property
    def is_known(self) -> bool:
        """Whether there are LRs to read."""
        return self.known is not None

    def adopt(self, curve: Curve, state: State, reason: str) -> None:
        """Reads from this curve from now on. Raises ScheduleMismatch if it has other param groups than the last one."""
        before = self.known
        if before is not None and not curve.document.has_shape_of(before.document):
            raise ScheduleMismatch(
                f"the schedule has the param groups {', '.join(curve.document.group_names)}, the {before.source} in "
                f"use has {', '.join(before.document.group_names)}: it stays in use"
            )
        self.known = curve
        self._view = _NOTHING
        if curve.document.id is not None:
            self.health.name = f"schedule {curve.document.id}"
        self.health.become(state, curve.source, reason)

    def _adopt_fetched(self, curve: FetchedCurve) -> None:
        self.adopt(curve, State.READY, "it has arrived")

    def __repr__(self) -> str:
        return f"<{self.health.name}: {self.health.state} ({self.health.source})>"

    def __reduce__(self) -> tuple[Any, ...]:
        known = self.known if isinstance(self.known, FetchedCurve) else None
        return _again, (self._client, self.request, self._fallback, known)

    def __deepcopy__(self, _memo: dict[int, Any]) -> Self:
        return self

    @property
    def _curve_in_use(self) -> Curve:
        if self.known is None:
            raise ServiceUnavailable(f"nothing is known of {self.request.name}")
        return self.known

    def _elsewhere(self, iteration: int) -> tuple[Row, list[float]]:
        """LR and other hyperparameters of an iteration that is not in view."""
        curve = self._curve_in_use
        last = curve.document.total_iterations
        if iteration < 0:
            raise IterationOutOfRange(iteration, last)
        if iteration > last:
            self._say_end(iteration, last)
            iteration = last
        self.feed.focus(iteration)
        window = curve.window(curve.layout.index(iteration)) or self._waited_for(curve, iteration)
        if window is None:
            return self._held(iteration)
        if self._is_holding:
            self._let_go(curve)
        self._view = view = (window.start, window.lrs, window.others)
        if self.known is not curve:  # another one was adopted in the meantime
            self._view = _NOTHING
        return _row(view, iteration - window.start)

    def _fetched(self, start: int, stop: int) -> Window:
        document = self.document
        return self._connection.asked(lambda: self._connection.service.window(document, start, stop))

    def _say_end(self, iteration: int, last: int) -> None:
        if self._connection.configuration.strict:
            raise IterationOutOfRange(iteration, last)
        if not self._has_said_end:
            self._has_said_end = True
            _LOG.warning(
                "%s: iteration %d is past the end (%d): holding the last LR", self.health.name, iteration, last
            )

    def _waited_for(self, curve: Curve, iteration: int) -> Window | None:
        """The window of an iteration if it arrives in time; who may hold a value does not wait in an outage."""
        configuration = self._connection.configuration
        index = curve.layout.index(iteration)
        if configuration.on_outage == "raise":
            self.feed.hurry()
        elif not self.feed.is_answering:
            return None
        feed = self.feed
        feed.wait(lambda: curve.window(index) is not None or not feed.is_answering, configuration.timeout_s)
        return curve.window(index)

    def _held(self, iteration: int) -> tuple[Row, list[float]]:
        start, lrs, _ = self._view
        if not lrs or self._connection.configuration.on_outage == "raise":
            raise self.feed.error or ServiceUnavailable(f"no LR for iteration {iteration}")
        if not self._is_holding:
            self._is_holding = True
            why = self.feed.error or "it has not arrived"
            self.health.become(State.FALLBACK, "held", f"no LR for iteration {iteration}, holding the last one: {why}")
        self.health.count("held")
        return _row(self._view, len(lrs) - 1 if iteration >= start else 0)

    def _let_go(self, curve: Curve) -> None:
        self._is_holding = False
        state = State.READY if self.feed.is_answering else State.STALE
        self.health.become(state, curve.source, "the LRs have arrived")


def _row(view: _View, offset: int) -> tuple[Row, list[float]]:
    _, lrs, others = view
    return lrs[offset], others[offset] if others else []


def _again(client: Opener, request: Request, fallback: Any, known: FetchedCurve | None) -> Schedule:
    """A schedule that was pickled: what was known needs no network, anything else is opened anew."""
    return client.opened(request, fallback, known)
