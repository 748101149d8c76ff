"""torch's own schedulers that go up and down: cosine warm restarts, CyclicLR and OneCycleLR."""

import math
from collections.abc import Iterable
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field
from typing_extensions import override

from preheat.formula.easing import number
from preheat.specs.after_schedulers.restarts import CosineRestartsLR
from preheat.specs.after_schedulers.scheduler import Named, log_growth_to
from preheat.specs.after_schedulers.torch_decays import EtaMin, Gamma, Strategy, TorchScheduler, annealing, of_group
from preheat.specs.durations import Iterations
from preheat.specs.fields import MAX_ITERATION, MAX_LR, Int, NonNegative, PerGroupLR, PerGroupMomentum, Share
from preheat.specs.span import Span

_Count = Annotated[Int, Field(ge=1, le=MAX_ITERATION)]
_CycleMomentum = Annotated[bool, Field(description="Whether momentum (or β1) runs against the LR.", examples=[True])]


class CosineAnnealingWarmRestarts(TorchScheduler):
    """eta_min + (b − eta_min) · (1 + cos(π · T_cur / T_i)) / 2, T_cur iterations into a cycle of T_i.

    Cycles last T_0, T_0 · T_mult, T_0 · T_mult², … iterations; each starts at b and ends one short of eta_min.
    """

    can_be_chained: ClassVar[bool] = False
    may_rise: ClassVar[bool] = True
    epoch_fields: ClassVar[tuple[str, ...]] = ("T_0",)
    type: Literal["CosineAnnealingWarmRestarts"]
    T_0: Iterations = Field(description="Iterations of the first cycle.", examples=[10])
    T_mult: _Count = Field(1, le=1_000_000, description="Factor from one cycle's length to the next.", examples=[2])
    eta_min: EtaMin = 0.0

    @override
    def formula(self, group: int = 0) -> str:
        ours = CosineRestartsLR(type="CosineRestartsLR", T_0=self.T_0, T_mult=float(self.T_mult), min_lr=self.eta_min)
        return ours.formula()

    @override
    def turns(self, start: int, stop: int) -> Iterable[int]:
        """Cycles start at one height and end, one iteration short, the lower the longer they are."""
        # Of the cycles in between the longest is the last whole one; where it ends is last_restart - 1.
        into_first, length = self.cycle_position(start)
        into_last, _ = self.cycle_position(stop - 1)
        first_restart = start if into_first == 0 else start + length - into_first
        last_restart = stop - 1 - into_last
        return (first_restart - 1, first_restart, last_restart - 1, last_restart)

    @override
    def repeats(self, stop: int) -> bool:
        return stop > self.T_0

    @override
    def cycle_position(self, iteration: int) -> tuple[int, int]:
        return cycle_position(iteration, self.T_0, self.T_mult)

    @override
    def named_epochs(self, iterations: int) -> list[Named]:
        """Of cycles that grow there is none: a short first one is usual."""
        return super().named_epochs(iterations) if self.T_mult == 1 else []

    @override
    def restarts_within(self, iterations: int) -> bool:
        return iterations > self.T_0


class _MomentumCycle(TorchScheduler):
    """A scheduler with LRs of its own, which may cycle momentum (or β1) against them."""

    can_be_chained: ClassVar[bool] = False
    peaks_at_target: ClassVar[bool] = False
    may_rise: ClassVar[bool] = True


