"""The schedulers of `torch.optim.lr_scheduler` that are data: torch's names, parameters and defaults.

Durations count on the scheduler's own clock s = iteration − warm-up; b is a group's target LR. A duration that torch
has no default for becomes what is left of the run where that is the only sensible reading.
"""

import math
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field
from typing_extensions import override

from preheat.specs.after_schedulers.scheduler import Scheduler
from preheat.specs.fields import (
    LR,
    MAX_ITERATION,
    MAX_LR,
    FactorOrList,
    Iterations,
    IterationsOrNone,
    NonNegative,
    PerGroupLR,
    PerGroupMomentum,
    Share,
)
from preheat.specs.span import Stretch

REFUSED_TYPES = {
    "LambdaLR": (
        "takes code, and a spec is data: write the factor as a formula in an ExpressionLR, such as "
        '{"type": "ExpressionLR", "expression": "0.95 ** n"}'
    ),
    "ReduceLROnPlateau": (
        "follows a metric that only the training job knows, so its LR is no function of the iteration: "
        "use StepLR, MultiStepLR or CosineAnnealingLR"
    ),
}
"""Schedulers of torch that are known and not served, with the reason and the way around."""

_Count = Annotated[int, Field(ge=1, le=MAX_ITERATION)]
_Gamma = Annotated[NonNegative, Field(le=1e6, description="Factor the LR is multiplied by.", examples=[0.1])]
_Strategy = Annotated[Literal["cos", "linear"], Field(description="Shape of the annealing.", examples=["cos"])]
_EtaMin = Annotated[LR, Field(description="LR at the bottom, absolute, for every param group.", examples=[0.0])]
_CycleMomentum = Annotated[bool, Field(description="Whether momentum (or β1) runs against the LR.", examples=[True])]


