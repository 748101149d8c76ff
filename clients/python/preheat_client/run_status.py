"""Status of a live run: what its LRs are worth at present, and what happened last."""

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from preheat_client._runs.answers import Change, Restart
from preheat_client.errors import RunFinished, is_retryable

__all__ = ["Change", "Restart", "RunState", "RunStatus"]

_LOG = logging.getLogger("preheat_client")


class RunState(StrEnum):
    """What the LRs of a run are worth.

    LOOKING: nothing was used yet, and what is read is what is planned. READY: they are what the service has handed
    out, and it answered last. STALE: they are, and it did not. OVERRUN: the service is out of reach, and they are those
    of the last revision that is known. SUPERSEDED: another process has taken over, and this one must stop. FINISHED:
    somebody has finished the run. CLOSED: this process has said goodbye.
    """

    LOOKING = "LOOKING"
    READY = "READY"
    STALE = "STALE"
    OVERRUN = "OVERRUN"
    SUPERSEDED = "SUPERSEDED"
    FINISHED = "FINISHED"
    CLOSED = "CLOSED"


@dataclass(frozen=True)
class RunStatus:
    """A moment of a run, as this process knows it.

    `revision` and `attempt` (0 before the first update) are those of the LRs in use; `position` is the next iteration
    to run, and `acknowledged` the end of what the service knows to have arrived here. `last_change`: the change that
    was heard of last, `applied` once its first iteration has run here. `restart`: a restart that a person has asked
    for. `last_error`: what went wrong last, None if nothing has since the service answered. `dropped_reports`: those
    that there was no room for.
    """

    state: RunState
    revision: int
    attempt: int
    position: int
    acknowledged: int
    last_change: Change | None = None
    restart: Restart | None = None
    last_error: str | None = None
    dropped_reports: int = 0


class RunHealth:
    """The state of a run, told to the log and to callbacks, once a change; not for users.

    Callbacks run on the client's thread, for which `enqueue` is; what they raise is logged.
    """

    def __init__(self, name: str, enqueue: Callable[[Callable[[], None]], object]) -> None:
        self.name, self._enqueue = name, enqueue
        self.state = RunState.LOOKING
        self.last_error: str | None = None
        self.last_change: Change | None = None
        self.on_state: Callable[[], object] | None = None
        self._pending: deque[Callable[[], object]] = deque()

    def become(self, state: RunState, reason: str) -> None:
        """Changes the state, if it is another one."""
        if state is self.state:
            return
        level = logging.INFO if state in {RunState.READY, RunState.CLOSED} else logging.WARNING
        _LOG.log(level, "%s: %s: %s", self.name, state, reason)
        self.state = state
        if self.on_state is not None:
            self.on_state()

    def answered(self) -> None:
        """Notes that the service has answered."""
        self.last_error = None

    def failed(self, error: Exception) -> None:
        """Notes that it has not."""
        is_new, self.last_error = str(error) != self.last_error, str(error)  # the same one is logged once
        if self.state is RunState.READY:
            self.become(RunState.STALE, f"{error}; the loop goes on with what was handed out")
        elif is_new and not is_retryable(error):
            _LOG.warning("%s: %s", self.name, error)

    def ended(self, error: Exception) -> None:
        """Notes that there will be no more LRs for this process."""
        self.last_error = str(error)
        self.become(RunState.FINISHED if isinstance(error, RunFinished) else RunState.SUPERSEDED, str(error))

    def call(self, callback: Callable[[], object]) -> None:
        """Calls a function of the user's on the client's thread."""
        self._pending.append(callback)
        self._enqueue(self._call_all)

    def _call_all(self) -> None:
        while self._pending:
            callback = self._pending.popleft()
            try:
                callback()
            except Exception:  # noqa: BLE001 - a callback's fault must not reach anything else
                _LOG.exception("%s: a callback failed", self.name)
