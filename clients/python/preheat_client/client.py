"""The way to a Preheat service."""

import os
from types import TracebackType
from typing import Any, Self

import httpx

from preheat_client.errors import ServiceUnavailable
from preheat_client.schedule import Outage, ReadingOptions, Schedule
from preheat_client.transport import Transport, with_retries


class Preheat:
    """A client of one service.

    Args:
        url: address of the service; by default the environment variable PREHEAT_URL.
        timeout_s: longest wait for an answer that is needed now.
        on_outage: what a schedule does when it needs a value that never arrived: "hold" the last known one, with one
            warning, or "raise" ServiceUnavailable.
        strict: whether a schedule raises IterationOutOfRange past its end, instead of holding its last LR.
        window: iterations that a schedule of more than 100,000 fetches at a time.
        transport: an httpx transport, for a proxy, a unix socket or a certificate authority of your own.

    Raises ValueError if there is no address, or an argument is out of bounds.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        timeout_s: float = 5.0,
        on_outage: Outage = "hold",
        strict: bool = False,
        window: int = 1024,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        address = url or os.environ.get("PREHEAT_URL")
        if not address:
            raise ValueError("url is required: give it, or set PREHEAT_URL")
        if not address.startswith(("http://", "https://")):
            raise ValueError(f"url ({address!r}) must start with http:// or https://")
        if on_outage not in {"hold", "raise"}:
            raise ValueError(f'on_outage ({on_outage!r}) must be "hold" or "raise"')
        if timeout_s <= 0:
            raise ValueError(f"timeout_s ({timeout_s}) must be > 0")
        if window < 1:
            raise ValueError(f"window ({window}) must be ≥ 1")
        self._options = ReadingOptions(timeout_s, on_outage, strict, window)
        self._transport = Transport(address, timeout_s, transport)
        self._schedules: list[Schedule] = []

    def create(self, spec: dict[str, Any]) -> Schedule:
        """The schedule of a spec; the same spec gives the same schedule, however often it is created.

        Raises InvalidSpec with every rule it breaks, ServiceUnavailable if there is no answer within `timeout_s`.
        """
        return self._schedule(lambda: self._transport.post_json("/v1/schedules", spec, start=0, stop=0))

    def schedule(self, schedule_id: str) -> Schedule:
        """The schedule with an id. Raises ScheduleNotFound, ServiceUnavailable."""
        return self._schedule(lambda: self._transport.get_json(f"/v1/schedules/{schedule_id}"))

    def close(self) -> None:
        """Ends all threads and connections; schedules can still be read as far as they are in memory."""
        for schedule in self._schedules:
            schedule.close()
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _schedule(self, request: Any) -> Schedule:
        answer = with_retries(request, self._options.timeout_s)
        try:
            schedule = Schedule(self._transport, answer, self._options)
        except (KeyError, TypeError) as error:
            raise ServiceUnavailable(f"the service answered something that is not a schedule ({error!r})") from error
        self._schedules.append(schedule)
        return schedule
