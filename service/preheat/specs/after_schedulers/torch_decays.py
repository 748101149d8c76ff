"""torch's own schedulers that decay: `torch.optim.lr_scheduler` with its names, parameters and defaults.

Durations count on the scheduler's own clock s = iteration − warm-up; b is a group's target LR. A duration that torch
has no default for becomes what is left of the run where that is the only sensible reading.
"""

from collections.abc import Iterable
from itertools import pairwise
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field
from typing_extensions import override

from preheat.errors import NotExpressible
from preheat.formula.easing import falling, in_pairs, number, power, rising
from preheat.specs.after_schedulers.scheduler import Named, Scheduler, is_over, log_growth_to
from preheat.specs.durations import Iterations, IterationsOrZero
from preheat.specs.fields import LR, FactorOrList, NonNegative, PerGroupLR, Share
from preheat.specs.span import Span

Gamma = Annotated[NonNegative, Field(le=1e6, description="Factor the LR is multiplied by.", examples=[0.1])]
Strategy = Annotated[Literal["cos", "linear"], Field(description="Shape of the annealing.", examples=["cos"])]
EtaMin = Annotated[LR, Field(description="LR at the bottom, absolute, for every param group.", examples=[0.0])]

_MOST_ANNEALED = 10_000_000


class TorchScheduler(Scheduler):
    """A scheduler whose LRs torch's own code computes."""

    is_computed_by_torch: ClassVar[bool] = True


