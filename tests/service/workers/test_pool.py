import asyncio
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from preheat.errors import ComputeTimeout, ServiceBusy, WorkerLost
from preheat.observability.metrics import Metrics
from preheat.workers import Limits, Setup, WorkerPool
from support.jobs import endless, handler

MB = 1_000_000
LONG_S = 60.0


@asynccontextmanager
async def pool(
    workers: int = 1, queue: int = 0, wait_s: float = LONG_S, timeout_s: float = LONG_S, memory: int = 100 * MB
) -> AsyncIterator[WorkerPool]:
    """A pool whose processes are ready."""
    limits = Limits(workers, queue_length=queue, wait_s=wait_s, compute_timeout_s=timeout_s)
    running = WorkerPool(Setup(handler, "hello", memory, 2 * LONG_S), limits, Metrics(""))
    running.start()
    try:
        await _until(lambda: len(running.pids) == workers)
        yield running
    finally:
        await running.close()


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Runs a test in an event loop of its own."""
    asyncio.run(asyncio.wait_for(test(), 120))


async def _until(condition: Callable[[], Any]) -> None:
    while not condition():  # noqa: ASYNC110 - of a process there is no event
        await asyncio.sleep(0.02)


async def _begun(jobs: WorkerPool, name: str, argument: Any = None) -> asyncio.Task[Any]:
    """A job that has begun."""
    task = asyncio.create_task(jobs.run((name, argument), name))
    await asyncio.sleep(0.1)
    return task


def test_a_job_is_done_by_another_process() -> None:
    """Jobs are done by the processes of the pool, made with the argument of the setup."""

    async def test() -> None:
        async with pool(workers=2) as jobs:
            assert await jobs.run(("greet", None), "a greeting") == "hello"
            assert await jobs.run(("pid", None), "a question") in jobs.pids
            assert os.getpid() not in jobs.pids

    run(test)


def test_the_same_key_is_for_the_same_process() -> None:
    """Of idle processes the one that had the key before is taken, though another was idle for less."""

    async def test() -> None:
        async with pool(workers=2) as jobs:
            first, second = await asyncio.gather(*(jobs.run(("pid", None), "", key) for key in "ab"))
            assert first != second
            for key in "abba":
                assert await jobs.run(("pid", None), "", key) == (first if key == "a" else second)

    run(test)


def test_a_job_without_end_is_killed(caplog: pytest.LogCaptureFixture) -> None:
    """It is answered with compute-timeout a little after its time, its process is gone, and another is there."""

    async def test() -> None:
        async with pool(timeout_s=0.2) as jobs:
            (before,) = jobs.pids
            started = time.monotonic()
            with pytest.raises(ComputeTimeout, match=r"compute_timeout_s \(0.2 s\) and was stopped\. Ask"):
                await jobs.run(("spin", None), "POST /spin")
            assert time.monotonic() - started < 10
            await _until(lambda: not psutil.pid_exists(before))
            assert await asyncio.wait_for(_greeted_soon(jobs), 60) == "hello"
            assert before not in jobs.pids

    run(test)
    assert "POST /spin took too long" in caplog.text


async def _greeted_soon(jobs: WorkerPool) -> Any:
    while True:
        try:
            return await jobs.run(("greet", None), "a greeting")
        except ServiceBusy:
            await asyncio.sleep(0.02)


def test_a_cancelled_job_is_killed() -> None:
    """Its process does not go on for nobody."""

    async def test() -> None:
        async with pool() as jobs:
            (before,) = jobs.pids
            task = await _begun(jobs, "spin")
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await _until(lambda: not psutil.pid_exists(before))
            assert await asyncio.wait_for(_greeted_soon(jobs), 60) == "hello"

    run(test)


def test_memory_has_a_limit() -> None:
    """What is below it can be taken; what is above ends the job, and not the service."""

    async def test() -> None:
        async with pool(queue=1, memory=100 * MB) as jobs:
            assert await jobs.run(("take", 50 * MB), "a little") == 50 * MB
            with pytest.raises(WorkerLost, match="exit code 1"):
                await jobs.run(("take", 200 * MB), "much")
            assert await jobs.run(("greet", None), "a greeting") == "hello"

    run(test)


def test_a_process_that_keeps_much_is_replaced() -> None:
    """More than half of the memory kept between two jobs would be missing to the next."""

    async def test() -> None:
        async with pool(queue=1, memory=100 * MB) as jobs:
            (before,) = jobs.pids
            await jobs.run(("keep", 30 * MB), "a little")
            assert await jobs.run(("pid", None), "a question") == before
            await jobs.run(("keep", 30 * MB), "as much again")
            assert await jobs.run(("pid", None), "a question") != before

    run(test)


def test_a_process_that_ends_says_how(caplog: pytest.LogCaptureFixture) -> None:
    """The job gets worker-lost with the exit code, the log has the job, and the process is replaced."""

    async def test() -> None:
        async with pool(queue=1) as jobs:
            with pytest.raises(WorkerLost, match="ended with exit code 7"):
                await jobs.run(("end", 7), "POST /end")
            assert await jobs.run(("greet", None), "a greeting") == "hello"

    run(test)
    assert "with exit code 7 during POST /end" in caplog.text


@pytest.mark.parametrize(("number", "name"), [(signal.SIGKILL, "SIGKILL"), (signal.SIGRTMIN + 2, "signal 36")])
def test_an_idle_process_that_is_killed_is_replaced(caplog: pytest.LogCaptureFixture, number: int, name: str) -> None:
    """Without any job that would notice; the log says so, by the number where a signal has no name."""

    async def test() -> None:
        async with pool() as jobs:
            (before,) = jobs.pids
            os.kill(before, number)
            await _until(lambda: jobs.pids and before not in jobs.pids)

    run(test)
    assert f"ended by {name}, and is replaced" in caplog.text


def test_more_than_may_wait_are_refused_at_once() -> None:
    """One runs, one waits, and the next is told so without waiting."""

    async def test() -> None:
        async with pool(queue=1) as jobs:
            running, waiting = await _begun(jobs, "sleep", 1), await _begun(jobs, "greet")
            assert jobs.is_full
            with pytest.raises(ServiceBusy, match=r"compute_workers is 1.*compute_queue \(1\)"):
                await jobs.run(("greet", None), "a greeting")
            assert not running.done()
            assert list(await asyncio.gather(running, waiting)) == ["hello", "hello"]
            assert not jobs.is_full

    run(test)


def test_none_waits_for_longer_than_it_may() -> None:
    """It is refused while the job before still runs, and takes no process from those after it."""

    async def test() -> None:
        async with pool(queue=1, wait_s=0.2) as jobs:
            running = await _begun(jobs, "sleep", 2)
            with pytest.raises(ServiceBusy):
                await jobs.run(("greet", None), "a greeting")
            assert not running.done()
            assert await running == "hello"
            assert await jobs.run(("greet", None), "a greeting") == "hello"

    run(test)


def test_who_stops_waiting_takes_no_process() -> None:
    """A waiting job that is cancelled is not begun, and the next one is."""

    async def test() -> None:
        async with pool(queue=2) as jobs:
            running, leaving, staying = [await _begun(jobs, *job) for job in (("sleep", 1), ("spin",), ("greet",))]
            leaving.cancel()
            assert list(await asyncio.gather(running, staying)) == ["hello", "hello"]

    run(test)


def test_closing_ends_what_runs_and_what_waits(caplog: pytest.LogCaptureFixture) -> None:
    """No process is left, and nobody waits for an answer."""

    async def test() -> None:
        async with pool(queue=1) as jobs:
            tasks = [await _begun(jobs, "spin"), await _begun(jobs, "greet")]
            pids = jobs.pids
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(error) for error in found] == [WorkerLost, WorkerLost]
        await _until(lambda: not any(map(psutil.pid_exists, pids)))

    with caplog.at_level(logging.CRITICAL):
        run(test)


def test_a_pool_can_be_started_again() -> None:
    """As when an application's lifespan runs twice; between the two nothing is begun."""

    async def test() -> None:
        limits = Limits(1, queue_length=1, wait_s=LONG_S, compute_timeout_s=LONG_S)
        jobs = WorkerPool(Setup(handler, "hello", 100 * MB, 2 * LONG_S), limits, Metrics(""))
        pids: list[int] = []
        for _ in range(2):
            jobs.start()
            assert jobs.is_starting
            assert await jobs.run(("greet", None), "a greeting") == "hello"
            assert not jobs.is_starting
            pids += jobs.pids
            await jobs.close()
            with pytest.raises(WorkerLost, match="shutting down"):
                await jobs.run(("greet", None), "a greeting")
        assert len(set(pids)) == 2
        await _until(lambda: not any(map(psutil.pid_exists, pids)))

    run(test)


