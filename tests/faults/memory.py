"""Mixed load on a service whose memory must not grow: `memory.py SECONDS`.

Clients post, read, draw, search, lint and delete for as long as it is told; the resident memory of the service and its
workers is sampled, and after a warm-up, a third of the time, a line is laid through it (least squares). Fails if that
rises by more than `MOST_GROWTH_BYTES_PER_MINUTE`, or if anything was answered with 5xx. With less than five minutes it
shows that it works and no more: caches, pools of threads and what libraries keep fill up first.
"""

import random
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[1]))

import httpx
import numpy as np
import psutil

from running_service import service_process

MOST_GROWTH_BYTES_PER_MINUTE = 2_000_000
"""Over ten minutes 20 MB: what allocators keep back rises and falls by more than a leak of one schedule would."""

_CLIENTS, _SAMPLE_S = 4, 0.5
_CACHE_BYTES = 4_000_000
_AFTER = [
    {"type": "CosineAnnealingLR"},
    {"type": "StepLR", "step_size": 7},
    {"type": "SWALR", "swa_lr": 0.001},
    {"type": "MultiplicativeLR", "lr_lambda": [0.9, 0.99] * 200},
]


def main(seconds: float, seed: int) -> None:
    """Prints what was asked and how the memory went; exits with 1 if it grew."""
    with TemporaryDirectory(prefix="preheat-memory-") as folder:
        # Caches that are full before the warm-up is over: they are meant to grow.
        caches = {"curve_cache_bytes": _CACHE_BYTES, "picture_cache_bytes": _CACHE_BYTES}
        with service_process(Path(folder) / "preheat.db", workers=2, **caches) as running:
            asked = Counter[str]()
            stopping = threading.Event()
            choices = [random.Random(seed + n) for n in range(_CLIENTS)]
            clients = [threading.Thread(target=_ask, args=(running.url, each, asked, stopping)) for each in choices]
            for client in clients:
                client.start()
            samples = _samples(running.process.pid, seconds)
            stopping.set()
            for client in clients:
                client.join()
    warm = samples[len(samples) // 3 :]
    times, sizes = np.array(warm).T
    growth = float(np.polyfit(times, sizes, 1)[0]) * 60
    kinds = ", ".join(f"{kind} {count:,}" for kind, count in sorted(asked.items()))
    print(  # noqa: T201 - what it is for
        f"{asked.total():,} requests in {seconds:g} s ({kinds}), "
        f"seed {seed}; memory after warm-up {sizes[0] / 1e6:.0f} MB, at the end {sizes[-1] / 1e6:.0f} MB, "
        f"growing by {growth / 1e6:+.2f} MB a minute (at most {MOST_GROWTH_BYTES_PER_MINUTE / 1e6:g})"
    )
    wrong = [kind for kind in asked if kind.startswith("5")]
    if growth > MOST_GROWTH_BYTES_PER_MINUTE or wrong:
        sys.exit(f"memory grows, or answers are wrong: {wrong}")


def _samples(pid: int, seconds: float) -> list[tuple[float, float]]:
    """Times in seconds and bytes of resident memory, of a process and all its children."""
    process, began = psutil.Process(pid), time.monotonic()
    samples = []
    while (now := time.monotonic() - began) < seconds:
        processes = [process, *process.children(recursive=True)]
        samples.append((now, float(sum(each.memory_info().rss for each in processes))))
        time.sleep(_SAMPLE_S)
    return samples


def _ask(url: str, choice: random.Random, asked: "Counter[str]", stopping: threading.Event) -> None:
    """One client: a schedule, everything about it, and its end."""
    with httpx.Client(base_url=url, timeout=60) as http:
        while not stopping.is_set():
            length = choice.randrange(500, 5_000)
            spec = {"target_lr": choice.random() + 0.1, "total_iterations": length, "warmup": {"iterations": 100}}
            spec["after_scheduler"] = choice.choice(_AFTER)
            spec["label"] = f"soak {choice.randrange(100)}"
            answer = http.post("/v1/schedules", json=spec)
            asked[f"{answer.status_code} POST"] += 1
            place = answer.headers.get("location", "/v1/schedules/none")
            paths = [f"{place}/lr/{choice.randrange(length)}" for _ in range(20)]
            paths += [place, f"{place}/lr?step=3", f"{place}/export?to=torch", f"{place}/sum"]
            paths += [
                "/v1/schedules?limit=20",
                f"/v1/schedules?label_contains={choice.randrange(100)}",
                "/readyz",
                "/no",
            ]
            if choice.random() < 0.1:
                paths.append(f"{place}/plot.{choice.choice(('png', 'svg'))}?width_px={choice.randrange(320, 900)}")
            for path in paths:
                asked[f"{http.get(path).status_code} GET"] += 1
            for body in (spec, {"target_lr": -1}):
                asked[f"{http.post('/v1/lint', json=body).status_code} POST"] += 1
            if choice.random() < 0.8:
                asked[f"{http.delete(place).status_code} DELETE"] += 1


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(10**6))
