"""What worker processes cost a small request, and what they spare those who ask for points beside heavy work."""

import itertools
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, nullcontext
from pathlib import Path

import httpx

from benchmarks.lookup import COMPUTE_WORKERS, make_key
from benchmarks.measure import Ratio, side_by_side
from benchmarks.wrk import load, p99_s
from reference import REFERENCE_SPEC
from running_service import ServiceProcess, service_process

ROUNDS = 100
CLIENTS, RATE_PER_S, SECONDS = 500, 2, 5
P99_ROUNDS = 3
HEAVY_AT_ONCE = 6
LONG = {"target_lr": 0.01, "total_iterations": 1_000_000, "after_scheduler": {"type": "CosineAnnealingLR"}}
MOST_S = 0.05

# One after the other, none of them like one before: a post that is stepped to with 10⁵ of its LRs, a picture, a sum
# of 10⁶ iterations. Their answers are thrown away by wrk, so that reading them takes nothing from the service.
HEAVY = """
local n = 0
local stepped = '{"target_lr": 1, "total_iterations": 9000000, "label": "%d", "after_scheduler": ' ..
    '{"type": "MultiplicativeLR", "lr_lambda": 0.999999}}'
function request()
    n = n + 1
    wrk.headers["Content-Type"] = "application/json"
    if n % 3 == 0 then return wrk.format("POST", "/v1/schedules?stop=100000", wrk.headers, stepped:format(n)) end
    if n % 3 == 1 then return wrk.format("GET", wrk.path .. "/plot.png?width_px=" .. (320 + n % 3000)) end
    return wrk.format("GET", wrk.path .. "/sum?start=" .. n .. "&stop=1000000")
end
"""


def measure() -> Iterator[Ratio]:
    """Small requests against the same service computing in threads; points also against no heavy work beside them."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        token = make_key(folder / "workers.db")
        in_workers = stack.enter_context(service_process(folder / "workers.db", compute_workers=COMPUTE_WORKERS))
        in_threads = stack.enter_context(service_process(folder / "threads.db", compute_workers=0))
        yield from _latency(in_workers, in_threads, token)
        rounds = [
            (_p99_s(in_workers, token, heavy=HEAVY_AT_ONCE), _p99_s(in_workers, token, heavy=0))
            for _ in range(P99_ROUNDS)
        ]
        beside, alone = (statistics.median(seconds) * 1000 for seconds in zip(*rounds, strict=True))
        what = f"p99 of points, {CLIENTS} clients, beside heavy work"
        yield Ratio(what, beside, "ms", "limit", MOST_S * 1000, "≤1")
        yield Ratio(what, beside, "ms", "beside none", alone, "")
        yield Ratio(what, beside, "ms", "in threads", _p99_s(in_threads, token, heavy=HEAVY_AT_ONCE) * 1000, "")


def _latency(in_workers: ServiceProcess, in_threads: ServiceProcess, token: str) -> Iterator[Ratio]:
    numbers = itertools.count(320)
    headers = {"authorization": f"Bearer {token}"}
    with (
        httpx.Client(base_url=in_workers.url, headers=headers) as workers,
        httpx.Client(base_url=in_threads.url, headers=headers) as threads,
    ):
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


def _p99_s(service: ServiceProcess, token: str, heavy: int) -> float:
    """The 99th percentile of the seconds that a point takes while `heavy` others compute without a pause."""
    headers = {"authorization": f"Bearer {token}"}
    path = f"{service.url}/v1/schedules"
    posted = httpx.post(path, json=LONG, params={"stop": 0}, headers=headers, timeout=60).raise_for_status()
    url = f"{path}/{posted.json()['id']}"
    with load(url, HEAVY, token=token, connections=heavy) if heavy else nullcontext():
        time.sleep(1)
        return p99_s(f"{url}/lr/7", token=token, clients=CLIENTS, rate_per_s=RATE_PER_S, seconds=SECONDS)