class CyclicLR(_MomentumCycle):
    """base_lr + (max_lr − base_lr) · triangle(s) · scale: up for step_size_up, down for step_size_down, repeated.

    `scale` is 1 (triangular), 1 / 2^(cycle − 1) (triangular2) or gamma^s (exp_range). Takes no notice of target_lr.
    """

    epoch_fields: ClassVar[tuple[str, ...]] = ("step_size_up",)
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
    gamma: Gamma = 1.0
    cycle_momentum: _CycleMomentum = True
    base_momentum: PerGroupMomentum = Field(0.8, description="Momentum at the top of the LR.", examples=[0.8])
    max_momentum: PerGroupMomentum = Field(0.9, description="Momentum at the bottom of the LR.", examples=[0.9])

    @property
    def _length(self) -> int:
        return self.step_size_up + (self.step_size_down or self.step_size_up)

    @override
    def filled_in(self, span: Span) -> Self:
        for field in ("base_lr", "max_lr", "base_momentum", "max_momentum"):
            span.check_per_group(field, getattr(self, field))
        setting = _momentum_setting(self, span)
        self._check_growth(span, with_momentum=setting.get("cycle_momentum", self.cycle_momentum))
        return self.model_copy(update={"step_size_down": self.step_size_down or self.step_size_up} | setting)

    @override
    def named_epochs(self, iterations: int) -> list[Named]:
        """The fall too, where it is not as long as the rise, which is its default."""
        falls = ("step_size_down",) if self.step_size_down != self.step_size_up else ()
        return self._named((*self.epoch_fields, *falls))

    @override
    def restarts_within(self, iterations: int) -> bool:
        """One whole cycle is enough: a run may be meant to be it."""
        return self._length <= iterations

    def _check_growth(self, span: Span, *, with_momentum: bool) -> None:
        """Refuses an amplitude that grows until a value which falls in each cycle is negative (torch lets it)."""
        if self.mode != "exp_range" or self.gamma <= 1:
            return
        growth = max(map(self._log_scale, {span.iterations, *self.turning_points(0, span.iterations + 1)}))
        falls = {"LR": (self.base_lr, self.max_lr)}
        if with_momentum:
            falls["momentum"] = (self.max_momentum, self.base_momentum)
        for name, (tops, bottoms) in falls.items():
            for top, bottom in zip(_each(tops, span.groups), _each(bottoms, span.groups), strict=False):
                if top > bottom and growth > math.log(top / (top - bottom)) + 1e-9:
                    rule = f"makes the {name} negative within {span.iterations} iterations"
                    span.refuse(("gamma",), rule, self.gamma)
                    return

    def _log_scale(self, s: int) -> float:
        """Logarithm of the share of the first amplitude that is reached at s."""
        into = s % self._length
        falling = (self._length - into) / (self._length - self.step_size_up)
        height = into / self.step_size_up if into <= self.step_size_up else falling
        return math.log(height) + s * math.log(self.gamma) if height else -math.inf

    @override
    def formula(self, group: int = 0) -> str:
        base_lr, max_lr = of_group(self.base_lr, group), of_group(self.max_lr, group)
        # As in torch: x, the place in the cycle, and the ratio are shares of the cycle.
        x, ratio = f"(s % {self._length} / {self._length})", self.step_size_up / self._length
        height = f"({x} / {ratio!r} if {x} <= {ratio!r} else ({x} - 1) / {number(ratio - 1)})"
        scale = {
            "triangular": "1",
            # Goes down to 0, where torch's 2.0 ** cycle overflows.
            "triangular2": f"0.5 ** (s // {self._length})",
            "exp_range": f"{number(self.gamma)} ** s",
        }[self.mode]
        return f"{number(base_lr)} + {number(max_lr - base_lr)} * {height} * {scale}"

    @override
    def turns(self, start: int, stop: int) -> Iterable[int]:
        """Amplitudes only grow or only shrink, so the first and the last whole cycles have the extremes."""
        first, last = start // self._length, (stop - 1) // self._length
        # The window may cut the first and the last cycle: the whole ones beside them count.
        for cycle in {first, first + 1, last - 1, last}:
            valley = cycle * self._length
            yield from (valley, valley + self.step_size_up, valley + self._length)
            if (peak := self._shifted_peak()) is not None:
                yield from (valley + math.floor(peak), valley + math.ceil(peak))

    @override
    def repeats(self, stop: int) -> bool:
        return stop > self._length

    def _shifted_peak(self) -> float | None:
        """Where in a cycle u · gamma^u on the rise, or (length − u) · gamma^u on the fall, is higher than at its top.

        The rise turns at u = −1 / ln gamma, the fall at length − 1 / ln gamma, if either lasts that long.
        """
        if self.mode != "exp_range" or self.gamma in {0, 1}:
            return None
        if self.gamma < 1:
            peak = -1 / math.log(self.gamma)
            return peak if peak < self.step_size_up else None
        peak = self._length - 1 / math.log(self.gamma)
        return peak if peak > self.step_size_up else None

    @override
    def log_growth(self, iterations: int) -> float:
        return log_growth_to(self.gamma, iterations) if self.mode == "exp_range" else 0.0


