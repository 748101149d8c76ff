"""5. A PNG over HTTP at any T, first and repeated, against the pyplot script a user would write."""

import io
import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import matplotlib as mpl

from benchmarks.measure import Ratio, side_by_side
from reference import optimizer, torch_scheduler
from running_service import service_process

FIRST_MS, REPEAT_MS = 80.0, 5.0
TOTALS = {10**2: "10²", 10**4: "10⁴", 10**6: "10⁶", 10**9: "10⁹"}
PYPLOT_TOTAL = 10_000
NUMBERS = count()


def measure() -> Iterator[Ratio]:
    """Milliseconds of a request, on a connection that is open, against a fixed limit and a peer's script."""
    mpl.use("agg")
    with (
        TemporaryDirectory() as folder,
        service_process(Path(folder) / "preheat.db") as running,
        httpx.Client(base_url=running.url, timeout=60) as http,
    ):
        paths = {total: _path(http, total) for total in TOTALS}
        tasks = {f"first {total}": (lambda total=total: _get(http, _path(http, total))) for total in TOTALS}
        tasks |= {f"again {total}": (lambda path=path: _get(http, path)) for total, path in paths.items()}
        ms = {name: s * 1e3 for name, s in side_by_side({**tasks, "pyplot": _pyplot}, 15).items()}
    for total, name in TOTALS.items():
        first, again = ms[f"first {total}"], ms[f"again {total}"]
        yield Ratio(f"PNG of {name}, first", first, "ms", "limit: 80 ms", FIRST_MS, "≤1")
        yield Ratio(f"PNG of {name}, repeated", again, "ms", "limit: 5 ms", REPEAT_MS, "≤1")
        if total == PYPLOT_TOTAL:
            yield Ratio(f"PNG of {name}, first", first, "ms", "pyplot script", ms["pyplot"], "")
    yield Ratio("PNG of 10⁹, first", ms[f"first {10**9}"], "ms", "PNG of 10⁴, first", ms[f"first {10**4}"], "")


def _path(http: httpx.Client, total: int) -> str:
    """The picture of a schedule that was never drawn before."""
    spec = {
        "target_lr": 0.1,
        "total_iterations": total,
        "warmup": {"iterations": total // 10},
        "after_scheduler": {"type": "CosineAnnealingLR"},
        "label": f"number {next(NUMBERS)}",
    }
    answer = http.post("/v1/schedules?stop=0", json=spec).raise_for_status()
    path: str = answer.json()["links"]["plot_png"]
    return path


def _get(http: httpx.Client, path: str) -> None:
    http.get(path).raise_for_status()


def _pyplot() -> bytes:
    """Ten thousand iterations: step torch, plot, save."""
    from matplotlib import pyplot as plt  # noqa: PLC0415 - it is the peer, and sets global state

    on = optimizer(0.1)
    scheduler = torch_scheduler({"type": "CosineAnnealingLR", "T_max": PYPLOT_TOTAL}, on)
    lrs = []
    for _ in range(PYPLOT_TOTAL):
        lrs.append(on.param_groups[0]["lr"])
        scheduler.step()
    plt.figure(figsize=(9.6, 4.8))
    plt.plot(lrs)
    plt.title(json.dumps("cosine"))
    plt.xlabel("iteration")
    plt.ylabel("learning rate")
    plt.grid()
    data = io.BytesIO()
    plt.savefig(data, format="png", dpi=100)
    plt.close()
    return data.getvalue()
