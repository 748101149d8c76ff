"""Heavy requests on a real service: stopped, bounded, and never in the way of cheap ones."""

import os
import pickle
import re
import signal
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from preheat.api import create_app
from preheat.api.offload import Answer, Job, Offload
from preheat.settings import Settings
from reference import REFERENCE_SPEC
from rest import post, posted_id, problem
from running_service import ServiceProcess, service_process, serving, wait_until
from support.watching import memory_bytes, processes, watching

MB = 1_000_000
MOST_S = 3.0
"""How long a cheap request may take on a machine that has other things to do; alone it takes some milliseconds."""

SLOW: dict[str, Any] = {
    "target_lr": 1,
    "total_iterations": 9_000_000,
    "after_scheduler": {"type": "MultiplicativeLR", "lr_lambda": 0.999999},
}
"""A schedule that has to be stepped, for more than a minute to its end."""

MANY = "/lr?" + "&".join(f"a{number}=1" for number in range(101))
"""More query parameters than any route has."""

TO_THE_END = {"start": 9_000_000, "stop": 9_000_001}
LARGE = {**REFERENCE_SPEC, "total_iterations": 100_000_000}


@dataclass(frozen=True)
class Running:
    """A service process, its log, a client of it, and the path of a point."""

    service: ServiceProcess
    log: Path
    http: httpx.Client
    point: str

    def post_new(self, spec: dict[str, Any]) -> httpx.Response:
        """The answer to a spec of which no LR is asked for, on a connection of its own."""
        return httpx.post(f"{self.service.url}/v1/schedules", json=spec, params={"stop": 0}, timeout=60)

    def delete(self, schedule_id: str) -> httpx.Response:
        """The answer to a DELETE on a connection of its own."""
        return httpx.delete(f"{self.service.url}/v1/schedules/{schedule_id}", timeout=60)

    def address(self) -> tuple[str, int]:
        """Where it listens."""
        host, port = self.service.url.removeprefix("http://").split(":")
        return host, int(port)

    def workers(self) -> list[psutil.Process]:
        """Processes that compute."""
        return workers_of(self.service)

    def wait_for_workers(self) -> None:
        """Returns when all are there."""
        wait_until(lambda: len(self.workers()) == 2, 60)

    def busy_worker(self) -> psutil.Process:
        """The process that computes, once there is one."""
        return busy_one(self.workers)


def workers_of(service: ServiceProcess) -> list[psutil.Process]:
    """Processes of a service that compute: those below its own children, one of which forks them."""
    below = processes(service.process.pid)
    return [process for process in below if process.ppid() not in {os.getpid(), service.process.pid}]