class OneCycleLR(_MomentumCycle):
    """From max_lr / div_factor up to max_lr at s = pct_start · total_steps − 1, then down to the end.

    The end, max_lr / div_factor / final_div_factor, is reached at s = total_steps − 1 and held (torch would bounce up
    one iteration later, and raise after that). Takes no notice of target_lr.
    """

    length_field: ClassVar[str | None] = "total_steps"
    epoch_fields: ClassVar[tuple[str, ...]] = ("total_steps",)
    counts_values: ClassVar[bool] = True
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
    anneal_strategy: Strategy = "cos"
    cycle_momentum: _CycleMomentum = True
    base_momentum: PerGroupMomentum = Field(0.85, description="Momentum at the top of the LR.", examples=[0.85])
    max_momentum: PerGroupMomentum = Field(0.95, description="Momentum at the ends.", examples=[0.95])
    div_factor: NonNegative = Field(25.0, gt=0, description="max_lr over the first LR.", examples=[25.0])
    final_div_factor: NonNegative = Field(1e4, gt=0, description="First LR over the last.", examples=[1e4])
    three_phase: bool = Field(False, description="Whether to mirror the rise before the last phase.", examples=[False])

    @override
    def filled_in(self, span: Span) -> Self:
        # With (n-1)/W and from_peak a warm-up as long as the run ends after it.
        if span.values < 1:
            span.refuse(("type",), "has no iteration left of the run", self.type)
            return self
        for field in ("max_lr", "base_momentum", "max_momentum"):
            span.check_per_group(field, getattr(self, field))
        self._check_ends(span)
        total_steps = self._total_steps(span)
        # Users count steps or values, and torch raises past total_steps: both are taken, see `length-mismatch`.
        if total_steps not in (span.iterations, span.iterations + 1):
            rule = f"must match what is left of the run: {span.iterations} or {span.iterations + 1}"
            span.refuse(("total_steps",), rule, total_steps, "length-mismatch")
        if self.pct_start * total_steps == 1:
            rule = f"must not be 1 / total_steps (total_steps is {total_steps}): torch divides by zero there"
            span.refuse(("pct_start",), rule, self.pct_start)
        # total_steps alone is kept, so that specs which mean the same have the same id.
        update = {"total_steps": total_steps, "epochs": None, "steps_per_epoch": None}
        return self.model_copy(update=update | _momentum_setting(self, span))

    def _total_steps(self, span: Span) -> int:
        if (self.epochs is None) != (self.steps_per_epoch is None):
            missing, given = ("epochs", "steps_per_epoch") if self.epochs is None else ("steps_per_epoch", "epochs")
            span.refuse((missing,), f"is required beside {given}", None)
        if self.epochs is None or self.steps_per_epoch is None:
            return span.values if self.total_steps is None else self.total_steps
        product = self.epochs * self.steps_per_epoch
        if self.total_steps not in (None, product):
            span.refuse(("total_steps",), f"must equal epochs · steps_per_epoch ({product})", self.total_steps)
        return product

    def _check_ends(self, span: Span) -> None:
        highest = max(self.max_lr) if isinstance(self.max_lr, tuple) else self.max_lr
        first = highest / self.div_factor
        if first > MAX_LR:
            span.refuse(("div_factor",), f"makes the first LR exceed {MAX_LR:g}", self.div_factor)
        elif first / self.final_div_factor > MAX_LR:
            span.refuse(("final_div_factor",), f"makes the last LR exceed {MAX_LR:g}", self.final_div_factor)

    @property
    def _phase_ends(self) -> list[float]:
        """Where torch's phases end; they need not be whole iterations."""
        # One less than the share itself: torch counts its phases from 0 to total_steps - 1.
        steps = self.total_steps or 1
        peak = self.pct_start * steps - 1
        return [peak, 2 * peak, float(steps - 1)] if self.three_phase else [peak, float(steps - 1)]

    @override
    def formula(self, group: int = 0) -> str:
        highest = of_group(self.max_lr, group)
        first, last = highest / self.div_factor, highest / self.div_factor / self.final_div_factor
        highs = [highest, first, last] if self.three_phase else [highest, last]
        pieces, start, low = [], 0.0, first
        for end, high in zip(self._phase_ends, highs, strict=True):
            # A phase may have no length (pct_start 1) or begin after its end (three_phase, pct_start above ½).
            x = f"min((s - {number(start)}) / {number(end - start)}, 1.0)" if end > start else "1.0"
            piece = f"({number(low)} + {number(high - low)} * {annealing(self.anneal_strategy, x)})"
            pieces.append(f"{piece} if s <= {number(end)} else ")
            start, low = end, high
        return "".join(pieces[:-1]) + piece

    @override
    def turns(self, start: int, stop: int) -> Iterable[int]:
        for end in self._phase_ends:
            yield from (math.floor(end), math.ceil(end))


def _each(value: float | tuple[float, ...], groups: int) -> tuple[float, ...]:
    return value if isinstance(value, tuple) else (value,) * groups


def _momentum_setting(scheduler: CyclicLR | OneCycleLR, span: Span) -> dict[str, bool]:
    """Whether momentum is cycled: inside another scheduler it is not, since the other would not know it."""
    if not span.is_nested or not scheduler.cycle_momentum:
        return {}
    # Only a true that the user wrote is refused; the default is turned off.
    if "cycle_momentum" in scheduler.model_fields_set:
        rule = "must be false where no param group's LR is cycled: give momentum a schedule of its own"
        span.refuse(("cycle_momentum",), rule, scheduler.cycle_momentum)
    return {"cycle_momentum": False}


def cycle_position(iteration: int, first_length: int, growth: int) -> tuple[int, int]:
    """Iterations into the cycle, and the cycle's length, where cycle k lasts first_length · growth^k."""
    if growth == 1:
        return iteration % first_length, first_length
    # In whole numbers: torch takes a logarithm, which rounds to the wrong cycle at a restart.
    length = first_length
    while iteration >= length:
        iteration -= length
        length *= growth
    return iteration, length
