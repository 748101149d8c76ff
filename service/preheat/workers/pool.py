"""A pool of worker processes: admission, a queue with bounds, a time limit for each job, replacement."""

import asyncio
import atexit
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from preheat.errors import ComputeTimeout, ServiceBusy, WorkerLost
from preheat.observability.metrics import Metrics
from preheat.workers.process import START_TIMEOUT_S, Result, Setup, WorkerProcess

_LOG = logging.getLogger("preheat")
_SHUTTING_DOWN = "the service is shutting down"
_LOOK_EVERY_S, _RETRY_AFTER_S = 1.0, 1.0


@dataclass(frozen=True)
class Limits:
    """How many jobs run at once, how many wait and how long, and when a running one is stopped.

    `kill_after_s` is a little more than `compute_timeout_s`, at which a job stops by itself if it can.
    """

    workers: int
    queue_length: int
    wait_s: float
    compute_timeout_s: float

    @property
    def kill_after_s(self) -> float:
        """Seconds after which a job's process is killed."""
        return 1.25 * self.compute_timeout_s + 1


class WorkerPool:
    """Runs jobs in worker processes, each of which does one at a time; for one event loop.

    A job that is cancelled, or takes too long, ends with its process, which is replaced.
    """

    def __init__(self, setup: Setup, limits: Limits, metrics: Metrics) -> None:
        self._setup = setup
        self._limits = limits
        self._metrics = metrics
        self._workers: set[WorkerProcess] = set()
        self._idle: list[WorkerProcess] = []
        self._waiting: deque[asyncio.Future[WorkerProcess]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._threads: ThreadPoolExecutor | None = None
        self._was_ready = self._is_closed = False

    @property
    def pids(self) -> list[int]:
        """Ids of the worker processes."""
        return [worker.pid for worker in self._workers if worker.pid is not None]

    @property
    def is_full(self) -> bool:
        """Whether a job that came now would be refused."""
        return not self._idle and len(self._waiting) >= self._limits.queue_length

    @property
    def is_starting(self) -> bool:
        """Whether it was started, and no process has been ready since."""
        return self._threads is not None and not self._was_ready

    def start(self) -> None:
        """Begins to start the processes, and returns; jobs that come before they are ready wait for them."""
        self._was_ready = self._is_closed = False
        self._threads = ThreadPoolExecutor(4 * self._limits.workers, "preheat worker")
        # A process that is still there at the interpreter's exit would be waited for, and has no reason to end.
        atexit.register(self._kill_all)
        for _ in range(self._limits.workers):
            self._in_background(self._add_worker())
        self._in_background(self._replace_the_dead())

    async def close(self) -> None:
        """Ends the processes, and refuses what waits for one; the pool can be started again."""
        self._is_closed = True
        for task in self._tasks:
            task.cancel()
        for future in self._waiting:
            if not future.done():
                future.set_exception(WorkerLost(_SHUTTING_DOWN))
        self._kill_all()
        atexit.unregister(self._kill_all)
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._workers.clear()
        self._idle.clear()
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)

    async def run(self, job: Any, what: str, key: str = "") -> Any:
        """What the handler gives for a job, which the log calls `what`.

        A process that did a job with the same key before is preferred: it may have more at hand.
        Raises ServiceBusy, ComputeTimeout, WorkerLost.
        """
        if self._is_closed:
            raise WorkerLost(_SHUTTING_DOWN)
        if self._threads is None:  # where nobody runs the application's lifespan: one that is mounted, say
            self.start()
        came = time.perf_counter()
        worker = await self._acquire(key)
        begun = time.perf_counter()
        self._metrics.waiting.observe(begun - came)
        self._metrics.busy.inc()
        result: Result | None = None
        try:
            async with asyncio.timeout(self._limits.kill_after_s):
                result = await self._in_thread(lambda: worker.exchange(job))
        except TimeoutError:
            _LOG.warning("worker process %s is killed: %s took too long", worker.pid, what)
            raise ComputeTimeout(self._limits.compute_timeout_s, is_killed=True) from None
        except (EOFError, OSError):
            if self._is_closed:
                raise WorkerLost(_SHUTTING_DOWN) from None
            ending = await self._in_thread(lambda: worker.ending)
            _LOG.exception("worker process %s ended %s during %s", worker.pid, ending, what)
            raise WorkerLost(f"its worker process ended {ending}") from None
        finally:
            self._metrics.busy.dec()
            self._metrics.computing.observe(time.perf_counter() - begun)
            if result is None or result.is_last:
                self._replace(worker)
            else:
                worker.recent_keys.append(key)
                self._release(worker)
        return result.value

    async def _acquire(self, key: str) -> WorkerProcess:
        while self._idle:
            with_key = [worker for worker in self._idle if key in worker.recent_keys]
            worker = (with_key or self._idle)[-1]
            self._idle.remove(worker)
            if worker.is_alive:
                return worker
            self._report_dead(worker)
        if self.is_full:
            raise ServiceBusy(self._limits.workers, self._limits.queue_length)
        return await self._wait_for_worker()

    async def _wait_for_worker(self) -> WorkerProcess:
        future: asyncio.Future[WorkerProcess] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        try:
            await asyncio.wait([future], timeout=self._limits.wait_s if self._was_ready else START_TIMEOUT_S)
        except asyncio.CancelledError:
            if future.done() and future.exception() is None:  # it was given a worker at this very moment
                self._release(future.result())
            raise
        finally:
            with suppress(ValueError):
                self._waiting.remove(future)
        if not future.done():
            raise ServiceBusy(self._limits.workers, self._limits.queue_length)
        return future.result()

    def _release(self, worker: WorkerProcess) -> None:
        """Gives a worker to whoever has waited for longest, or lets it wait for work."""
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(worker)
                return
        self._idle.append(worker)

    def _replace(self, worker: WorkerProcess) -> None:
        worker.kill()
        self._workers.discard(worker)
        if not self._is_closed:
            self._in_background(self._add_worker())

    async def _add_worker(self) -> None:
        has_failed = False
        while True:
            try:
                worker = await self._started()
            except Exception as error:  # noqa: BLE001 - whatever it is, the service must not stay without the process
                if not has_failed:  # said once, and not every second
                    bug = None if isinstance(error, (EOFError, OSError)) else error
                    _LOG.error(
                        "a worker process did not start, and is tried again: %s", error or "it ended", exc_info=bug
                    )
                has_failed = True
                await asyncio.sleep(_RETRY_AFTER_S)
            else:
                self._workers.add(worker)
                self._was_ready = True
                self._release(worker)
                return

    async def _started(self) -> WorkerProcess:
        worker = WorkerProcess(self._setup)
        try:
            await self._in_thread(worker.start)
        except BaseException:  # cancelled too: a process that outlived the service would miss its files
            worker.kill()
            raise
        return worker

    async def _replace_the_dead(self) -> None:
        """Looks after processes that end while they have nothing to do."""
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            for worker in [worker for worker in self._idle if not worker.is_alive]:
                self._idle.remove(worker)
                self._report_dead(worker)

    def _report_dead(self, worker: WorkerProcess) -> None:
        self._replace(worker)
        _LOG.error("worker process %s ended %s, and is replaced", worker.pid, worker.ending)

    def _kill_all(self) -> None:
        for worker in self._workers:
            worker.kill()

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)  # the loop itself keeps no more than a weak reference
        task.add_done_callback(self._tasks.discard)

    async def _in_thread(self, work: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)
