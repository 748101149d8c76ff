"""Client of a Preheat service: opens schedules, from override file, service, snapshot, spec or fallback."""

import logging
import os
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from preheat_client._core.configuration import Configuration, Mode, Outage, configuration_rows, configured
from preheat_client._core.curve import FetchedCurve
from preheat_client._core.prefetch import Prefetch
from preheat_client._core.request import Request
from preheat_client._core.worker import Result, Worker, run_in_thread
from preheat_client.errors import (
    InvalidFallback,
    InvalidSpec,
    PreheatError,
    RequestRefused,
    ServiceUnavailable,
    VersionMismatch,
)
from preheat_client.schedule import Schedule
from preheat_client.status import State, Status

if TYPE_CHECKING:
    import ssl

    from preheat_client._core.local_curve import LocalCurve
    from preheat_client._core.stand_in import StandIns

_LOG = logging.getLogger("preheat_client")
_CLOSING_S = 1.0
_QUIET_S = 2.0
_WAYS_OUT = (
    "Start the service (`preheat serve`) or name it (PREHEAT_URL); "
    "a job with a snapshot of the schedule (snapshot_dir) or a fallback can start without it."
)


class Preheat:
    """A client of one service. Every argument that is not given comes from its environment variable, else its default.

    Safe to use from several threads, and in the child of a fork. Pickles to its arguments.
    Raises TypeError, with name, value and rule, for an argument of another type, ValueError for an argument or a
    variable that is out of bounds.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        mode: Mode | None = None,
        timeout_s: float | None = None,
        start_timeout_s: float | None = None,
        snapshot_dir: str | os.PathLike[str] | None = None,
        override_file: str | os.PathLike[str] | None = None,
        on_outage: Outage | None = None,
        strict: bool | None = None,
        window: int | None = None,
        proxy: str | None = None,
        ca_file: str | os.PathLike[str] | None = None,
        unix_socket: str | os.PathLike[str] | None = None,
        headers: Mapping[str, str] | None = None,
        ssl_context: "ssl.SSLContext | None" = None,
        on_state_change: Callable[[Schedule, Status], None] | None = None,
    ) -> None:
        # What was said, and not what came of it: a client that is unpickled elsewhere reads that environment.
        self._arguments = {name: value for name, value in locals().items() if name != "self" and value is not None}
        self._session = _Session(configured(self._arguments))
        # A client that is only dropped ends its thread; an exit waits for nothing, and leaves the daemon thread.
        weakref.finalize(self, self._session.close).atexit = False

    def create(self, spec: Mapping[str, Any], *, fallback: Any = None) -> Schedule:
        """The schedule of a spec; the same spec gives the same schedule, however often it is created.

        Comes from the override file if there is one, else from the service within `start_timeout_s`, else from the
        snapshot, else computed from the spec if that is a plain one, else from `fallback`: a number, a list with an LR
        for each iteration, a plain spec, or any of these by param group. A plain spec has durations in iterations and
        schedulers of one formula; what is computed of it is the schedule, bit for bit. Numbers in both may be scalars
        and arrays of numpy, torch or JAX.

        Raises InvalidSpec with every rule it breaks, InvalidFallback, RequestRefused, ServiceUnavailable; TypeError,
        which names the field, for a value that JSON does not have.
        """
        return self._open(Request.of_spec(spec), fallback)

    def schedule(self, schedule_id: str, *, fallback: Any = None) -> Schedule:
        """The schedule with an id; found and refused as by `create`. Raises ScheduleNotFound if there is none.

        Raises ValueError at once for what is not of an id's form, 32 hexadecimal digits.
        """
        return self._open(Request.of_id(schedule_id), fallback)

    def close(self) -> None:
        """Ends thread and connections; schedules can still be read as far as they are in memory."""
        self._session.close()

    def _open(self, request: Request, fallback: Any, known: FetchedCurve | None = None) -> Schedule:
        """Opens the schedule of a request; what is `known` of it, where it was pickled, makes asking needless."""
        # Not with this module: the formulas of an outage take longer to import than the rest.
        from preheat_client._core.stand_in import StandIns  # noqa: PLC0415

        session = self._session
        stand_ins = StandIns(request, fallback)
        prefetch = session.prefetch(request)
        schedule = Schedule(self._open, session.configuration, prefetch, stand_ins, fallback)
        if known is not None:
            prefetch.reuse(known)
            prefetch.allow()
            prefetch.adopt(known, State.STALE, "it was known where it was pickled")
            return schedule
        if session.is_closed:  # its thread would never answer
            raise ServiceUnavailable("the client is closed")
        try:
            _Startup(session, prefetch, stand_ins).run()
        except BaseException:  # KeyboardInterrupt too: its traceback keeps the prefetch alive, which would ask on
            prefetch.close()
            raise
        return schedule

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Preheat {self._session.configuration.address}: {self._session.configuration.mode}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(Preheat, **self._arguments), ()


# The arguments are documented once, in the configuration; help(Preheat) and the reference show the same rows.
Preheat.__doc__ = f"{Preheat.__doc__}\nArgs:\n" + "\n".join(
    f"    {name}: {about}{f' {variable}' if variable else ''}{f', default {default}' if default else ''}"
    for name, variable, default, about in configuration_rows()
)


class _Session:
    """What all schedules of a client share: one thread, one way to the service, one folder of snapshots."""

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self.is_closed = False
        self.api = self.snapshots = None
        # Not with this module: httpcore takes as long as all else. Not on the client's thread: the child of a fork that
        # happens meanwhile could never import it.
        if configuration.mode == "online":
            from preheat_client._core.api import Api  # noqa: PLC0415

            self.api = Api(configuration)
        if configuration.snapshot_dir:
            from preheat_client._core.snapshots import Snapshots  # noqa: PLC0415

            self.snapshots = Snapshots(Path(configuration.snapshot_dir), configuration.address)
        self._prefetches: weakref.WeakSet[Prefetch] = weakref.WeakSet()
        on_idle = (lambda: None) if self.api is None else self.api.disconnect
        self._worker = Worker(on_idle, on_fork=self._after_fork)

    def prefetch(self, request: Request) -> Prefetch:
        """A new prefetch of the schedule of a request."""
        prefetch = Prefetch(request, self.configuration, self.api, self._worker, self.snapshots)
        self._prefetches.add(prefetch)
        return prefetch

    def close(self) -> None:
        """Ends the thread and all connections, requests under way included."""
        self.is_closed = True
        for prefetch in list(self._prefetches):  # first, so that the request that is cut is no failure
            prefetch.close()
        self._worker.close()
        if self.api is not None:
            self.api.close()
        self._worker.join(_CLOSING_S)

    def _after_fork(self) -> None:
        if self.api is not None:
            self.api.forget()
        for prefetch in list(self._prefetches):
            prefetch.renew()


@dataclass(frozen=True)
class _Startup:
    """One start of a schedule; every step is bounded in time, whatever disk and network do."""

    session: _Session
    prefetch: Prefetch
    stand_ins: "StandIns"

    def run(self) -> None:
        """Goes through the steps until one gives a curve.

        Raises InvalidFallback for an override file without LRs, InvalidSpec for a spec that the service
        refuses, RequestRefused or ServiceUnavailable if no step gives anything.
        """
        configuration, adopt = self.session.configuration, self.prefetch.adopt
        fallback = self.stand_ins.fallback
        if configuration.mode == "disabled":
            adopt(fallback or self._constant(), State.FALLBACK, "the client is disabled")
        elif (override := self._override()) is not None:
            adopt(override, State.FALLBACK, f"{configuration.override_file} is there")
        elif configuration.mode == "offline" or not self._from_service():
            error = self._error()
            reason = "mode is offline" if configuration.mode == "offline" else str(error)
            if (saved := self._snapshot()) is not None:
                adopt(saved, State.STALE, reason)
            elif (computed := self._computed(error)) is not None:
                adopt(computed, State.STALE, f"{reason}; the client computes the spec")
            elif fallback is not None:
                adopt(fallback, State.FALLBACK, reason)
            else:
                if isinstance(error, ServiceUnavailable) and not isinstance(error, VersionMismatch):
                    error.add_note(_WAYS_OUT)
                raise error

    def _computed(self, error: PreheatError) -> "LocalCurve | None":
        # Not where the service refuses: that is no outage, but something to be put right.
        is_outage = isinstance(error, ServiceUnavailable) and self.session.configuration.on_outage == "hold"
        return self.stand_ins.of_request() if is_outage else None

    def _constant(self) -> "LocalCurve":
        """The constant that a disabled client passes through: the spec's target LR."""
        target_lr = self.prefetch.request.spec_dict.get("target_lr")
        if target_lr is None:
            raise InvalidFallback("a disabled client needs a spec with target_lr, or a fallback, for its constant")
        return self.stand_ins.of_value(target_lr)

    def _override(self) -> "LocalCurve | None":
        name = self.session.configuration.override_file
        if not name:
            return None
        try:
            return self._from_disk(lambda: self.stand_ins.of_file(Path(name)))
        except FileNotFoundError:
            return None
        except (OSError, ServiceUnavailable) as error:
            raise InvalidFallback(f"{name} cannot be read: {error}") from error

    def _from_service(self) -> bool:
        """Whether a curve has arrived; waits for one as long as waiting may help."""
        prefetch, configuration = self.prefetch, self.session.configuration

        def has_come() -> bool:
            return prefetch.curve is not None or isinstance(prefetch.error, RequestRefused | VersionMismatch)

        prefetch.start()
        quiet_s = min(_QUIET_S, configuration.start_timeout_s)
        prefetch.wait(has_come, quiet_s)
        more_s = configuration.start_timeout_s - quiet_s
        if more_s and not has_come():
            why = prefetch.error or "no answer yet"
            _LOG.warning("%s: waiting %g s more for %s: %s", prefetch.request.name, more_s, configuration.address, why)
            prefetch.wait(has_come, more_s)
        if isinstance(prefetch.error, InvalidSpec):
            raise prefetch.error
        return prefetch.curve is not None

    def _error(self) -> PreheatError:
        if self.prefetch.error is not None:
            return self.prefetch.error
        configuration, name = self.session.configuration, self.prefetch.request.name
        if configuration.mode == "offline":
            place = f"in {configuration.snapshot_dir}" if configuration.snapshot_dir else "without a snapshot_dir"
            return ServiceUnavailable(f"mode is offline, and there is no snapshot of {name} {place}")
        return ServiceUnavailable(f"no answer from {configuration.address} in {configuration.start_timeout_s:g} s")

    def _snapshot(self) -> FetchedCurve | None:
        snapshots, prefetch = self.session.snapshots, self.prefetch
        if snapshots is None:
            return None
        try:
            saved = self._from_disk(lambda: snapshots.read(prefetch.request))
        except ServiceUnavailable:  # the disk takes its time
            return None
        if saved is None or not saved[0].windows():
            return None
        curve, saved_at = saved
        prefetch.health.saved_at(saved_at)
        prefetch.reuse(curve)
        if isinstance(prefetch.error, RequestRefused) and prefetch.request.spec is None:
            prefetch.ask_now()  # a service that has lost the schedule can be given it, now that its spec is known
        return curve

    def _from_disk(self, question: Callable[[], Result]) -> Result:
        """Not on the client's thread: it may be waiting for a name to be looked up, which nothing bounds."""
        return run_in_thread(question, self.session.configuration.timeout_s)
