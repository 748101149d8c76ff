"""15. A point of a revision with a thousand amendments: under 1 ms, in memory and from the service."""

import http.client
import json
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from benchmarks.lookup import COMPUTE_WORKERS
from benchmarks.measure import Ratio, side_by_side
from preheat.curve import Curve
from preheat.schedule import Schedule
from running_service import service_process

AMENDMENTS, EVERY, AT_ONCE, ROUNDS = 1_000, 900, 100, 21
PLAIN: dict[str, Any] = {
    "target_lr": 0.1,
    "total_iterations": AMENDMENTS * (EVERY + 100),
    "after_scheduler": {"type": "CosineAnnealingLR"},
}
LIMIT_MS = 1.0


def measure() -> Iterator[Ratio]:
    """Of the last iterations, at which every amendment is in force: each a scale that goes on to the end."""
    amendments = [{"op": "scale", "start": 100 + EVERY * i, "factor": 0.999} for i in range(AMENDMENTS)]
    amended = {**PLAIN, "amendments": amendments}
    with (
        TemporaryDirectory() as folder,
        service_process(Path(folder) / "preheat.db", compute_workers=COMPUTE_WORKERS) as running,
        httpx.Client(base_url=running.url, timeout=60) as client,
    ):
        tasks = {
            "amended": _points(Curve(Schedule.of(amended))),
            "plain": _points(Curve(Schedule.of(PLAIN))),
            "amended, served": _served(client, amended),
            "plain, served": _served(client, PLAIN),
        }
        ms = {name: s / AT_ONCE * 1e3 for name, s in side_by_side(tasks, ROUNDS).items()}
    what = f"a point with {AMENDMENTS:,} amendments"
    yield Ratio(what, ms["amended"], "ms", "limit: 1 ms", LIMIT_MS, "≤1")
    yield Ratio(what, ms["amended"], "ms", "without amendments", ms["plain"], "")
    yield Ratio(f"{what}, served", ms["amended, served"], "ms", "without amendments", ms["plain, served"], "≤1.5")


def _points(curve: Curve) -> Callable[[], object]:
    last = range(curve.total_iterations - AT_ONCE, curve.total_iterations)
    return lambda: [curve.lr(n) for n in last]


def _served(client: httpx.Client, spec: dict[str, Any]) -> Callable[[], object]:
    made = client.post("/v1/schedules", json=spec).raise_for_status().json()
    connection = http.client.HTTPConnection(client.base_url.host, client.base_url.port)
    path, numbers = f"/v1/schedules/{made['id']}/lr/", count(1)

    def ask() -> None:
        first = spec["total_iterations"] - next(numbers) * AT_ONCE
        for n in range(first, first + AT_ONCE):
            connection.request("GET", f"{path}{n}")
            assert json.loads(connection.getresponse().read())["iteration"] == n

    return ask
