"""Schedule: the LR of each iteration, read from memory by a training loop."""

import logging
import operator
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from preheat_client._core.configuration import Configuration
from preheat_client._core.curve import UNKNOWN, Curve, Described, FetchedCurve, Row, View, Window
from preheat_client._core.findings import Finding
from preheat_client._core.prefetch import NO_VIEW, Prefetch
from preheat_client.errors import IterationOutOfRange, PreheatError, ServiceUnavailable
from preheat_client.status import State, Status

if TYPE_CHECKING:
    from preheat_client._core.stand_in import StandIns

__all__ = ["ReadableSchedule", "Schedule"]

_LOG = logging.getLogger("preheat_client")
_AT_ONCE = 65_536
_LONGEST_TABLE = 10_000_000


class ReadableSchedule(Protocol):
    """What every adapter takes: a `Schedule`, one that ranks share (`preheat_client.distributed`), or one of your own.

    One of your own has the same param groups and hyperparameters during a whole run.
    """

    @property
    def id(self) -> str:
        """The schedule's id."""

    @property
    def spec(self) -> dict[str, Any]:
        """The normalised spec."""

    @property
    def total_iterations(self) -> int:
        """Iterations of the run, warm-up included."""

    @property
    def group_names(self) -> tuple[str, ...]:
        """Names of the param groups, in order."""

    @property
    def hyperparameter_columns(self) -> tuple[tuple[str, str], ...]:
        """Group and name of every other hyperparameter."""

    def lr(self, iteration: int) -> Row:
        """The learning rate at an iteration."""

    def hyperparameters(self, iteration: int) -> list[float]:
        """Values of the other hyperparameters there."""

    def lrs(self, start: int = 0, stop: int | None = None) -> Sequence[Row]:
        """Learning rates of iterations start … stop − 1, by default to the end."""


