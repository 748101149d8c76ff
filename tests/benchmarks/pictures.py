"""5. A PNG over HTTP at any T, first and repeated, against the pyplot script that a user would write.

Both pictures are 960 × 480; the script's has a line, a title, labels of both axes and a grid. It is measured whole, and
again without the stepping, with a thousand LRs at hand: the least that drawing alone takes.
"""

import io
import json
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import matplotlib as mpl

from benchmarks.measure import Ratio, Task, side_by_side
from reference import optimizer, torch_scheduler
from running_service import service_process

FIRST_MS, REPEAT_MS = 80.0, 5.0
TOTALS = {10**2: "10²", 10**4: "10⁴", 10**6: "10⁶", 10**9: "10⁹"}
PYPLOT_TOTAL, PYPLOT_POINTS = 10_000, 1_000
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
        tasks: dict[str, Task] = {f"first {total}": partial(_get_new, http, total) for total in TOTALS}
        tasks |= {f"again {total}": partial(_get, http, path) for total, path in paths.items()}
        tasks["pyplot"] = _pyplot
        tasks["drawing"] = partial(_draw, [0.1 * n for n in range(PYPLOT_POINTS)])
        ms = {name: s * 1e3 for name, s in side_by_side(tasks, 15).items()}
    for total, name in TOTALS.items():
        first, again = ms[f"first {total}"], ms[f"again {total}"]
        yield Ratio(f"PNG of {name}, first", first, "ms", "limit: 80 ms", FIRST_MS, "≤1")
        yield Ratio(f"PNG of {name}, repeated", again, "ms", "limit: 5 ms", REPEAT_MS, "≤1")
        yield Ratio(f"PNG of {name}, first", first, "ms", "pyplot, drawing alone", ms["drawing"], "≤0.95")
        if total == PYPLOT_TOTAL:
            yield Ratio(f"PNG of {name}, first", first, "ms", "pyplot script", ms["pyplot"], "≤0.7")
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


def _get_new(http: httpx.Client, total: int) -> None:
    _get(http, _path(http, total))


def _get(http: httpx.Client, path: str) -> None:
    http.get(path).raise_for_status()


def _pyplot() -> bytes:
    """Ten thousand iterations: step torch, plot, save."""
    on = optimizer(0.1)
    scheduler = torch_scheduler({"type": "CosineAnnealingLR", "T_max": PYPLOT_TOTAL}, on)
    lrs = []
    for _ in range(PYPLOT_TOTAL):
        lrs.append(on.param_groups[0]["lr"])
        scheduler.step()
    return _draw(lrs)


def _draw(lrs: list[float]) -> bytes:
    from matplotlib import pyplot as plt  # noqa: PLC0415 - it is the peer, and sets global state

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
