"""14. Watching a run: how soon a change reaches those who wait for events, and what each of them keeps in memory."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from benchmarks.measure import Ratio, percentile
from live_runs.rest_job import RestJob
from running_service import service_process

ROUNDS, PAUSE_S = 9, 1.0
LIMITS_MS = {1: 50.0, 3_000: 250.0}
IDLE, LIMIT_MB = 10_000, 300.0

WATCHERS = """
import json, select, socket, sys, time
host, port, path, count = json.loads(sys.argv[1])
poll, sockets = select.epoll(), {}
for _ in range(count):
    watching = socket.create_connection((host, port))
    watching.sendall(f"GET {path} HTTP/1.1\\r\\nHost: {host}\\r\\nAccept: text/event-stream\\r\\n\\r\\n".encode())
    sockets[watching.fileno()] = watching
for watching in sockets.values():
    assert b" 200 " in watching.recv(65536)
    watching.setblocking(False)
    poll.register(watching, select.EPOLLIN)
print("watching", flush=True)
poll.register(0, select.EPOLLIN)
seen = {}
while True:
    for file, _ in poll.poll():
        if file == 0:
            sys.exit()
        chunk = sockets[file].recv(65536)
        if b"event: change-accepted" in chunk:
            seen[file] = time.monotonic()
    if len(seen) == count:
        print(json.dumps(list(seen.values())), flush=True)
        seen = {}
"""


def measure() -> Iterator[Ratio]:
    """From the moment at which a change is sent; megabytes above the service as it was, once all are connected."""
    with (
        TemporaryDirectory() as folder,
        service_process(Path(folder) / "preheat.db", max_connections=2 * IDLE) as running,
        httpx.Client(base_url=running.url, timeout=60) as http,
    ):
        for watchers, limit_ms in LIMITS_MS.items():
            p99_ms = _latency_ms(http, watchers)
            yield Ratio(f"a change to {watchers:,}, p99", p99_ms, "ms", f"limit: {limit_ms:g} ms", limit_ms, "≤1")
        job = RestJob(http)
        before = _resident_mb(running.process.pid)
        with _watching(http, job, IDLE):
            time.sleep(PAUSE_S)
            used = _resident_mb(running.process.pid) - before
        yield Ratio(f"{IDLE:,} idle watchers", used, "MB", f"limit: {LIMIT_MB:g} MB", LIMIT_MB, "≤1")


def _latency_ms(http: httpx.Client, watchers: int) -> float:
    """The median over changes of the 99th percentile over watchers."""
    job, keys = RestJob(http), count()
    found: list[float] = []
    with _watching(http, job, watchers) as process:
        assert process.stdout is not None
        for _ in range(ROUNDS):
            operation = {"op": "scale", "factor": 0.9 if len(found) % 2 else 1 / 0.9}
            headers = {"if-match": job.run()["etag"], "idempotency-key": f"key-{next(keys)}"}
            time.sleep(PAUSE_S)
            sent = time.monotonic()
            body = {"operation": operation, "why": "to see it arrive", "confirm": True}
            http.post(f"{job.path}/changes", json=body, headers=headers).raise_for_status()
            arrived = json.loads(process.stdout.readline())
            found.append(percentile([each - sent for each in arrived], 99) * 1000)
    return statistics.median(found)


@contextmanager
def _watching(http: httpx.Client, job: RestJob, watchers: int) -> Iterator["subprocess.Popen[str]"]:
    """A process with connections that wait for the events of a run."""
    url = http.base_url
    told = json.dumps([url.host, url.port, f"{job.path}/events", watchers])
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", WATCHERS, told], text=True, **pipes) as process:  # type: ignore[call-overload]
        assert process.stdout.readline() == "watching\n"
        yield process
        process.stdin.close()


def _resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
