"""One worker process: the end that the service holds, and the loop that runs in the process."""

import faulthandler
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from typing import Any

from preheat.exit_code import ending
from preheat.workers.memory import MemoryLimit

START_TIMEOUT_S = 120
"""How long a process may take until it is ready: torch is imported for the first, on a busy machine."""

_KEYS_KEPT = 64

Handler = Callable[[Any], Any]


@dataclass(frozen=True)
class Setup:
    """How a worker process is made: `make_handler(argument)` gives what answers its jobs.

    `preload` are modules to import before; `memory_bytes` is what the process may take beyond what it has then. A
    process that outlives the service ends `orphaned_after_s` after it began its last job, whatever that is.
    """

    make_handler: Callable[[Any], Handler]
    argument: Any
    memory_bytes: int
    orphaned_after_s: float
    preload: Sequence[str] = ()


@dataclass(frozen=True)
class Result:
    """What a handler gave, and whether its process is to be replaced, since it keeps too much memory."""

    value: Any
    is_last: bool


class WorkerProcess:
    """A process that does one job after the other; `start`, `ending` and `exchange` wait, and are for a thread."""

    def __init__(self, setup: Setup) -> None:
        """Raises OSError if no more files can be opened."""
        self.recent_keys: deque[str] = deque(maxlen=_KEYS_KEPT)
        context = _context(setup.preload)
        self._connection, self._theirs = context.Pipe()
        # Nothing is ever sent through the second pipe: it ends when the service does, however that happens.
        self._their_alive, self._alive = context.Pipe(duplex=False)
        arguments = (self._theirs, self._their_alive, setup)
        self._process = context.Process(target=_work, args=arguments, name="preheat worker", daemon=True)

    def start(self) -> None:
        """Starts the process, waits until it is ready. Raises OSError or EOFError if it ends, or is killed, before."""
        try:
            self._process.start()
        finally:
            self._theirs.close()
            self._their_alive.close()
        if not self._connection.poll(START_TIMEOUT_S):
            self.kill()
            raise OSError(f"a worker process was not ready within {START_TIMEOUT_S} s")
        self._connection.recv()

    @property
    def pid(self) -> int | None:
        """The id of the process."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process.is_alive()

    @property
    def ending(self) -> str:
        """How the process ended, in words."""
        self._process.join(1)
        return ending(self._process.exitcode)

    def exchange(self, job: Any) -> Result:
        """Does a job. Raises EOFError or OSError if the process ends meanwhile."""
        self._connection.send(job)
        result: Result = self._connection.recv()
        return result

    def kill(self) -> None:
        """Ends the process, whatever it does; `start` or `exchange` in another thread then ends too."""
        if self._process.pid is not None:
            self._process.kill()
        # For a process that is only just being started, and for one whose server that forked it is gone:
        # multiprocessing takes that for dead and does nothing.
        self._alive.close()


def prepare(preload: Sequence[str]) -> None:
    """Begins to import modules for worker processes, beside whatever this process does; returns at once."""
    _context(preload)
    forkserver.ensure_running()


def _context(preload: Sequence[str]) -> ForkServerContext:
    # A server that has imported everything forks a new worker within milliseconds, and its workers share its memory.
    # The service itself has threads and must not fork.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(preload))
    return context


def _work(jobs: Connection, alive: Connection, setup: Setup) -> None:
    # Ctrl-C and a service manager send their signal to the whole group; the service alone decides when to end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_service, args=(alive,), daemon=True).start()
    handle = setup.make_handler(setup.argument)
    limit = MemoryLimit(setup.memory_bytes)
    with suppress(EOFError, ConnectionError):  # the service has gone
        jobs.send(None)
        while True:
            job = jobs.recv()
            # The thread that looks after the service needs Python's lock, which some work never gives away.
            faulthandler.dump_traceback_later(setup.orphaned_after_s, exit=True)
            value = handle(job)
            faulthandler.cancel_dump_traceback_later()
            jobs.send(Result(value, limit.is_half_used()))
            del job, value


def _end_with_the_service(alive: Connection) -> None:
    try:
        alive.recv()
    finally:
        os._exit(0)
