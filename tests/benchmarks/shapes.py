"""6. Every shape that torch lacks, per value, beside torch's CosineAnnealingLR through its closed form: at most 2×."""

import json
from collections.abc import Iterator
from typing import Any

from after_schedulers import COMPOSITIONS, SHAPES
from benchmarks.measure import Ratio, side_by_side
from preheat.schedulers.table import SchedulerTable
from preheat.specs import parse_spec
from preheat.specs.after_schedulers import SHAPES as ALL_SHAPES

VALUES = 50_000


def measure() -> Iterator[Ratio]:
    """The slowest example of each shape and, without a goal, of each composition, which computes its parts too."""
    peer = _bench({"type": "CosineAnnealingLR"})
    known = [*SHAPES, *(example for example in COMPOSITIONS if "Multiplicative" not in str(example))]
    for name in dict.fromkeys(example["type"] for example in known):
        examples = [_bench(example) for example in known if example["type"] == name and "SWALR" not in str(example)]
        tasks = {str(index): (lambda bench=bench: _read(bench)) for index, bench in enumerate(examples)}
        times = side_by_side({**tasks, "peer": lambda: _read(peer)}, 5)
        ns = {task: seconds / VALUES * 1e9 for task, seconds in times.items()}
        slowest = max(ns[task] for task in tasks)
        yield Ratio(
            f"a value of {name}", slowest, "ns", "CosineAnnealingLR", ns["peer"], "≤2" if name in ALL_SHAPES else ""
        )


def _bench(after_scheduler: dict[str, Any]) -> SchedulerTable:
    spec = {"target_lr": 0.02, "total_iterations": 60, "after_scheduler": after_scheduler}
    return SchedulerTable(parse_spec(json.dumps(spec)))


def _read(bench: SchedulerTable) -> None:
    for _ in range(VALUES // 50):
        bench.rows(range(1, 51))
