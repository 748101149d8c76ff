"""Session: what all schedules and runs of a client share."""

import atexit
import weakref
from pathlib import Path
from typing import Any

from preheat_client._core.configuration import Configuration
from preheat_client._core.prefetch import Prefetch
from preheat_client._core.request import Request
from preheat_client._core.worker import Worker

_CLOSING_S = 1.0


class Session:
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
        self._runs: weakref.WeakSet[Any] = weakref.WeakSet()
        on_idle = (lambda: None) if self.api is None else self.api.disconnect
        self.worker = Worker(on_idle, on_fork=self._after_fork)

    def prefetch(self, request: Request) -> Prefetch:
        """A new prefetch of the schedule of a request."""
        prefetch = Prefetch(request, self.configuration, self.api, self.worker, self.snapshots)
        self._prefetches.add(prefetch)
        return prefetch

    def add(self, run: Any) -> None:
        """Notes a run, which says goodbye when the client is closed, and when the process exits."""
        self._runs.add(run)
        _RUNS.add(run)

    def close(self) -> None:
        """Ends the thread and all connections, requests under way included."""
        for run in list(self._runs):
            run.close()
        self.is_closed = True
        for prefetch in list(self._prefetches):  # first, so that the request that is cut is no failure
            prefetch.close()
        self.worker.close()
        if self.api is not None:
            self.api.close()
        self.worker.join(_CLOSING_S)

    def _after_fork(self) -> None:
        if self.api is not None:
            self.api.forget()
        for prefetch in list(self._prefetches):
            prefetch.renew()
        for run in list(self._runs):
            run.renew()


_RUNS: "weakref.WeakSet[Any]" = weakref.WeakSet()
"""Every run of the process."""


@atexit.register
def _say_goodbye() -> None:
    """So that the reports of the last seconds arrive, and the next job need not wait; a second at most for each run."""
    for run in list(_RUNS):
        run.close()
