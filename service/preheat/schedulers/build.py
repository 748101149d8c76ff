"""From a spec to torch schedulers."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from torch.optim import Optimizer, lr_scheduler
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.swa_utils import SWALR

from preheat.schedulers import combined
from preheat.schedulers.sequential_restarts import SequentialRestarts
from preheat.schedulers.shape_lr import ShapeLR
from preheat.schedulers.warmup import LearningRateWarmUP
from preheat.schedulers.warmup_curve import FormulaWarmup, LinearWarmup
from preheat.specs import Scheduler, Track, Warmup
from preheat.specs.after_schedulers import compositions, sequences
from preheat.specs.after_schedulers import torch_schedulers as specs
from preheat.specs.after_schedulers.shape import Shape


def build(track: Track, optimizer: Optimizer) -> LearningRateWarmUP:
    """The warm-up scheduler of a spec's track, on an optimizer whose groups have the track's targets as LRs."""
    after = track.after_scheduler
    after_scheduler = None if after is None else build_after_scheduler(after, optimizer)
    warmup = track.warmup
    curve = LinearWarmup(warmup.iterations) if warmup == Warmup(iterations=warmup.iterations) else FormulaWarmup(warmup)
    return LearningRateWarmUP(optimizer, warmup.iterations, track.targets, after_scheduler, curve=curve)


def build_after_scheduler(spec: Scheduler, optimizer: Optimizer) -> LRScheduler:
    """The torch scheduler that a normalised spec stands for."""
    if isinstance(spec, Shape):
        return ShapeLR(optimizer, spec)
    return _BUILDERS[type(spec)](spec, optimizer)


def _with_own_parameters(scheduler: Callable[..., LRScheduler], spec: Scheduler, optimizer: Optimizer) -> LRScheduler:
    parameters = {name: getattr(spec, name) for name in type(spec).model_fields if name != "type"}
    return scheduler(optimizer, **parameters)


def _multiplicative(spec: specs.MultiplicativeLR, optimizer: Optimizer) -> LRScheduler:
    factors = spec.lr_lambda
    if isinstance(factors, tuple):
        return lr_scheduler.MultiplicativeLR(optimizer, lambda s: factors[s - 1] if 1 <= s <= len(factors) else 1.0)
    return lr_scheduler.MultiplicativeLR(optimizer, lambda _: factors)


def _turns(schedulers: tuple[Scheduler, ...]) -> list[Callable[[Optimizer], LRScheduler]]:
    return [partial(build_after_scheduler, scheduler) for scheduler in schedulers]


def _sequential(spec: sequences.SequentialLR, optimizer: Optimizer) -> LRScheduler:
    return SequentialRestarts(optimizer, _turns(spec.schedulers), spec.milestones)


def _chained(spec: sequences.ChainedScheduler, optimizer: Optimizer) -> LRScheduler:
    return lr_scheduler.ChainedScheduler(
        [build_after_scheduler(scheduler, optimizer) for scheduler in spec.schedulers], optimizer
    )


def _combined(combine: combined.Combine, spec: Any, optimizer: Optimizer) -> LRScheduler:
    return combined.Combined(optimizer, _turns(spec.schedulers), combine)


def _clamped(spec: compositions.ClampLR, optimizer: Optimizer) -> LRScheduler:
    (build_it,) = _turns((spec.scheduler,))
    return combined.Clamped(optimizer, build_it, (spec.min_lr, spec.min_ratio), (spec.max_lr, spec.max_ratio))


def _windowed(spec: compositions.WindowLR, optimizer: Optimizer) -> LRScheduler:
    (build_it,) = _turns((spec.scheduler,))
    return combined.Windowed(optimizer, build_it, spec.begin, spec.end or 0)


def _cooled(spec: compositions.CooldownLR, optimizer: Optimizer) -> LRScheduler:
    (build_it,) = _turns((spec.scheduler,))
    return combined.Cooled(optimizer, build_it, spec.start or 0, spec.length, _FALLS[spec.shape], spec.min_lr)


_FALLS: dict[str, Callable[[float], float]] = {
    "linear": lambda x: 1 - x,
    "cosine": lambda x: (1 + math.cos(math.pi * x)) / 2,
    "1-sqrt": lambda x: 1 - math.sqrt(x),
}

_BUILDERS: dict[type[Scheduler], Callable[..., LRScheduler]] = {
    specs.StepLR: partial(_with_own_parameters, lr_scheduler.StepLR),
    specs.MultiStepLR: partial(_with_own_parameters, lr_scheduler.MultiStepLR),
    specs.ConstantLR: partial(_with_own_parameters, lr_scheduler.ConstantLR),
    specs.LinearLR: partial(_with_own_parameters, lr_scheduler.LinearLR),
    specs.ExponentialLR: partial(_with_own_parameters, lr_scheduler.ExponentialLR),
    specs.PolynomialLR: partial(_with_own_parameters, lr_scheduler.PolynomialLR),
    specs.CosineAnnealingLR: partial(_with_own_parameters, lr_scheduler.CosineAnnealingLR),
    specs.CosineAnnealingWarmRestarts: partial(_with_own_parameters, lr_scheduler.CosineAnnealingWarmRestarts),
    specs.CyclicLR: partial(_with_own_parameters, lr_scheduler.CyclicLR),
    specs.OneCycleLR: partial(_with_own_parameters, lr_scheduler.OneCycleLR),
    specs.SWALR: partial(_with_own_parameters, SWALR),
    specs.MultiplicativeLR: _multiplicative,
    sequences.SequentialLR: _sequential,
    sequences.ChainedScheduler: _chained,
    compositions.ProductLR: partial(_combined, combined.product),
    compositions.MaxLR: partial(_combined, combined.highest),
    compositions.MinLR: partial(_combined, combined.lowest),
    compositions.ClampLR: _clamped,
    compositions.WindowLR: _windowed,
    compositions.CooldownLR: _cooled,
}
