"""3. A list of 1,000,000 iterations, first time, against torch stepped in a plain loop; its JSON against orjson."""

import json
import warnings
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import orjson

from benchmarks.measure import Ratio, side_by_side
from preheat.api.answers import window_json
from preheat.curve import Curve, Floats
from preheat.schedule import Schedule
from reference import optimizer, torch_scheduler

ITERATIONS = 1_000_000
SPECS: list[dict[str, Any]] = [
    {"type": "CosineAnnealingLR", "T_max": ITERATIONS},
    {"type": "StepLR", "step_size": 1000, "gamma": 0.99},
    {"type": "OneCycleLR", "max_lr": 0.1, "total_steps": ITERATIONS + 1},
    {"type": "CyclicLR", "base_lr": 0.01, "max_lr": 0.1},
    {"type": "CosineAnnealingWarmRestarts", "T_0": 1000, "T_mult": 2},
]


def measure() -> Iterator[Ratio]:
    """Seconds for the whole list."""
    warnings.simplefilter("ignore")
    for spec in SPECS:
        times = side_by_side(
            {
                "ours": partial(_list, spec),
                "bare": partial(_step_torch, spec, with_optimizer=False),
                "full": partial(_step_torch, spec, with_optimizer=True),
            },
            3,
        )
        name = f"10⁶ of {spec['type']}"
        yield Ratio(name, times["ours"], "s", "torch, scheduler.step() alone", times["bare"], "≤0.25")
        yield Ratio(name, times["ours"], "s", "torch, with optimizer.step()", times["full"], "")
    curve = _curve(SPECS[0])
    window, lrs = range(ITERATIONS + 1), curve.window(0, ITERATIONS + 1)
    column = np.ascontiguousarray(lrs[:, 0])
    times = side_by_side(
        {
            "ours": lambda: window_json(curve, window, lrs, []),
            "orjson": lambda: orjson.dumps(column, option=orjson.OPT_SERIALIZE_NUMPY),
            "json": lambda: json.dumps(column.tolist()),
        },
        7,
    )
    yield Ratio("JSON of 10⁶", times["ours"], "s", "limit: orjson alone", times["orjson"], "")
    yield Ratio("JSON of 10⁶", times["ours"], "s", "json of the standard library", times["json"], "")


def _list(after_scheduler: dict[str, Any]) -> Floats:
    return _curve(after_scheduler).window(0, ITERATIONS + 1)


def _curve(after_scheduler: dict[str, Any]) -> Curve:
    spec = {"target_lr": 0.1, "total_iterations": ITERATIONS, "after_scheduler": after_scheduler}
    return Curve(Schedule.of(spec))


def _step_torch(spec: dict[str, Any], *, with_optimizer: bool) -> list[float]:
    """What a user writes to see the list."""
    on = optimizer(0.1)
    scheduler = torch_scheduler(spec, on)
    lrs = [on.param_groups[0]["lr"]]
    for _ in range(ITERATIONS):
        if with_optimizer:
            on.step()
        scheduler.step()
        lrs.append(on.param_groups[0]["lr"])
    return lrs
