"""Schedulers made of schedulers, where torch's SequentialLR and ChainedScheduler do not reach."""

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field
from typing_extensions import override

from preheat.specs.after_schedulers.scheduler import Scheduler, Stage
from preheat.specs.fields import LR, Iterations, IterationsOrNone, Ratio
from preheat.specs.span import Stretch

if TYPE_CHECKING:
    from preheat.specs.after_schedulers import AfterScheduler

MAX_CHILDREN = 100


class _Combination(Scheduler):
    """Several schedulers at the same time, each on the same clock and from the same b."""

    can_be_chained: ClassVar[bool] = False
    is_computed_by_torch: ClassVar[bool] = False
    schedulers: Annotated[
        tuple["AfterScheduler", ...], Field(min_length=1, max_length=MAX_CHILDREN, fail_fast=True)
    ] = Field(
        description="The schedulers that are combined.",
        examples=[[{"type": "CosineLR"}, {"type": "ExponentialLR", "gamma": 0.999}]],
    )

    @property
    @override
    def is_closed(self) -> bool:
        return all(scheduler.is_closed for scheduler in self.schedulers)

    @property
    @override
    def children(self) -> dict[str, Scheduler]:
        return {f"/schedulers/{index}": scheduler for index, scheduler in enumerate(self.schedulers)}

    @override
    def filled_in(self, stretch: Stretch) -> Self:
        children = (
            scheduler.resolve(stretch.child("schedulers", index)) for index, scheduler in enumerate(self.schedulers)
        )
        return self.model_copy(update={"schedulers": tuple(children)})

    @override
    def log_growth(self, iterations: int) -> float:
        return sum(scheduler.log_growth(iterations) for scheduler in self.schedulers)


class ProductLR(_Combination):
    """b · Π (lr_k(s) / b): the factors of all schedulers, multiplied.

    Unlike ChainedScheduler it takes any scheduler. 0 where b is 0. Source: tensor2tensor's product expressions,
    pytorch_warmup's dampening, OLMo `CosLinearEnvelope`.
    """

    type: Literal["ProductLR"]


class MaxLR(_Combination):
    """max lr_k(s): the highest of all schedulers. Source: OLMo `MaxScheduler`."""

    type: Literal["MaxLR"]


class MinLR(_Combination):
    """min lr_k(s): the lowest of all schedulers."""

    type: Literal["MinLR"]


class _Wrapper(Scheduler):
    """One scheduler, changed."""

    can_be_chained: ClassVar[bool] = False
    is_computed_by_torch: ClassVar[bool] = False
    scheduler: "AfterScheduler" = Field(
        description="The scheduler that is changed.", examples=[{"type": "InverseSqrtLR", "timescale": 100}]
    )

    @property
    @override
    def is_closed(self) -> bool:
        return self.scheduler.is_closed

    @property
    @override
    def children(self) -> dict[str, Scheduler]:
        return {"/scheduler": self.scheduler}

    @override
    def log_growth(self, iterations: int) -> float:
        return self.scheduler.log_growth(iterations)


class ClampLR(_Wrapper):
    """The scheduler's LR, but not below the lower bound and not above the upper one.

    Bounds are absolute (min_lr, max_lr) or factors of b (min_ratio, max_ratio).
    """

    type: Literal["ClampLR"]
    min_lr: LR | None = Field(None, description="Lower bound, absolute.", examples=[1e-5])
    max_lr: LR | None = Field(None, description="Upper bound, absolute.", examples=[1e-2])
    min_ratio: Ratio | None = Field(
        None, description="Lower bound as a factor of b, instead of min_lr.", examples=[0.1]
    )
    max_ratio: Ratio | None = Field(
        None, description="Upper bound as a factor of b, instead of max_lr.", examples=[0.9]
    )

    @override
    def filled_in(self, stretch: Stretch) -> Self:
        for absolute, ratio in (("min_lr", "min_ratio"), ("max_lr", "max_ratio")):
            if getattr(self, absolute) is not None and getattr(self, ratio) is not None:
                stretch.refuse((ratio,), f"must not be given beside {absolute}", getattr(self, ratio))
        for lower, upper in (("min_lr", "max_lr"), ("min_ratio", "max_ratio")):
            low, high = getattr(self, lower), getattr(self, upper)
            if low is not None and high is not None and low > high:
                stretch.refuse((lower,), f"must not exceed {upper} ({high})", low)
        if all(getattr(self, name) is None for name in ("min_lr", "max_lr", "min_ratio", "max_ratio")):
            stretch.refuse(
                ("min_lr",), "is required, or max_lr, min_ratio or max_ratio: there is nothing to clamp to", None
            )
        return self.model_copy(update={"scheduler": self.scheduler.resolve(stretch.child("scheduler"))})


