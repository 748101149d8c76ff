"""12. A loop with a run attached: reading the LR, setting it, reporting, against torch's own scheduler's step."""

import signal
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch.optim.lr_scheduler import CosineAnnealingLR

from benchmarks.measure import Ratio, Task, percentile, side_by_side
from preheat_client import Preheat
from preheat_client.torch import RemoteLR
from reference import optimizer
from running_service import ServiceProcess, service_process

ITERATIONS = 90_000
SPEC = {"target_lr": 0.1, "total_iterations": ITERATIONS, "after_scheduler": {"type": "CosineAnnealingLR"}}
MEASURED = 10_000
PACE_S, LOOPED = 200e-6, 10_000
LIMIT_NS = 5_000.0
LIMIT_OF_OUTAGE_NS = 1e6


def measure() -> Iterator[Ratio]:
    """Nanoseconds an iteration: over one long window, then in a paced loop that goes through several of them."""
    warnings.simplefilter("ignore")
    ahead = {"run_lease_s": 3600, "max_window_iterations": 100_000}  # so that all is handed out at once
    with _attached(**ahead) as (_, run, scheduler):
        window = _one_long_window(run, scheduler)
        tasks = _tasks(run, scheduler, window)
        ns = {name: s / len(window) * 1e9 for name, s in side_by_side(tasks, 21).items()}
    peer = "torch scheduler.step()"
    yield Ratio("run.lr(n)", ns["lr"], "ns", peer, ns["torch"], "≤0.1")
    yield Ratio("RemoteLR.step(n) of a run", ns["step"], "ns", peer, ns["torch"], "≤0.2")
    yield Ratio("run.report(n, loss=…)", ns["report"], "ns", peer, ns["torch"], "≤1")
    ours, torchs = ns["our loop"] - ns["update"], ns["torch's loop"] - ns["update"]
    yield Ratio("what RemoteLR adds to optimizer.step()", ours, "ns", "what torch's adds", torchs, "≤1")
    with _attached() as (service, run, _):
        values = [0.1] * ITERATIONS
        ours_ns, lists_ns = _p99_ns(run.lr, values.__getitem__)
        yield Ratio("run.lr(n), p99 through windows", ours_ns, "ns", "limit: 5 µs", LIMIT_NS, "≤1")
        yield Ratio("run.lr(n), p99 through windows", ours_ns, "ns", "indexing a list, p99", lists_ns, "")
        service.process.send_signal(signal.SIGSTOP)
        [stopped_ns] = _p99_ns(lambda n: run.report(n, loss=0.5))
        yield Ratio("run.report, p99, service stopped", stopped_ns, "ns", "limit: 1 ms", LIMIT_OF_OUTAGE_NS, "≤1")
        service.process.send_signal(signal.SIGCONT)


@contextmanager
def _attached(**settings: Any) -> Iterator[tuple[ServiceProcess, Any, RemoteLR]]:
    with ExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory())
        service = stack.enter_context(service_process(Path(folder) / "preheat.db", **settings))
        preheat = stack.enter_context(Preheat(service.url))
        run = preheat.run("benchmark", SPEC)
        yield service, run, RemoteLR(optimizer(0.1), run)


def _one_long_window(run: Any, scheduler: RemoteLR) -> range:
    """Goes on until everything is handed out, and the loop is in that window."""
    give_up = time.monotonic() + 30
    while run.status.acknowledged <= ITERATIONS:
        assert time.monotonic() < give_up, "not everything was handed out"
        scheduler.optimizer.step()
        scheduler.step()
        time.sleep(0.001)
    run.lr(ITERATIONS)  # the window that was handed out last
    return range(ITERATIONS - MEASURED, ITERATIONS)


def _tasks(run: Any, scheduler: RemoteLR, window: range) -> dict[str, Task]:  # noqa: C901 - loops, side by side
    torchs = CosineAnnealingLR(optimizer(0.1), ITERATIONS)
    looped = CosineAnnealingLR(optimizer(0.1), ITERATIONS)
    plain = optimizer(0.1)
    reported = [0.5] * len(window)

    def read() -> None:
        for n in window:
            run.lr(n)

    def step_to() -> None:
        for n in window:
            scheduler.step(n)

    def report() -> None:
        for n, loss in zip(window, reported, strict=True):
            run.report(n, loss=loss)

    def step() -> None:
        for _ in window:
            torchs.step()

    def update() -> None:
        for _ in window:
            plain.step()

    def our_loop() -> None:
        scheduler.step(window.start)
        for _ in window:
            scheduler.optimizer.step()
            scheduler.step()

    def torchs_loop() -> None:
        for _ in window:
            looped.optimizer.step()
            looped.step()

    return {
        "lr": read,
        "step": step_to,
        "report": report,
        "torch": step,
        "update": update,
        "our loop": our_loop,
        "torch's loop": torchs_loop,
    }


def _p99_ns(*calls: Callable[[int], object]) -> list[float]:
    """Of each call in an iteration of a loop, which computes as long in between as a fast one does."""
    took: list[list[int]] = [[] for _ in calls]
    for n in range(1, LOOPED):
        for call, times in zip(calls, took, strict=True):
            begun = time.perf_counter_ns()
            call(n)
            times.append(time.perf_counter_ns() - begun)
        computed = time.perf_counter_ns() + PACE_S * 1e9
        while time.perf_counter_ns() < computed:
            pass
    return [percentile(times, 99) for times in took]
