"""Schedulers that are written down point by point, value by value, or as an expression."""

import bisect
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field
from typing_extensions import override

from preheat.formula.easing import between, number
from preheat.formula.language import MAX_CHARACTERS, checked, substituted
from preheat.specs.after_schedulers.sampling import sampled_iterations
from preheat.specs.after_schedulers.scheduler import Named, Shape
from preheat.specs.durations import Iterations, IterationsOrZero
from preheat.specs.fields import LR, MAX_ITERATION, Closed, Int, Ratio
from preheat.specs.span import Span
from preheat.specs.violations import Location

MAX_POINTS = 400
MAX_VALUES = 100_000
NAMES = ("n", "T", "W", "s", "N")
_SUSPECTS = 10_000

_MANY = 100
"""So many times as long as a table a run is that was meant to last as long as it, in epochs."""


class Point(Closed):
    """One point of a piecewise shape: an absolute LR, or a factor of b."""

    at: IterationsOrZero = Field(description="Iteration of the shape's own clock.", examples=[30])
    lr: LR | None = Field(None, description="LR there, absolute.", examples=[0.01])
    factor: Ratio | None = Field(None, description="LR there as a factor of b, instead of lr.", examples=[0.1])


class PiecewiseLR(Shape):
    """Through the points: straight, in half cosine waves or exponentially between two of them, or in steps.

    At a point's iteration its own LR; before the first point the first LR, from the last point on the last one. In
    steps each LR holds until the iteration before the next point. Source: Keras `PiecewiseConstantDecay` (at = boundary
    + 1), optax `piecewise_interpolate_schedule`, ignite `PiecewiseLinear`, fastai `combine_scheds`.
    """

    type: Literal["PiecewiseLR"]
    points: Annotated[tuple[Point, ...], Field(min_length=1, max_length=MAX_POINTS, fail_fast=True)] = Field(
        description="The points, ascending.",
        examples=[[{"at": 0, "factor": 1.0}, {"at": 60, "factor": 0.1}, {"at": 90, "lr": 0.0}]],
    )
    interpolation: Literal["linear", "cosine", "exponential", "step"] = Field(
        "linear", description="What is between two points.", examples=["cosine"]
    )

    @override
    def filled_in(self, span: Span) -> Self:
        for index, (before, point) in enumerate(pairwise(self.points), start=1):
            if point.at <= before.at:
                rule = f"must be greater than points[{index - 1}].at ({before.at})"
                span.refuse(("points", index, "at"), rule, point.at)
        for index, point in enumerate(self.points):
            if (point.lr is None) == (point.factor is None):
                span.refuse(("points", index, "lr"), "is required, or factor, and not both", point.lr)
            if self.interpolation == "exponential" and 0 in {point.lr, point.factor}:
                span.refuse(("points", index, "lr"), "must be > 0 where the LR goes exponentially", 0)
        return self

    @override
    def formula(self, group: int = 0) -> str:
        # By halves: a chain of 400 choices would be nested deeper than Python compiles.
        def choose(first: int, last: int) -> str:
            if first == last:
                return self._between(first)
            middle = (first + last + 1) // 2
            return f"({choose(first, middle - 1)} if s < {self.points[middle].at} else {choose(middle, last)})"

        first = self.points[0]
        return f"({_value(first)} if s < {first.at} else {choose(0, len(self.points) - 1)})"

    @override
    def named_beginnings(self) -> list[Named]:
        return [(("points", index, "at"), point.at) for index, point in enumerate(self.points)]

    @override
    def named_epochs(self, iterations: int) -> list[Named]:
        """The last point's, which is where the LR stays."""
        return [named for named in self.named_beginnings()[-1:] if named[1]]

    @override
    def named_briefs(self) -> list[Named]:
        """Those of the points before, where a warm-up may end."""
        return self.named_beginnings()[:-1]

    @override
    def turns(self, start: int, stop: int) -> Iterable[int]:
        ats = [point.at for point in self.points]
        inside = ats[bisect.bisect_left(ats, start) : bisect.bisect_right(ats, stop)]
        return (iteration for at in inside for iteration in (at - 1, at))

    def _between(self, index: int) -> str:
        """From a point on to the next."""
        point, low = self.points[index], _value(self.points[index])
        if index == len(self.points) - 1 or self.interpolation == "step":
            return low
        following = self.points[index + 1]
        high, x = _value(following), f"((s - {point.at}) / {following.at - point.at})"
        if self.interpolation == "exponential" and "b" in low + high:  # both ends may be 0 together with b
            return f"({low} * ({high} / ({low})) ** {x} if b > 0 else 0.0)"
        return between(self.interpolation, low, high, x)


