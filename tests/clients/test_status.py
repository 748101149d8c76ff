"""Health: what is said, to whom, and how often."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from preheat_client import RequestRefused, ServiceUnavailable, State, Status
from preheat_client._core.worker import Worker
from preheat_client.status import ScheduleHealth
from running_service import wait_until


@pytest.fixture
def worker() -> Iterator[Worker]:
    """A client's thread."""
    thread = Worker(on_idle=lambda: None, on_fork=lambda: None)
    yield thread
    thread.close()
    thread.join(5)


def test_a_state_that_is_said_again_is_no_change(worker: Worker, caplog: pytest.LogCaptureFixture) -> None:
    """The callback hears READY, STALE, READY once each, and so does the log."""
    told: list[Status] = []
    health = ScheduleHealth("it", worker.enqueue)
    health.on_change = told.append
    for state in (State.READY, State.READY, State.STALE, State.STALE, State.READY):
        health.become(state, "service", "so it is")
    wait_until(lambda: len(told) >= 3, 30)
    worker.ask(lambda: None, 5)
    assert [status.state for status in told] == [State.READY, State.STALE, State.READY]
    assert caplog.messages == ["it: STALE (service): so it is"]  # READY is no warning


class Slow(dict[str, int]):
    """Counts between whose reading and writing other threads run."""

    def __getitem__(self, name: str) -> int:
        value = super().__getitem__(name)
        time.sleep(0)
        return value


def test_counts_of_several_threads_add_up(worker: Worker) -> None:
    """The loop counts values that are held while the client's thread counts requests."""
    health = ScheduleHealth("it", worker.enqueue)
    health._counts = Slow(health._counts)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: health.count("held", "requests"), range(2000)))
    counters = health.status().counters
    assert (counters.held, counters.requests) == (2000, 2000)


def test_a_refusal_is_said_once_until_it_is_another(worker: Worker, caplog: pytest.LogCaptureFixture) -> None:
    """While a fallback is in use each refusal is logged once, and what may pass is not."""
    health = ScheduleHealth("it", worker.enqueue)
    health.become(State.FALLBACK, "fallback", "away")
    for error in (
        ServiceUnavailable("away"),
        RequestRefused(403, {"title": "no"}),
        RequestRefused(403, {"title": "no"}),
        RequestRefused(404, {"title": "gone"}),
    ):
        health.failed(error)
    assert caplog.messages == ["it: FALLBACK (fallback): away", "it: no (403): ", "it: gone (404): "]
    assert (health.status().counters.failures, health.status().last_error) == (4, "gone (404): ")