class WindowLR(_Wrapper):
    """The scheduler from s = begin to s = end, on a clock of its own; before and after it stands still.

    At s ≤ begin its LR at 0, at s ≥ end its LR at end − begin. Source: MMEngine's begin and end.
    """

    type: Literal["WindowLR"]
    begin: IterationsOrNone = Field(0, description="Iteration at which it begins.", examples=[10])
    end: Iterations | None = Field(
        None, description="Iteration at which it stands still; by default the end of the run.", examples=[60]
    )

    @property
    @override
    def stages(self) -> list[Stage]:
        ends = [("hold", self.end + 1)] if self.end is not None else []
        begins = [("hold", 0)] if self.begin else []
        return [*begins, *((name, self.begin + start) for name, start in self.scheduler.stages), *ends]

    @override
    def filled_in(self, stretch: Stretch) -> Self:
        end = stretch.iterations if self.end is None else self.end
        if end <= self.begin:
            stretch.refuse(("end",), f"must be greater than begin ({self.begin})", end)
            return self
        within = stretch.child("scheduler", start=self.begin, iterations=end - self.begin, extra=1)
        return self.model_copy(update={"end": end, "scheduler": self.scheduler.resolve(within)})


class CooldownLR(_Wrapper):
    """The scheduler until the last `length` iterations of the run, then from its LR there down to min_lr.

    At s = N − length the scheduler's own LR (N is what is left of the run), at s = N min_lr. Linear, lr + (min_lr − lr)
    · x; cosine; or 1-sqrt, min_lr + (lr − min_lr) · (1 − √x), x the share of the tail that is over. Source:
    big_vision's cooldown_steps, Llama 3 (arXiv 2407.21783) §3.4.3, Hägele et al. (arXiv 2405.18392).
    """

    placed_apart: ClassVar[frozenset[str]] = frozenset({"length"})
    type: Literal["CooldownLR"]
    length: Iterations = Field(description="Iterations of the tail.", examples=["10%"])
    shape: Literal["linear", "cosine", "1-sqrt"] = Field(
        "linear", description="Shape of the tail.", examples=["linear"]
    )
    min_lr: LR = Field(0.0, description="LR at the end of the run.", examples=[0.0])
    start: IterationsOrNone | None = Field(
        None, description="Own iteration at which it begins; filled in.", examples=[80]
    )

    @property
    @override
    def stages(self) -> list[Stage]:
        return [*self.scheduler.stages, ("cool-down", (self.start or 0) + 1)]

    @override
    def filled_in(self, stretch: Stretch) -> Self:
        length = stretch.placed_at_end(self.length)
        start = stretch.iterations - length
        if start < 0:
            rule = f"must not exceed the {stretch.iterations} iterations that are left of the run"
            stretch.refuse(("length",), rule, self.length)
            return self
        if self.start not in {None, start}:
            stretch.refuse(("start",), f"must be {start} here, or left out", self.start)
        update: dict[str, Any] = {
            "length": length,
            "start": start,
            "scheduler": self.scheduler.resolve(stretch.child("scheduler")),
        }
        return self.model_copy(update=update)
