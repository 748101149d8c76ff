"""Worker: the one background thread of a client, and its queue of jobs."""

import logging
import math
import os
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from queue import Empty, SimpleQueue
from typing import TypeVar

from preheat_client.errors import ServiceUnavailable

_LOG = logging.getLogger("preheat_client")
_AFTER_A_BUG_S = 60.0
_IDLE_S = 2.0  # after which connections are closed: the service is not to keep them for a training run

Job = Callable[[], float | None]
Result = TypeVar("Result")


class Worker:
    """Runs jobs, one after the other, each at its time, on a daemon thread that lives from the first job to `close`.

    A job returns the seconds after which it wants to run again, or None. Enqueueing one takes no lock that the thread
    holds for longer than it takes to look into its queue. After a fork the child has no thread and no jobs; the next
    one that is enqueued starts a new thread.
    """

    def __init__(self, on_idle: Callable[[], None], on_fork: Callable[[], None]) -> None:
        self._on_idle, self._on_fork = on_idle, on_fork
        self._is_closed = False
        self._begin()
        _WORKERS.add(self)

    def enqueue(self, job: Job, due: float | None = None) -> None:
        """Runs a job when it is due, by time.monotonic (default: now), or sooner if it already is to run sooner."""
        if not self._is_closed:
            # SimpleQueue.put is C code that takes no Python lock: a training loop never waits for the thread here.
            self._queue.put((job, time.monotonic() if due is None else due))
            if self._thread is None:
                self._start()

    def ask(self, question: Callable[[], Result], timeout_s: float) -> Result:
        """What a function returns, or raises, on the thread, as the next thing that is done there.

        Raises ServiceUnavailable after `timeout_s`.
        """
        if threading.current_thread() is self._thread:  # a callback asks: the thread cannot wait for itself
            return question()
        outcome: Future[Result] = Future()
        self.enqueue(partial(_settle, outcome, question), due=-math.inf)
        if self._is_closed:  # looked at after enqueueing: what is enqueued before `close` is answered or times out
            raise ServiceUnavailable("the client is closed")
        return _result(outcome, timeout_s)

    def close(self) -> None:
        """Ends the thread after the job that is running; nothing runs from now on."""
        self._is_closed = True
        self._queue.put(None)

    def join(self, timeout_s: float) -> None:
        """Waits for the thread to end."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout_s)

    def renew(self) -> None:
        """Begins anew in the child of a fork, where the thread is missing and may have held any lock."""
        self._begin()
        self._on_fork()

    def _begin(self) -> None:
        self._queue: SimpleQueue[tuple[Job, float] | None] = SimpleQueue()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def _start(self) -> None:
        with self._starting:  # two loops that enqueue their first jobs at once must not start two threads
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, args=(self._queue,), name="preheat", daemon=True)
                self._thread.start()

    def _work(self, queue: "SimpleQueue[tuple[Job, float] | None]") -> None:
        due: dict[Job, float] = {}  # one entry a job: enqueueing it a thousand times makes it run once
        is_idle = False
        while not self._is_closed:
            first_due = min(due.values(), default=math.inf)
            try:
                _take(queue, first_due, is_idle, due)
            except Empty:
                is_noted = True  # all that is in the queue, before a job runs: an urgent one goes first
            else:
                is_noted = is_idle = False
            # Not where Empty is handled, of which a traceback of the job's error would tell as well.
            if is_noted and first_due <= time.monotonic():
                self._run_first(due)
            elif is_noted and not due:
                self._on_idle()
                is_idle = True
        self._on_idle()  # connections belong to this thread, so it closes them

    def _run_first(self, due: dict[Job, float]) -> None:
        job = min(due, key=due.__getitem__)
        del due[job]  # before it runs: a job that is enqueued meanwhile runs again
        try:
            again_after_s = job()
        except Exception:  # noqa: BLE001 - a bug of ours must not end the thread
            _LOG.exception("a job of the client failed")
            again_after_s = _AFTER_A_BUG_S
        if again_after_s is not None:
            due[job] = time.monotonic() + again_after_s


def run_in_thread(question: Callable[[], Result], timeout_s: float) -> Result:
    """What a function returns, or raises, on a daemon thread of its own, which is left behind if it takes longer.

    For files, which nothing can be made to give up waiting for; the client's thread may be waiting for the network.
    Raises ServiceUnavailable after `timeout_s`.
    """
    outcome: Future[Result] = Future()
    threading.Thread(target=_settle, args=(outcome, question), name="preheat-file", daemon=True).start()
    return _result(outcome, timeout_s)


def _settle(outcome: "Future[Result]", question: Callable[[], Result]) -> None:
    try:
        outcome.set_result(question())
    except BaseException as error:  # noqa: BLE001 - raised again where it was asked
        outcome.set_exception(error)


def _result(outcome: "Future[Result]", timeout_s: float) -> Result:
    try:
        return outcome.result(timeout_s)
    except TimeoutError as error:
        raise ServiceUnavailable(f"no answer in {timeout_s:g} s") from error


def _take(
    queue: "SimpleQueue[tuple[Job, float] | None]", first_due: float, is_idle: bool, due: dict[Job, float]
) -> None:
    """Takes a job from the queue. Raises Empty when one is due first, or after a while in which nothing came.

    In a function of its own: the thread, while it waits, must not keep a job alive.
    """
    wait_s = min(first_due - time.monotonic(), _IDLE_S)
    item = queue.get(is_idle or wait_s > 0, None if is_idle else max(wait_s, 0.0))
    if item is not None:
        job, when = item
        due[job] = min(when, due.get(job, when))


_WORKERS: "weakref.WeakSet[Worker]" = weakref.WeakSet()


def _renew_all() -> None:
    for worker in _WORKERS:
        worker.renew()


os.register_at_fork(after_in_child=_renew_all)
