"""Formulas of plain schedulers and warm-ups, in the very order of operations in which the service computes them.

So that every bit is the same: torch's classes by torch's closed forms (`_get_closed_form_lr` of
torch.optim.lr_scheduler), the service's own types and warm-ups by the formulas of its reference. What is not here is
not computed: schedulers that are made of others, cycle momentum, or have parameters by param group.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from preheat_client._core.fields import (
    NotComputed,
    Reader,
    ascending,
    exponent,
    mapping_of,
    number,
    one_of,
    optional,
    positive,
    rate,
    share,
    whole,
    whole_or_zero,
)

Formula = Callable[[float, int], float]
"""From a param group's target LR and an iteration to the LR."""

_REQUIRED: Any = object()

_OFFSETS = {"(n+1)/W": -1, "n/(W-1)": -1, "(n-1)/W": 1}
_WARMUP: dict[str, tuple[Reader, Any]] = {
    "iterations": (whole_or_zero, 0),
    "shape": (one_of("linear", "cosine", "exponential", "log", "1-sqrt", "constant"), "linear"),
    "start_lr": (optional(rate), None),
    "start_factor": (optional(rate), None),
    "convention": (one_of("n/W", "(n+1)/W", "(n+1)/(W+1)", "n/(W-1)", "(n-1)/W"), "n/W"),
    "decay_clock": (one_of("after_warmup", "from_peak", "from_zero"), "after_warmup"),
    "beta2": (one_of(None), None),
}


@dataclass(frozen=True)
class Run:
    """What a scheduler has before it: iterations left, of the whole run, and of the warm-up."""

    left: int
    total: int
    warmup: int

    def default_length(self, name: str) -> int:
        """What is left of the run."""
        if self.left < 1:
            raise NotComputed(f"{name} has no default here: nothing is left of the run for it")
        return self.left


@dataclass(frozen=True)
class Warmup:
    """A warm-up in force at 0 … `last`; the scheduler's clock is 0 at `origin`."""

    iterations: int
    last: int
    origin: int
    lr: Formula


def warmup_of(spec: Any, total: int) -> Warmup:
    """The warm-up of a spec's `warmup`."""
    given = _read(spec, "warmup", _WARMUP)
    length, clock = given["iterations"], given["decay_clock"]
    if length > total:
        raise NotComputed(f"warmup.iterations ({length}) must not exceed total_iterations ({total})")
    if given["start_lr"] is not None and given["start_factor"] is not None:
        raise NotComputed("warmup.start_factor must not be given beside start_lr")
    if given["shape"] == "exponential" and not given["start_lr"] and not given["start_factor"]:
        raise NotComputed("warmup.start_lr or start_factor is required with shape exponential")
    if length == 0:
        return Warmup(0, -1, 0, lambda b, _: b)
    peak = max(length + _OFFSETS.get(given["convention"], 0), 0)
    last = {"from_zero": length - 1, "from_peak": peak}.get(clock, length)
    origin = {"from_zero": 0, "from_peak": peak}.get(clock, length)
    return Warmup(length, last, origin, _rise(given))


def _rise(warmup: Mapping[str, Any]) -> Formula:
    """Start + (b − start) · g(i / d): b itself from i = d on."""
    step, d = _steps(warmup["convention"], warmup["iterations"])
    shape, factor, start_lr = warmup["shape"], warmup["start_factor"], warmup["start_lr"] or 0.0
    height = _height(shape, warmup["convention"], d)
    is_plain = shape == "linear" and not factor and not start_lr
    reaches_the_end = warmup["convention"] in {"n/W", "(n+1)/(W+1)"}

    def lr(b: float, n: int) -> float:
        i = step(n)
        if is_plain and (i < d or reaches_the_end):  # b · d / d may differ from b in its last bit
            return b * i / d
        if i >= d:
            return b
        p = i / d
        if shape == "exponential":
            return float(b * factor ** (1 - p) if factor else start_lr * (b / start_lr) ** p)
        start = factor * b if factor else start_lr
        return float(start + (b - start) * height(p, i))

    return lr


def _steps(convention: str, length: int) -> tuple[Callable[[int], int], int]:
    """Numerator and denominator of the share of the warm-up that is over."""
    return {
        "n/W": (lambda n: n, length),
        "(n+1)/W": (lambda n: n + 1, length),
        "(n+1)/(W+1)": (lambda n: n + 1, length + 1),
        "n/(W-1)": (lambda n: n, max(length - 1, 1)),
        "(n-1)/W": (lambda n: max(n - 1, 0), length),
    }[convention]


