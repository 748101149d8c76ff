"""From a spec to torch schedulers."""

from collections.abc import Callable
from functools import partial

from torch.optim import Optimizer, lr_scheduler
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.swa_utils import SWALR

from preheat.schedulers.sequential_restarts import SequentialRestarts
from preheat.schedulers.warmup import LearningRateWarmUP
from preheat.spec import Spec, TorchScheduler
from preheat.spec import torch_schedulers as specs


def build(spec: Spec, optimizer: Optimizer) -> LearningRateWarmUP:
    """The warm-up scheduler of a normalised spec, on an optimizer whose groups have the spec's target LRs."""
    after_scheduler = None if spec.after_scheduler is None else build_after_scheduler(spec.after_scheduler, optimizer)
    return LearningRateWarmUP(optimizer, spec.warmup.iterations, spec.target_lrs, after_scheduler)


def build_after_scheduler(spec: TorchScheduler, optimizer: Optimizer) -> LRScheduler:
    """The torch scheduler that a normalised spec stands for."""
    return _BUILDERS[type(spec)](spec, optimizer)


def _with_own_parameters(
    scheduler: Callable[..., LRScheduler], spec: TorchScheduler, optimizer: Optimizer
) -> LRScheduler:
    parameters = {name: getattr(spec, name) for name in type(spec).model_fields if name != "type"}
    return scheduler(optimizer, **parameters)


def _multiplicative(spec: specs.MultiplicativeLR, optimizer: Optimizer) -> LRScheduler:
    factors = spec.lr_lambda
    if isinstance(factors, tuple):
        return lr_scheduler.MultiplicativeLR(optimizer, lambda s: factors[s - 1] if 1 <= s <= len(factors) else 1.0)
    return lr_scheduler.MultiplicativeLR(optimizer, lambda _: factors)


def _sequential(spec: specs.SequentialLR, optimizer: Optimizer) -> LRScheduler:
    turns = [partial(build_after_scheduler, scheduler) for scheduler in spec.schedulers]
    return SequentialRestarts(optimizer, turns, spec.milestones)


def _chained(spec: specs.ChainedScheduler, optimizer: Optimizer) -> LRScheduler:
    return lr_scheduler.ChainedScheduler(
        [build_after_scheduler(scheduler, optimizer) for scheduler in spec.schedulers], optimizer
    )


_BUILDERS: dict[type[TorchScheduler], Callable[..., LRScheduler]] = {
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
    specs.SequentialLR: _sequential,
    specs.ChainedScheduler: _chained,
}
