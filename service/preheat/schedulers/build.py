"""Building: from a spec's models to torch schedulers."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from torch.optim import Optimizer, lr_scheduler
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.swa_utils import SWALR
from typing_extensions import override

from preheat.errors import UndefinedLR
from preheat.formula.easing import falling
from preheat.formula.language import compiled
from preheat.schedulers import compositions
from preheat.schedulers.closed_forms import LRs
from preheat.schedulers.warmup import FormulaWarmup, LearningRateWarmUP, LinearWarmup
from preheat.specs import Scheduler, Track, Warmup
from preheat.specs.after_schedulers.scheduler import Shape


def build(track: Track, optimizer: Optimizer) -> LearningRateWarmUP:
    """The warm-up scheduler of a spec's track, on an optimizer whose groups have the track's targets as LRs."""
    after = track.after_scheduler
    after_scheduler = None if after is None else build_after_scheduler(after, optimizer)
    warmup = track.warmup
    # The default by its own class: target · n / W has other last bits than a formula with start and share.
    curve = LinearWarmup(warmup.iterations) if warmup == Warmup(iterations=warmup.iterations) else FormulaWarmup(warmup)
    return LearningRateWarmUP(optimizer, warmup.iterations, track.targets, after_scheduler, curve=curve)


def build_after_scheduler(spec: Scheduler, optimizer: Optimizer) -> LRScheduler:
    """The torch scheduler that a normalised model stands for: by its formula, or by its entry in _BUILDERS."""
    return ShapeLR(optimizer, spec) if isinstance(spec, Shape) else _BUILDERS[spec.type](spec, optimizer)


class ShapeLR(compositions.Composite):
    """The LRs of a normalised shape's formula, from each group's initial LR: a composite that has no parts."""

    def __init__(self, optimizer: Optimizer, shape: Shape) -> None:
        self.shape = shape
        self._formula = compiled(shape.formula())
        super().__init__(optimizer, ())

    @override
    def rates(self, iterations: range) -> LRs:
        """As of every composite. Raises UndefinedLR where the formula has no finite, non-negative value."""
        bases = self.initial_lrs
        try:
            rates = self._formula(iterations, bases)
            is_sound = not rates or (math.isfinite(sum(rates)) and min(rates) >= 0)
        except (ArithmeticError, ValueError, TypeError):
            is_sound = False
        if not is_sound:
            raise self._failure(iterations, bases)
        return rates  # type: ignore[return-value]

    def _failure(self, iterations: range, bases: Sequence[float]) -> UndefinedLR:
        """The first iteration without a value."""
        for s in iterations:
            try:
                values = self._formula((s,), bases)
            except (ArithmeticError, ValueError, TypeError) as error:
                return UndefinedLR(self.shape.type, s, str(error))
            for value in values:
                if not (math.isfinite(value) and value >= 0):
                    return UndefinedLR(self.shape.type, s, f"it is {value!r}")
        return UndefinedLR(self.shape.type, iterations.start, "the sum of its values is not finite")


def _with_own_parameters(scheduler: Callable[..., LRScheduler], spec: Scheduler, optimizer: Optimizer) -> LRScheduler:
    parameters = {name: getattr(spec, name) for name in type(spec).model_fields if name != "type"}
    return scheduler(optimizer, **parameters)


def _multiplicative(spec: Any, optimizer: Optimizer) -> LRScheduler:
    factors = spec.lr_lambda
    if isinstance(factors, tuple):
        return lr_scheduler.MultiplicativeLR(optimizer, lambda s: factors[s - 1] if 1 <= s <= len(factors) else 1.0)
    return lr_scheduler.MultiplicativeLR(optimizer, lambda _: factors)


def _children(spec: Scheduler) -> list[compositions.Build]:
    return [partial(build_after_scheduler, child) for child in spec.children.values()]


def _child(spec: Scheduler) -> compositions.Build:
    (child,) = _children(spec)
    return child


def _sequential(spec: Any, optimizer: Optimizer) -> LRScheduler:
    return compositions.FixedSequentialLR(optimizer, _children(spec), spec.milestones)


def _chained(spec: Any, optimizer: Optimizer) -> LRScheduler:
    # On one optimizer: each multiplies the LR that the one before it has left there.
    return lr_scheduler.ChainedScheduler([make(optimizer) for make in _children(spec)], optimizer)


def _combined(combine: compositions.Combine, spec: Any, optimizer: Optimizer) -> LRScheduler:
    return compositions.Combined(optimizer, _children(spec), combine)


def _clamped(spec: Any, optimizer: Optimizer) -> LRScheduler:
    lower, upper = (spec.min_lr, spec.min_ratio), (spec.max_lr, spec.max_ratio)
    return compositions.Clamped(optimizer, _child(spec), lower, upper)


def _windowed(spec: Any, optimizer: Optimizer) -> LRScheduler:
    return compositions.Windowed(optimizer, _child(spec), spec.begin, spec.end)


def _cooled(spec: Any, optimizer: Optimizer) -> LRScheduler:
    fall = compiled(falling(spec.shape, "s"))
    return compositions.Cooled(optimizer, _child(spec), spec.start, spec.length, fall, spec.min_lr)


def _stairs(spec: Any, optimizer: Optimizer) -> LRScheduler:
    return compositions.Stairs(optimizer, _child(spec), spec.held)


_TORCHS_OWN = (
    lr_scheduler.StepLR,
    lr_scheduler.MultiStepLR,
    lr_scheduler.ConstantLR,
    lr_scheduler.LinearLR,
    lr_scheduler.ExponentialLR,
    lr_scheduler.PolynomialLR,
    lr_scheduler.CosineAnnealingLR,
    lr_scheduler.CosineAnnealingWarmRestarts,
    lr_scheduler.CyclicLR,
    lr_scheduler.OneCycleLR,
    SWALR,
)
"""Classes whose parameters are the fields of the model of the same name."""

_BUILDERS: dict[str, Callable[[Any, Optimizer], LRScheduler]] = {
    **{kind.__name__: partial(_with_own_parameters, kind) for kind in _TORCHS_OWN},
    "MultiplicativeLR": _multiplicative,
    "SequentialLR": _sequential,
    "ChainedScheduler": _chained,
    "ProductLR": partial(_combined, compositions.product),
    "MaxLR": partial(_combined, lambda _b, lrs: max(lrs)),
    "MinLR": partial(_combined, lambda _b, lrs: min(lrs)),
    "ClampLR": _clamped,
    "WindowLR": _windowed,
    "CooldownLR": _cooled,
    "StaircaseLR": _stairs,
}
"""From the name of a model that is not a formula to its torch scheduler."""
