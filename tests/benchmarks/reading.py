"""1. Reading the LR in the training loop, against torch's own scheduler. Limit: indexing a list."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from torch.optim.lr_scheduler import CosineAnnealingLR

from benchmarks.measure import Ratio, side_by_side
from preheat_client import Preheat, RemoteLR
from reference import optimizer
from running_service import service_process

ITERATIONS = 90_000
SPEC = {"target_lr": 0.1, "total_iterations": ITERATIONS, "after_scheduler": {"type": "CosineAnnealingLR"}}
LONG_SPEC = {**SPEC, "total_iterations": 10**9}


def measure() -> Iterator[Ratio]:
    """`schedule.lr(n)` and `RemoteLR.step()` per iteration; for the long schedule fetching windows is included."""
    warnings.simplefilter("ignore")
    with (
        TemporaryDirectory() as folder,
        service_process(Path(folder) / "preheat.db") as running,
        Preheat(running.url) as preheat,
    ):
        schedule = preheat.create(SPEC)
        schedule.lr(0)
        values = schedule.lrs()
        ours_on, torch_on = optimizer(0.1), optimizer(0.1)

        def read() -> None:
            for n in range(ITERATIONS):
                schedule.lr(n)

        def read_in_windows() -> None:
            fresh = preheat.create(LONG_SPEC)
            for n in range(ITERATIONS):
                fresh.lr(n)

        def step_remote() -> None:
            scheduler = RemoteLR(ours_on, preheat.create(SPEC))
            for _ in range(ITERATIONS):
                scheduler.step()

        def step_torch() -> None:
            scheduler = CosineAnnealingLR(torch_on, ITERATIONS)
            for _ in range(ITERATIONS):
                scheduler.step()

        def index() -> None:
            for n in range(ITERATIONS):
                values[n]

        tasks = {"lr": read, "windows": read_in_windows, "remote": step_remote, "torch": step_torch, "index": index}
        per_iteration = {name: s / ITERATIONS * 1e9 for name, s in side_by_side(tasks, 7).items()}
    peer = "torch scheduler.step()"
    yield Ratio("schedule.lr(n)", per_iteration["lr"], "ns", peer, per_iteration["torch"], "≤0.1")
    yield Ratio(
        "RemoteLR.step(), fetching included", per_iteration["remote"], "ns", peer, per_iteration["torch"], "≤0.3"
    )
    yield Ratio("lr(n) of 10⁹, fetching included", per_iteration["windows"], "ns", peer, per_iteration["torch"], "")
    yield Ratio("schedule.lr(n)", per_iteration["lr"], "ns", "limit: indexing a list", per_iteration["index"], "")