class StepLR(Scheduler):
    """b · gamma^(s // step_size). At s = step_size − 1 still b, at s = step_size b · gamma."""

    type: Literal["StepLR"]
    step_size: Iterations = Field(description="Iterations between two decays.", examples=[30])
    gamma: _Gamma = 0.1

    @override
    def log_growth(self, iterations: int) -> float:
        return _log_power(self.gamma, iterations // self.step_size)


class MultiStepLR(Scheduler):
    """b · gamma^(number of milestones ≤ s)."""

    type: Literal["MultiStepLR"]
    milestones: tuple[Iterations, ...] = Field(
        min_length=1,
        max_length=1000,
        fail_fast=True,
        description="Iterations at which the LR decays, ascending.",
        examples=[[30, 80]],
    )
    gamma: _Gamma = 0.1

    @override
    def filled_in(self, stretch: Stretch) -> Self:
        check_milestones(self.milestones, stretch)
        return self

    @override
    def log_growth(self, iterations: int) -> float:
        return _log_power(self.gamma, sum(milestone <= iterations for milestone in self.milestones))


class ConstantLR(Scheduler):
    """b · factor for s < total_iters, then b."""

    type: Literal["ConstantLR"]
    factor: Share = Field(1 / 3, description="Factor until total_iters.", examples=[0.5])
    total_iters: Iterations = Field(5, description="Iterations the factor lasts.", examples=[5])


class LinearLR(Scheduler):
    """b · (start_factor + (end_factor − start_factor) · min(s, total_iters) / total_iters)."""

    type: Literal["LinearLR"]
    start_factor: Share = Field(1 / 3, description="Factor at s = 0, above 0.", examples=[0.1])
    end_factor: Share = Field(1.0, description="Factor from s = total_iters on.", examples=[1.0])
    total_iters: Iterations = Field(5, description="Iterations from the first factor to the last.", examples=[5])

    @override
    def filled_in(self, stretch: Stretch) -> Self:
        if self.start_factor == 0:
            rule = "must be > 0 (torch refuses 0): for a start from 0 use warmup.iterations"
            stretch.refuse(("start_factor",), rule, self.start_factor)
        return self


class ExponentialLR(Scheduler):
    """b · gamma^s."""

    type: Literal["ExponentialLR"]
    gamma: Annotated[_Gamma, Field(description="Factor of every iteration.", examples=[0.99])]

    @override
    def log_growth(self, iterations: int) -> float:
        return _log_power(self.gamma, iterations)


class PolynomialLR(Scheduler):
    """b · (1 − min(s, total_iters) / total_iters)^power; 0 from s = total_iters on."""

    type: Literal["PolynomialLR"]
    total_iters: Iterations = Field(5, description="Iterations until the LR is 0.", examples=[5])
    power: NonNegative = Field(1.0, le=1000, description="Exponent; 1 is a straight line.", examples=[2.0])


class CosineAnnealingLR(Scheduler):
    """eta_min + (b − eta_min) · (1 + cos(π · s / T_max)) / 2; eta_min at s = T_max, then up again, as in torch."""

    type: Literal["CosineAnnealingLR"]
    T_max: Iterations | None = Field(
        None, description="Iterations from b down to eta_min; by default what is left of the run.", examples=[90]
    )
    eta_min: _EtaMin = 0.0

    @override
    def filled_in(self, stretch: Stretch) -> Self:
        return self.model_copy(update={"T_max": self.T_max or stretch.default_length("T_max")})


class CosineAnnealingWarmRestarts(Scheduler):
    """eta_min + (b − eta_min) · (1 + cos(π · T_cur / T_i)) / 2, T_cur iterations into a cycle of T_i.

    Cycles last T_0, T_0 · T_mult, T_0 · T_mult², … iterations; each starts at b and ends one short of eta_min.
    """

    can_be_chained = False
    type: Literal["CosineAnnealingWarmRestarts"]
    T_0: Iterations = Field(description="Iterations of the first cycle.", examples=[10])
    T_mult: _Count = Field(1, le=1_000_000, description="Factor from one cycle's length to the next.", examples=[2])
    eta_min: _EtaMin = 0.0


class CyclicLR(Scheduler):
    """base_lr + (max_lr − base_lr) · triangle(s) · scale: up for step_size_up, down for step_size_down, repeated.

    `scale` is 1 (triangular), 1 / 2^(cycle − 1) (triangular2) or gamma^s (exp_range). Takes no notice of target_lr.
    """

    can_be_chained = False
    type: Literal["CyclicLR"]
    base_lr: PerGroupLR = Field(description="LR at the bottom of the first cycle.", examples=[0.001])
    max_lr: PerGroupLR = Field(description="LR at the top of the first cycle.", examples=[0.01])
    step_size_up: Iterations = Field(2000, description="Iterations from bottom to top.", examples=[2000])
    step_size_down: Iterations | None = Field(
        None, description="Iterations from top to bottom; by default step_size_up.", examples=[2000]
    )
    mode: Literal["triangular", "triangular2", "exp_range"] = Field(
        "triangular", description="What becomes of the amplitude.", examples=["triangular2"]
    )
    gamma: _Gamma = 1.0
    cycle_momentum: _CycleMomentum = True
    base_momentum: PerGroupMomentum = Field(0.8, description="Momentum at the top of the LR.", examples=[0.8])
    max_momentum: PerGroupMomentum = Field(0.9, description="Momentum at the bottom of the LR.", examples=[0.9])

    @override
    def filled_in(self, stretch: Stretch) -> Self:
        for field in ("base_lr", "max_lr", "base_momentum", "max_momentum"):
            stretch.check_per_group(field, getattr(self, field))
        update = {"step_size_down": self.step_size_down or self.step_size_up}
        return self.model_copy(update=update | cycled_momentum(self, stretch))

    @override
    def log_growth(self, iterations: int) -> float:
        return _log_power(self.gamma, iterations) if self.mode == "exp_range" else 0.0


class OneCycleLR(Scheduler):
    """From max_lr / div_factor up to max_lr at s = pct_start · total_steps − 1, then down to the end.

    The end, max_lr / div_factor / final_div_factor, is reached at s = total_steps − 1 and held (torch would bounce up
    one iteration later, and raise after that). Takes no notice of target_lr.
    """

    can_be_chained = False
    type: Literal["OneCycleLR"]
    max_lr: PerGroupLR = Field(description="LR at the top.", examples=[0.1])
    total_steps: Iterations | None = Field(
        None,
        description="Values of the cycle; by default every one from the end of the warm-up to total_iterations, "
        "both included: one more than the iterations left.",
        examples=[91],
    )
    epochs: _Count | None = Field(None, description="With steps_per_epoch, instead of total_steps.", examples=[10])
    steps_per_epoch: _Count | None = Field(None, description="Iterations of an epoch.", examples=[100])
    pct_start: Share = Field(0.3, description="Share of the cycle in which the LR rises.", examples=[0.3])
    anneal_strategy: _Strategy = "cos"
    cycle_momentum: _CycleMomentum = True
    base_momentum: PerGroupMomentum = Field(0.85, description="Momentum at the top of the LR.", examples=[0.85])
    max_momentum: PerGroupMomentum = Field(0.95, description="Momentum at the ends.", examples=[0.95])
    div_factor: NonNegative = Field(25.0, gt=0, description="max_lr over the first LR.", examples=[25.0])
    final_div_factor: NonNegative = Field(1e4, gt=0, description="First LR over the last.", examples=[1e4])
    three_phase: bool = Field(False, description="Whether to mirror the rise before the last phase.", examples=[False])

    @override
    def filled_in(self, stretch: Stretch) -> Self:
        for field in ("max_lr", "base_momentum", "max_momentum"):
            stretch.check_per_group(field, getattr(self, field))
        self._check_ends(stretch)
        total_steps = self._total_steps(stretch)
        if total_steps not in (stretch.iterations, stretch.iterations + 1):
            rule = f"must match what is left of the run: {stretch.iterations} or {stretch.iterations + 1}"
            stretch.refuse(("total_steps",), rule, total_steps, "length-mismatch")
        if self.pct_start * total_steps == 1:
            rule = f"must not be 1 / total_steps (total_steps is {total_steps}): torch divides by zero there"
            stretch.refuse(("pct_start",), rule, self.pct_start)
        update = {"total_steps": total_steps, "epochs": None, "steps_per_epoch": None}
        return self.model_copy(update=update | cycled_momentum(self, stretch))

    def _total_steps(self, stretch: Stretch) -> int:
        if (self.epochs is None) != (self.steps_per_epoch is None):
            missing, given = ("epochs", "steps_per_epoch") if self.epochs is None else ("steps_per_epoch", "epochs")
            stretch.refuse((missing,), f"is required beside {given}", None)
        if self.epochs is None or self.steps_per_epoch is None:
            return stretch.values if self.total_steps is None else self.total_steps
        product = self.epochs * self.steps_per_epoch
        if self.total_steps not in (None, product):
            stretch.refuse(("total_steps",), f"must equal epochs · steps_per_epoch ({product})", self.total_steps)
        return product

    def _check_ends(self, stretch: Stretch) -> None:
        highest = max(self.max_lr) if isinstance(self.max_lr, tuple) else self.max_lr
        first = highest / self.div_factor
        if first > MAX_LR:
            stretch.refuse(("div_factor",), f"makes the first LR exceed {MAX_LR:g}", self.div_factor)
        elif first / self.final_div_factor > MAX_LR:
            stretch.refuse(("final_div_factor",), f"makes the last LR exceed {MAX_LR:g}", self.final_div_factor)


class SWALR(Scheduler):
    """swa_lr · α + b · (1 − α); α goes from 0 to 1 within anneal_epochs, then swa_lr is held."""

    has_closed_form = False
    type: Literal["SWALR"]
    swa_lr: PerGroupLR = Field(description="LR to anneal to.", examples=[0.05])
    anneal_epochs: Annotated[IterationsOrNone, Field(le=10_000_000)] = Field(
        10, description="Iterations of the annealing.", examples=[10]
    )
    anneal_strategy: _Strategy = "cos"

    @override
    def filled_in(self, stretch: Stretch) -> Self:
        stretch.check_per_group("swa_lr", self.swa_lr)
        return self


class MultiplicativeLR(Scheduler):
    """The LR before, times lr_lambda(s); b at s = 0.

    lr_lambda is one factor for all iterations, or a list whose first entry is the factor of s = 1; after its last
    entry the LR is held.
    """

    has_closed_form = False
    type: Literal["MultiplicativeLR"]
    lr_lambda: FactorOrList = Field(description="Factor of every iteration, or of each.", examples=[0.95])

    @override
    def filled_in(self, stretch: Stretch) -> Self:
        if isinstance(self.lr_lambda, tuple) and len(self.lr_lambda) > stretch.iterations:
            rule = f"must not have more factors than iterations are left of the run ({stretch.iterations})"
            stretch.refuse(("lr_lambda",), rule, len(self.lr_lambda))
        return self

    @override
    def log_growth(self, iterations: int) -> float:
        if isinstance(self.lr_lambda, tuple):
            return sum(_log_power(factor, 1) for factor in self.lr_lambda)
        return _log_power(self.lr_lambda, iterations)


def check_milestones(milestones: tuple[int, ...], stretch: Stretch) -> bool:
    """Refuses milestones that do not ascend or lie beyond the stretch; returns whether there was nothing to refuse."""
    before = len(stretch.violations)
    for index, (earlier, later) in enumerate(pairwise(milestones), start=1):
        if later == earlier:
            stretch.refuse(("milestones", index), f"must not repeat milestones[{index - 1}]", later)
        elif later < earlier:
            stretch.refuse(("milestones", index), f"must be greater than milestones[{index - 1}] ({earlier})", later)
    for index, milestone in enumerate(milestones):
        if milestone > stretch.iterations:
            rule = f"must not exceed the {stretch.iterations} iterations that are left of the run"
            stretch.refuse(("milestones", index), rule, milestone, "milestone-beyond-end")
    return len(stretch.violations) == before


def cycled_momentum(scheduler: CyclicLR | OneCycleLR, stretch: Stretch) -> dict[str, bool]:
    """Whether momentum is cycled: inside another scheduler it is not, since the other would not know it."""
    if not stretch.is_nested or not scheduler.cycle_momentum:
        return {}
    if "cycle_momentum" in scheduler.model_fields_set:
        rule = "must be false where no param group's LR is cycled: give momentum a schedule of its own"
        stretch.refuse(("cycle_momentum",), rule, scheduler.cycle_momentum)
    return {"cycle_momentum": False}


def _log_power(factor: float, exponent: int) -> float:
    return math.log(factor) * exponent if factor > 1 else 0.0
