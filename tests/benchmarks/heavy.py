"""What worker processes cost a small request, and what they spare those who ask for points beside heavy work."""

import asyncio
import itertools
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np

from benchmarks.measure import Ratio, side_by_side
from reference import REFERENCE_SPEC
from running_service import ServiceProcess, service_process

ROUNDS = 150
CLIENTS, EVERY_S, SECONDS = 500, 0.5, 8
HEAVY_AT_ONCE = 6
MOST_S = 0.05

STEPPED: dict[str, Any] = {
    "target_lr": 1,
    "total_iterations": 9_000_000,
    "after_scheduler": {"type": "MultiplicativeLR", "lr_lambda": 0.999999},
}


def measure() -> Iterator[Ratio]:
    """Each against the same service computing in threads."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        in_workers = stack.enter_context(service_process(folder / "workers.db", compute_workers=2))
        in_threads = stack.enter_context(service_process(folder / "threads.db", compute_workers=0))
        yield from _latency(in_workers, in_threads)
        ours, theirs = _p99_s(in_workers), _p99_s(in_threads)
        what = f"p99 of points, {CLIENTS} clients, beside heavy work"
        yield Ratio(what, ours * 1000, "ms", "limit", MOST_S * 1000, "≤1")
        yield Ratio(what, ours * 1000, "ms", "in threads", theirs * 1000, "")


def _latency(in_workers: ServiceProcess, in_threads: ServiceProcess) -> Iterator[Ratio]:
    numbers = itertools.count(320)
    with httpx.Client(base_url=in_workers.url) as workers, httpx.Client(base_url=in_threads.url) as threads:
        ids = {
            http: http.post("/v1/schedules", json=REFERENCE_SPEC, timeout=60).json()["id"]
            for http in (workers, threads)
        }

        def post(http: httpx.Client) -> None:
            http.post("/v1/schedules", json=REFERENCE_SPEC).raise_for_status()

        def draw(http: httpx.Client) -> None:
            path = f"/v1/schedules/{ids[http]}/plot.png"
            http.get(path, params={"width_px": next(numbers)}).raise_for_status()

        for what, task, rounds in (("a small POST", post, ROUNDS), ("a new PNG", draw, ROUNDS // 4)):
            tasks = {"workers": lambda task=task: task(workers), "threads": lambda task=task: task(threads)}
            seconds = side_by_side(tasks, rounds)
            yield Ratio(what, seconds["workers"] * 1000, "ms", "in threads", seconds["threads"] * 1000, "≤2")


def _p99_s(service: ServiceProcess) -> float:
    """The 99th percentile of the seconds that a point takes while others compute without a pause."""
    schedule = httpx.post(f"{service.url}/v1/schedules", json=REFERENCE_SPEC, timeout=60).json()["id"]
    with _heavy_work(service.url):
        time.sleep(1)
        taken = asyncio.run(_points(service.url, f"/v1/schedules/{schedule}/lr/7"))
    return float(np.percentile(taken, 99))


@contextmanager
def _heavy_work(url: str) -> Iterator[None]:
    over, numbers = threading.Event(), itertools.count()

    def compute() -> None:
        while not over.is_set():
            spec = {**STEPPED, "label": f"{next(numbers)}"}
            with suppress(httpx.HTTPError):
                httpx.post(f"{url}/v1/schedules", json=spec, params={"stop": 100_000}, timeout=60)

    threads = [threading.Thread(target=compute) for _ in range(HEAVY_AT_ONCE)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


async def _points(url: str, path: str) -> list[float]:
    address = urlsplit(url)
    request = f"GET {path} HTTP/1.1\r\nHost: {address.netloc}\r\n\r\n".encode()
    taken: list[float] = []

    async def client(number: int) -> None:
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        await asyncio.sleep(EVERY_S * number / CLIENTS)
        for _ in range(int(SECONDS / EVERY_S)):
            started = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
            taken.append(time.perf_counter() - started)
            assert head.startswith(b"HTTP/1.1 200"), head
            await asyncio.sleep(max(EVERY_S - taken[-1], 0))
        writer.close()

    await asyncio.gather(*map(client, range(CLIENTS)))
    return taken