class StepLR(TorchScheduler):
    """b · gamma^(s // step_size). At s = step_size − 1 still b, at s = step_size b · gamma."""

    epoch_fields: ClassVar[tuple[str, ...]] = ("step_size",)
    type: Literal["StepLR"]
    step_size: Iterations = Field(description="Iterations between two decays.", examples=[30])
    gamma: Gamma = 0.1

    @override
    def formula(self, group: int = 0) -> str:
        # 0.0 ** 0 is 1.0 in Python: with a gamma of 0, b lasts until the first decay.
        return f"b * {number(self.gamma)} ** (s // {self.step_size})"

    @override
    def log_growth(self, iterations: int) -> float:
        return log_growth_to(self.gamma, iterations // self.step_size)

    @override
    def named_epochs(self, iterations: int) -> list[Named]:
        """Of small steps by a factor near 1 there is none: only of those that leave nothing of the LR."""
        return super().named_epochs(iterations) if is_over(self.gamma, iterations // self.step_size) else []


class MultiStepLR(TorchScheduler):
    """b · gamma^(number of milestones ≤ s)."""

    epoch_fields: ClassVar[tuple[str, ...]] = ("milestones",)
    type: Literal["MultiStepLR"]
    milestones: tuple[Iterations, ...] = Field(
        min_length=1,
        max_length=1000,
        fail_fast=True,
        description="Iterations at which the LR decays, ascending.",
        examples=[[30, 80]],
    )
    gamma: Gamma = 0.1

    @override
    def filled_in(self, span: Span) -> Self:
        check_milestones(self.milestones, span)
        return self

    @override
    def formula(self, group: int = 0) -> str:
        passed = in_pairs("({} + {})", [f"(1.0 if s >= {milestone} else 0.0)" for milestone in self.milestones])
        return f"b * {number(self.gamma)} ** ({passed})"

    @override
    def log_growth(self, iterations: int) -> float:
        return log_growth_to(self.gamma, sum(milestone <= iterations for milestone in self.milestones))


class ConstantLR(TorchScheduler):
    """b · factor for s < total_iters, then b."""

    brief_fields: ClassVar[tuple[str, ...]] = ("total_iters",)
    type: Literal["ConstantLR"]
    factor: Share = Field(1 / 3, description="Factor until total_iters.", examples=[0.5])
    total_iters: Iterations = Field(5, description="Iterations the factor lasts.", examples=[5])

    @override
    def formula(self, group: int = 0) -> str:
        return f"b * {number(self.factor)} if s < {self.total_iters} else b"

    @override
    def named_briefs(self) -> list[Named]:
        """With a factor of 1 it is b to the end, whatever it names."""
        return super().named_briefs() if self.factor != 1 else []


class LinearLR(TorchScheduler):
    """b · (start_factor + (end_factor − start_factor) · min(s, total_iters) / total_iters)."""

    epoch_fields: ClassVar[tuple[str, ...]] = ("total_iters",)
    type: Literal["LinearLR"]
    start_factor: Share = Field(1 / 3, description="Factor at s = 0, above 0.", examples=[0.1])
    end_factor: Share = Field(1.0, description="Factor from s = total_iters on.", examples=[1.0])
    total_iters: Iterations = Field(5, description="Iterations from the first factor to the last.", examples=[5])

    @override
    def filled_in(self, span: Span) -> Self:
        if self.start_factor == 0:
            rule = "must be > 0 (torch refuses 0): for a start from 0 use warmup.iterations"
            span.refuse(("start_factor",), rule, self.start_factor)
        return self

    @override
    def formula(self, group: int = 0) -> str:
        rise = number(self.end_factor - self.start_factor)
        return f"b * ({number(self.start_factor)} + {rise} * min(s, {self.total_iters}) / {self.total_iters})"

    @override
    def named_epochs(self, iterations: int) -> list[Named]:
        return super().named_epochs(iterations) if self.end_factor < self.start_factor else []

    @override
    def named_briefs(self) -> list[Named]:
        """A rise is a warm-up."""
        return self._named(self.epoch_fields) if self.end_factor > self.start_factor else []


class ExponentialLR(TorchScheduler):
    """b · gamma^s."""

    type: Literal["ExponentialLR"]
    gamma: Annotated[Gamma, Field(description="Factor of every iteration.", examples=[0.99])]

    @override
    def formula(self, group: int = 0) -> str:
        return f"b * {number(self.gamma)} ** s"

    @override
    def log_growth(self, iterations: int) -> float:
        return log_growth_to(self.gamma, iterations)


class PolynomialLR(TorchScheduler):
    """b · (1 − min(s, total_iters) / total_iters)^power; 0 from s = total_iters on."""

    length_field: ClassVar[str | None] = "total_iters"
    epoch_fields: ClassVar[tuple[str, ...]] = ("total_iters",)
    type: Literal["PolynomialLR"]
    total_iters: Iterations = Field(5, description="Iterations until the LR is 0.", examples=[5])
    power: NonNegative = Field(1.0, le=1000, description="Exponent; 1 is a straight line.", examples=[2.0])

    @override
    def formula(self, group: int = 0) -> str:
        return f"b * {power(f'1 - min(s, {self.total_iters}) / {self.total_iters}', self.power)}"


class CosineAnnealingLR(TorchScheduler):
    """eta_min + (b − eta_min) · (1 + cos(π · s / T_max)) / 2; eta_min at s = T_max, then up again, as in torch."""

    length_field: ClassVar[str | None] = "T_max"
    rises_past_length: ClassVar[bool] = True
    epoch_fields: ClassVar[tuple[str, ...]] = ("T_max",)
    type: Literal["CosineAnnealingLR"]
    T_max: Iterations | None = Field(
        None, description="Iterations from b down to eta_min; by default what is left of the run.", examples=[90]
    )
    eta_min: EtaMin = 0.0

    @override
    def filled_in(self, span: Span) -> Self:
        return self.model_copy(update={"T_max": self.T_max or span.default_length("T_max")})

    @override
    def formula(self, group: int = 0) -> str:
        low = number(self.eta_min)
        return f"{low} + (b - {low}) * {falling('cosine', f's / {self.T_max}')}"

    @override
    def turns(self, start: int, stop: int) -> Iterable[int]:
        length = self.T_max or 1
        first = -(-start // length) * length  # the first multiple of T_max from start on
        # One of the two is a top and the other a bottom; further ones repeat them.
        return (first, first + length)

    @override
    def repeats(self, stop: int) -> bool:
        return stop > 2 * (self.T_max or 1)


class SWALR(TorchScheduler):
    """swa_lr · α + b · (1 − α); α goes from 0 to 1 within anneal_epochs, then swa_lr is held."""

    has_closed_form: ClassVar[bool] = False
    goes_on: ClassVar[bool] = True
    brief_fields: ClassVar[tuple[str, ...]] = ("anneal_epochs",)
    type: Literal["SWALR"]
    swa_lr: PerGroupLR = Field(description="LR to anneal to.", examples=[0.05])
    anneal_epochs: IterationsOrZero = Field(10, description="Iterations of the annealing.", examples=[10])
    anneal_strategy: Strategy = "cos"

    @override
    def filled_in(self, span: Span) -> Self:
        span.check_per_group("swa_lr", self.swa_lr)
        # It is stepped, one by one, whatever is left of the run.
        if self.anneal_epochs > _MOST_ANNEALED:
            span.refuse(("anneal_epochs",), f"must be ≤ {_MOST_ANNEALED}", self.anneal_epochs)
        return self

    @override
    def formula(self, group: int = 0) -> str:
        t = f"min(s / {self.anneal_epochs}, 1.0)" if self.anneal_epochs else "1.0"
        return f"b + ({number(of_group(self.swa_lr, group))} - b) * {annealing(self.anneal_strategy, t)}"


class MultiplicativeLR(TorchScheduler):
    """The LR before, times lr_lambda(s); b at s = 0.

    lr_lambda is one factor for all iterations, or a list whose first entry is the factor of s = 1; after its last
    entry the LR is held.
    """

    has_closed_form: ClassVar[bool] = False
    goes_on: ClassVar[bool] = True
    type: Literal["MultiplicativeLR"]
    lr_lambda: FactorOrList = Field(description="Factor of every iteration, or of each.", examples=[0.95])

    @override
    def filled_in(self, span: Span) -> Self:
        if isinstance(self.lr_lambda, tuple) and len(self.lr_lambda) > span.iterations:
            rule = f"must not have more factors than iterations are left of the run ({span.iterations})"
            span.refuse(("lr_lambda",), rule, len(self.lr_lambda))
        return self

    @override
    def formula(self, group: int = 0) -> str:
        if isinstance(self.lr_lambda, tuple):
            raise NotExpressible("a MultiplicativeLR with a list of factors has no formula: use a TableLR")
        return f"b * {number(self.lr_lambda)} ** s"

    @override
    def log_growth(self, iterations: int) -> float:
        if isinstance(self.lr_lambda, tuple):
            # Factors below 1 are left out: this bounds the LR after any of them.
            return sum(log_growth_to(factor) for factor in self.lr_lambda)
        return log_growth_to(self.lr_lambda, iterations)


def annealing(strategy: str, x: str) -> str:
    """Torch's annealing from 0 at x = 0 to 1 at x = 1, as a formula."""
    return rising("linear" if strategy == "linear" else "cosine", x)


def of_group(value: float | tuple[float, ...], group: int) -> float:
    """The value of the param group at an index."""
    return value[group] if isinstance(value, tuple) else value


def check_milestones(milestones: tuple[int, ...], span: Span) -> bool:
    """Refuses milestones that do not ascend or lie beyond the span; returns whether there was nothing to refuse."""
    before = len(span.violations)
    for index, (earlier, later) in enumerate(pairwise(milestones), start=1):
        if later == earlier:
            span.refuse(("milestones", index), f"must not repeat milestones[{index - 1}]", later)
        elif later < earlier:
            span.refuse(("milestones", index), f"must be greater than milestones[{index - 1}] ({earlier})", later)
    for index, milestone in enumerate(milestones):
        # A milestone at the very end is read: the run has iterations + 1 values.
        if milestone > span.iterations:
            rule = f"must not exceed the {span.iterations} iterations that are left of the run"
            span.refuse(("milestones", index), rule, milestone, "milestone-beyond-end")
    return len(span.violations) == before


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
