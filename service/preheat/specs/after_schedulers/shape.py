"""What every shape has: a formula of its own iteration, from which everything else follows."""

import math
from collections.abc import Iterable
from typing import ClassVar, Self

from pydantic import Field
from typing_extensions import override

from preheat.formula.language import number
from preheat.specs.after_schedulers.scheduler import Scheduler
from preheat.specs.fields import LR, Iterations, Ratio
from preheat.specs.span import Stretch


class Shape(Scheduler):
    """A schedule that torch lacks: its LR is a formula of its own iteration s and of b, a group's target LR."""

    can_be_chained: ClassVar[bool] = False
    is_computed_by_torch: ClassVar[bool] = False

    def formula(self) -> str:
        """The LR in the names `s` and `b`, as `preheat.formula.language` has it. The shape must be normalised."""
        raise NotImplementedError

    def turns(self, start: int, stop: int) -> Iterable[int]:
        """A few iterations between which, in start … stop − 1, the LR only rises or only falls."""
        del start, stop
        return ()


class Decay(Shape):
    """A shape that ends at min_lr, or at min_ratio · b, after `length` iterations, and stays there."""

    length: Iterations | None = Field(
        None, description="Iterations until the end LR; by default what is left of the run.", examples=[90]
    )
    min_lr: LR | None = Field(None, description="LR at the end, absolute; 0 by default.", examples=[0.0])
    min_ratio: Ratio | None = Field(
        None, description="LR at the end as a factor of the target, instead of min_lr.", examples=[0.1]
    )

    @property
    def low(self) -> str:
        """The end LR as a formula."""
        return f"{number(self.min_ratio)} * b" if self.min_ratio is not None else number(self.min_lr or 0.0)

    @property
    def progress(self) -> str:
        """The share of `length` that is over, at most 1, as a formula."""
        return f"(s / {self.length} if s < {self.length} else 1.0)"

    @override
    def filled_in(self, stretch: Stretch) -> Self:
        if self.min_lr is not None and self.min_ratio is not None:
            stretch.refuse(("min_ratio",), "must not be given beside min_lr", self.min_ratio)
        length = self.length or stretch.default_length("length")
        min_lr = 0.0 if self.min_lr is None and self.min_ratio is None else self.min_lr
        return self.model_copy(update={"length": length, "min_lr": min_lr})

    @override
    def turns(self, start: int, stop: int) -> Iterable[int]:
        return (self.length or 1,)

    def between(self, height: str) -> str:
        """The LR where `height` goes from 1 (b) to 0 (the end LR), as a formula."""
        if self.min_ratio is None and not self.min_lr:
            return f"b * ({height})"
        if self.min_ratio is not None:
            return f"b * ({number(self.min_ratio)} + {number(1 - self.min_ratio)} * ({height}))"
        return f"{self.low} + (b - {self.low}) * ({height})"


def some(first: int, last: int) -> Iterable[int]:
    """Numbers first … last, at most about a hundred of them, at even distances, and both ends."""
    return {*range(first, last + 1, max((last - first) // 100, 1)), last - 1, last}


def log_growth_to(factor: float) -> float:
    """Logarithm of a factor above 1; 0 for others."""
    return math.log(factor) if factor > 1 else 0.0
