"""Client of a Preheat service: opens schedules, from override file, service, snapshot, spec or fallback, and runs."""

import os
import weakref
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from preheat_client._core.configuration import Mode, Outage, configuration_rows, configured
from preheat_client._core.curve import FetchedCurve
from preheat_client._core.request import Request
from preheat_client._core.session import Session
from preheat_client._core.startup import Startup
from preheat_client._runs.answers import Change, Restart
from preheat_client._runs.heartbeat import Speakers, options_of
from preheat_client._runs.news import check_callbacks
from preheat_client._runs.processes import processes_of
from preheat_client.errors import ServiceUnavailable
from preheat_client.run import Run
from preheat_client.schedule import Schedule
from preheat_client.status import State

if TYPE_CHECKING:
    import ssl


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
        on_state_change: Callable[[Any, Any], None] | None = None,
    ) -> None:
        # What was said, and not what came of it: a client that is unpickled elsewhere reads that environment.
        self._arguments = {name: value for name, value in locals().items() if name != "self" and value is not None}
        self._session = Session(configured(self._arguments))
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

    def run(
        self,
        label: str,
        spec: Mapping[str, Any],
        *,
        speakers: Speakers = "one",
        take_over: bool = False,
        patience_s: float = 300.0,
        group: Any = None,
        on_change: Callable[[Run, Change], object] | None = None,
        on_restart: Callable[[Run, Restart], object] | None = None,
    ) -> Run:
        """The living run of a label, made of a spec if there is none: the same call on every rank and after a restart.

        Args:
            label: names the run among those that are not finished.
            spec: as for `create`; a run of the label with another spec is refused.
            speakers: "one": the only process, or rank 0 of torch.distributed, asks the service and tells the others.
                "all": every process asks, for jobs without a process group; then none goes on without the service.
            take_over: attach even while another process that trains the run is alive, which then raises RunSuperseded.
            patience_s: longest wait where the run cannot go on: to attach, and with many speakers for each LR.
            group: process group of torch.distributed; by default all ranks.
            on_change: called with the run and what has changed, on the client's thread.
            on_restart: called with the run and the restart that a person asks for, on the client's thread.

        Raises RunDiffers, which has both specs' differences, InvalidSpec, RequestRefused; ServiceUnavailable after
        `start_timeout_s`: a run's LRs are the service's alone; for the same reason InvalidFallback where there is an
        override file, instead of which people change the run. TypeError for an argument of another type; ValueError for
        a client that is not online, and for many speakers whose launcher (torchelastic, SLURM) does not say which job
        they are.
        """
        from preheat_client._runs.opening import Opening  # noqa: PLC0415 - with a run, as formulas

        if not isinstance(label, str) or not isinstance(spec, Mapping):
            raise TypeError(
                f"run(label, spec): label ({label!r:.80}) must be a string, and spec ({spec!r:.80}) a mapping"
            )
        check_callbacks(on_change=on_change, on_restart=on_restart)
        session, processes = self._session, processes_of(os.environ)
        options = options_of(speakers, take_over, patience_s, session.configuration.timeout_s, processes)
        if session.api is None:
            raise ValueError(
                f"mode ({session.configuration.mode}) must be online for a run: create(spec) needs no service"
            )
        if session.is_closed:
            raise ServiceUnavailable("the client is closed")
        named = {"speakers": speakers, "take_over": take_over, "patience_s": patience_s, "group": group}
        reopen = partial(self.run, label, dict(spec), **named, on_change=on_change, on_restart=on_restart)
        opening = Opening(
            label,
            Request.of_spec(spec),
            options,
            processes,
            group,
            session.configuration,
            session.api,
            session.worker,
            self._revision,
            lambda: session.is_closed,
            reopen,
        )
        run = Run(opening.open(), on_change, on_restart)
        session.add(run)
        return run

    def close(self) -> None:
        """Says goodbye to runs, and ends thread and connections.

        Schedules can still be read as far as they are in memory.
        """
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
            Startup(session, prefetch, stand_ins).run()
        except BaseException:  # KeyboardInterrupt too: its traceback keeps the prefetch alive, which would ask on
            prefetch.close()
            raise
        return schedule

    def _revision(self, schedule_id: str, is_waited_for: bool) -> Schedule:
        """The schedule of a revision of a run, which nothing of this process's may stand in for."""
        from preheat_client._core.stand_in import StandIns  # noqa: PLC0415 - as above

        session, request = self._session, Request.of_id(schedule_id)
        stand_ins, prefetch = StandIns(request, None), session.prefetch(request)
        quiet = replace(session.configuration, on_state_change=None)  # it is told of the run
        schedule = Schedule(self._open, quiet, prefetch, stand_ins, None)
        if not is_waited_for:
            prefetch.start()
        elif not (startup := Startup(session, prefetch, stand_ins)).from_service():
            prefetch.close()
            raise startup.error()
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
