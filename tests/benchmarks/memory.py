"""9. What a client keeps in memory above its imports: under 20 MB, however long the schedule is."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.measure import Ratio
from running_service import service_process

LIMIT_MB, ROUNDS = 20.0, 5

SCRIPT = """
import gc, json, sys, time
from pathlib import Path
from preheat_client import Preheat

def mb(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024

url, total, of_list = json.loads(sys.argv[1])
before = mb("VmRSS")
if of_list:
    lrs = [0.1 * n / total for n in range(total + 1)]
else:
    preheat = Preheat(url)
    schedule = preheat.create({"target_lr": 0.1, "total_iterations": total, "warmup": {"iterations": total}})
    windows = min(16, -(-(total + 1) // 65536))
    give_up = time.monotonic() + 60
    while schedule.status.counters.windows < windows and time.monotonic() < give_up:
        time.sleep(0.01)
    assert schedule.lr(total // 2 if total <= 10**6 else 10**6) > 0
gc.collect()
print(json.dumps([mb("VmRSS") - before, mb("VmHWM") - before]))
"""


def measure() -> Iterator[Ratio]:
    """Megabytes above the process as it is after the import, once everything that is to be kept has arrived."""
    with TemporaryDirectory() as folder, service_process(Path(folder) / "preheat.db") as running:
        for total, name in ((10**6, "10⁶"), (10**9, "10⁹")):
            kept, peak = _used(running.url, total)
            yield Ratio(f"client of {name}", kept, "MB", "limit: 20 MB", LIMIT_MB, "≤1")
            yield Ratio(f"client of {name}, at its highest", peak, "MB", "limit: 20 MB", LIMIT_MB, "")
            if total == 10**6:
                listed, _ = _used(running.url, total, of_list=True)
                yield Ratio(f"client of {name}", kept, "MB", "list of 10⁶ floats", listed, "")


def _used(url: str, total: int, *, of_list: bool = False) -> tuple[float, float]:
    """Medians over processes of their own."""
    command = [sys.executable, "-c", SCRIPT, json.dumps([url, total, of_list])]
    runs = [json.loads(subprocess.run(command, check=True, capture_output=True).stdout) for _ in range(ROUNDS)]
    return median(run[0] for run in runs), median(run[1] for run in runs)
