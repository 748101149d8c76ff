"""Import of timm's training arguments: --sched and the arguments that belong to it."""

import math
from collections.abc import Callable
from typing import Any

from preheat.conversions.source import Fields, Imported, Known, NotCarried
from preheat.errors import NotImportable


def from_timm(source: Any, known: Known) -> Imported:
    """A spec from the arguments of timm's train script, by their names in its YAML. Raises NotImportable.

    An iteration is an epoch, as timm steps by default; with sched_on_updates it is an update, and updates_per_epoch
    must be given.
    """
    fields = Fields(source)
    unit = fields.count("updates_per_epoch") if fields.take("sched_on_updates", False) else 1
    fields.take("updates_per_epoch")  # unused where an iteration is an epoch
    run = _Run(fields, unit)
    name = fields.choice("sched", _SCHEDULERS, "cosine", by_metric={"plateau"})
    after = _SCHEDULERS[name](run)
    total = run.length * run.cycles + run.cooldown + (run.warmup if run.has_prefix else 0)
    parts: dict[str, Any] = {"units": {"iterations_per_epoch": unit}}
    if run.warmup:
        clock = "after_warmup" if run.has_prefix else "from_zero"
        parts["warmup"] = {"iterations": run.warmup, "start_lr": run.warmup_lr, "decay_clock": clock}
    spec = known.spec(_lr(fields), total, after, **parts)
    not_carried = [NotCarried("lr_noise", "is random")] if fields.take("lr_noise") else []
    if name == "tanh" and run.warmup:
        reason = "begins 8e-7 below lr in timm; here the warm-up ends at lr itself"
        not_carried.append(NotCarried("sched", reason))
    return Imported(spec, not_carried + fields.not_carried("is not part of a learning-rate schedule"))


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
            raise NotImportable("lr_cycle_mul must be 1 in an import: only timm derives the run's length from it")
        return {"T_0": self.length, "T_mult": growth, "decay": decay, "cycles": self.cycles}

    def check_one_cycle(self, name: str) -> None:
        """Raises NotImportable if there are several cycles."""
        self.cycled()
        if self.cycles > 1:
            raise NotImportable(f"{name} must have one cycle (lr_cycle_limit)")


def _cosine(run: _Run) -> dict[str, Any]:
    k, cycle = run.fields.number("lr_k_decay", 1.0), run.cycled()
    if run.cycles == 1:
        shape = {"type": "CosineLR"} if k == 1 else {"type": "KDecayLR", "k": k}
        return {**shape, "length": run.length, "min_lr": run.min_lr}
    if k != 1:
        raise NotImportable("lr_k_decay must be 1 where there are several cycles")
    return {"type": "CosineRestartsLR", **cycle, "min_lr": run.min_lr}


def _tanh(run: _Run) -> dict[str, Any]:
    run.check_one_cycle("tanh")
    if run.warmup and not run.has_prefix:
        raise NotImportable(
            "tanh without warmup_prefix warms up to an LR below lr, which no spec does: set warmup_prefix"
        )
    return {"type": "TanhLR", "length": run.length, "min_lr": run.min_lr}


def _poly(run: _Run) -> dict[str, Any]:
    run.check_one_cycle("poly")
    k = run.fields.number("lr_k_decay", 1.0)
    shape = {"type": "PolynomialDecayLR"} if k == 1 else {"type": "KDecayLR", "shape": "polynomial", "k": k}
    return {**shape, "length": run.length, "min_lr": run.min_lr, "power": run.decay_rate}


def _step(run: _Run) -> dict[str, Any]:
    size = round(run.fields.number("decay_epochs", 90) * run.unit)
    return {"type": "StepLR", "step_size": size, "gamma": run.decay_rate}


def _multistep(run: _Run) -> dict[str, Any]:
    # timm's milestones take effect one step early (bisect_right of t + 1)
    milestones = run.fields.numbers("decay_milestones", [90, 180, 270])
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
    shape = run.fields.take("lr_decay_fn", "1-sqrt")
    ending = {"decay": "exponential", "decay_ratio": 0.1} if shape == "exp" else {"decay": shape}
    return {"type": "WSDLR", "length": run.length, "decay_length": decay_length, "min_lr": run.min_lr, **ending}


def _lr(fields: Fields) -> float | None:
    """lr, or lr_base scaled by the batch over lr_base_size, linearly or by the square root."""
    lr, base, batch = (fields.optional_number(name) for name in ("lr", "lr_base", "global_batch_size"))
    size, scale = fields.number("lr_base_size", 256), fields.take("lr_base_scale", "linear")
    if lr is not None or base is None or batch is None:
        return lr
    if size <= 0 or batch <= 0:
        raise NotImportable(f"lr_base_size ({size:g}) and global_batch_size ({batch:g}) must be > 0")
    ratio = batch / size
    # the linear rule, or the square root that Adam-like optimizers are given
    return base * (math.sqrt(ratio) if scale == "sqrt" else ratio)


_SCHEDULERS: dict[str, Callable[[_Run], dict[str, Any]]] = {
    "cosine": _cosine,
    "tanh": _tanh,
    "poly": _poly,
    "step": _step,
    "multistep": _multistep,
    "constant": _constant,
    "wsd": _wsd,
}