class PickledLater:
    """What cannot be given to a process until it was tried twice."""

    tries = 0

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        self.tries += 1
        if self.tries <= 2:
            raise ZeroDivisionError("not yet")
        return str, ("hello",)


def test_a_process_that_cannot_be_started_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever the error is; it is logged once."""

    async def test() -> None:
        limits = Limits(1, queue_length=1, wait_s=LONG_S, compute_timeout_s=LONG_S)
        jobs = WorkerPool(Setup(handler, PickledLater(), 100 * MB, 2 * LONG_S), limits, Metrics(""))
        jobs.start()
        assert await jobs.run(("greet", None), "a greeting") == "hello"
        await jobs.close()

    run(test)
    assert caplog.text.count("a worker process did not start, and is tried again: not yet") == 1


def test_a_pool_that_nobody_started_starts_with_its_first_job() -> None:
    """Of an application whose lifespan nobody runs."""

    async def test() -> None:
        limits = Limits(1, queue_length=1, wait_s=LONG_S, compute_timeout_s=LONG_S)
        jobs = WorkerPool(Setup(handler, "hello", 100 * MB, 2 * LONG_S), limits, Metrics(""))
        assert await jobs.run(("greet", None), "a greeting") == "hello"
        await jobs.close()

    run(test)


def test_closing_ends_a_process_that_is_starting(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is gone when the service is, and not only once it is ready."""
    file = tmp_path / "pid"

    async def test() -> None:
        limits = Limits(1, queue_length=0, wait_s=LONG_S, compute_timeout_s=LONG_S)
        starting = WorkerPool(Setup(endless, str(file), 100 * MB, 2 * LONG_S), limits, Metrics(""))
        starting.start()
        await _until(lambda: file.exists() and file.read_text())
        await starting.close()
        await _until(lambda: not psutil.pid_exists(int(file.read_text())))

    run(test)
    assert not caplog.records


def test_the_server_of_processes_leaves_ctrl_c_to_the_service() -> None:
    """While it imports torch, Ctrl-C in a terminal reaches it too, and would be a traceback there."""
    script = "import signal, preheat.workers.background; signal.raise_signal(signal.SIGINT); print('goes on')"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.stdout, ended.stderr) == ("goes on\n", "")
