"""Threads of the service: whatever goes wrong they go on, say so once, and can be started again."""

import logging
import threading

import pytest

from preheat.service_thread import ServiceThread
from running_service import wait_until

SOON_S = 30


class Work:
    """Work that fails as a test says, and how often it was begun."""

    def __init__(self) -> None:
        self.begun = 0
        self.errors: list[Exception] = []
        self.threads: set[threading.Thread] = set()

    def __call__(self, stopping: threading.Event) -> None:
        """Fails, or does nothing until it is to stop."""
        self.begun += 1
        self.threads.add(threading.current_thread())
        if self.errors:
            raise self.errors[(self.begun - 1) % len(self.errors)]
        stopping.wait()


def test_it_outlives_every_error_and_logs_each_kind_once(caplog: pytest.LogCaptureFixture) -> None:
    """Two kinds in turn, fifty times: two lines, each with its traceback; then the work goes on."""
    work = Work()
    work.errors = [KeyError("a"), ZeroDivisionError("b")]
    thread = ServiceThread("counting", work, retry_s=0.001)
    thread.start()
    wait_until(lambda: work.begun >= 50, SOON_S)
    work.errors = []
    thread.stop()
    assert len(work.threads) == 1
    records = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.exc_info and record.exc_info[0] for record in records] == [KeyError, ZeroDivisionError]
    assert {record.getMessage() for record in records} == {"the thread counting failed, and is going to try again"}


def test_it_starts_stops_and_starts_again() -> None:
    """Twice is once; after a stop there is none."""
    work = Work()
    thread = ServiceThread("again", work)
    thread.stop()
    for run in (1, 2):
        thread.start()
        thread.start()
        assert thread.is_running
        wait_until(lambda run=run: work.begun == run, SOON_S)
        thread.stop()
        assert not thread.is_running
        assert not any(each.is_alive() for each in work.threads)
    assert len(work.threads) == 2


def test_one_that_does_not_end_in_time_is_not_waited_for() -> None:
    """It ends when it can, also if another was started since."""
    blocked, ended = threading.Event(), threading.Event()

    def work(stopping: threading.Event) -> None:
        blocked.wait()
        stopping.wait()
        ended.set()

    thread = ServiceThread("slow", work)
    thread.start()
    thread.stop(timeout_s=0.01)
    thread.start()
    blocked.set()
    assert ended.wait(SOON_S)
    thread.stop()
