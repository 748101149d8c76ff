"""Import of timm's training arguments: --sched and the arguments that belong to it."""

import math
from collections.abc import Callable
from typing import Any

from preheat.conversions.fields import Fields
from preheat.conversions.harmless import HARMLESS
from preheat.conversions.imported import Imported, NotCarried
from preheat.conversions.known import Known
from preheat.errors import NotImportable


def from_timm(source: Any, known: Known) -> Imported:
    """A spec from the arguments of timm's train script, by their names in its args.yaml. Raises NotImportable.

    An iteration is an epoch, as timm steps by default. With sched_on_updates it is an update: their number in an epoch
    is `updates_per_epoch`, which timm finds from its loader and no file has, or follows from a known dataset_size: the
    batches of each device rounded down, updates rounded up.
    """
    fields = Fields(source)
    by_update, notes = fields.flag("sched_on_updates"), list[NotCarried]()
    run = _Run(fields, _updates_per_epoch(fields, known) if by_update else 1, known)
    name = fields.choice("sched", _SCHEDULERS, "cosine", by_metric={"plateau"})
    after = _SCHEDULERS[name](run)
    if fields.number("cooldown_epochs", 0) and name not in _WITH_COOLDOWN:
        notes.append(NotCarried("cooldown_epochs", f"is ignored by timm for {name}"))
        run.cooldown = 0
    # The cooldown follows the last cycle. Without warmup_prefix the warm-up is part of `epochs`.
    total = run.length * run.cycles + run.cooldown + (run.warmup if run.has_prefix else 0)
    parts: dict[str, Any] = {"units": {"iterations_per_epoch": run.unit}}
    if run.warmup:
        # without a prefix the decay runs from 0 on beneath the warm-up, which then jumps to it
        clock = "after_warmup" if run.has_prefix else "from_zero"
        parts["warmup"] = {"iterations": run.warmup, "start_lr": run.warmup_lr, "decay_clock": clock}
    spec = known.spec(_lr(fields, known), total, after, **parts)
    _refuse_groups(fields)
    if fields.take("lr_noise"):
        notes.append(NotCarried("lr_noise", "is random"))
    if name == "tanh" and run.warmup:
        notes.append(NotCarried("sched", "begins 8e-7 below lr in timm; here the warm-up ends at lr itself"))
    notes += fields.unused(_OF_BASE, "timm beside an lr") + fields.unused(_OPTIONS.split(), name)
    return Imported(spec, notes + fields.left(HARMLESS["timm"]))


def _updates_per_epoch(fields: Fields, known: Known) -> int:
    given = fields.optional_count("updates_per_epoch")
    batch, accumulation = _batch(fields)
    for name in ("train_steps_per_epoch", "train_batches_per_epoch", "epoch_repeats"):
        if not given:
            fields.refuse(name, "sets the length of an epoch: give updates_per_epoch")
    found = given or known.updates_per_epoch(batch, accumulation, drop_last=True)
    if not found:
        raise NotImportable(
            "updates_per_epoch is required with sched_on_updates: timm finds it from its loader; add it to the source, "
            "or give dataset_size (and devices)"
        )
    return found


def _batch(fields: Fields) -> tuple[int, int]:
    """The batch of a device, and the batches of an update."""
    return fields.count("batch_size", 128, least=1), fields.count("grad_accum_steps", 1, least=1)


def _refuse_groups(fields: Fields) -> None:
    """Arguments that give param groups LRs of their own."""
    for name in ("layer_decay", "layer_decay_min_scale"):
        if fields.optional_number(name) not in (None, 0, 1):
            raise NotImportable(
                f"{name} gives each layer an LR of its own: import without it, and write the number of layers into the "
                "spec's layer_decay"
            )
    options = fields.take("opt_kwargs")
    if isinstance(options, dict) and "lr" in options:
        raise NotImportable("opt_kwargs.lr must be written as lr")


class _Run:
    """What every scheduler of timm has; durations in steps."""

    def __init__(self, fields: Fields, unit: int, known: Known) -> None:
        self.fields, self.unit = fields, unit
        self.length = (known.whole_epochs(fields.count("epochs", 300)) or 0) * unit
        self.warmup = known.warmup(fields.count("warmup_epochs", 5) * unit)
        self.warmup_lr = fields.number("warmup_lr", 1e-5)
        self.cooldown = fields.count("cooldown_epochs", 0) * unit
        self.has_prefix = fields.flag("warmup_prefix")
        self.cycles = 1

    @property
    def min_lr(self) -> float:
        """The LR that a decay ends at; a step has none."""
        return self.fields.number("min_lr", 0.0)

    @property
    def decay_rate(self) -> float:
        """The factor of a step; the power of a polynomial."""
        return self.fields.number("decay_rate", 0.1)

    def cycled(self) -> dict[str, Any]:
        """Length, factor and number of cycles, for those that have them."""
        self.cycles = self.fields.count("lr_cycle_limit", 1)
        growth, decay = self.fields.number("lr_cycle_mul", 1.0), self.fields.number("lr_cycle_decay", 0.5)
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
    if run.decay_rate == 0:  # (1 − t)^0 is 1 up to the end, where timm is at min_lr; a PolynomialDecayLR is at b there
        return {"type": "WSDLR", "length": run.length, "decay_length": 0, "min_lr": run.min_lr}
    shape = {"type": "PolynomialDecayLR"} if k == 1 else {"type": "KDecayLR", "shape": "polynomial", "k": k}
    return {**shape, "length": run.length, "min_lr": run.min_lr, "power": run.decay_rate}


