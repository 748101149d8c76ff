"""8. From nothing to the first LR: the import, a service that is there, a snapshot, and what peers take for it."""

import subprocess
import sys
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
from torch.optim.lr_scheduler import CosineAnnealingLR

from benchmarks.measure import Ratio, side_by_side
from preheat_client import Preheat
from reference import optimizer
from running_service import service_process, wait_until

ITERATIONS = 1_000_000
SPEC: dict[str, Any] = {
    "target_lr": 0.1,
    "total_iterations": ITERATIONS,
    "after_scheduler": {"type": "CosineAnnealingLR"},
}


def measure() -> Iterator[Ratio]:
    """Milliseconds until lr(1) is there; each time a new client, which is closed again."""
    warnings.simplefilter("ignore")
    with TemporaryDirectory() as folder, service_process(Path(folder) / "preheat.db") as running:
        snapshots = str(Path(folder) / "snapshots")
        _leave_snapshot(running.url, snapshots)
        tasks = {
            "cold": lambda: _first_lr(running.url),
            "snapshot": lambda: _first_lr(running.url, mode="offline", snapshot_dir=snapshots),
            "httpx": lambda: _first_poll(running.url),
            "torch": lambda: CosineAnnealingLR(optimizer(0.1), ITERATIONS).step(),
        }
        ms = {name: s * 1e3 for name, s in side_by_side(tasks, 31).items()}
    for name in ("cold", "snapshot"):
        what = f"first LR of 10⁶, {name}"
        yield Ratio(what, ms[name], "ms", "bare httpx: POST, then GET of one LR", ms["httpx"], "")
        yield Ratio(what, ms[name], "ms", "torch: scheduler made and stepped", ms["torch"], "")
    imports = side_by_side({name: partial(_import, name) for name in ("sys", "preheat_client", "httpx")}, 11)
    ours, theirs = ((imports[name] - imports["sys"]) * 1e3 for name in ("preheat_client", "httpx"))
    yield Ratio("import preheat_client", ours, "ms", "import httpx", theirs, "≤0.5")


def _import(module: str) -> None:
    """In a process of its own."""
    subprocess.run([sys.executable, "-c", f"import {module}"], check=True)


def _leave_snapshot(url: str, folder: str) -> None:
    with Preheat(url, snapshot_dir=folder) as preheat:
        schedule = preheat.create(SPEC)
        wait_until(lambda: schedule.status.counters.snapshots == 1, 30)


def _first_lr(url: str, **options: Any) -> None:
    with Preheat(url, **options) as preheat:
        preheat.create(SPEC).lr(1)


def _first_poll(url: str) -> None:
    with httpx.Client(base_url=url) as http:
        schedule_id = http.post("/v1/schedules?stop=0", json=SPEC).json()["id"]
        http.get(f"/v1/schedules/{schedule_id}/lr/1").json()["groups"][0]["lr"]