def busy_one(workers: Callable[[], list[psutil.Process]]) -> psutil.Process:
    """The worker that computes, once there is one: it takes more than one that starts, or ends what came before."""
    found: list[psutil.Process] = []
    before: dict[int, float] = {}

    def is_found() -> bool:
        for worker in workers():
            with suppress(psutil.NoSuchProcess):
                spent_s = sum(worker.cpu_times()[:2])
                if spent_s - before.setdefault(worker.pid, spent_s) > 0.3:
                    found.append(worker)
        return bool(found)

    wait_until(is_found, 60)
    return found[0]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service that computes in two processes of 200 MB, and lets two requests wait for a second."""
    folder = tmp_path_factory.mktemp("offload")
    settings: dict[str, Any] = {
        "compute_workers": 2,
        "compute_memory_bytes": 200 * MB,
        "compute_queue": 2,
        "compute_wait_s": 1,
        "compute_timeout_s": 60,
        "database_timeout_s": 3,
        "body_timeout_s": 1,
        "max_values_per_answer": 10**9,
    }
    with (
        (folder / "log").open("wb") as log,
        service_process(folder / "preheat.db", stderr=log, **settings) as process,
        httpx.Client(base_url=process.url, timeout=60) as http,
    ):
        point = f"/v1/schedules/{posted_id(http, REFERENCE_SPEC)}/lr/7"
        found = Running(process, folder / "log", http, point)
        found.wait_for_workers()
        yield found


def test_what_is_computed_by_a_worker_is_what_a_thread_computes(running: Running, http: httpx.Client) -> None:
    """Status, headers and body of every kind of answer are the same: a worker runs the same routes."""
    for spec in ({**REFERENCE_SPEC, "label": "the same"}, {"target_lr": -1}):
        assert_same(post(running.http, spec), post(http, spec))
        assert_same(post(running.http, spec), post(http, spec))  # the schedule is there already
    path = f"/v1/schedules/{posted_id(http, REFERENCE_SPEC)}"
    windows = ("/lr", "/lr?start=3", "/lr?start=x", MANY)
    for rest in ("", *windows, "/lr/5?", "/lr/99", "/sum", "/plot.svg", "/export?to=torch"):
        assert_same(running.http.get(path + rest), http.get(path + rest))
        assert_same(running.http.head(path + rest), http.head(path + rest))
    etag = http.get(f"{path}/sum").headers["etag"]
    for path_of in (f"{path}/sum", "/v1/schedules/x/sum", "/v1/nothing", "/v1/lint"):
        headers = {"if-none-match": etag, "accept": "text/csv"}
        assert_same(running.http.get(path_of, headers=headers), http.get(path_of, headers=headers))
    for body, content_type in (("{", "application/json"), ("{}", "text/plain")):
        headers = {"content-type": content_type}
        answers = [client.post("/v1/lint", content=body, headers=headers) for client in (running.http, http)]
        assert_same(*answers)


class Pool:
    """In the place of worker processes: keeps the jobs that they would get."""

    is_full = False

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    async def run(self, job: Job, _what: str, _key: str) -> Answer:
        """Answers nothing."""
        self.jobs.append(job)
        return Answer(204, [], b"", frozenset())


def test_a_worker_is_not_told_the_key() -> None:
    """It was judged before; whatever else the request says goes on."""
    settings, pool = Settings(database_url="sqlite:///:memory:"), Pool()
    app: Any = create_app(settings)
    app.add_middleware(Offload, pool=pool, catalogue=app.state.catalogue, settings=settings)
    with serving(app) as url:
        headers = {"authorization": "Bearer secret", "if-none-match": '"a"'}
        assert httpx.get(f"{url}/v1/schedules", headers=headers, timeout=60).status_code == 204
    (job,) = pool.jobs
    assert (b"if-none-match", b'"a"') in job.scope["headers"]
    assert b"secret" not in pickle.dumps(job)


def assert_same(found: httpx.Response, expected: httpx.Response) -> None:
    """But for the time of day, the request's id, and whether the body had arrived when the answer was clear."""
    assert (found.status_code, without_id(found)) == (expected.status_code, without_id(expected))
    own = dict.fromkeys(("date", "connection", "x-request-id", "content-length"), "")  # ids have a number at their end
    assert {**found.headers, **own} == {**expected.headers, **own}


def without_id(answer: httpx.Response) -> bytes:
    """The body, but for the request's id in a problem document."""
    return re.sub(rb'"request_id":"[^"]*"', b"", answer.content)


def test_a_request_that_needs_too_much_memory_is_stopped(running: Running) -> None:
    """It is told the limit, the tree of processes keeps its bound, and cheap requests go on."""
    before = memory_bytes(running.service.process.pid)
    path = f"/v1/schedules/{posted_id(running.http, LARGE)}/lr?stop=50000000"
    with watching(running.service.url, running.service.process.pid, "/livez", running.point) as seen:
        for _ in range(10):
            document = problem(running.http.get(path), 422, "memory-exceeded")
            assert "compute_memory_bytes (200000000)" in document["detail"]
        wait_until(lambda: len(seen.counts) == 2 and seen.most_bytes > 0, 30)
    assert seen.failures == []
    assert max(seen.longest_s.values()) < MOST_S
    assert seen.most_bytes - before < 2.5 * 200 * MB


def test_forty_heavy_requests_are_all_answered(running: Running) -> None:
    """Two are computed, two wait for their second, and the rest is told at once to come back."""

    def ask(number: int) -> httpx.Response:
        spec = {**SLOW, "label": str(number)}
        window = {"stop": 200_001, "step": 10**5}
        return httpx.post(f"{running.service.url}/v1/schedules", json=spec, params=window, timeout=60)

    cheap = ("/livez", "/readyz", running.point, running.point.replace("/7", "?stop=20"), "/v1/recipes/llama-3-405b")
    with watching(running.service.url, running.service.process.pid, *cheap) as seen, ThreadPoolExecutor(40) as threads:
        answers = list(threads.map(ask, range(40)))
    for answer in answers:
        if answer.status_code != 201:
            assert "compute_workers is 2" in problem(answer, 503, "busy")["detail"]
            assert answer.headers["retry-after"] == "2"
    assert 2 <= sum(answer.is_success for answer in answers) <= 38
    assert seen.failures == []
    assert max(seen.longest_s.values()) < MOST_S
    assert min(seen.counts.values()) >= 2