class Schedule(Described):
    """A schedule of the service; made by `Preheat.create` and `Preheat.schedule`.

    Safe to read from several threads. Pickles to its client, its request, and what is known of it; a copy of it is
    itself.
    """

    def __init__(
        self,
        reopen: Callable[..., "Schedule"],
        configuration: Configuration,
        prefetch: Prefetch,
        stand_ins: "StandIns",
        fallback: Any,
    ) -> None:
        self._reopen, self._configuration, self._fallback = reopen, configuration, fallback
        self._prefetch = self._known = prefetch
        self._stand_ins = stand_ins
        self._stood_in: tuple[int, Row] | None = None
        self._has_logged_end = False
        on_change = configuration.on_state_change
        if on_change is not None:
            prefetch.health.on_change = lambda status: on_change(self, status)

    @property
    def status(self) -> Status:
        """Where the LRs come from, how old they are, and what went wrong last."""
        return self._prefetch.health.status()

    @property
    def lint(self) -> tuple[Finding, ...]:
        """What lint says of the schedule, the most severe first; asked for once. Warnings are logged when it is opened.

        Raises ServiceUnavailable, RequestRefused.
        """
        if self._prefetch.findings is None:
            metadata = self._curve.metadata
            self._prefetch.findings = self._prefetch.ask(lambda api: api.findings(metadata))
        return self._prefetch.findings

    def lr(self, iteration: int) -> float | list[float]:
        """The learning rate at `iteration`: a number for one param group, a list for several.

        Update n of a loop that counts from 1 runs at lr(n). A read from memory. An LR that has not arrived yet is
        waited for, at most `timeout_s`, while the service answers; if it does not, it is computed from a plain spec,
        else the fallback's, else the nearest known LR is held. Past the end the last LR is held. All are logged once.

        Raises IterationOutOfRange below 0, or past the end if `strict`; ServiceUnavailable or RequestRefused for an LR
        that would be held if `on_outage` is "raise".
        """
        start, lrs, _ = self._prefetch.view  # one tuple, so that another thread's change is seen whole or not at all
        try:
            offset = iteration - start
            if 0 <= offset < len(lrs):
                return lrs[offset]
        except TypeError:  # 2.5, "3": said below, by its name
            pass
        return self._elsewhere(whole_number(iteration))[0]

    def hyperparameters(self, iteration: int) -> list[float]:
        """Values of the other hyperparameters at `iteration`, as `hyperparameter_columns` names them.

        Read, waited for, held and refused as `lr` is.
        """
        iteration = whole_number(iteration)
        start, lrs, others = self._prefetch.view
        offset = iteration - start
        if 0 <= offset < len(lrs):
            return others[offset] if others else []
        return self._elsewhere(iteration)[1]

    def lrs(self, start: int = 0, stop: int | None = None) -> Sequence[Row]:
        """Learning rates of iterations start … stop − 1, by default to the end: one entry (as of `lr`) each.

        What is not in memory is asked for. Raises IterationOutOfRange, ServiceUnavailable, RequestRefused; ValueError
        without `stop` while nothing but a constant is known, which has no end.
        """
        if stop is None and self.total_iterations == UNKNOWN:
            raise ValueError("stop is required: total_iterations is not known while the LR is a constant fallback")
        start = whole_number(start, "start")
        stop = self.total_iterations + 1 if stop is None else whole_number(stop, "stop")
        for bound in (start, max(stop - 1, 0)):  # stop is exclusive; an empty window is valid anywhere
            if not 0 <= bound <= self.total_iterations:
                raise IterationOutOfRange(bound, self.total_iterations)
        curve = self._curve
        rows: list[Row] = []
        while start < stop:
            # Fetched ones are not kept: a table that is read once must not displace what the loop needs.
            window = curve.window(curve.index(start)) or self._fetched(start, min(start + _AT_ONCE, stop))
            lrs = window.lrs
            end = min(stop - window.start, len(lrs))
            rows += [lrs[offset] for offset in range(start - window.start, end)]
            start = window.start + end
        return rows

    def plot(self, path: str | Path, **options: int | str) -> None:
        """Writes the schedule's picture to a file, whose name ends in .png or .svg.

        `options` are those of the route: width_px, height_px, scale, theme, start, stop, at.
        Raises ValueError for any other name, ServiceUnavailable, RequestRefused.
        """
        suffix = Path(path).suffix.lower()
        if suffix not in {".png", ".svg"}:
            raise ValueError(f"path ({path}) must end in .png or .svg")
        Path(path).write_bytes(self._picture(f"plot{suffix}", **options))

    def _repr_svg_(self) -> str | None:
        """The picture that a notebook shows; None, which makes it show the text, if the service does not give one."""
        try:
            return self._picture("plot.svg").decode()
        except (PreheatError, UnicodeDecodeError) as error:
            _LOG.debug("%s: no picture: %s", self._prefetch.health.name, error)
            return None

    def _picture(self, name: str, **options: int | str) -> bytes:
        metadata = self._curve.metadata
        return self._prefetch.ask(lambda api: api.picture(metadata, name, **options))

    def _block(self, iteration: int, longest: int) -> list[tuple[Row, list[float]]]:
        """LR and other hyperparameters of `iteration` and of those after it, up to `longest`, that are in memory.

        The first is read as `lr` reads it; one that is held is alone.
        """
        first = (self.lr(iteration), self.hyperparameters(iteration))  # which brings the window into view
        view = start, lrs, _ = self._prefetch.view
        end = min(iteration - start + longest, len(lrs))
        if not 0 <= iteration - start < end:
            return [first]
        return [_row(view, offset) for offset in range(iteration - start, end)]

    def _exact(self, start: int, stop: int) -> Window | None:
        """Its own values of iterations start … stop − 1, past its end too; None where they are not known exactly."""
        curve = self._prefetch.curve
        if curve is None or curve.source not in {"service", "snapshot", "computed"}:
            return None
        self._prefetch.focus(min(start, curve.metadata.total_iterations))
        values, metadata = array("d"), curve.metadata
        for iteration in range(start, stop):
            place = min(iteration, metadata.total_iterations)
            row = curve.row(place)
            if row is None and (computed := self._stand_ins.of_schedule(metadata)) is not None:
                row = computed.row(place)
            if row is None:
                return None
            lrs, others = row
            values.extend([lrs, *others] if isinstance(lrs, float) else [*lrs, *others])
        return Window(start, values, len(metadata.group_names), metadata.columns)

    @property
    def _curve(self) -> Curve:
        curve = self._prefetch.curve
        if curve is None:
            raise ServiceUnavailable(f"nothing is known of {self._prefetch.request.name}")
        return curve

    def _elsewhere(self, iteration: int) -> tuple[Row, list[float]]:
        """LR and other hyperparameters of an iteration that is not in view."""
        prefetch, curve = self._prefetch, self._curve
        last = curve.metadata.total_iterations
        if iteration < 0:
            raise IterationOutOfRange(iteration, last)
        if iteration > last:
            self._log_end(iteration, last)
            iteration = last
        prefetch.focus(iteration)  # before it is looked for: what is missing is on its way while this thread waits
        window = curve.window(curve.index(iteration))
        if window is None:
            if self._configuration.on_outage == "raise":
                prefetch.ask_now()
            window = self._waited_for(curve, iteration)
            if window is None:
                return self._with_stand_in(curve, iteration)
        if self._stood_in is not None:
            self._end_stand_in(curve, *self._stood_in)
        prefetch.view = view = (window.start, window.lrs, window.others)
        if prefetch.curve is not curve:  # another one was adopted in the meantime
            prefetch.view = NO_VIEW
        return _row(view, iteration - window.start)

    def _fetched(self, start: int, stop: int) -> Window:
        metadata = self._curve.metadata
        try:
            return self._prefetch.ask(lambda api: api.window(metadata, start, stop))
        except ServiceUnavailable:
            computed = self._stand_ins.of_schedule(metadata) if self._configuration.on_outage == "hold" else None
            part = None if computed is None else computed.part(start, stop)
            if part is None:
                raise
            return part

    def _log_end(self, iteration: int, last: int) -> None:
        if self._configuration.strict:
            raise IterationOutOfRange(iteration, last)
        if not self._has_logged_end:
            self._has_logged_end = True
            name = self._prefetch.health.name
            _LOG.warning("%s: iteration %d is past the end (%d): holding the last LR", name, iteration, last)

    def _waited_for(self, curve: Curve, iteration: int) -> Window | None:
        """The window of an iteration if it arrives in time; an outage is not waited for."""
        prefetch, index = self._prefetch, curve.index(iteration)
        timeout_s = self._configuration.timeout_s
        if prefetch.is_answering:
            prefetch.wait(lambda: curve.window(index) is not None or not prefetch.is_answering, timeout_s)
        return curve.window(index)

    def _with_stand_in(self, curve: Curve, iteration: int) -> tuple[Row, list[float]]:
        """LR and other hyperparameters of what stands in for an iteration."""
        prefetch = self._prefetch
        stand_in = self._stand_ins.find(curve, iteration) if self._configuration.on_outage == "hold" else None
        if stand_in is None:
            raise prefetch.error or ServiceUnavailable(f"no LR for iteration {iteration}")
        reason = f"{stand_in.reason}: {prefetch.why_missing}"
        prefetch.health.become(stand_in.state, stand_in.source, reason)  # said once an outage
        if stand_in.source == "held":
            prefetch.health.count("held")
        self._stood_in = iteration, stand_in.row[0]
        prefetch.view = NO_VIEW  # so that the next LR that is known ends it
        return stand_in.row

    def _end_stand_in(self, curve: Curve, iteration: int, lr: Row) -> None:
        self._stood_in = None
        health, known = self._prefetch.health, curve.row(iteration)
        if known is not None and known[0] != lr:
            _LOG.warning("%s: the LR of iteration %d is %s, and was %s", health.name, iteration, known[0], lr)
        state = State.READY if curve.source == "service" and health.is_answered else State.STALE
        health.become(state, curve.source, "the LRs have arrived")

    def __repr__(self) -> str:
        health = self._prefetch.health
        return f"<{health.name}: {health.state} ({health.source})>"

    def __reduce__(self) -> tuple[Any, ...]:
        """What was known where it was pickled needs no network; anything else is opened again."""
        curve = self._prefetch.curve
        known = curve if isinstance(curve, FetchedCurve) else None
        return self._reopen, (self._prefetch.request, self._fallback, known)

    def __deepcopy__(self, _memo: dict[int, Any]) -> Self:
        return self  # frameworks copy schedulers, and a copy must not open a second schedule


