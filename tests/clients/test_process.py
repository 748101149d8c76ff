"""The client and its process: forks, spawns, pickles, exits, signals, and nothing left behind."""

import copy
import ctypes
import gc
import multiprocessing
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from faults.fault_proxy import Fault, proxied, proxy_loop
from preheat_client import Preheat, Schedule, State
from reference import REFERENCE_ROWS, REFERENCE_SPEC, SERVED_ALONE
from running_service import free_port, service, wait_until

FORKS = pytest.mark.filterwarnings(
    "ignore:.*multi-threaded.*fork.*:DeprecationWarning",  # the service's thread and the client's are what is tested
    "ignore:os.fork.. was called:RuntimeWarning",  # JAX says so in every process that has imported it
)
# A warm-up of its own: what the client would compute of the spec must not take the place of what it is served.
LONG = {"target_lr": 0.1, "total_iterations": 10**9, "param_groups": [{"warmup": {"iterations": 10**9}}]}


def in_fork(work: Any) -> Any:
    """What a function returns in the child of a fork."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, pickle.dumps(work()))
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    assert os.waitpid(child, 0)[1] == 0
    return pickle.loads(answer)  # noqa: S301 - of our own child


def table(schedule: Schedule) -> list[str]:
    """LRs of updates 1 … 20."""
    return [str(schedule.lr(n)) for n in range(1, 21)]


@FORKS
class TestFork:
    """The child of a fork, such as a DataLoader's worker, reads and asks on its own."""

    def test_a_child_reads_what_was_known(self, url: str) -> None:
        """It reads without a thread of its own."""
        with Preheat(url) as preheat:
            schedule = preheat.create(REFERENCE_SPEC)
            assert in_fork(lambda: (table(schedule), threading.active_count())) == (list(REFERENCE_ROWS), 1)

    def test_a_child_fetches_with_a_thread_and_a_connection_of_its_own(self, url: str) -> None:
        """The parent's still work afterwards."""
        with Preheat(url, window=20) as preheat:
            schedule = preheat.create(LONG)
            asked = [7, 10**6, 10**9]
            assert in_fork(lambda: [schedule.lr(n) for n in asked]) == [0.1 * n / 10**9 for n in asked]
            assert schedule.lr(5 * 10**8) == 0.1 * 5 * 10**8 / 10**9

    def test_a_fork_at_any_moment_leaves_no_lock_behind(self, url: str) -> None:
        """Thirty children that are forked while the thread is busy read what was not known."""
        with Preheat(url, window=20) as preheat:
            schedule = preheat.create(LONG)
            for k in range(1, 31):
                schedule.lr(k * 10**6)
                place = k * 10**7
                assert in_fork(lambda place=place: schedule.lr(place)) == 0.1 * place / 10**9

    def test_a_child_opens_schedules(self, url: str) -> None:
        """The client that a child was forked with opens schedules there."""
        with Preheat(url) as preheat:
            preheat.create(REFERENCE_SPEC)
            assert in_fork(lambda: table(preheat.create(REFERENCE_SPEC))) == list(REFERENCE_ROWS)


def read_in_child(schedule: Schedule, results: Any) -> None:
    """A spawned process."""
    results.put((table(schedule), schedule.status.state))


