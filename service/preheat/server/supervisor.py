"""Workers: processes that share a listening socket; one that dies or hangs is replaced, and the log says so."""

import logging
import multiprocessing
import os
import signal
import threading
import time
from contextlib import suppress
from multiprocessing import connection
from multiprocessing.connection import Connection
from socket import socket
from types import FrameType

from uvicorn import Config
from uvicorn.config import STARTUP_FAILURE

from preheat.exit_code import ending
from preheat.server.draining import LAST_RESORT_S, DrainingServer, end_process
from preheat.settings import Settings

_LOG = logging.getLogger("preheat")
_SPAWN = multiprocessing.get_context("spawn")
_LOOK_S = 0.25
_LEAST_LIFE_S = 3.0
"""How long after a worker's start it is replaced at the earliest: workers that die as they start must be no storm."""

_START_TIMEOUT_S = 120.0
"""How long a worker may be silent at its start, while it imports, which takes long on a busy machine."""


class Supervisor:
    """Keeps `settings.workers` processes at work until a signal ends them all."""

    def __init__(self, config: Config, settings: Settings, listener: socket) -> None:
        self._config, self._settings, self._listener = config, settings, listener
        self._signals, self._signalled_at = 0, 0.0
        self._has_failed = False

    def run(self) -> int:
        """The exit code: 0, or uvicorn's for a worker that cannot start, which another one could not do either."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._note_signal)
        workers = [self._start() for _ in range(self._settings.workers) if not self._signals]
        while not self._signals and not self._has_failed:
            # Returns at once when a worker ends; a signal is seen at the next look.
            connection.wait([worker.process.sentinel for worker in workers if worker.process.is_alive()], _LOOK_S)
            workers = [self._kept_or_replaced(worker) for worker in workers]
        self._end(workers)
        return STARTUP_FAILURE if self._has_failed else 0

    def _note_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._signals += 1
        self._signalled_at = self._signalled_at or time.monotonic()

    def _start(self) -> "_Worker":
        return _Worker(self._config, self._settings, self._listener)

    def _kept_or_replaced(self, worker: "_Worker") -> "_Worker":
        if self._signals or self._has_failed or not (why := worker.trouble()):
            return worker
        worker.kill()
        if worker.process.exitcode == STARTUP_FAILURE:
            _LOG.error("worker %d could not start: the service ends", worker.process.pid)
            self._has_failed = True
            return worker
        if time.monotonic() < worker.begun + _LEAST_LIFE_S:
            return worker
        successor = self._start()
        _LOG.warning("worker %d %s; worker %d replaces it", worker.process.pid, why, successor.process.pid)
        return successor

    def _end(self, workers: list["_Worker"]) -> None:
        """Ends all workers as a signal would, and kills those that are not gone when they must be."""
        settings = self._settings
        # The time that workers have runs from the signal, however long it took to be seen here.
        begun = self._signalled_at or time.monotonic()
        give_up = begun + settings.shutdown_delay_s + settings.shutdown_timeout_s + LAST_RESORT_S + 1.0
        passed_on = 0
        while any(worker.process.is_alive() for worker in workers) and time.monotonic() < give_up:
            if passed_on < max(self._signals, 1):  # the first, and each that follows: it shortens the delay
                passed_on = max(self._signals, 1)
                for worker in workers:
                    worker.process.terminate()
            connection.wait([worker.process.sentinel for worker in workers if worker.process.is_alive()], _LOOK_S)
        for worker in workers:
            if worker.process.is_alive():
                _LOG.warning("worker %d does not end: it is killed", worker.process.pid)
            worker.kill()


class _Worker:
    """A process with a server, which is asked again and again whether it is at work."""

    def __init__(self, config: Config, settings: Settings, listener: socket) -> None:
        self._timeout_s = settings.worker_timeout_s
        self._connection, theirs = _SPAWN.Pipe()
        self.process = _SPAWN.Process(target=_work, args=(config, settings, listener, theirs))
        self.process.start()
        theirs.close()  # so that the worker's end is the only one, and its death is seen
        self.begun = time.monotonic()
        self._is_asked, self._answered_at = False, self.begun

    def trouble(self) -> str | None:
        """What is wrong with it; None if nothing is."""
        if not self.process.is_alive():
            return f"ended {ending(self.process.exitcode)}"
        with suppress(OSError, EOFError):  # it is just ending, which is seen at the next look
            while self._connection.poll():
                self._connection.recv_bytes()
                self._is_asked, self._answered_at = False, time.monotonic()
            if not self._is_asked:  # one question at a time: a pipe that nobody reads must not fill up
                self._connection.send_bytes(b"?")
                self._is_asked = True
        silent_s = time.monotonic() - self._answered_at
        longest_s = self._timeout_s if self._answered_at > self.begun else max(self._timeout_s, _START_TIMEOUT_S)
        return f"did not react for {silent_s:.0f} s" if silent_s > longest_s else None

    def kill(self) -> None:
        """Ends it without asking, if it is still there."""
        self.process.kill()
        self.process.join()
        self._connection.close()


def _work(config: Config, settings: Settings, listener: socket, supervisor: Connection) -> None:
    """What runs in a worker."""
    config.configure_logging()
    signal.signal(signal.SIGTERM, lambda *_: end_process())  # raised by uvicorn again once everything is in order
    server = DrainingServer(config, settings.shutdown_delay_s, end_process)
    with suppress(OSError):  # the supervisor is gone, which the thread below finds
        supervisor.send_bytes(b"!")  # unasked, before its first request: from here on it must react in time
    arguments = (server, supervisor, settings.worker_timeout_s)
    threading.Thread(target=_answer, args=arguments, daemon=True).start()
    with suppress(KeyboardInterrupt):
        server.run([listener])


def _answer(server: DrainingServer, supervisor: Connection, timeout_s: float) -> None:
    """Answers the supervisor's questions as long as the event loop turns; ends the worker if the supervisor is gone."""
    try:
        while True:
            supervisor.recv_bytes()
            while server.stands_still_for_s > timeout_s:
                time.sleep(_LOOK_S)
            supervisor.send_bytes(b"!")
    except (EOFError, OSError):
        os.kill(os.getpid(), signal.SIGTERM)
