"""DeepSpeed's configuration."""

from collections.abc import Callable
from typing import Any

from preheat.conversions.source import Fields, Imported, Known, fields_of, target_lr, total_iterations
from preheat.errors import NotImportable


def from_deepspeed(source: Any, known: Known) -> Imported:
    """A spec from a DeepSpeed configuration with a `scheduler`; its LRs are one update later than other libraries'."""
    fields = fields_of(source, "")
    scheduler = fields_of(fields.take("scheduler", {}), "scheduler")
    kind = scheduler.take("type")
    if kind not in _SCHEDULERS:
        raise NotImportable(f"scheduler.type ({kind}) is not one of {', '.join(_SCHEDULERS)}")
    params = fields_of(scheduler.take("params", {}), "scheduler.params")
    optimizer = fields_of(fields.take("optimizer", {}), "optimizer")
    lr = fields_of(optimizer.take("params", {}), "optimizer.params").take("lr")
    spec = _SCHEDULERS[kind](params, known, None if lr in {None, "auto"} else float(lr))
    not_carried = params.left("is no parameter of this scheduler") + scheduler.left("is not known")
    return Imported(spec, not_carried + fields.left("is no part of a learning-rate schedule"))


def _warmup(params: Fields, *, steps: int, start: dict[str, float], clock: str) -> dict[str, Any]:
    shape = params.take("warmup_type", "log")
    return {"iterations": max(steps, 2), "shape": shape, "convention": "(n-1)/W", "decay_clock": clock, **start}


def _warmup_lr(params: Fields, known: Known, _lr: float | None) -> dict[str, Any]:
    """Ignores the optimizer's LR: warmup_max_lr is 1e-3 unless it is given."""
    steps, start = params.count("warmup_num_steps", 1000), params.number("warmup_min_lr", 0.0)
    return {
        "target_lr": target_lr(known, params.number("warmup_max_lr", 1e-3)),
        "total_iterations": total_iterations(known, None),
        "warmup": _warmup(params, steps=steps, start={"start_lr": start} if start else {}, clock="from_peak"),
    }


def _warmup_decay(params: Fields, known: Known, _lr: float | None) -> dict[str, Any]:
    steps, start = params.count("warmup_num_steps", 1000), params.number("warmup_min_lr", 0.0)
    total = params.count("total_num_steps")
    if start:
        raise NotImportable(
            "scheduler.params.warmup_min_lr must be 0: otherwise WarmupDecayLR decays below its own minimum"
        )
    return {
        "target_lr": target_lr(known, params.number("warmup_max_lr", 1e-3)),
        "total_iterations": total_iterations(known, total),
        "warmup": _warmup(params, steps=steps, start={}, clock="from_peak"),
        "after_scheduler": {"type": "PolynomialDecayLR", "length": total - max(steps, 2)},
    }


def _warmup_cosine(params: Fields, known: Known, lr: float | None) -> dict[str, Any]:
    steps, start = params.count("warmup_num_steps", 1000), params.number("warmup_min_ratio", 0.0)
    total = params.count("total_num_steps")
    return {
        "target_lr": target_lr(known, lr),
        "total_iterations": total_iterations(known, total),
        "warmup": _warmup(params, steps=steps, start={"start_factor": start} if start else {}, clock="after_warmup"),
        "after_scheduler": {
            "type": "CosineLR",
            "length": total - max(steps, 2),
            "min_ratio": params.number("cos_min_ratio", 1e-4),
        },
    }


def _range_test(params: Fields, known: Known, _lr: float | None) -> dict[str, Any]:
    size, rate = params.count("lr_range_test_step_size", 2000), params.number("lr_range_test_step_rate", 1.0)
    steps = f"floor(n / {size})" if params.take("lr_range_test_staircase", False) else f"n / {size}"
    return {
        "target_lr": target_lr(known, params.number("lr_range_test_min_lr", 1e-3)),
        "total_iterations": total_iterations(known, None),
        "after_scheduler": {"type": "ExpressionLR", "expression": f"1 + {rate} * {steps}"},
    }


_SCHEDULERS: dict[str, Callable[[Fields, Known, float | None], dict[str, Any]]] = {
    "WarmupLR": _warmup_lr,
    "WarmupDecayLR": _warmup_decay,
    "WarmupCosineLR": _warmup_cosine,
    "LRRangeTest": _range_test,
}
