"""Service threads: what runs in the background as long as the service does, whatever goes wrong meanwhile."""

import logging
import threading
import time
import traceback
from collections.abc import Callable

_LOG = logging.getLogger("preheat")
_LOGGED_AGAIN_S = 3600.0


class ServiceThread:
    """A thread that calls `work(stopping)` until it is stopped; then it can be started again.

    `work` is to return soon after `stopping` is set. If it raises something, or returns before, it is called again,
    after `retry_s` in the first case. The same error from the same line is logged once an hour. `stopping` is the event
    of the thread that was started last.
    """

    def __init__(self, name: str, work: Callable[[threading.Event], None], retry_s: float = 1.0) -> None:
        self._name, self._work, self._retry_s = name, work, retry_s
        self.stopping = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def is_running(self) -> bool:
        """Whether it was started and not stopped since."""
        return self._thread is not None

    def start(self) -> None:
        """Begins, if it does not run."""
        if self._thread is None:
            # Its own: a thread that did not end in time must not go on when the next one begins.
            self.stopping = threading.Event()
            arguments = (self.stopping,)
            self._thread = threading.Thread(target=self._run, args=arguments, name=self._name, daemon=True)
            self._thread.start()

    def stop(self, timeout_s: float | None = None) -> None:
        """Ends it, and waits until `work` has returned, for `timeout_s` at most."""
        self.stopping.set()
        if self._thread is not None:
            self._thread.join(timeout_s)
            self._thread = None

    def _run(self, stopping: threading.Event) -> None:
        logged_at: dict[tuple[type[Exception], str, int | None], float] = {}
        while not stopping.is_set():
            try:
                self._work(stopping)
            except Exception as error:  # noqa: BLE001 - without this thread the service would be wrong and not say so
                now, place = time.monotonic(), traceback.extract_tb(error.__traceback__)[-1]
                kind = (type(error), place.filename, place.lineno)
                if now - logged_at.get(kind, -_LOGGED_AGAIN_S) >= _LOGGED_AGAIN_S:
                    logged_at[kind] = now
                    _LOG.error("the thread %s failed, and is going to try again", self._name, exc_info=error)
                stopping.wait(self._retry_s)
