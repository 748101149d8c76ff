"""CosineRestartsLR: cosine cycles of equal, growing, shrinking or listed lengths, with peaks that decay."""

import math
from collections.abc import Callable, Iterable
from itertools import accumulate
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field
from typing_extensions import override

from preheat.formula.easing import falling, number
from preheat.specs.after_schedulers.sampling import are_sampled, sampled_numbers
from preheat.specs.after_schedulers.scheduler import Named, Shape, log_growth_to
from preheat.specs.durations import Iterations
from preheat.specs.fields import LR, MAX_ITERATION, Int, NonNegative, Ratio
from preheat.specs.span import Span

_MAX_CYCLES = 400
# Near a T_mult of 1 the sum of a geometric series, (T_mult^k − 1) / (T_mult − 1), loses its digits.
_CLOSE = 1e-4
_LOG_FOREVER = 40.0
# What float64 loses on the way to a cycle's number: logarithms up to _LOG_FOREVER, each rounded a few times. More would
# take the last iteration of a cycle of 10⁹ for the first of the next.
_ROUNDING = 2e-14
_OfPeriod = Callable[[int, int, int], str]


class CosineRestartsLR(Shape):
    """min_lr + (b · weight − min_lr) · (1 + cos(π · x)) / 2, x the share of the current cycle that is over.

    Cycle k lasts T_0 · T_mult^k iterations and its weight is decay^k; or both are written out in `periods` and
    `weights`. The first iteration of a cycle is at its peak, the end of the last one at min_lr, which stays. T_mult may
    be a fraction, and below 1: then the cycles end with the first that is shorter than one iteration. Source:
    Loshchilov and Hutter, SGDR (arXiv 1608.03983); timm `CosineLRScheduler` (cycle_mul, cycle_decay, cycle_limit),
    Keras `CosineDecayRestarts` (t_mul, m_mul), fairseq `cosine` (t_mult, lr_shrink), MMEngine `CosineRestartLR`.
    """

    may_rise: ClassVar[bool] = True
    epoch_fields: ClassVar[tuple[str, ...]] = ("T_0", "periods")
    resolved_apart: ClassVar[frozenset[str]] = frozenset({"periods"})
    type: Literal["CosineRestartsLR"]
    T_0: Iterations | None = Field(None, description="Iterations of the first cycle.", examples=[10])
    T_mult: Annotated[float, Field(ge=0.001, le=1e6)] = Field(
        1.0, description="Factor from one cycle's length to the next.", examples=[1.5]
    )
    decay: Ratio = Field(1.0, description="Factor from one cycle's peak to the next.", examples=[0.5])
    cycles: Annotated[Int, Field(ge=1, le=MAX_ITERATION)] | None = Field(
        None, description="Most cycles; by default they go on to the end of the run.", examples=[3]
    )
    periods: Annotated[tuple[Iterations, ...], Field(min_length=1, max_length=_MAX_CYCLES, fail_fast=True)] | None = (
        Field(None, description="Iterations of each cycle, instead of T_0, T_mult and cycles.", examples=[[10, 30, 60]])
    )
    weights: Annotated[tuple[NonNegative, ...], Field(min_length=1, max_length=_MAX_CYCLES, fail_fast=True)] | None = (
        Field(
            None, description="Peak of each period as a factor of b; by default decay^k.", examples=[[1.0, 0.5, 0.25]]
        )
    )
    min_lr: LR = Field(0.0, description="LR at the end of a cycle.", examples=[0.0])

    @override
    def filled_in(self, span: Span) -> Self:
        if (self.T_0 is None) == (self.periods is None):
            span.refuse(("T_0",), "is required, or periods, and not both", self.T_0)
        if self.T_mult != 1 and abs(self.T_mult - 1) < _CLOSE:
            span.refuse(("T_mult",), f"must be 1, or differ from it by {_CLOSE:g} or more", self.T_mult)
        if self.periods is None and self.weights is not None:
            span.refuse(("weights",), "must stand beside periods", self.weights)
        if self.periods and self.weights is not None and len(self.weights) != len(self.periods):
            rule = f"must have one entry per period: {len(self.periods)}, not {len(self.weights)}"
            span.refuse(("weights",), rule, self.weights)
        if self.periods and self.cycles is not None:
            span.refuse(("cycles",), "must not be given beside periods", self.cycles)
        return self.model_copy(update={"periods": self._resolved_periods(span)}) if self.periods else self

    def _resolved_periods(self, span: Span) -> tuple[int, ...]:
        """Iterations of each period, which begins where the one before has ended."""
        periods: list[int] = []
        for index, period in enumerate(self.periods or ()):
            length = span.resolved(period, ("periods", index), sum(periods))
            if not isinstance(length, int):  # refused: the periods after it cannot be placed
                break
            periods.append(length)
        return tuple(periods)

    @override
    def formula(self, group: int = 0) -> str:
        low = number(self.min_lr)
        wave = falling("cosine", f"({self._share()})")
        return f"{low} + ({self._peak()} - {low}) * ({wave}) if {self._is_on()} else {low}"

    @override
    def turns(self, start: int, stop: int) -> Iterable[int]:
        """Even cycles only grow or only shrink, so the first and the last have the extremes; of uneven ones, some."""
        first, last = self._cycle(start), self._cycle(stop - 1)
        cycles = (
            {first, first + 1, first + 2, last - 1, last} if self._has_even_cycles else sampled_numbers(first, last)
        )
        # A cycle of a fractional length begins between two iterations: the later one is its first.
        starts = {math.ceil(self._start(cycle) - 1e-6) for cycle in {*cycles, last + 1} if cycle >= 0}
        return {point for begin in starts for point in (begin - 1, begin)}

    @override
    def unproved(self, start: int, stop: int) -> range:
        is_whole = self._has_even_cycles or not are_sampled(self._cycle(start), self._cycle(stop - 1))
        return range(0) if is_whole else range(start, stop)

    @override
    def repeats(self, stop: int) -> bool:
        return self._cycle(stop) > 0

    @override
    def log_growth(self, iterations: int) -> float:
        if self.weights:
            return log_growth_to(max(self.weights))
        return log_growth_to(self.decay, self._cycle(iterations) + 1)

    @override
    def cycle_position(self, iteration: int) -> tuple[int, float]:
        cycle = self._cycle(iteration)
        start = self._start(cycle)
        return int(iteration - start), self._start(cycle + 1) - start

    @override
    def named_epochs(self, iterations: int) -> list[Named]:
        """Of cycles that grow there is none: a short first one is usual."""
        return super().named_epochs(iterations) if self.T_mult <= 1 else []

    @override
    def restarts_within(self, iterations: int) -> bool:
        cycles = len(self.periods) if self.periods else self._limit()
        return cycles != 1 and self._start(1) < iterations

    @property
    def _has_even_cycles(self) -> bool:
        return self.periods is None and self.T_mult == 1

    @property
    def _ends(self) -> list[int]:
        return list(accumulate(self.periods or ()))

    def _limit(self) -> int | None:
        """Cycles there are: as many as allowed, and for T_mult < 1 none that is shorter than one iteration."""
        if self.T_mult == 1:
            return self.cycles
        # Cycles that grow need no limit of their own, but T_mult ** cycle must stay a float.
        if self.T_mult > 1:  # longer than any run: e^40 iterations
            enough = math.ceil(_LOG_FOREVER / math.log(self.T_mult)) + 1
            return min(self.cycles, enough) if self.cycles else None
        long_enough = math.floor(math.log(1 / (self.T_0 or 1)) / math.log(self.T_mult) + 1e-9) + 1
        return min(self.cycles or long_enough, long_enough)

    def _start(self, cycle: int) -> float:
        """The iteration at which a cycle begins."""
        if self.periods is not None:
            return float(self._ends[min(cycle, len(self.periods)) - 1]) if cycle else 0.0
        limit = self._limit()
        cycle = cycle if limit is None else min(cycle, limit)
        if self.T_mult == 1:
            return float((self.T_0 or 1) * cycle)
        return float((self.T_0 or 1) * (self.T_mult**cycle - 1) / (self.T_mult - 1))

    def _cycle(self, iteration: int) -> int:
        """The cycle that an iteration lies in; from the end on, the number of cycles."""
        if self.periods is not None:
            return sum(end <= iteration for end in self._ends)
        limit = self._limit()
        if limit is not None and iteration >= self._start(limit):
            return limit
        if self.T_mult == 1:
            return iteration // (self.T_0 or 1)
        # A rounding later: a restart itself may come out just before it.
        start, scale = self._rounded_up
        grown = (start + iteration * (self.T_mult - 1) / (self.T_0 or 1)) * scale
        return math.floor(math.log(grown) / math.log(self.T_mult))

    @property
    def _rounded_up(self) -> tuple[float, float]:
        """Beginning and factor of T_mult ** cycle: growing, its error grows with it; shrinking, it is that of a 1."""
        return (1.0, 1 + _ROUNDING) if self.T_mult > 1 else (1 - _ROUNDING, 1.0)

    # The same as formulas of s.

    def _is_on(self) -> str:
        if self.periods is not None:
            return f"s < {self._ends[-1]}"
        limit = self._limit()
        return "True" if limit is None else f"s < {number(self._start(limit))}"

    def _cycle_of_s(self) -> str:
        if self._has_even_cycles:
            return f"s // {self.T_0}"
        growth = number((self.T_mult - 1) / (self.T_0 or 1))
        start, scale = self._rounded_up
        return f"floor(log(({start!r} + s * {growth}) * {scale!r}) / {number(math.log(self.T_mult))})"

    def _share(self) -> str:
        if self.periods is not None:
            return self._by_period(lambda begin, end, _: f"(s - {begin}) / {end - begin}")
        if self._has_even_cycles:
            return f"s % {self.T_0} / {self.T_0}"
        power = f"{number(self.T_mult)} ** {self._cycle_of_s()}"
        growth = number((self.T_mult - 1) / (self.T_0 or 1))
        return f"(1 + s * {growth} - {power}) / ({power} * {number(self.T_mult - 1)})"

    def _peak(self) -> str:
        if self.periods is not None:
            weights = self.weights or tuple(self.decay**cycle for cycle in range(len(self.periods)))
            return f"b * ({self._by_period(lambda _begin, _end, cycle: number(weights[cycle]))})"
        return "b" if self.decay == 1 else f"b * {number(self.decay)} ** ({self._cycle_of_s()})"

    def _by_period(self, value: _OfPeriod) -> str:
        """A choice among periods in a tree of comparisons, whose depth is the logarithm of their number."""
        bounds = [0, *self._ends]

        def choose(first: int, last: int) -> str:
            if first == last:
                return value(bounds[first], bounds[first + 1], first)
            middle = (first + last) // 2
            return f"({choose(first, middle)} if s < {bounds[middle + 1]} else {choose(middle + 1, last)})"

        return choose(0, len(bounds) - 2)
