"""Import of DeepSpeed's configuration; its LRs are one update later than other libraries'."""

from collections.abc import Callable
from typing import Any

from preheat.conversions.fields import Fields
from preheat.conversions.harmless import HARMLESS
from preheat.conversions.imported import Imported, NotCarried
from preheat.conversions.known import Known
from preheat.errors import NotImportable

_AUTO = "auto"


def from_deepspeed(source: Any, known: Known) -> Imported:
    """A spec from a DeepSpeed configuration with a `scheduler`. Raises NotImportable.

    What is "auto" in it is filled in by transformers' Trainer: warmup_max_lr and the optimizer's lr with the target LR,
    warmup_min_lr with 0, warmup_num_steps and total_num_steps with what is known of the run
    (transformers/integrations/deepspeed.py, trainer_config_finalize).
    """
    config = Fields(source)
    scheduler = config.fields("scheduler")
    kind = scheduler.choice("type", _SCHEDULERS)
    parameters, read = _SCHEDULERS[kind]
    given = Fields(scheduler.take("params", {}), "scheduler.params")
    given.only(parameters, kind)
    optimizer = config.fields("optimizer").fields("params")
    lr = None if optimizer.take("lr") == _AUTO else optimizer.optional_number("lr")
    params = Fields(_filled_in(given, config, known), "scheduler.params")
    spec = read(params, known, lr)
    notes = []
    if lr is not None and kind != "WarmupCosineLR" and lr != spec["target_lr"]:
        reason = f"is ignored by DeepSpeed: {kind} sets LRs of its own, up to {spec['target_lr']:g}"
        notes.append(NotCarried("optimizer.params.lr", reason))
    if kind == "OneCycle" and params.flag("cycle_momentum", True):
        notes.append(NotCarried("scheduler.params.cycle_momentum", "cycles β1 too: a spec says that of momentum apart"))
    return Imported(spec, notes + config.left(HARMLESS["deepspeed"]))


def _filled_in(given: Fields, config: Fields, known: Known) -> dict[str, Any]:
    """The parameters with a value for each "auto". Raises NotImportable with all that are missing."""
    values = {
        "warmup_min_lr": 0.0,
        "warmup_max_lr": known.target_lr,
        "warmup_num_steps": known.warmup_iterations,
        "total_num_steps": known.total_iterations or _updates(config, known),
    }
    names = {
        "warmup_max_lr": "target_lr",
        "warmup_num_steps": "warmup_iterations",
        "total_num_steps": "total_iterations",
    }
    params = {name: given.take(name) for name in given.names}
    missing = [name for name, value in params.items() if value == _AUTO and values.get(name) is None]
    if missing:
        wanted = ", ".join(names.get(name, f"a number for {name}") for name in missing)
        paths = ", ".join(given.path(name) for name in missing)
        raise NotImportable(f'{wanted} required: {paths} "auto", which the caller fills in')
    return {name: values[name] if value == _AUTO else value for name, value in params.items()}


def _updates(config: Fields, known: Known) -> int | None:
    """Updates of the run, from the caller's epochs and data; None where a size is "auto" and the caller has none."""
    batch = known.batch_size or _size(config, "train_micro_batch_size_per_gpu", _AUTO)
    accumulation = known.accumulation or _size(config, "gradient_accumulation_steps", 1)
    return None if batch is None or accumulation is None else known.updates(None, batch, accumulation)


def _size(config: Fields, name: str, default: Any) -> int | None:
    return None if config.take(name, default) == _AUTO else config.count(name, default, least=1)


def _warmup_steps(params: Fields, known: Known) -> int:
    return known.warmup(params.count("warmup_num_steps", 1000))


def _warmup(params: Fields, *, steps: int, start: dict[str, float], clock: str) -> dict[str, Any]:
    shape = params.choice("warmup_type", ("log", "linear"), "log")
    # DeepSpeed takes the logarithm of warmup_num_steps, and makes it at least 2
    return {"iterations": max(steps, 2), "shape": shape, "convention": "(n-1)/W", "decay_clock": clock, **start}


def _warmup_lr(params: Fields, known: Known, _lr: float | None) -> dict[str, Any]:
    """Ignores the optimizer's LR: warmup_max_lr is 1e-3 unless it is given."""
    steps, start = _warmup_steps(params, known), params.number("warmup_min_lr", 0.0)
    warmup = _warmup(params, steps=steps, start={"start_lr": start} if start else {}, clock="from_peak")
    return known.spec(params.number("warmup_max_lr", 1e-3), None, None, warmup=warmup)


def _warmup_decay(params: Fields, known: Known, _lr: float | None) -> dict[str, Any]:
    """Its decay is of the distance to warmup_min_lr too, but ends there: low + (peak − low) · what is left."""
    steps, total = _warmup_steps(params, known), params.count("total_num_steps")
    low = params.number("warmup_min_lr", 0.0)
    after = {"type": "PolynomialDecayLR", "length": max(total - max(steps, 2), 1), "min_lr": low}
    warmup = _warmup(params, steps=steps, start={"start_lr": low} if low else {}, clock="from_peak")
    return known.spec(params.number("warmup_max_lr", 1e-3), total, after, warmup=warmup)