def _step(run: _Run) -> dict[str, Any]:
    """The LR lr · decay_rate^⌊t / decay_epochs⌋; an interval that is no whole number of steps, as timm computes it."""
    size = run.fields.number("decay_epochs", 90) * run.unit
    if size <= 0:
        raise NotImportable(f"decay_epochs ({size:g}) must be > 0")
    if size == int(size):
        return {"type": "StepLR", "step_size": int(size), "gamma": run.decay_rate}
    # with a prefix the scheduler's own clock begins after the warm-up, as timm's does
    return {"type": "ExpressionLR", "expression": f"{run.decay_rate!r} ** floor(s / {size!r})"}


def _multistep(run: _Run) -> dict[str, Any]:
    # timm's milestones take effect one step early (bisect_right of t + 1)
    given = run.fields.numbers("decay_milestones", [90, 180, 270])
    milestones = [math.ceil(milestone * run.unit) - 1 for milestone in given]
    # Those of the defaults that lie past a short run are never reached; a spec has none of them.
    reached = [milestone for milestone in milestones if milestone <= run.length]
    return {"type": "MultiStepLR", "milestones": reached, "gamma": run.decay_rate} if reached else _constant(run)


def _constant(_run: _Run) -> dict[str, Any]:
    return {"type": "ConstantLR", "factor": 1.0, "total_iters": 1}


def _wsd(run: _Run) -> dict[str, Any]:
    """The warm-up is always a prefix; without warmup_prefix it is part of `epochs`."""
    decay_length = _stable_and_decay(run)
    shape = run.fields.choice("lr_decay_fn", _DECAYS, "1-sqrt")
    ending = {"decay": "exponential", "decay_ratio": 0.1} if shape == "exp" else {"decay": shape}
    return {"type": "WSDLR", "length": run.length, "decay_length": decay_length, "min_lr": run.min_lr, **ending}


def _rsqrt(run: _Run) -> dict[str, Any]:
    """A WSD whose stable part falls as (1 + s / timescale)^−½, down to min_lr; timescale is the warm-up's."""
    decay_length, low = _stable_and_decay(run), run.min_lr
    shape = run.fields.choice("lr_decay_fn", _DECAYS, "linear")
    timescale = run.fields.optional_number("lr_stable_timescale")
    timescale = run.warmup if timescale is None else timescale * run.unit
    if timescale <= 0:
        raise NotImportable("lr_stable_timescale must be given > 0 where there is no warm-up")
    if low:
        raise NotImportable("min_lr must be 0 with sched rsqrt: no expression knows it as a share of lr")
    start = run.length - decay_length
    share = f"min(max(s - {start}, 0) / {decay_length}, 1)"
    fall = {
        "linear": f"1 - {share}",
        "1-sqrt": f"1 - sqrt({share})",
        "power": f"1 - sqrt({share})",
        "cosine": f"0.5 * (1 + cos(pi * {share}))",
        "exp": f"(0.1 ** {share} - 0.1) / 0.9",
    }[shape]
    return {"type": "ExpressionLR", "expression": f"(1 + s / {timescale!r}) ** -0.5 * ({fall})"}


def _stable_and_decay(run: _Run) -> int:
    run.length -= 0 if run.has_prefix else run.warmup
    run.has_prefix = True
    decay = run.fields.number("decay_epochs", 0.2)
    decay_length = round(decay * run.length if 0 < decay < 1 else decay * run.unit)
    if not 0 < decay_length <= run.length:
        raise NotImportable(f"decay_epochs ({decay:g}) must be > 0, and at most the epochs after the warm-up")
    return decay_length


def _lr(fields: Fields, known: Known) -> float:
    """The lr, or lr_base scaled by the batch of an update over lr_base_size: linearly, or by its root.

    Without lr_base_scale, timm takes the root for optimizers with ada or lamb in their names (train.py).
    """
    lr, batch = fields.optional_number("lr"), fields.optional_number("global_batch_size")
    if known.target_lr is not None or lr is not None:
        # lr_base and its scale stay unread: they are named, as nothing follows from them
        return known.lr(lr)
    base, size, scale = fields.number("lr_base", 0.1), fields.number("lr_base_size", 256), fields.text("lr_base_scale")
    if batch is None and known.devices is not None:
        own_batch, accumulation = _batch(fields)
        batch = (known.batch_size or own_batch) * known.devices * (known.accumulation or accumulation)
    if batch is None:
        raise NotImportable(
            "target_lr is required: without lr timm scales lr_base by global_batch_size over lr_base_size, and the "
            "source has no global_batch_size (it is batch_size · devices · grad_accum_steps: give it, or devices)"
        )
    if size <= 0 or batch <= 0:
        raise NotImportable(f"lr_base_size ({size:g}) and global_batch_size ({batch:g}) must be > 0")
    optimizer = "" if scale else fields.text("opt", "sgd").lower()
    by_root = scale == "sqrt" or "ada" in optimizer or "lamb" in optimizer
    return base * (math.sqrt(batch / size) if by_root else batch / size)


_OPTIONS = """
    decay_rate decay_milestones decay_epochs lr_cycle_mul lr_cycle_decay lr_cycle_limit lr_k_decay lr_noise_pct
    lr_noise_std lr_decay_fn lr_stable_timescale min_lr warmup_lr patience_epochs epoch_repeats
"""
_OF_BASE = ("lr_base", "lr_base_size", "lr_base_scale")
_DECAYS = ("linear", "1-sqrt", "cosine", "power", "exp")
_WITH_COOLDOWN = {"cosine", "tanh", "poly", "wsd", "rsqrt"}

_SCHEDULERS: dict[str, Callable[[_Run], dict[str, Any]]] = {
    "cosine": _cosine,
    "tanh": _tanh,
    "poly": _poly,
    "step": _step,
    "multistep": _multistep,
    "constant": _constant,
    "wsd": _wsd,
    "rsqrt": _rsqrt,
}
