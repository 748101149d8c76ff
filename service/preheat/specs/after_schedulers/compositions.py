"""Compositions: schedulers made of schedulers at the same time, and schedulers that wrap one."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field
from typing_extensions import override

from preheat.errors import NotExpressible
from preheat.formula.easing import falling, in_pairs, number
from preheat.formula.language import substituted
from preheat.specs.after_schedulers.sampling import sampled_iterations
from preheat.specs.after_schedulers.scheduler import Named, Scheduler, Stage, moved
from preheat.specs.durations import Iterations, IterationsOrZero
from preheat.specs.fields import LR, MIN_RATE, Ratio
from preheat.specs.span import Span
from preheat.specs.violations import Location

if TYPE_CHECKING:
    from preheat.specs.after_schedulers import AfterScheduler

MAX_CHILDREN = 100
_MOST_CHARACTERS = 50_000
"""Characters of a formula that is written twice."""


class Several(Scheduler):
    """Several schedulers, one after the other or at the same time."""

    can_be_chained: ClassVar[bool] = False
    schedulers: Annotated[
        tuple["AfterScheduler", ...], Field(min_length=1, max_length=MAX_CHILDREN, fail_fast=True)
    ] = Field(
        description="The schedulers.", examples=[[{"type": "LinearLR"}, {"type": "ExponentialLR", "gamma": 0.99}]]
    )

    @property
    @override
    def children(self) -> dict[Location, Scheduler]:
        return {("schedulers", index): scheduler for index, scheduler in enumerate(self.schedulers)}

    @override
    def filled_in(self, span: Span) -> Self:
        children = (child.normalised(span.child("schedulers", index)) for index, child in enumerate(self.schedulers))
        return self.model_copy(update={"schedulers": tuple(children)})


class _Combination(Several):
    """Several schedulers at the same time, each on the same clock and from the same b."""

    @override
    def turns(self, start: int, stop: int) -> Iterable[int]:
        """Where the parts turn, and a few places between: a product of two falls may rise nowhere else, or it may."""
        yield from sampled_iterations(start, stop)
        for scheduler in self.schedulers:
            yield from scheduler.turning_points(start, stop)

    @override
    def unproved(self, start: int, stop: int) -> range:
        # Of one alone it is the scheduler's own LR.
        return range(start, stop) if len(self.schedulers) > 1 else super().unproved(start, stop)


class ProductLR(_Combination):
    """b · Π (lr_k(s) / b): the factors of all schedulers, multiplied.

    Unlike ChainedScheduler it takes any scheduler. 0 where b is 0. Source: tensor2tensor's product expressions,
    pytorch_warmup's dampening, OLMo `CosLinearEnvelope`.
    """

    type: Literal["ProductLR"]

    @override
    def formula(self, group: int = 0) -> str:
        # max: no target above 0 is below MIN_RATE, and a target of 0 is no division by it.
        base = f"max(b, {MIN_RATE!r})"
        return "b" + "".join(f" * ({child.formula(group)}) / {base}" for child in self.schedulers)


class MaxLR(_Combination):
    """max lr_k(s): the highest of all schedulers. Source: OLMo `MaxScheduler`."""

    type: Literal["MaxLR"]

    @override
    def formula(self, group: int = 0) -> str:
        return in_pairs("max({}, {})", [child.formula(group) for child in self.schedulers])


class MinLR(_Combination):
    """min lr_k(s): the lowest of all schedulers."""

    type: Literal["MinLR"]

    @override
    def formula(self, group: int = 0) -> str:
        return in_pairs("min({}, {})", [child.formula(group) for child in self.schedulers])


class Wrapper(Scheduler):
    """One scheduler, changed."""

    can_be_chained: ClassVar[bool] = False
    scheduler: "AfterScheduler" = Field(
        description="The scheduler that is changed.", examples=[{"type": "InverseSqrtLR", "timescale": 100}]
    )

    @property
    @override
    def children(self) -> dict[Location, Scheduler]:
        return {("scheduler",): self.scheduler}


class ClampLR(Wrapper):
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
    def filled_in(self, span: Span) -> Self:
        span.check_alternatives(self, "min_lr", "min_ratio")
        span.check_alternatives(self, "max_lr", "max_ratio")
        for lower, upper in (("min_lr", "max_lr"), ("min_ratio", "max_ratio")):
            low, high = getattr(self, lower), getattr(self, upper)
            if low is not None and high is not None and low > high:
                span.refuse((lower,), f"must not exceed {upper} ({high})", low)
        if all(bound is None for bound in (self.min_lr, self.max_lr, self.min_ratio, self.max_ratio)):
            rule = "is required, or max_lr, min_ratio or max_ratio: there is nothing to clamp to"
            span.refuse(("min_lr",), rule, None)
        return self.model_copy(update={"scheduler": self.scheduler.normalised(span.child("scheduler"))})

    @override
    def formula(self, group: int = 0) -> str:
        text = self.scheduler.formula(group)
        # The lower bound first: where an absolute bound and a ratio cross, the upper one holds.
        for name, absolute, ratio in (("max", self.min_lr, self.min_ratio), ("min", self.max_lr, self.max_ratio)):
            if ratio is not None:
                text = f"{name}({text}, {number(ratio)} * b)"
            elif absolute is not None:
                text = f"{name}({text}, {number(absolute)})"
        return text

    @override
    def turns(self, start: int, stop: int) -> Iterable[int]:
        return self.scheduler.turning_points(start, stop)


class WindowLR(Wrapper):
    """The scheduler from s = begin to s = end, on a clock of its own; before and after it stands still.

    At s ≤ begin its LR at 0, at s ≥ end its LR at end − begin. Source: MMEngine's begin and end.
    """

    brief_fields: ClassVar[tuple[str, ...]] = ("begin", "end")
    type: Literal["WindowLR"]
    begin: IterationsOrZero = Field(0, description="Iteration at which it begins.", examples=[10])
    end: Iterations | None = Field(
        None, description="Iteration at which it stands still; by default the end of the run.", examples=[60]
    )

    @property
    def duration(self) -> int:
        """Iterations from begin to end, of a normalised window."""
        return (self.end or 0) - self.begin

    @property
    @override
    def stages(self) -> list[Stage]:
        # At `end` itself the scheduler is still read.
        ends = [("hold", self.end + 1)] if self.end is not None else []
        begins = [("hold", 0)] if self.begin else []
        return [*begins, *((name, self.begin + start) for name, start in self.scheduler.stages), *ends]

    @override
    def child_lengths(self, length: int) -> list[int]:
        return [self.duration]

    @override
    def named_beginnings(self) -> list[Named]:
        return [(("begin",), self.begin)]

    @override
    def filled_in(self, span: Span) -> Self:
        whole = self.model_copy(update={"end": span.iterations if self.end is None else self.end})
        if whole.duration <= 0:
            span.refuse(("end",), f"must be greater than begin ({self.begin})", whole.end)
            return self
        # One value more: at `end` the child is read too, and its LR there is held.
        within = span.child("scheduler", start=self.begin, iterations=whole.duration, extra=1)
        return whole.model_copy(update={"scheduler": self.scheduler.normalised(within)})

    @override
    def formula(self, group: int = 0) -> str:
        return substituted(self.scheduler.formula(group), {"s": f"min(max(s - {self.begin}, 0), {self.duration})"})

    @override
    def turns(self, start: int, stop: int) -> Iterable[int]:
        end = self.begin + self.duration
        # At end the child is read for the last time, at its own `duration`: hence end + 1 below.
        yield from (self.begin, end)
        for point in self.scheduler.turning_points(max(start - self.begin, 0), min(stop, end + 1) - self.begin):
            yield point + self.begin

    @override
    def unproved(self, start: int, stop: int) -> range:
        first, last = max(start - self.begin, 0), min(stop - self.begin, self.duration + 1)
        return moved(self.scheduler.unproved(first, last), self.begin) if first < last else range(0)


class CooldownLR(Wrapper):
    """The scheduler until the last `length` iterations of the run, then from its LR there down to min_lr.

    At s = N − length the scheduler's own LR (N is what is left of the run), at s = N min_lr. Linear, lr + (min_lr − lr)
    · x; cosine; or 1-sqrt, min_lr + (lr − min_lr) · (1 − √x), x the share of the tail that is over. Source:
    big_vision's cooldown_steps, Llama 3 (arXiv 2407.21783) §3.4.3, Hägele et al. (arXiv 2405.18392).
    """

    resolved_apart: ClassVar[frozenset[str]] = frozenset({"length"})
    brief_fields: ClassVar[tuple[str, ...]] = ("length",)
    type: Literal["CooldownLR"]
    length: Iterations = Field(description="Iterations of the tail.", examples=["10%"])
    shape: Literal["linear", "cosine", "1-sqrt"] = Field(
        "linear", description="Shape of the tail.", examples=["linear"]
    )
    min_lr: LR = Field(0.0, description="LR at the end of the run.", examples=[0.0])
    start: IterationsOrZero | None = Field(
        None, description="Own iteration at which it begins; filled in.", examples=[80]
    )

    @property
    @override
    def stages(self) -> list[Stage]:
        # At `start` itself the LR is still that of the scheduler.
        return [*self.scheduler.stages, ("cool-down", (self.start or 0) + 1)]

    @override
    def filled_in(self, span: Span) -> Self:
        # In a growing batch the same tokens are fewer iterations at the end of the run than at its start.
        length = span.resolved_at_end(self.length, ("length",))
        if not isinstance(length, int):
            return self
        start = span.iterations - length
        if start < 0:
            rule = f"must not exceed the {span.iterations} iterations that are left of the run"
            span.refuse(("length",), rule, length)
            return self
        span.check_filled_in(self, "start", start)
        child = self.scheduler.normalised(span.child("scheduler"))
        return self.model_copy(update={"length": length, "start": start, "scheduler": child})

    @override
    def formula(self, group: int = 0) -> str:
        # The tail starts from the child at s = start, a number once s is replaced.
        inner, start = self.scheduler.formula(group), self.start or 0
        if len(inner) > _MOST_CHARACTERS:  # it is written twice, and so are those within it
            raise NotExpressible(f"a CooldownLR of a scheduler whose formula has {len(inner)} characters is too long")
        top, low = substituted(inner, {"s": str(start)}), number(self.min_lr)
        fall = falling(self.shape, f"min((s - {start}) / {self.length}, 1.0)")
        return f"({inner}) if s <= {start} else {low} + (({top}) - {low}) * ({fall})"

    @override
    def turns(self, start: int, stop: int) -> Iterable[int]:
        begin = self.start or 0
        yield from (begin, begin + self.length)
        yield from self.scheduler.turning_points(start, min(stop, begin + 1))

    @override
    def unproved(self, start: int, stop: int) -> range:
        last = min(stop, (self.start or 0) + 1)
        return self.scheduler.unproved(start, last) if start < last else range(0)