class TestPickle:
    """Clients and schedules go to other processes, and copies are the schedule itself."""

    def test_a_client_pickles_to_its_arguments(self, url: str) -> None:
        """What is unpickled is a new client, which asks the same service."""
        with Preheat(url, timeout_s=3, headers={"x-team": "a"}) as preheat:
            other = pickle.loads(pickle.dumps(preheat))  # noqa: S301 - our own
            assert other is not preheat
            assert other.create(REFERENCE_SPEC).lr(5) == 0.005
            assert pickle.dumps(other) == pickle.dumps(preheat)
            other.close()

    def test_a_schedule_takes_along_what_is_known(self) -> None:
        """A process that gets it can start while the service is away."""
        with service() as url, Preheat(url) as preheat:
            pickled = pickle.dumps(preheat.create(REFERENCE_SPEC))
        schedule = pickle.loads(pickled)  # noqa: S301 - our own
        assert (table(schedule), schedule.status.state) == (list(REFERENCE_ROWS), State.STALE)

    def test_a_fallback_is_opened_anew(self, url: str) -> None:
        """A schedule that is on a fallback is opened where it is unpickled, as the service may be there."""
        with Preheat(url, mode="offline") as preheat:
            schedule = pickle.loads(pickle.dumps(preheat.create(SERVED_ALONE, fallback=0.5)))  # noqa: S301 - ours
            assert schedule.lr(5) == 0.5

    def test_a_spawned_process_reads(self, url: str) -> None:
        """A process that multiprocessing spawns reads a schedule that it is given."""
        context = multiprocessing.get_context("spawn")
        results = context.Queue()
        with Preheat(url) as preheat:
            child = context.Process(target=read_in_child, args=(preheat.create(REFERENCE_SPEC), results))
            child.start()
            rows, state = results.get(timeout=60)
            child.join(10)
        assert rows == list(REFERENCE_ROWS)
        assert state in {State.STALE, State.READY}

    def test_a_copy_is_the_schedule_itself(self, url: str) -> None:
        """Frameworks copy schedulers, and a copy opens nothing."""
        with Preheat(url) as preheat:
            schedule = preheat.create(REFERENCE_SPEC)
            assert copy.deepcopy({"a": schedule})["a"] is schedule


class Items(torch.utils.data.Dataset[tuple[int, str]]):
    """Each worker's LR of an iteration, and its process."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule

    def __len__(self) -> int:
        return 21

    def __getitem__(self, index: int) -> tuple[int, str]:
        return os.getpid(), str(self._schedule.lr(index))


@FORKS
@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_data_loader_workers_read_the_table(url: str, start: str) -> None:
    """Torch's own workers, forked and spawned, read each LR."""
    with Preheat(url) as preheat:
        items = Items(preheat.create(REFERENCE_SPEC))
        loader = torch.utils.data.DataLoader(items, None, num_workers=2, multiprocessing_context=start)
        processes, lrs = zip(*loader, strict=True)
    assert list(lrs[1:]) == list(REFERENCE_ROWS)
    assert len({*processes, os.getpid()}) == 3


SECCOMP, STRICT = 22, 1  # prctl(2): from now on a thread may read, write and leave, or is killed


@FORKS
@pytest.mark.parametrize(("with_a_syscall", "answer"), [(False, b"done"), (True, b"")])
def test_reading_makes_no_syscall(url: str, with_a_syscall: bool, answer: bytes) -> None:
    """The kernel kills a process that makes one; it stands by while a whole schedule is read."""
    with Preheat(url, window=1000) as preheat:
        schedule = preheat.create({**REFERENCE_SPEC, "total_iterations": 10_000})
        wait_until(lambda: schedule.status.counters.windows == 11, 30)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            ctypes.CDLL(None).prctl(SECCOMP, STRICT, 0, 0, 0)
            for n in range(10_001):
                schedule.lr(n)
            if with_a_syscall:
                os.getppid()
            os.write(writing, b"done")
            os._exit(0)  # which is one too many
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            assert pipe.read() == answer
        assert os.waitpid(child, 0)[1] == signal.SIGKILL


SCRIPT = """
import sys, time
from preheat_client import Preheat
spec = {"target_lr": 0.1, "total_iterations": 10**9}
preheat = Preheat(sys.argv[1], window=20, timeout_s=600)
schedule = preheat.create(spec, fallback=0.5) if sys.argv[2] == "open" else None
print("ready", flush=True)
time.sleep(float(sys.argv[3]))
"""


