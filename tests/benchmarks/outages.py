"""7. Reading the LR while the service answers, refuses and hangs, against torch's own scheduler and polling."""

import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
from torch.optim.lr_scheduler import CosineAnnealingLR

from benchmarks.measure import Ratio, Task, side_by_side
from faults.fault_proxy import NONE, Fault, FaultProxy, proxied, proxy_loop
from preheat_client import Preheat, Schedule
from reference import optimizer
from running_service import service_process, wait_until

ITERATIONS, POLLS = 50_000, 200
SPEC: dict[str, Any] = {
    "target_lr": 0.1,
    "total_iterations": ITERATIONS,
    "after_scheduler": {"type": "CosineAnnealingLR"},
}
LONG_SPEC = {**SPEC, "total_iterations": 10**9}
LONG_SPECS = {
    "computed": LONG_SPEC,
    "held": {**LONG_SPEC, "after_scheduler": {"type": "REXLR"}},  # which the client cannot compute
}
FAULTS = {"healthy": NONE, "refusing": Fault(listens=False), "hanging": Fault(greeting="hang")}


def measure() -> Iterator[Ratio]:
    """Nanoseconds per iteration. Polling is measured with the service healthy, where it is cheapest."""
    warnings.simplefilter("ignore")
    with (
        TemporaryDirectory() as folder,
        service_process(Path(folder) / "preheat.db") as running,
        proxy_loop() as loop,
        proxied(loop, running.url) as proxy,
        Preheat(proxy.url, timeout_s=1) as preheat,
        Preheat(proxy.url, timeout_s=1, window=100) as narrow,
        httpx.Client(base_url=running.url) as http,
    ):
        schedule = preheat.create(SPEC)
        polling = f"/v1/schedules/{schedule.id}/lr"
        for name, fault in FAULTS.items():
            beyond = {name: _known_in_part(narrow, proxy, spec) for name, spec in LONG_SPECS.items()}
            proxy.set(fault)
            tasks: dict[str, Task] = {
                "lr": partial(_read, schedule),
                "torch": lambda: _step(CosineAnnealingLR(optimizer(0.1), ITERATIONS)),
                "poll": partial(_poll, http, polling),
            }
            if fault is not NONE:
                tasks |= {name: partial(_read_beyond, schedule) for name, schedule in beyond.items()}
            ns = {
                task: s / (POLLS if task == "poll" else ITERATIONS) * 1e9 for task, s in side_by_side(tasks, 7).items()
            }
            yield Ratio(f"lr(n), service {name}", ns["lr"], "ns", "torch scheduler.step()", ns["torch"], "≤0.1")
            yield Ratio(f"lr(n), service {name}", ns["lr"], "ns", "polling by httpx, healthy", ns["poll"], "≤0.001")
            if fault is not NONE:
                for which in beyond:
                    what = f"lr(n) {which} past memory, service {name}"
                    yield Ratio(what, ns[which], "ns", "torch scheduler.step()", ns["torch"], "")


def _known_in_part(preheat: Preheat, proxy: FaultProxy, spec: dict[str, Any]) -> Schedule:
    """A schedule too long to be kept whole, with the windows at its start in memory."""
    proxy.set(NONE)
    schedule = preheat.create(spec)
    wait_until(lambda: schedule.status.counters.windows == 16, 10)
    schedule.lr(0)
    return schedule


def _read(schedule: Schedule) -> None:
    for n in range(ITERATIONS):
        schedule.lr(n)


def _read_beyond(schedule: Schedule) -> None:
    for n in range(10**8, 10**8 + ITERATIONS):
        schedule.lr(n)


def _step(scheduler: CosineAnnealingLR) -> None:
    for _ in range(ITERATIONS):
        scheduler.step()


def _poll(http: httpx.Client, path: str) -> None:
    for n in range(POLLS):
        http.get(f"{path}/{n}").json()["groups"][0]["lr"]