class TableLR(Shape):
    """values[s // hold], an LR or a factor of b, one after the other; after the last one it stays.

    values[0] at s = 0. Source: fairseq `fixed`, Lightning and timm users' own lists.
    """

    peaks_at_target: ClassVar[bool] = False
    type: Literal["TableLR"]
    values: Annotated[tuple[Ratio, ...], Field(min_length=1, max_length=MAX_VALUES, fail_fast=True)] = Field(
        description="The values, in order.", examples=[[0.1, 0.05, 0.01]]
    )
    are_factors: bool = Field(False, description="Whether they are factors of b, not LRs.", examples=[False])
    hold: Iterations = Field(1, description="Iterations that each value lasts.", examples=[1])

    @override
    def formula(self, group: int = 0) -> str:
        index = f"min(s // {self.hold}, {len(self.values) - 1})" if self.hold > 1 else f"min(s, {len(self.values) - 1})"
        scale = "b * " if self.are_factors else ""
        # The comma after the last value: without it parentheses around a single one make no tuple.
        return f"{scale}({', '.join(map(repr, self.values))},)[{index}]"

    @override
    def named_beginnings(self) -> list[Named]:
        return [(("values", index), index * self.hold) for index in range(len(self.values))]

    @override
    def named_epochs(self, iterations: int) -> list[Named]:
        """Of a table that ends within the run, how long each value lasts: one of an epoch is often written so."""
        duration = len(self.values) * self.hold
        return [(("hold",), self.hold)] if len(self.values) > 1 and iterations >= _MANY * duration else []

    @override
    def turns(self, start: int, stop: int) -> Iterable[int]:
        """The places of the window's own lowest and highest values."""
        # The window's own values: a table of 10⁵ has its extremes outside most windows.
        first = min(max(start, 0) // self.hold, len(self.values) - 1)
        last = min((stop - 1) // self.hold, len(self.values) - 1)
        window = range(first, last + 1)
        ends = (min(window, key=self.values.__getitem__), max(window, key=self.values.__getitem__))
        # A value that the window begins in the middle of has its first iteration before it.
        return (max(end * self.hold, start) for end in ends)

    @override
    def repeats(self, stop: int) -> bool:
        return True


class ExpressionLR(Shape):
    """b · expression, a formula in n (iteration of the run), T (total_iterations), W (warm-up), s (own iteration), N.

    N is what is left of the run for it. Functions: abs, ceil, cos, exp, floor, log, max, min, pow, sin, sqrt, tanh;
    pi, e; comparisons and `x if condition else y`. It must be finite and not negative at every iteration. This is
    where a LambdaLR or MultiplicativeLR moves to: `0.95 ** n`.
    """

    formula_field: ClassVar[Location] = ("expression",)
    type: Literal["ExpressionLR"]
    expression: str = Field(
        min_length=1,
        max_length=2 * MAX_CHARACTERS,
        description="The factor of b, in Python's notation.",
        examples=["0.95 ** n", "min(1, 1 / sqrt(n / W))"],
    )
    start: Annotated[Int, Field(ge=0, le=MAX_ITERATION)] | None = Field(
        None, description="n at s = 0; filled in.", examples=[10]
    )
    total_iterations: Iterations | None = Field(None, description="T; filled in.", examples=[100])
    warmup_iterations: IterationsOrZero | None = Field(None, description="W; filled in.", examples=[10])
    length: IterationsOrZero | None = Field(None, description="N; filled in.", examples=[90])

    @override
    def filled_in(self, span: Span) -> Self:
        filled: dict[str, Any] = {
            "start": span.start,
            "total_iterations": span.total,
            "warmup_iterations": span.warmup,
            "length": span.iterations,
        }
        for field, value in filled.items():
            span.check_filled_in(self, field, value)
        try:
            filled["expression"] = checked(self.expression, NAMES)
        except ValueError as error:
            span.refuse(("expression",), str(error), self.expression)
            return self
        return self.model_copy(update=filled)

    @override
    def formula(self, group: int = 0) -> str:
        start = f"s + {self.start}" if self.start else "s"
        return _formula(self.expression, start, self.total_iterations, self.warmup_iterations, self.length)

    @override
    def turns(self, start: int, stop: int) -> Iterable[int]:
        """Where a formula turns cannot be told from its text."""
        return sampled_iterations(start, stop)

    @override
    def unproved(self, start: int, stop: int) -> range:
        return range(start, stop)

    @override
    def suspects(self, length: int) -> Sequence[int]:
        """Iterations at even distances, all of a short run; one that fails elsewhere fails when it is asked."""
        own = length if self.length is None else self.length
        return range(0, own + 1, max(own // _SUSPECTS, 1))


@lru_cache(maxsize=256)  # 256 param groups may have the same one, and each is asked for its formula several times
def _formula(expression: str, n: str, total: int | None, warmup: int | None, length: int | None) -> str:
    # Checked again: a stored spec is data too, and must never become code that is more than a formula.
    # Put in as trees, not as text: 2 * n becomes 2 * (s + 10).
    values = {"n": n, "T": str(total), "W": str(warmup), "N": str(length)}
    return f"b * ({substituted(checked(expression, NAMES), values)})"


def _value(point: Point) -> str:
    return number(point.lr or 0.0) if point.factor is None else f"b * {number(point.factor)}"