def test_a_client_that_hangs_up_stops_its_work(running: Running) -> None:
    """The process that computed for it is gone, and another has taken its place."""
    path = f"/v1/schedules/{posted_id(running.http, SLOW)}/lr?start=9000000"
    with socket.create_connection(running.address()) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        worker = running.busy_worker()
    wait_until(lambda: not worker.is_running(), 30)
    running.wait_for_workers()
    assert running.http.get(f"/v1/schedules/{running.point.split('/')[3]}/sum").is_success


def test_a_worker_that_is_killed_is_replaced(running: Running) -> None:
    """As by the system when memory is short: its request is told, the log has it, and work goes on."""
    path = f"/v1/schedules/{posted_id(running.http, SLOW)}/lr?start=9000000"
    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(running.http.get, path)
        running.busy_worker().kill()
        assert "ended by SIGKILL" in problem(answer.result(), 503, "worker-lost")["detail"]
    running.wait_for_workers()
    assert f"ended by SIGKILL during GET {path.partition('?')[0]}" in running.log.read_text()
    assert running.http.get(f"/v1/schedules/{running.point.split('/')[3]}/sum").is_success


def test_a_locked_database_delays_nothing_cheap(running: Running) -> None:
    """While POSTs and DELETEs wait three seconds for it, points, windows in memory and liveness go on."""
    database = running.log.with_name("preheat.db")
    window = running.point.replace("/7", "?stop=20")
    with closing(sqlite3.connect(database, isolation_level=None)) as lock, ThreadPoolExecutor(120) as threads:
        lock.execute("BEGIN IMMEDIATE")
        with watching(running.service.url, running.service.process.pid, "/livez", running.point, window) as seen:
            posts = [threads.submit(running.post_new, {**SLOW, "label": f"locked {n}"}) for n in range(60)]
            deletes = [threads.submit(running.delete, f"{n:032x}") for n in range(45)]
            statuses = {answer.result().status_code for answer in posts + deletes}
        lock.execute("ROLLBACK")
    assert statuses == {503}
    assert seen.failures == []
    assert max(seen.longest_s.values()) < 2.5


def test_a_new_schedule_is_known_without_the_database(running: Running, tmp_path: Path) -> None:
    """A worker process made it; the service has it in memory soon after, before anybody asked for a point of it."""
    database = running.log.parent / "preheat.db"
    labels = iter(range(1000))

    def is_known() -> bool:
        point = f"/v1/schedules/{posted_id(running.http, {**REFERENCE_SPEC, 'label': f'known {next(labels)}'})}/lr/7"
        time.sleep(0.2)  # it is taken into memory after the answer
        database.rename(tmp_path / "away.db")
        try:
            return running.http.get(point).is_success
        finally:
            (tmp_path / "away.db").rename(database)

    wait_until(is_known, 60)


def test_a_body_that_never_ends_is_not_waited_for(running: Running) -> None:
    """After its time it is answered, and its connection closed."""
    with socket.create_connection(running.address(), timeout=30) as client:
        client.sendall(b"POST /v1/lint HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n")
        client.sendall(b"Content-Length: 9\r\n\r\n{")
        answer = client.recv(10_000).decode()
    assert answer.startswith("HTTP/1.1 408")
    assert "body_timeout_s (1 s)" in answer


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_the_service(tmp_path: Path, sent: signal.Signals) -> None:
    """SIGTERM for the whole group is no error, though work is cut off; after SIGKILL nobody tells the others."""
    settings: dict[str, Any] = {"compute_workers": 2, "shutdown_timeout_s": 1, "compute_timeout_s": 60}
    with service_process(tmp_path / "preheat.db", **settings) as service, ThreadPoolExecutor(1) as threads:
        asked = threads.submit(httpx.post, f"{service.url}/v1/schedules", json=SLOW, params=TO_THE_END, timeout=60)
        busy_one(partial(workers_of, service))
        below = processes(service.process.pid)[1:]
        assert len(below) >= 3
        if sent == signal.SIGTERM:  # as a service manager sends it
            os.killpg(service.process.pid, sent)
        else:
            service.process.send_signal(sent)
        assert service.process.wait(60) == (0 if sent == signal.SIGTERM else -signal.SIGKILL)
        wait_until(lambda: not any(process.is_running() for process in below), 30)
        if sent == signal.SIGTERM:
            problem(asked.result(), 503, "worker-lost")
        else:
            assert isinstance(asked.exception(), httpx.TransportError)