def check_readable(schedule: object) -> None:
    """Raises TypeError for what has no LRs to read, such as a spec that was not posted, or an id."""
    if not callable(getattr(schedule, "lr", None)):
        raise TypeError(
            f"schedule ({type(schedule).__name__}) is not a schedule: Preheat().create(spec) or .schedule(id) gives one"
        )


def whole_number(value: Any, name: str = "iteration") -> int:
    """A whole number of any library as Python's own. Raises TypeError, with name and value, for anything else."""
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} ({value!r:.80}) must be a whole number") from None


def lr_table(schedule: ReadableSchedule) -> list[float]:
    """LRs of iterations 0 … total_iterations, for frameworks that compile a table into the training step.

    Raises ValueError for a run, and for a schedule of several param groups or of more than 10,000,000 iterations, which
    are to be set update by update; what `Schedule.lrs` raises.
    """
    check_one_group(schedule)
    if getattr(schedule, "is_live", False):
        raise ValueError("a run must not be compiled into a table: its LRs may change. Set the LR of each update")
    if schedule.total_iterations > _LONGEST_TABLE:
        raise ValueError(
            f"total_iterations ({schedule.total_iterations}) must not exceed {_LONGEST_TABLE} for a compiled schedule: "
            "set the LR of each update instead"
        )
    lrs: list[Any] = list(schedule.lrs())
    return lrs


def check_one_group(schedule: ReadableSchedule) -> None:
    """Raises ValueError for a schedule of several param groups, where the framework has one LR; TypeError for none."""
    check_readable(schedule)
    if len(schedule.group_names) > 1:
        raise ValueError(f"param_groups ({', '.join(schedule.group_names)}) must be one: there is one LR to set")


def _row(view: View, offset: int) -> tuple[Row, list[float]]:
    _, lrs, others = view
    return lrs[offset], others[offset] if others else []