def _height(shape: str, convention: str, d: int) -> Callable[[float, int], float]:
    log_d = math.log(d if convention == "(n-1)/W" else d + 1) or 1.0
    return {
        "cosine": lambda p, _: (1 - math.cos(math.pi * p)) / 2,
        "1-sqrt": lambda p, _: 1 - math.sqrt(1 - p),
        "constant": lambda _p, _: 0.0,
        "log": lambda _, i: min(math.log(1 + i) / log_d, 1.0),
    }.get(shape, lambda p, _: p)


def scheduler_of(spec: Any, run: Run) -> Formula:
    """The LR at an iteration of a scheduler's own clock; None holds the target."""
    if spec is None:
        return lambda b, _: b
    kind = spec.get("type") if isinstance(spec, Mapping) else None
    if kind not in list(_TYPES):  # a list, since JSON has types that cannot be looked up in a dict
        raise NotComputed(f"after_scheduler.type ({kind!r:.80}) must be one of {', '.join(_TYPES)} to be computed")
    fields, make = _TYPES[kind]
    given = _read(spec, "after_scheduler", {"type": (one_of(kind), kind), **fields})
    del given["type"]
    return make(run, **given)


def _read(spec: Any, place: str, fields: Mapping[str, tuple[Reader, Any]]) -> dict[str, Any]:
    given = mapping_of(spec, place, fields)
    if missing := [name for name, (_, default) in fields.items() if default is _REQUIRED and name not in given]:
        raise NotComputed(f"{place}.{missing[0]} is required")
    return {
        name: read(given[name], f"{place}.{name}") if name in given else default
        for name, (read, default) in fields.items()
    }


