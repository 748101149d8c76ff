"""Shapes that are written down value by value, or as a formula."""

import bisect
from collections.abc import Iterable
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field
from typing_extensions import override

from preheat.formula.language import MAX_CHARACTERS, checked, number, substituted
from preheat.specs.after_schedulers.shape import Shape
from preheat.specs.fields import LR, MAX_ITERATION, Closed, Iterations, IterationsOrNone, Ratio
from preheat.specs.span import Stretch

MAX_POINTS = 400
MAX_VALUES = 100_000
NAMES = ("n", "T", "W", "s", "N")


class Point(Closed):
    """One point of a piecewise shape: an absolute LR, or a factor of b."""

    at: IterationsOrNone = Field(description="Iteration of the shape's own clock.", examples=[30])
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
    def filled_in(self, stretch: Stretch) -> Self:
        for index, (before, point) in enumerate(pairwise(self.points), start=1):
            if point.at <= before.at:
                rule = f"must be greater than points[{index - 1}].at ({before.at})"
                stretch.refuse(("points", index, "at"), rule, point.at)
        for index, point in enumerate(self.points):
            if (point.lr is None) == (point.factor is None):
                stretch.refuse(("points", index, "lr"), "is required, or factor, and not both", point.lr)
            if self.interpolation == "exponential" and 0 in {point.lr, point.factor}:
                stretch.refuse(("points", index, "lr"), "must be > 0 where the LR goes exponentially", 0)
        return self

    @override
    def formula(self) -> str:
        def choose(first: int, last: int) -> str:
            if first == last:
                return self._between(first)
            middle = (first + last + 1) // 2
            return f"({choose(first, middle - 1)} if s < {self.points[middle].at} else {choose(middle, last)})"

        first = self.points[0]
        return f"({_value(first)} if s < {first.at} else {choose(0, len(self.points) - 1)})"

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
        return {
            "linear": f"{low} + ({high} - {low}) * {x}",
            "cosine": f"{high} + ({low} - {high}) * (1 + cos(pi * {x})) / 2",
            "exponential": f"{low} * ({high} / {low}) ** {x}" if "b" not in low + high else _power(low, high, x),
        }[self.interpolation]


class TableLR(Shape):
    """values[s // hold], an LR or a factor of b, one after the other; after the last one it stays.

    values[0] at s = 0. Source: fairseq `fixed`, Lightning and timm users' own lists.
    """

    type: Literal["TableLR"]
    values: Annotated[tuple[Ratio, ...], Field(min_length=1, max_length=MAX_VALUES, fail_fast=True)] = Field(
        description="The values, in order.", examples=[[0.1, 0.05, 0.01]]
    )
    are_factors: bool = Field(False, description="Whether they are factors of b, not LRs.", examples=[False])
    hold: Iterations = Field(1, description="Iterations that each value lasts.", examples=[1])

    @override
    def formula(self) -> str:
        index = f"min(s // {self.hold}, {len(self.values) - 1})" if self.hold > 1 else f"min(s, {len(self.values) - 1})"
        scale = "b * " if self.are_factors else ""
        return f"{scale}({', '.join(map(repr, self.values))},)[{index}]"

    @override
    def turns(self, start: int, stop: int) -> Iterable[int]:
        """The places of the window's own lowest and highest values."""
        first = min(max(start, 0) // self.hold, len(self.values) - 1)
        last = min((stop - 1) // self.hold, len(self.values) - 1)
        window = range(first, last + 1)
        ends = (min(window, key=self.values.__getitem__), max(window, key=self.values.__getitem__))
        return (max(end * self.hold, start) for end in ends)


class ExpressionLR(Shape):
    """b · expression, a formula in n (iteration of the run), T (total_iterations), W (warm-up), s (own iteration), N.

    N is what is left of the run for it. Functions: abs, ceil, cos, exp, floor, log, max, min, pow, sin, sqrt, tanh;
    pi, e; comparisons and `x if condition else y`. It must be finite and not negative at every iteration. This is
    where a LambdaLR or MultiplicativeLR moves to: `0.95 ** n`.
    """

    type: Literal["ExpressionLR"]
    expression: str = Field(
        min_length=1,
        max_length=2 * MAX_CHARACTERS,
        description="The factor of b, in Python's notation.",
        examples=["0.95 ** n", "min(1, 1 / sqrt(n / W))"],
    )
    start: Annotated[int, Field(ge=0, le=MAX_ITERATION)] | None = Field(
        None, description="n at s = 0; filled in.", examples=[10]
    )
    total_iterations: Iterations | None = Field(None, description="T; filled in.", examples=[100])
    warmup_iterations: IterationsOrNone | None = Field(None, description="W; filled in.", examples=[10])
    length: IterationsOrNone | None = Field(None, description="N; filled in.", examples=[90])

    @override
    def filled_in(self, stretch: Stretch) -> Self:
        places = {
            "start": stretch.start,
            "total_iterations": stretch.total,
            "warmup_iterations": stretch.warmup,
            "length": stretch.iterations,
        }
        for field, value in places.items():
            if getattr(self, field) not in {None, value}:
                stretch.refuse((field,), f"must be {value} here, or left out", getattr(self, field))
        try:
            text = checked(self.expression, NAMES)
        except ValueError as error:
            stretch.refuse(("expression",), str(error), self.expression)
            return self
        return self.model_copy(update={"expression": text, **places})

    @override
    def formula(self) -> str:
        places = {
            "n": f"s + {self.start}" if self.start else "s",
            "T": str(self.total_iterations),
            "W": str(self.warmup_iterations),
            "N": str(self.length),
        }
        # Checked again: a stored spec is data too, and must never become code that is more than a formula.
        return f"b * ({substituted(checked(self.expression, NAMES), places)})"

    @override
    def turns(self, start: int, stop: int) -> Iterable[int]:
        """Sixteen places at even distances: where a formula turns cannot be told from its text."""
        return (start + (stop - 1 - start) * part // 15 for part in range(16))


def _value(point: Point) -> str:
    return number(point.lr or 0.0) if point.factor is None else f"b * {number(point.factor)}"


def _power(low: str, high: str, x: str) -> str:
    """An exponential between ends that may be 0 together with b."""
    return f"({low} * ({high} / ({low})) ** {x} if b > 0 else 0.0)"
