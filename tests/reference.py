"""Expected values from sources independent of the code under test: a printed table, and torch stepped by hand."""

import warnings
from typing import Any

import torch
from torch.optim import SGD, Optimizer, lr_scheduler
from torch.optim.swa_utils import SWALR

REFERENCE_SPEC: dict[str, Any] = {
    "target_lr": 0.01,
    "total_iterations": 20,
    "warmup": {"iterations": 10},
    "after_scheduler": {"type": "CosineAnnealingLR"},
}
"""Target 0.01, warm-up 10, total 20, cosine over the remaining 10."""

SERVED_ALONE: dict[str, Any] = {**REFERENCE_SPEC, "param_groups": [{"warmup": {"iterations": 10}}]}
"""The same LRs by a spec that a client does not compute: a param group has a warm-up of its own."""

REFERENCE_ROWS = (
    "0.001",
    "0.002",
    "0.003",
    "0.004",
    "0.005",
    "0.006",
    "0.007000000000000001",
    "0.008",
    "0.009",
    "0.01",
    "0.009755282581475769",
    "0.009045084971874737",
    "0.007938926261462366",
    "0.006545084971874737",
    "0.005",
    "0.003454915028125263",
    "0.0020610737385376348",
    "0.0009549150281252633",
    "0.00024471741852423234",
    "0.0",
)
"""The design's table: LR of updates 1 … 20, as printed there."""


def optimizer(*lrs: float) -> SGD:
    """An optimizer with one param group per LR; its default is the first, which some libraries read."""
    return SGD([{"params": [torch.zeros(1, requires_grad=True)], "lr": lr} for lr in lrs], lr=lrs[0], momentum=0.9)


def torch_scheduler(spec: dict[str, Any], on: Optimizer) -> lr_scheduler.LRScheduler:
    """Torch's own scheduler for a spec's `after_scheduler`, through its public constructor."""
    parameters = {name: value for name, value in spec.items() if name != "type"}
    if "schedulers" in parameters:
        parameters["schedulers"] = [torch_scheduler(child, on) for child in parameters["schedulers"]]
    if spec["type"] == "MultiplicativeLR":
        factors = parameters["lr_lambda"]
        parameters["lr_lambda"] = (
            (lambda s: factors[s - 1] if 0 < s <= len(factors) else 1.0)
            if isinstance(factors, list)
            else lambda _: factors
        )
    if spec["type"] == "ChainedScheduler":
        return lr_scheduler.ChainedScheduler(parameters["schedulers"], on)
    kind = SWALR if spec["type"] == "SWALR" else getattr(lr_scheduler, spec["type"])
    scheduler: lr_scheduler.LRScheduler = kind(on, **parameters)
    return scheduler


def torch_stepped(spec: dict[str, Any], base_lrs: tuple[float, ...], last: int) -> list[list[float]]:
    """LRs at torch's iterations 0 … last, one row each, from a plain loop of optimizer.step() and scheduler.step()."""
    on = optimizer(*base_lrs)
    scheduler = torch_scheduler(spec, on)
    rows = [[float(group["lr"]) for group in on.param_groups]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(last):
            on.step()
            scheduler.step()
            rows.append([float(group["lr"]) for group in on.param_groups])
    return rows
