"""1. Reading the LR in the training loop, against torch's own scheduler. Limit: indexing a list."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from torch.optim.lr_scheduler import CosineAnnealingLR

from benchmarks.measure import Ratio, Task, side_by_side
from preheat_client import Preheat, Schedule
from preheat_client.torch import RemoteLR
from reference import optimizer
from running_service import service_process

ITERATIONS = 90_000
SPEC = {"target_lr": 0.1, "total_iterations": ITERATIONS, "after_scheduler": {"type": "CosineAnnealingLR"}}
LONG_SPEC = {**SPEC, "total_iterations": 10**9}


def measure() -> Iterator[Ratio]:
    """`schedule.lr(n)` and `RemoteLR.step(n)` per iteration; where it says so, with asking the service for them."""
    warnings.simplefilter("ignore")
    with (
        TemporaryDirectory() as folder,
        service_process(Path(folder) / "preheat.db") as running,
        Preheat(running.url) as preheat,
    ):
        ns = {name: s / ITERATIONS * 1e9 for name, s in side_by_side(_tasks(preheat, running.url), 7).items()}
    peer = "torch scheduler.step()"
    yield Ratio("schedule.lr(n)", ns["lr"], "ns", peer, ns["torch"], "≤0.1")
    yield Ratio("RemoteLR.step(n), fetching included", ns["remote"], "ns", peer, ns["torch"], "≤0.3")
    yield Ratio("lr(n) of 10⁹, fetching included", ns["windows"], "ns", peer, ns["torch"], "")
    yield Ratio("schedule.lr(n)", ns["lr"], "ns", "limit: indexing a list", ns["index"], "")


def _tasks(preheat: Preheat, url: str) -> dict[str, Task]:
    schedule = preheat.create(SPEC)
    values = schedule.lrs()

    def step(scheduler: CosineAnnealingLR) -> None:
        for _ in range(ITERATIONS):
            scheduler.step()

    def step_to(scheduler: RemoteLR) -> None:
        for n in range(ITERATIONS):
            scheduler.step(n)

    def read(from_schedule: Schedule) -> None:
        for n in range(ITERATIONS):
            from_schedule.lr(n)

    def read_afresh() -> None:
        """By a client of its own: what it fetches ahead must not burden the task after it."""
        with Preheat(url) as fresh:
            read(fresh.create(LONG_SPEC))

    def index() -> None:
        for n in range(ITERATIONS):
            values[n]

    return {
        "lr": lambda: read(schedule),
        "windows": read_afresh,
        "remote": lambda: step_to(RemoteLR(optimizer(0.1), preheat.create(SPEC))),
        "torch": lambda: step(CosineAnnealingLR(optimizer(0.1), ITERATIONS)),
        "index": index,
    }
