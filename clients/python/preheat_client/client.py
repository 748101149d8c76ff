"""The way to a Preheat service."""

import ssl
import weakref
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from preheat_client.configuration import Mode, Outage, configured
from preheat_client.connection import Connection
from preheat_client.document import Request
from preheat_client.feed import FetchedCurve
from preheat_client.opening import Opening
from preheat_client.schedule import Schedule
from preheat_client.status import State, Status


class Preheat:
    """A client of one service. Every argument that is not given comes from its environment variable, else its default.

    Args:
        url: address of the service, PREHEAT_URL.
        token: sent as `Authorization: Bearer …`.
        mode: "online"; "offline": snapshots only, no network; "disabled": a constant passes through.
        timeout_s: longest time of one request, and longest wait for an LR that has not arrived; 5.
        start_timeout_s: longest wait for the service when a schedule is opened; 10.
        snapshot_dir: folder of snapshots, for a start without the service.
        override_file: JSON file that wins over everything if it is there when a schedule is opened.
        on_outage: what becomes of an LR that never arrived: "hold" the last known one, or "raise".
        strict: whether a schedule raises IterationOutOfRange past its end, instead of holding its last LR.
        window: LRs fetched at a time; a schedule of up to 16 windows is kept whole; 65,536.
        proxy, ca_file, unix_socket, headers, ssl_context: as httpx has them.
        on_state_change: called with schedule and status, once a change of state, on the client's thread.

    Safe to use from several threads, and in the child of a fork. Pickles to its arguments.
    Raises ValueError, with name, value and rule, for an argument or a variable that is out of bounds.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        mode: Mode | None = None,
        timeout_s: float | None = None,
        start_timeout_s: float | None = None,
        snapshot_dir: str | None = None,
        override_file: str | None = None,
        on_outage: Outage | None = None,
        strict: bool | None = None,
        window: int | None = None,
        proxy: str | None = None,
        ca_file: str | None = None,
        unix_socket: str | None = None,
        headers: Mapping[str, str] | None = None,
        ssl_context: ssl.SSLContext | None = None,
        on_state_change: Callable[[Schedule, Status], None] | None = None,
    ) -> None:
        self._arguments = {name: value for name, value in locals().items() if name != "self" and value is not None}
        self._connection = Connection(configured(self._arguments))
        weakref.finalize(self, self._connection.close).atexit = False

    def create(self, spec: dict[str, Any], *, fallback: Any = None) -> Schedule:
        """The schedule of a spec; the same spec gives the same schedule, however often it is created.

        Comes from the override file if there is one, else from the service within `start_timeout_s`, else from the
        snapshot, else from `fallback`: a number, a list with an LR for each iteration, a simple spec
        (`preheat_client.local_curve`), or any of these by param group.

        Raises InvalidSpec with every rule it breaks, InvalidFallback, RequestRefused, ServiceUnavailable.
        """
        return self.opened(Request.of_spec(spec), fallback)

    def schedule(self, schedule_id: str, *, fallback: Any = None) -> Schedule:
        """The schedule with an id; found and refused as by `create`. Raises ScheduleNotFound if there is none."""
        return self.opened(Request(schedule_id=schedule_id), fallback)

    def opened(self, request: Request, fallback: Any, known: FetchedCurve | None = None) -> Schedule:
        """The schedule of a request; what is `known` of it makes asking needless."""
        schedule = Schedule(self, self._connection, request, fallback)
        if known is None:
            try:
                Opening(self._connection, schedule, fallback).run()
            except BaseException:
                schedule.feed.close()
                raise
        else:
            schedule.feed.reuse(known)
            schedule.feed.allow()
            schedule.adopt(known, State.STALE, "it was known where it was pickled")
        return schedule

    def close(self) -> None:
        """Ends thread and connections; schedules can still be read as far as they are in memory."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Preheat {self._connection.configuration.address}: {self._connection.configuration.mode}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _with_arguments, (self._arguments,)


def _with_arguments(arguments: dict[str, Any]) -> Preheat:
    return Preheat(**arguments)
