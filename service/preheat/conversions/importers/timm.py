"""timm's training arguments: --sched and what belongs to it."""

from collections.abc import Callable
from typing import Any

from preheat.conversions.source import Fields, Imported, Known, NotCarried, fields_of, target_lr, total_iterations
from preheat.errors import NotImportable


def from_timm(source: Any, known: Known) -> Imported:
    """A spec from the arguments of timm's train script, by their names in its YAML.

    An iteration is an epoch, as timm steps by default; with sched_on_updates it is an update, and updates_per_epoch
    must be given.
    """
    fields = fields_of(source, "")
    on_updates = bool(fields.take("sched_on_updates", False))
    unit = fields.count("updates_per_epoch") if on_updates else 1
    fields.take("updates_per_epoch")
    run = _Run(fields, unit)
    name = fields.take("sched", "cosine")
    if name not in _SCHEDULERS:
        reason = "follows a metric" if name == "plateau" else "is not known"
        raise NotImportable(f"sched ({name}) {reason}; known are {', '.join(_SCHEDULERS)}")
    after = _SCHEDULERS[name](run)
    total = run.length * run.cycles + run.cooldown + (run.warmup if run.has_prefix else 0)
    spec: dict[str, Any] = {
        "target_lr": target_lr(known, _lr(fields)),
        "total_iterations": total_iterations(known, total),
        "units": {"iterations_per_epoch": unit},
        "after_scheduler": after,
    }
    if run.warmup:
        clock = "after_warmup" if run.has_prefix else "from_zero"
        spec["warmup"] = {"iterations": run.warmup, "start_lr": run.warmup_lr, "decay_clock": clock}
    lost = [NotCarried("lr_noise", "is random")] if fields.take("lr_noise") else []
    if name == "tanh" and run.warmup:
        lost.append(NotCarried("sched", "begins 8e-7 below lr in timm; here the warm-up ends at lr itself"))
    return Imported(spec, lost + fields.left("is no part of a learning-rate schedule"))


class _Run:
    """What every scheduler of timm has; durations in steps."""

    def __init__(self, fields: Fields, unit: int) -> None:
        self.fields, self.unit = fields, unit
        self.length = fields.count("epochs", 300) * unit
        self.warmup = fields.count("warmup_epochs", 5) * unit
        self.warmup_lr = fields.number("warmup_lr", 1e-5)
        self.min_lr = fields.number("min_lr", 0.0)
        self.cooldown = fields.count("cooldown_epochs", 0) * unit
        self.has_prefix = bool(fields.take("warmup_prefix", False))
        self.decay_rate = fields.number("decay_rate", 0.1)
        self.cycles = 1

    def cycled(self) -> dict[str, Any]:
        """Length, factor and number of cycles, for those that have them."""
        self.cycles = self.fields.count("lr_cycle_limit", 1)
        growth, decay = self.fields.number("lr_cycle_mul", 1.0), self.fields.number("lr_cycle_decay", 0.1)
        if growth != 1 and self.cycles > 1:
            raise NotImportable("lr_cycle_mul must be 1 in an import: the run's length follows from it in timm alone")
        return {"T_0": self.length, "T_mult": growth, "decay": decay, "cycles": self.cycles}


def _cosine(run: _Run) -> dict[str, Any]:
    k, cycle = run.fields.number("lr_k_decay", 1.0), run.cycled()
    if run.cycles == 1:
        shape = {"type": "CosineLR"} if k == 1 else {"type": "KDecayLR", "k": k}
        return {**shape, "length": run.length, "min_lr": run.min_lr}
    if k != 1:
        raise NotImportable("lr_k_decay must be 1 where there are several cycles")
    return {"type": "CosineRestartsLR", **cycle, "min_lr": run.min_lr}


def _tanh(run: _Run) -> dict[str, Any]:
    run.cycled()
    if run.cycles > 1:
        raise NotImportable("tanh must have one cycle (lr_cycle_limit)")
    if run.warmup and not run.has_prefix:
        raise NotImportable(
            "tanh without warmup_prefix warms up to an LR below lr, which no spec does: set warmup_prefix"
        )
    return {"type": "TanhLR", "length": run.length, "min_lr": run.min_lr}


def _poly(run: _Run) -> dict[str, Any]:
    run.cycled()
    k = run.fields.number("lr_k_decay", 1.0)
    if run.cycles > 1:
        raise NotImportable("poly must have one cycle (lr_cycle_limit)")
    common = {"length": run.length, "min_lr": run.min_lr, "power": run.decay_rate}
    return (
        {"type": "PolynomialDecayLR", **common}
        if k == 1
        else {"type": "KDecayLR", "shape": "polynomial", "k": k, **common}
    )


def _step(run: _Run) -> dict[str, Any]:
    size = round(run.fields.number("decay_epochs", 90) * run.unit)
    return {"type": "StepLR", "step_size": size, "gamma": run.decay_rate}


def _multistep(run: _Run) -> dict[str, Any]:
    """Timm's milestones take effect one step early (bisect_right of t + 1)."""
    milestones = run.fields.take("decay_milestones", [90, 180, 270])
    return {
        "type": "MultiStepLR",
        "milestones": [int(milestone) * run.unit - 1 for milestone in milestones],
        "gamma": run.decay_rate,
    }


def _constant(_run: _Run) -> dict[str, Any]:
    return {"type": "ConstantLR", "factor": 1.0, "total_iters": 1}


def _wsd(run: _Run) -> dict[str, Any]:
    """The warm-up is always a prefix; without warmup_prefix it is part of `epochs`."""
    run.length -= 0 if run.has_prefix else run.warmup
    run.has_prefix = True
    decay = run.fields.number("decay_epochs", 0.2)
    decay_length = round(decay * run.length if 0 < decay < 1 else decay * run.unit)
    shape = {"exp": "exponential"}.get(
        str(run.fields.take("lr_decay_fn", "1-sqrt")), run.fields.take("lr_decay_fn", "1-sqrt")
    )
    ratio = {"decay_ratio": 0.1} if shape == "exponential" else {}
    return {
        "type": "WSDLR",
        "length": run.length,
        "decay_length": decay_length,
        "decay": shape,
        "min_lr": run.min_lr,
        **ratio,
    }


def _lr(fields: Fields) -> float | None:
    """lr, or lr_base scaled by the batch over lr_base_size, linearly or by the square root."""
    lr = fields.take("lr")
    base, size, scale = fields.take("lr_base"), fields.take("lr_base_size", 256), fields.take("lr_base_scale", "linear")
    batch = fields.take("global_batch_size")
    if lr is not None:
        return float(lr)
    if base is None or batch is None:
        return None
    ratio = float(batch) / float(size)
    return float(base) * (ratio**0.5 if scale == "sqrt" else ratio)


_SCHEDULERS: dict[str, Callable[[_Run], dict[str, Any]]] = {
    "cosine": _cosine,
    "tanh": _tanh,
    "poly": _poly,
    "step": _step,
    "multistep": _multistep,
    "constant": _constant,
    "wsd": _wsd,
}
