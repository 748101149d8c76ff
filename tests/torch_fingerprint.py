"""The fingerprint of the installed torch: a hash of the LRs of every torch scheduler that is served.

`python tests/torch_fingerprint.py` prints the entry for `preheat.schedule.TORCH_FINGERPRINTS`. To add another torch,
run it in an environment that has that torch, on glibc and x86-64 as for the others: cosines and powers are the C
library's.
"""

import hashlib
import json
from itertools import pairwise, product
from typing import Any

from preheat.schedule import TORCH_VERSION
from preheat.schedulers.table import SchedulerTable
from preheat.specs import spec_of

TOTAL, WARMUP = 10_000, 37


def fingerprint() -> str:
    """SHA-256 over float64 rows of every spec, 32 hexadecimal digits."""
    digest = hashlib.sha256()
    for after_scheduler in after_schedulers():
        spec = {
            "target_lr": 0.1,
            "total_iterations": TOTAL,
            "warmup": {"iterations": WARMUP},
            "param_groups": [{"target_lr": 0.1}, {"target_lr": 3e-4}],
            "after_scheduler": after_scheduler,
        }
        digest.update(SchedulerTable(spec_of(spec)).computed(range(0, TOTAL + 1, 3)).astype("<f8").tobytes())
    return digest.hexdigest()[:32]


def after_schedulers() -> list[dict[str, Any]]:
    """Every torch type with many parameters, alone, in turn and chained."""
    left, lrs = TOTAL - WARMUP, [0.0, 0.1, 1e-5]
    alone = [
        *_all("StepLR", step_size=[1, 7, 1000], gamma=[0.1, 0.5, 0.999, 1.01 / 1.02]),
        *_all("MultiStepLR", milestones=[[1], [5, 20, 5000], [9963]], gamma=[0.1, 0.3]),
        *_all("ConstantLR", factor=[1 / 3, 0.0, 1.0], total_iters=[1, 5, 4000]),
        *_all("LinearLR", start_factor=[1 / 3, 1e-3, 1.0], end_factor=[1.0, 0.0, 0.1], total_iters=[5, 9963]),
        *_all("ExponentialLR", gamma=[0.9, 0.999, 0.99999, 1.0001]),
        *_all("PolynomialLR", total_iters=[5, 9963], power=[0.0, 0.5, 1.0, 2.7]),
        *_all("CosineAnnealingLR", T_max=[1, 13, 9963, 20_000], eta_min=lrs),
        *_all("CosineAnnealingWarmRestarts", T_0=[1, 7, 3000], T_mult=[1, 2, 3], eta_min=lrs),
        *_all(
            "CyclicLR",
            base_lr=[1e-3, [1e-4, 1e-3]],
            max_lr=[0.02],
            step_size_up=[3, 2000],
            step_size_down=[4, 1777],
            mode=["triangular", "triangular2", "exp_range"],
            gamma=[0.999],
        ),
        *_all(
            "OneCycleLR",
            max_lr=[0.1, [0.1, 0.01]],
            pct_start=[0.0, 0.3, 0.77],
            anneal_strategy=["cos", "linear"],
            three_phase=[False, True],
            final_div_factor=[1e4, 3.0],
        ),
        *_all("SWALR", swa_lr=[0.05, [0.05, 1e-4]], anneal_epochs=[0, 10, 700], anneal_strategy=["cos", "linear"]),
        *_all("MultiplicativeLR", lr_lambda=[0.99, 1.0001, [0.5, 2.0, 0.1, 1 / 3]]),
    ]
    chained = [
        {"type": "ChainedScheduler", "schedulers": [first, second]}
        for first, second in product(
            [
                {"type": "LinearLR", "total_iters": 50},
                {"type": "ConstantLR", "factor": 0.7, "total_iters": 9},
                {"type": "PolynomialLR", "total_iters": left, "power": 2.0},
            ],
            [
                {"type": "ExponentialLR", "gamma": 0.999},
                {"type": "StepLR", "step_size": 11, "gamma": 0.9},
                {"type": "CosineAnnealingLR", "T_max": 333, "eta_min": 1e-5},
                {"type": "MultiplicativeLR", "lr_lambda": 0.9999},
            ],
        )
    ]
    turns = [each for each in alone[::5] if each["type"] not in {"OneCycleLR", "MultiStepLR"}]
    in_turn = [
        {"type": "SequentialLR", "schedulers": [first, second], "milestones": [4321]}
        for first, second in pairwise(turns)
    ]
    return [*alone, *chained, *in_turn]


def _all(kind: str, **choices: list[Any]) -> list[dict[str, Any]]:
    """The scheduler with every combination of parameters."""
    return [{"type": kind, **dict(zip(choices, values, strict=True))} for values in product(*choices.values())]


if __name__ == "__main__":
    print(json.dumps({TORCH_VERSION: fingerprint()}))  # noqa: T201 - the output of a command
