"""Import of DeepSpeed's configuration; its LRs are one update later than other libraries'."""

from collections.abc import Callable
from typing import Any

from preheat.conversions.source import Fields, Imported, Known
from preheat.errors import NotImportable


def from_deepspeed(source: Any, known: Known) -> Imported:
    """A spec from a DeepSpeed configuration with a `scheduler`. Raises NotImportable."""
    config = Fields(source)
    scheduler = config.fields("scheduler")
    read = _SCHEDULERS[scheduler.choice("type", _SCHEDULERS)]
    params = scheduler.fields("params")
    optimizer_params = config.fields("optimizer").fields("params")
    lr = None if optimizer_params.take("lr") == "auto" else optimizer_params.optional_number("lr")
    spec = read(params, known, lr)
    not_carried = params.not_carried("is not a parameter of this scheduler") + scheduler.not_carried("is not known")
    return Imported(spec, not_carried + config.not_carried("is not part of a learning-rate schedule"))


def _warmup(params: Fields, *, steps: int, start: dict[str, float], clock: str) -> dict[str, Any]:
    shape = params.take("warmup_type", "log")
    # DeepSpeed takes the logarithm of warmup_num_steps, and makes it at least 2
    return {"iterations": max(steps, 2), "shape": shape, "convention": "(n-1)/W", "decay_clock": clock, **start}


def _warmup_lr(params: Fields, known: Known, _lr: float | None) -> dict[str, Any]:
    """Ignores the optimizer's LR: warmup_max_lr is 1e-3 unless it is given."""
    steps, start = params.count("warmup_num_steps", 1000), params.number("warmup_min_lr", 0.0)
    warmup = _warmup(params, steps=steps, start={"start_lr": start} if start else {}, clock="from_peak")
    return known.spec(params.number("warmup_max_lr", 1e-3), None, None, warmup=warmup)


def _warmup_decay(params: Fields, known: Known, _lr: float | None) -> dict[str, Any]:
    steps, total = params.count("warmup_num_steps", 1000), params.count("total_num_steps")
    if params.number("warmup_min_lr", 0.0):
        raise NotImportable(
            "scheduler.params.warmup_min_lr must be 0: otherwise WarmupDecayLR decays below its own minimum"
        )
    after = {"type": "PolynomialDecayLR", "length": total - max(steps, 2)}
    warmup = _warmup(params, steps=steps, start={}, clock="from_peak")
    return known.spec(params.number("warmup_max_lr", 1e-3), total, after, warmup=warmup)


def _warmup_cosine(params: Fields, known: Known, lr: float | None) -> dict[str, Any]:
    steps, start = params.count("warmup_num_steps", 1000), params.number("warmup_min_ratio", 0.0)
    total, min_ratio = params.count("total_num_steps"), params.number("cos_min_ratio", 1e-4)
    after = {"type": "CosineLR", "length": total - max(steps, 2), "min_ratio": min_ratio}
    warmup = _warmup(params, steps=steps, start={"start_factor": start} if start else {}, clock="after_warmup")
    return known.spec(lr, total, after, warmup=warmup)


def _range_test(params: Fields, known: Known, _lr: float | None) -> dict[str, Any]:
    size, rate = params.count("lr_range_test_step_size", 2000), params.number("lr_range_test_step_rate", 1.0)
    steps = f"floor(n / {size})" if params.take("lr_range_test_staircase", False) else f"n / {size}"
    after = {"type": "ExpressionLR", "expression": f"1 + {rate} * {steps}"}
    return known.spec(params.number("lr_range_test_min_lr", 1e-3), None, after)


_SCHEDULERS: dict[str, Callable[[Fields, Known, float | None], dict[str, Any]]] = {
    "WarmupLR": _warmup_lr,
    "WarmupDecayLR": _warmup_decay,
    "WarmupCosineLR": _warmup_cosine,
    "LRRangeTest": _range_test,
}