def _step(_: Run, step_size: int, gamma: float) -> Formula:
    return lambda b, s: b * gamma ** (s // step_size)


def _multi_step(run: Run, milestones: list[int], gamma: float) -> Formula:
    if milestones[-1] > run.left:
        rule = f"must not exceed the {run.left} iterations that are left of the run"
        raise NotComputed(f"after_scheduler.milestones ({milestones[-1]}) {rule}")
    return lambda b, s: b * gamma ** bisect_right(milestones, s)


def _constant(_: Run, factor: float, total_iters: int) -> Formula:
    return lambda b, s: b * (factor + (s >= total_iters) * (1 - factor))


def _linear(_: Run, start_factor: float, end_factor: float, total_iters: int) -> Formula:
    if start_factor == 0:
        raise NotComputed("after_scheduler.start_factor (0) must be > 0")
    return lambda b, s: b * (start_factor + (end_factor - start_factor) * min(total_iters, s) / total_iters)


def _exponential(_: Run, gamma: float) -> Formula:
    return lambda b, s: b * gamma**s


def _polynomial(_: Run, total_iters: int, power: float) -> Formula:
    return lambda b, s: b * (1.0 - min(total_iters, s) / total_iters) ** power


def _cosine_annealing(run: Run, T_max: int | None, eta_min: float) -> Formula:
    length = run.default_length("T_max") if T_max is None else T_max
    return lambda b, s: eta_min + (b - eta_min) * (1 + math.cos(math.pi * s / length)) / 2


def _polynomial_decay(run: Run, power: float, cycle: bool, **decay: Any) -> Formula:
    del cycle  # read, to refuse True
    ends = _Ends(run, **decay)
    return lambda b, s: ends.between(b, _power(1 - ends.progress(s), power))


def _cosine(run: Run, num_cycles: float, exponent: float, **decay: Any) -> Formula:
    ends, half_waves = _Ends(run, **decay), 2 * num_cycles
    pace = math.pi * half_waves  # of half a wave π itself: a product with 1.0 is exact
    return lambda b, s: ends.between(b, _power((1 + math.cos(pace * ends.progress(s))) / 2, exponent))


def _wsd(run: Run, decay_length: int | None, decay: str, power: float, decay_ratio: float, **ends_of: Any) -> Formula:
    ends = _Ends(run, **ends_of)
    # A tenth of the whole run, warm-up included, but never more than there is.
    falls = min(max(round(run.total * 0.1), 1), ends.length) if decay_length is None else decay_length
    if falls > ends.length:
        raise NotComputed(f"after_scheduler.decay_length ({falls}) must not exceed length ({ends.length})")
    begin = ends.length - falls
    height: Callable[[float], float] = {
        "linear": lambda x: 1 - x,
        "cosine": lambda x: (1 + math.cos(math.pi * x)) / 2,
        "1-sqrt": lambda x: 1 - math.sqrt(x),
        "power": lambda x: 1 - x**power,
        "exponential": lambda x: (decay_ratio**x - decay_ratio) / (1 - decay_ratio),
    }[decay]

    def lr(b: float, s: int) -> float:
        if s <= begin:
            return b
        return ends.between(b, height((s - begin) / falls)) if s < ends.length else ends.low(b)

    return lr


def _inverse_sqrt(run: Run, timescale: int | None, shift: int) -> Formula:
    scale = timescale or run.warmup or 10_000
    return lambda b, s: b * math.sqrt(scale / (s + shift + scale))


class _Ends:
    """A decay to min_lr, or to min_ratio · b, within `length` iterations."""

    def __init__(self, run: Run, length: int | None, min_lr: float | None, min_ratio: float | None) -> None:
        if min_lr is not None and min_ratio is not None:
            raise NotComputed("after_scheduler.min_ratio must not be given beside min_lr")
        self.length = run.default_length("length") if length is None else length
        self._min_lr, self._min_ratio = min_lr or 0.0, min_ratio

    def progress(self, s: int) -> float:
        return s / self.length if s < self.length else 1.0

    def low(self, b: float) -> float:
        return self._min_lr if self._min_ratio is None else self._min_ratio * b

    def between(self, b: float, height: float) -> float:
        """From the end LR at height 0 to b at 1: an end LR of 0 has a form of its own, which reaches it exactly."""
        if self._min_ratio is not None:
            return b * (self._min_ratio + (1 - self._min_ratio) * height)
        return self._min_lr + (b - self._min_lr) * height if self._min_lr else b * height


def _power(base: float, exponent: float) -> float:
    return base if exponent == 1 else float(base**exponent)


_DECAY: dict[str, tuple[Reader, Any]] = {
    "length": (optional(whole), None),
    "min_lr": (optional(rate), None),
    "min_ratio": (optional(rate), None),
}
# No gamma above 1: its power may grow beyond what a number can be, which the service looks for in the whole run.
_GAMMA = partial(rate, most=1.0)
_TYPES: dict[str, tuple[dict[str, tuple[Reader, Any]], Callable[..., Formula]]] = {
    "StepLR": ({"step_size": (whole, _REQUIRED), "gamma": (_GAMMA, 0.1)}, _step),
    "MultiStepLR": ({"milestones": (ascending, _REQUIRED), "gamma": (_GAMMA, 0.1)}, _multi_step),
    "ConstantLR": ({"factor": (share, 1 / 3), "total_iters": (whole, 5)}, _constant),
    "LinearLR": ({"start_factor": (share, 1 / 3), "end_factor": (share, 1.0), "total_iters": (whole, 5)}, _linear),
    "ExponentialLR": ({"gamma": (_GAMMA, _REQUIRED)}, _exponential),
    "PolynomialLR": ({"total_iters": (whole, 5), "power": (exponent, 1.0)}, _polynomial),
    "CosineAnnealingLR": ({"T_max": (optional(whole), None), "eta_min": (rate, 0.0)}, _cosine_annealing),
    "PolynomialDecayLR": ({**_DECAY, "power": (exponent, 1.0), "cycle": (one_of(False), False)}, _polynomial_decay),
    "CosineLR": ({**_DECAY, "num_cycles": (positive, 0.5), "exponent": (exponent, 1.0)}, _cosine),
    "WSDLR": (
        {
            **_DECAY,
            "decay_length": (optional(whole), None),
            "decay": (one_of("linear", "cosine", "1-sqrt", "power", "exponential"), "linear"),
            "power": (positive, 0.5),
            "decay_ratio": (lambda value, name: number(value, name, 1e-9, 0.999), 0.5),
        },
        _wsd,
    ),
    "InverseSqrtLR": ({"timescale": (optional(whole), None), "shift": (whole_or_zero, 0)}, _inverse_sqrt),
}
"""From a scheduler's type to its fields, each with its reader and default, and to what makes its formula of them."""