def _warmup_cosine(params: Fields, known: Known, lr: float | None) -> dict[str, Any]:
    """Ratios of the optimizer's LR: 0 at n = 0 whatever warmup_min_ratio is, the warm-up's at n − 1 up to n = W.

    The cosine is at n − W after that, one step ahead of its warm-up. It rises again past total_num_steps.
    """
    steps, start = max(_warmup_steps(params, known), 2), params.number("warmup_min_ratio", 0.0)
    total, low = params.count("total_num_steps"), params.number("cos_min_ratio", 1e-4)
    warmup, length = _warmup(params, steps=steps, start={}, clock="after_warmup"), max(total - steps, 1)
    # A CosineLR holds its end LR, so that it fits only a run that stops by total_num_steps.
    if not start and (known.total_iterations or 0) <= total:
        return known.spec(lr, total, {"type": "CosineLR", "length": length, "min_ratio": low}, warmup=warmup)
    rise = f"log(max(s, 1)) / log({steps})" if warmup["shape"] == "log" else f"(s - 1) / {steps}"
    wave = f"max(0, {low!r} + {1 - low!r} * (1 + cos(pi * (s - {steps}) / {length})) / 2)"
    whole = f"0 if s < 1 else {start!r} + {1 - start!r} * ({rise}) if s <= {steps} else {wave}"
    return known.spec(lr, total, {"type": "ExpressionLR", "expression": whole})


def _range_test(params: Fields, known: Known, _lr: float | None) -> dict[str, Any]:
    known.without_warmup("LRRangeTest")
    size = params.count("lr_range_test_step_size", 2000, least=1)
    rate = params.number("lr_range_test_step_rate", 1.0)
    steps = f"floor(n / {size})" if params.flag("lr_range_test_staircase") else f"n / {size}"
    # The test has no end of its own: the run's length must be known.
    after = {"type": "ExpressionLR", "expression": f"1 + {rate} * {steps}"}
    return known.spec(params.number("lr_range_test_min_lr", 1e-3), None, after)


def _one_cycle(params: Fields, known: Known, _lr: float | None) -> dict[str, Any]:
    """Up and down once, between cycle_min_lr and cycle_max_lr, then cycle_min_lr / (1 + decay_lr_rate · k).

    k counts decay_step_size iterations from the end of the cycle. DeepSpeed reads cycle_first_stair_count and its like
    but does not use them.
    """
    known.without_warmup("OneCycle")
    low, high = params.number("cycle_min_lr"), params.number("cycle_max_lr")
    up = params.count("cycle_first_step_size", 2000)
    down = params.count("cycle_second_step_size", up)
    for name in ("cycle_first_stair_count", "cycle_second_stair_count"):
        params.refuse(name, "has no effect: DeepSpeed reads it and does not use it")
    if not up or not down or not high:
        raise NotImportable("cycle_first_step_size, cycle_second_step_size and cycle_max_lr must be > 0")
    size, rate = params.number("decay_step_size", 0), params.number("decay_lr_rate", 0.0)
    # DeepSpeed's default decay_step_size of 0 means that nothing decays after the cycle.
    end = f"{low!r} / (1 + {rate!r} * (s - {up + down}) / {size!r})" if size and rate else repr(low)
    rise, fall = f"s / {up}", f"({up + down} - s) / {down}"
    cycle = f"{low!r} + {high - low!r} * ({rise} if s <= {up} else {fall})"
    after = {"type": "ExpressionLR", "expression": f"({cycle} if s < {up + down} else {end}) / {high!r}"}
    return known.spec(high, None, after)


_WARMUP = "warmup_num_steps warmup_type last_batch_iteration"
_LIMITS = "warmup_min_lr warmup_max_lr"
_CYCLE = """
    cycle_min_lr cycle_max_lr decay_lr_rate cycle_first_step_size cycle_second_step_size cycle_first_stair_count
    cycle_second_stair_count decay_step_size cycle_momentum cycle_min_mom cycle_max_mom decay_mom_rate
    last_batch_iteration
"""
_RANGE = "lr_range_test_min_lr lr_range_test_step_size lr_range_test_step_rate lr_range_test_staircase"

_SCHEDULERS: dict[str, tuple[list[str], Callable[[Fields, Known, float | None], dict[str, Any]]]] = {
    "WarmupLR": (f"{_WARMUP} {_LIMITS}".split(), _warmup_lr),
    "WarmupDecayLR": (f"{_WARMUP} {_LIMITS} total_num_steps".split(), _warmup_decay),
    "WarmupCosineLR": (f"{_WARMUP} total_num_steps warmup_min_ratio cos_min_ratio".split(), _warmup_cosine),
    "LRRangeTest": (_RANGE.split(), _range_test),
    "OneCycle": (_CYCLE.split(), _one_cycle),
}
"""The parameters of each scheduler, and how it is read."""
