"""Schedules of Hugging Face's `get_scheduler`, by name and arguments: what Trainer, axolotl and kohya's scripts run."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from preheat.conversions.fields import Fields
from preheat.conversions.imported import NotCarried
from preheat.errors import NotImportable

# num_cycles counts whole cosine waves in transformers: its default goes down from the peak once.
_HALF_WAVE = 0.5
_DEFAULT_TIMESCALE = 10_000
BY_METRIC = frozenset({"reduce_lr_on_plateau", "greedy"})


@dataclass(frozen=True)
class _Run:
    """Arguments of a schedule (`own`), and the run that it is for: `left` iterations follow the warm-up."""

    own: Fields
    lr: float
    warmup: int
    left: int


def hf_parts(name: str, own: Fields, lr: float, total: int, warmup: int) -> dict[str, Any]:
    """The warm-up and the scheduler that `get_scheduler(name, …)` makes, as fields of a spec.

    Raises NotImportable, also for an argument that the schedule does not have: get_scheduler raises a TypeError.
    """
    arguments, read = SCHEDULES[name]
    if arguments is not None:
        own.only(arguments, name)
    warmup = 0 if name == "constant" else warmup  # get_scheduler ignores warmup_steps there
    parts = {"warmup": {"iterations": warmup}, **read(_Run(own, lr, warmup, total - warmup))}
    return {field: value for field, value in parts.items() if value is not None}


def ignored_warmup(name: str, field: str, warmup: int) -> list[NotCarried]:
    """A note on a warm-up that `get_scheduler(name, …)` does not run."""
    is_ignored = name == "constant" and warmup > 0
    return [NotCarried(field, f"is ignored by get_scheduler for {name}")] if is_ignored else []


def _linear(_run: _Run) -> dict[str, Any]:
    return {"after_scheduler": {"type": "PolynomialDecayLR"}}


def _constant(_run: _Run) -> dict[str, Any]:
    return {}


def _cosine(run: _Run) -> dict[str, Any]:
    return {"after_scheduler": {"type": "CosineLR", "num_cycles": run.own.number("num_cycles", _HALF_WAVE)}}


def _cosine_with_min_lr(run: _Run) -> dict[str, Any]:
    after = _cosine(run)["after_scheduler"]
    min_lr, rate = _floor(run, "cosine_with_min_lr")
    return {"after_scheduler": after | ({"min_ratio": rate} if min_lr is None else {"min_lr": min_lr})}


def _floor(run: _Run, name: str) -> tuple[float | None, float | None]:
    min_lr, rate = run.own.optional_number("min_lr"), run.own.optional_number("min_lr_rate")
    if (min_lr is None) == (rate is None):
        raise NotImportable(f"{name} needs min_lr or min_lr_rate, and not both")
    return min_lr, rate


def _cosine_with_restarts(run: _Run) -> dict[str, Any]:
    """(1 + cos(π · (num_cycles · p mod 1))) / 2, and 0 from p = 1 on.

    In floats the product of a whole number of cycles may miss the next one by a rounding, where transformers then is
    at 0 and not at the peak; there, and where a cycle is no whole number of iterations, the formula itself is taken.
    """
    cycles, left = run.own.count("num_cycles", 1, least=1), run.left
    # The check below visits every cycle; past this many the formula is taken without it.
    many = 1000
    period = left // cycles
    is_whole = period > 0 and left % cycles == 0 and cycles <= many
    if is_whole and all(cycles * (cycle * period / left) % 1 == 0 for cycle in range(cycles)):
        return {"after_scheduler": {"type": "CosineRestartsLR", "T_0": period, "cycles": cycles}}
    wave = f"max(0, 0.5 * (1 + cos(pi * (({cycles} * (s / {max(left, 1)})) % 1)))) if s < {left} else 0"
    return {"after_scheduler": {"type": "ExpressionLR", "expression": wave}}


def _polynomial(run: _Run) -> dict[str, Any]:
    end = run.own.number("lr_end", 1e-7)
    if end >= run.lr:
        raise NotImportable(f"lr_scheduler_kwargs.lr_end ({end:g}) must be smaller than the learning rate ({run.lr:g})")
    return {"after_scheduler": {"type": "PolynomialDecayLR", "power": run.own.number("power", 1.0), "min_lr": end}}


def _inverse_sqrt(run: _Run) -> dict[str, Any]:
    # as transformers has it where timescale is None; it divides by one of 0
    timescale = run.own.count("timescale", run.warmup or _DEFAULT_TIMESCALE, least=1)
    return {"after_scheduler": {"type": "InverseSqrtLR", "timescale": timescale}}


def _wsd(run: _Run) -> dict[str, Any]:
    own, ratio = run.own, run.own.number("min_lr_ratio", 0.0)
    # Any other number of waves would not end at min_lr_ratio.
    if own.number("num_cycles", _HALF_WAVE) != _HALF_WAVE:
        raise NotImportable("lr_scheduler_kwargs.num_cycles must be 0.5 in a warmup_stable_decay")
    shapes = ("linear", "cosine", "1-sqrt")
    warmup = {"iterations": run.warmup, "shape": own.choice("warmup_type", shapes, "linear")}
    decay_length = own.count("num_decay_steps", least=1)
    stable = own.optional_count("num_stable_steps")
    after = {
        "type": "WSDLR",
        "length": (run.left - decay_length if stable is None else stable) + decay_length,
        "decay_length": decay_length,
        "decay": own.choice("decay_type", shapes, "cosine"),
        "min_ratio": ratio,
    }
    # its warm-up begins at min_lr_ratio too
    return {"warmup": warmup | ({"start_factor": ratio} if ratio else {}), "after_scheduler": after}


def _cosine_warmup_with_min_lr(run: _Run) -> dict[str, Any]:
    """Its warm-up is (n+1)/W, and its decay is (n − W + 1) / (T − W) over: it counts from the peak, or one ahead.

    Past T it rises again, as a cosine does.
    """
    own, waves = run.own, 2 * run.own.number("num_cycles", _HALF_WAVE)
    min_lr, rate = _floor(run, "cosine_warmup_with_min_lr")
    if rate is None:
        if not run.lr:
            raise NotImportable("lr_scheduler_kwargs.min_lr needs a learning rate > 0")
        # transformers divides by the optimizer's LR too, so that all param groups have one ratio
        rate = (min_lr or 0.0) / run.lr
    # from_peak counts s from iteration W - 1, where (n+1)/W is 1; without a warm-up s is n, one behind.
    s = "s" if run.warmup else "(s + 1)"
    wave = f"max(0, {rate!r} + {1 - rate!r} * 0.5 * (1 + cos(pi * {waves!r} * {s} / {max(run.left, 1)})))"
    warmup: dict[str, Any] = {"iterations": run.warmup, "convention": "(n+1)/W", "decay_clock": "from_peak"}
    start = own.optional_number("warmup_lr_rate")
    if start is not None:
        if run.warmup == 1:
            raise NotImportable("lr_scheduler_kwargs.warmup_lr_rate needs a warm-up of 2 steps or more")
        # with warmup_lr_rate transformers divides by num_warmup_steps - 1: the peak is at iteration W - 1
        warmup |= {"convention": "n/(W-1)", "start_factor": start}
    return {"warmup": warmup, "after_scheduler": {"type": "ExpressionLR", "expression": wave}}


_WSD_ARGUMENTS = "num_decay_steps num_stable_steps warmup_type decay_type min_lr_ratio num_cycles"

SCHEDULES: dict[str, tuple[tuple[str, ...] | None, Callable[[_Run], dict[str, Any]]]] = {
    "linear": ((), _linear),
    "constant": (None, _constant),
    "constant_with_warmup": (None, _constant),
    "cosine": (("num_cycles",), _cosine),
    "cosine_with_min_lr": (("num_cycles", "min_lr", "min_lr_rate"), _cosine_with_min_lr),
    "cosine_with_restarts": (("num_cycles",), _cosine_with_restarts),
    "cosine_warmup_with_min_lr": (
        ("num_cycles", "min_lr", "min_lr_rate", "warmup_lr_rate"),
        _cosine_warmup_with_min_lr,
    ),
    "polynomial": (("power", "lr_end"), _polynomial),
    "inverse_sqrt": (("timescale",), _inverse_sqrt),
    "warmup_stable_decay": (tuple(_WSD_ARGUMENTS.split()), _wsd),
}
"""The arguments that each schedule has, and how it is read; None where get_scheduler passes none on."""