def started(url: str, sleep_s: float) -> "subprocess.Popen[str]":
    """A process with a client that is not closed."""
    command = [sys.executable, "-c", SCRIPT, url, "open", str(sleep_s)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PREHEAT_START_TIMEOUT_S": "1"}
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def open_files() -> int:
    """Files and sockets of this process."""
    return len(list(Path("/proc/self/fd").iterdir()))


def preheat_threads() -> list[threading.Thread]:
    """Threads of clients that are still there."""
    gc.collect()
    return [thread for thread in threading.enumerate() if thread.name == "preheat"]


class TestExit:
    """A process leaves at once, whatever the client's thread waits for."""

    def test_an_interpreter_leaves_at_once(self, url: str) -> None:
        """An exit waits neither for a service that is there nor for one that never answers."""
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            for address in (url, f"http://127.0.0.1:{silent.getsockname()[1]}"):
                with started(address, 0.2) as process:
                    assert process.wait(60) == 0

    def test_sigterm_ends_a_process_at_once(self) -> None:
        """SIGTERM ends a process whose service is away."""
        with started(f"http://127.0.0.1:{free_port()}", 600) as process:
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == -signal.SIGTERM

    def test_closing_does_not_wait_for_a_service_that_never_answers(self) -> None:
        """Closing cuts the request under way, which had ten minutes, and ends the thread."""
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            url = f"http://127.0.0.1:{silent.getsockname()[1]}"
            with Preheat(url, timeout_s=600, start_timeout_s=0.3) as preheat:
                preheat.create(REFERENCE_SPEC, fallback=0.5)
            wait_until(lambda: not preheat_threads(), 60)

    def test_closing_in_the_middle_of_a_request_is_no_outage(self, url: str, caplog: pytest.LogCaptureFixture) -> None:
        """A request that closing has cut is not logged, and is no failure."""
        with proxy_loop() as loop, proxied(loop, url) as proxy:
            with Preheat(proxy.url, window=20, timeout_s=60) as preheat:
                schedule = preheat.create(LONG)
                wait_until(lambda: schedule.status.counters.windows == 16, 30)
                proxy.set(Fault(greeting="hang"))
                time.sleep(2.5)  # until the connection that the proxy has reset is given up
                schedule.lr(65)
                time.sleep(0.3)
            wait_until(lambda: not preheat_threads(), 30)
        assert [line for line in caplog.messages if ": lint: " not in line] == []
        assert schedule.status.counters.failures == 0


class TestLeaks:
    """Clients leave no thread, socket or file behind."""

    def test_everything_is_done_on_one_daemon_thread(self, url: str) -> None:
        """A client of many schedules has one thread."""
        with Preheat(url, window=20) as preheat:
            schedules = [preheat.create({**LONG, "target_lr": k / 100}) for k in range(1, 8)]
            for schedule in schedules:
                schedule.lr(10**6)
            (thread,) = preheat_threads()
            assert thread.daemon

    def test_two_clients_do_not_know_each_other(self, url: str) -> None:
        """Closing one leaves the other reading."""
        with Preheat(url, window=20) as one:
            kept = one.create(LONG)
            with Preheat(url, window=20) as two:
                two.create(LONG).lr(10**6)
            assert kept.lr(10**6) == 0.1 * 10**6 / 10**9

    def test_ten_thousand_clients_leave_nothing(self, url: str, tmp_path: Path) -> None:
        """A thousand clients on the network and nine thousand on snapshots leave no thread and no file."""
        with Preheat(url, snapshot_dir=str(tmp_path)) as preheat:
            schedule = preheat.create(REFERENCE_SPEC)
            wait_until(lambda: schedule.status.counters.snapshots == 1, 30)
        files = open_files()
        for k in range(10_000):
            mode: Any = "online" if k % 10 == 0 else "offline"
            with Preheat(url, mode=mode, snapshot_dir=str(tmp_path) if mode == "offline" else None) as preheat:
                assert preheat.create(REFERENCE_SPEC).lr(5) == 0.005
        wait_until(lambda: not preheat_threads(), 30)
        wait_until(lambda: open_files() <= files + 1, 30)
        assert len(list(tmp_path.iterdir())) == 2  # by the spec, and by the id

    def test_a_client_that_is_only_dropped_ends_its_thread(self, url: str) -> None:
        """A client that is garbage ends its thread without `close`."""
        preheat = Preheat(url)
        preheat.create(REFERENCE_SPEC).lr(1)
        assert len(preheat_threads()) == 1
        del preheat
        wait_until(lambda: not preheat_threads(), 30)
