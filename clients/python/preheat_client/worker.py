"""The one thread of a client."""

import logging
import os
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

from preheat_client.errors import ServiceUnavailable

_LOG = logging.getLogger("preheat_client")
_AFTER_A_BUG_S = 60.0

Job = Callable[[], float | None]
Result = TypeVar("Result")


class Worker:
    """Runs jobs, one after the other, each at its time, on a daemon thread that lives while there are any.

    A job returns the seconds after which it wants to run again, or None. The lock is never held while a job runs. After
    a fork the child has no thread and no jobs; the next one that is given starts a new thread.
    """

    def __init__(self, on_idle: Callable[[], None], on_fork: Callable[[], None]) -> None:
        self._on_idle, self._on_fork = on_idle, on_fork
        self._is_closed = False
        self._changed = threading.Condition()
        self._due: dict[Job, float] = {}
        self._thread: threading.Thread | None = None
        _WORKERS.add(self)

    def run(self, job: Job, after_s: float = 0.0) -> None:
        """Runs a job after some time, or sooner if it is already to run sooner."""
        with self._changed:
            if self._is_closed:
                return
            due = time.monotonic() + after_s
            self._due[job] = min(due, self._due.get(job, due))
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="preheat", daemon=True)
                self._thread.start()
            self._changed.notify()

    def ask(self, question: Callable[[], Result], timeout_s: float) -> Result:
        """What a function returns, or raises, on the thread. Raises ServiceUnavailable after `timeout_s`."""
        answered = threading.Event()
        outcome: dict[str, Any] = {}

        def job() -> None:
            try:
                outcome["result"] = question()
            except BaseException as error:  # noqa: BLE001 - raised again where it was asked
                outcome["error"] = error
            answered.set()

        self.run(job)
        if self._is_closed:
            raise ServiceUnavailable("the client is closed")
        if not answered.wait(timeout_s):
            raise ServiceUnavailable(f"no answer in {timeout_s:g} s")
        if "error" in outcome:
            raise outcome["error"]
        result: Result = outcome["result"]
        return result

    def close(self) -> None:
        """Ends the thread after the job that is running; nothing runs from now on."""
        with self._changed:
            self._is_closed = True
            self._due.clear()
            self._changed.notify()

    def join(self, timeout_s: float) -> None:
        """Waits for the thread to end."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout_s)

    def renew(self) -> None:
        """Begins anew in the child of a fork, where the thread is missing and its lock may be held for ever."""
        self._changed = threading.Condition()
        self._due = {}
        self._thread = None
        self._on_fork()

    def _work(self) -> None:
        changed = self._changed
        while True:
            with changed:
                job = self._next(changed)
            if job is None:
                self._on_idle()
                with changed:
                    if not self._due:
                        self._thread = None
                        return
            else:
                again_after_s = self._outcome(job)
                if again_after_s is not None:
                    self.run(job, again_after_s)

    def _next(self, changed: threading.Condition) -> Job | None:
        """The next job once it is due, None when there is none. The lock is held but while waiting."""
        while self._due:
            job = min(self._due, key=self._due.__getitem__)
            wait_s = self._due[job] - time.monotonic()
            if wait_s <= 0:
                del self._due[job]
                return job
            changed.wait(wait_s)
        return None

    def _outcome(self, job: Job) -> float | None:
        try:
            return job()
        except Exception:  # noqa: BLE001 - a bug of ours must not end the thread
            _LOG.exception("a job of the client failed")
            return _AFTER_A_BUG_S


_WORKERS: "weakref.WeakSet[Worker]" = weakref.WeakSet()


def _renew_all() -> None:
    for worker in _WORKERS:
        worker.renew()


os.register_at_fork(after_in_child=_renew_all)
