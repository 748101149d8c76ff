"""News: what has become of a run that a person should know, told to the log and to the user's callbacks."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

from preheat_client._runs.answers import Change, Restart
from preheat_client.run_status import RunHealth

_LOG = logging.getLogger("preheat_client")


class News:
    """Changes, and the restart that is asked for in one attempt; callbacks run on the client's thread."""

    def __init__(
        self,
        health: RunHealth,
        on_change: Callable[[Any, Change], object] | None,
        on_restart: Callable[[Any, Restart], object] | None,
    ) -> None:
        self._health, self._on_change, self._on_restart = health, on_change, on_restart
        self.begin()

    def begin(self) -> None:
        """Begins anew, with another attempt."""
        self.restart: Restart | None = None
        """What this attempt was asked for."""
        self._has_differed = self._has_dropped = False

    def dropped(self, iteration: int) -> None:
        """Tells the log of a report after the goodbye, once."""
        if not self._has_dropped:
            self._has_dropped = True
            message = "%s: the report of update %d came after close(): nothing that is reported now is sent"
            _LOG.warning(message, self._health.name, iteration)

    def differs(self, iteration: int, lrs: Mapping[str, Any]) -> None:
        """Tells the log of an update at another LR than was handed out, once."""
        if not self._has_differed:
            self._has_differed = True
            _LOG.warning(
                "%s: update %d ran at an LR of %s, which is not the one that was handed out and is on record: another "
                "scheduler, a callback or the loop sets LRs of the same optimizer",
                self._health.name,
                iteration,
                dict(lrs),
            )

    def ask_for(self, restart: Restart | None, run: Any) -> None:
        """Tells of a restart, once."""
        if restart is None or self.restart is not None:
            return
        self.restart = restart
        message = "%s: %s asks for a restart at iteration %d: %s"
        _LOG.warning(message, self._health.name, restart.author, restart.position, restart.why)
        tell = self._on_restart
        if tell is not None:
            self._health.call(lambda: tell(run, restart))

    def changed(self, change: Change, run: Any) -> None:
        """Tells of a change."""
        self._health.last_change = change
        operation = change.operation.get("op")
        _LOG.info("%s: %s by %s: %s", self._health.name, operation, change.author, change.why)
        tell = self._on_change
        if tell is not None:
            self._health.call(lambda: tell(run, change))


def check_callbacks(**callbacks: object) -> None:
    """Raises TypeError, with name, value and rule, for what cannot be called; None stands for no callback."""
    for name, callback in callbacks.items():
        if callback is not None and not callable(callback):
            raise TypeError(f"{name} ({callback!r:.80}) must be a function of two arguments: the run, and the news")
