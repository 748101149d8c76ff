"""Status of a schedule: where its LRs come from, and how well its service is."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, Literal

from preheat_client.errors import is_retryable

__all__ = ["Counters", "Source", "State", "Status"]

_LOG = logging.getLogger("preheat_client")

Source = Literal["service", "snapshot", "override", "computed", "fallback", "held", "none"]


class State(StrEnum):
    """What an LR is worth.

    READY: the schedule's, and the service answered when it was last asked for it. (A schedule that is in memory as a
    whole is not asked for again.) STALE: the schedule's, but the service did not answer then, or was not asked yet:
    from memory, from a snapshot, or computed from the spec. FALLBACK: not the schedule's: an override's, a fallback's,
    or the nearest known one, held. ERROR: there is no LR.
    """

    READY = "READY"
    STALE = "STALE"
    FALLBACK = "FALLBACK"
    ERROR = "ERROR"


@dataclass(frozen=True)
class Counters:
    """What has happened since the schedule was opened."""

    requests: int = 0
    """Requests to the service."""
    failures: int = 0
    """Requests without an answer that could be used, refusals included."""
    windows: int = 0
    """Windows that arrived."""
    held: int = 0
    """Reads for which the nearest known LR was held."""
    snapshots: int = 0
    """Snapshots written."""
    snapshot_failures: int = 0
    """Snapshots that could not be written."""


@dataclass(frozen=True)
class Status:
    """A moment of a schedule.

    `source`: where its LRs come from. `age_s`: seconds since the service confirmed them, or since the snapshot was
    saved; None if neither was. `last_error`: what went wrong last, None if nothing has since the service answered.
    """

    state: State
    source: Source
    age_s: float | None
    last_error: str | None
    counters: Counters = field(default_factory=Counters)


class ScheduleHealth:
    """The state of a schedule, told to the log and to a callback, once a change; not for users.

    The callback runs on the client's thread, for which `enqueue` is; what it raises is logged.
    """

    def __init__(self, name: str, enqueue: Callable[[Callable[[], None]], Any]) -> None:
        self.name = name
        self.state: State = State.ERROR
        self.source: Source = "none"
        self.on_change: Callable[[Status], None] | None = None
        self._enqueue = enqueue
        self._confirmed_at: float | None = None
        self._last_error: str | None = None
        self.is_answered = False
        """Whether the last request was answered."""
        self._counts = dict.fromkeys((counter.name for counter in fields(Counters)), 0)
        self._pending: deque[Status] = deque()
        self.renew()

    def renew(self) -> None:
        """Begins anew in the child of a fork, where the lock may be held by a thread that is missing."""
        self._counting = threading.Lock()

    def status(self) -> Status:
        """The present moment."""
        age_s = None if self._confirmed_at is None else max(time.monotonic() - self._confirmed_at, 0.0)
        return Status(self.state, self.source, age_s, self._last_error, Counters(**self._counts))

    def count(self, *names: str) -> None:
        """Adds 1 to counters; the loop's thread counts as well as the client's."""
        with self._counting:
            for name in names:
                self._counts[name] += 1

    def answered(self, *, is_in_use: bool) -> None:
        """Notes that the service has given what was asked: of the schedule that is read, or of one to come."""
        self.count("requests")
        self._confirmed_at = time.monotonic()
        self._last_error, self.is_answered = None, True
        if is_in_use and self.state is State.STALE and self.source == "service":
            self.become(State.READY, "service", "the service answers again")

    def failed(self, error: Exception) -> None:
        """Notes that the service has not."""
        self.count("requests", "failures")
        self.is_answered = False
        is_new, self._last_error = str(error) != self._last_error, str(error)  # the same one is logged once
        if self.state is State.READY:
            self.become(State.STALE, self.source, f"{error}; the loop goes on from memory")
        elif is_new and self.state is not State.ERROR and not is_retryable(error):
            _LOG.warning("%s: %s", self.name, error)

    def saved_at(self, seconds: float) -> None:
        """Notes that the values are those of a snapshot that was saved then, in seconds since the epoch."""
        self._confirmed_at = time.monotonic() - max(time.time() - seconds, 0.0)

    def become(self, state: State, source: Source, reason: str) -> None:
        """Changes the state, if it is another one."""
        if (state, source) == (self.state, self.source):
            return
        level = logging.INFO if state is State.READY else logging.WARNING
        _LOG.log(level, "%s: %s (%s): %s", self.name, state, source, reason)
        self.state, self.source = state, source
        if self.on_change is not None:
            # Queued and told by the thread: the loop that finds out must not run a user's callback.
            self._pending.append(self.status())
            self._enqueue(self._tell)

    def _tell(self) -> None:
        while self._pending and self.on_change is not None:
            status = self._pending.popleft()
            try:
                self.on_change(status)
            except Exception:  # noqa: BLE001 - a callback's fault must not reach anything else
                _LOG.exception("%s: on_state_change failed", self.name)
