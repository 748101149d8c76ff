"""Schedulers at the same time, and schedulers that are changed."""

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any

from torch.optim import Optimizer
from typing_extensions import override

from preheat.errors import UndefinedLR
from preheat.schedulers.closed_form import Rates
from preheat.schedulers.composite import Build, Composite, shift

Combine = Callable[[float, Sequence[float]], float]
"""From a group's initial LR and the LRs of every scheduler to the LR."""

Bound = tuple[float | None, float | None]
"""A bound, absolute or as a factor of the initial LR; None for neither."""


def product(b: float, lrs: Sequence[float]) -> float:
    """B · Π (lr / b); 0 where b is 0."""
    return b * math.prod(lr / b for lr in lrs) if b else 0.0


def highest(_b: float, lrs: Sequence[float]) -> float:
    """Max lr."""
    return max(lrs)


def lowest(_b: float, lrs: Sequence[float]) -> float:
    """Min lr."""
    return min(lrs)


class Combined(Composite):
    """Several schedulers on one clock, whose LRs are combined into one."""

    def __init__(self, optimizer: Optimizer, build: Sequence[Build], combine: Combine) -> None:
        self._combine = combine
        super().__init__(optimizer, build)

    @override
    def rates(self, iterations: range) -> Rates:
        columns: list[Any] = [part.rates(iterations) for part in self._parts]
        bases, combine = self.initial_lrs, self._combine
        rates = [combine(b, lrs) for b, lrs in zip(bases * len(iterations), zip(*columns, strict=True), strict=True)]
        if not math.isfinite(sum(rates)):
            raise UndefinedLR("ProductLR", iterations.start, "it grows beyond what a number can be")
        return rates  # type: ignore[return-value]


class Clamped(Composite):
    """A scheduler whose LR is kept between bounds."""

    def __init__(self, optimizer: Optimizer, build: Build, lower: Bound, upper: Bound) -> None:
        self._lower, self._upper = lower, upper
        super().__init__(optimizer, [build])

    @override
    def rates(self, iterations: range) -> Rates:
        bounds = [(_bound(self._lower, b, 0.0), _bound(self._upper, b, math.inf)) for b in self.initial_lrs]
        rates: Any = self._parts[0].rates(iterations)
        return [min(max(lr, low), high) for lr, (low, high) in zip(rates, bounds * len(iterations), strict=True)]


class Windowed(Composite):
    """A scheduler that runs from `begin` to `end` on a clock of its own, and stands still before and after."""

    def __init__(self, optimizer: Optimizer, build: Build, begin: int, end: int) -> None:
        self.begin, self.end = begin, end
        super().__init__(optimizer, [build])

    @override
    def rates(self, iterations: range) -> Rates:
        part = self._parts[0]
        before, until = bisect_right(iterations, self.begin), bisect_right(iterations, self.end)
        rates = list(part.rates(range(1))) * before if before else []
        within = shift(iterations[before:until], -self.begin)
        rates += part.rates(within) if within else []
        length, after = self.end - self.begin, len(iterations) - until
        return rates + list(part.rates(range(length, length + 1))) * after if after else rates


class Cooled(Composite):
    """A scheduler until s = start, then a tail of `length` iterations from its LR there to min_lr, which stays.

    `fall` gives the height of the tail, 1 to 0, by the share of it that is over.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        build: Build,
        start: int,
        length: int,
        fall: Callable[[float], float],
        min_lr: float,
    ) -> None:
        self.start, self.length, self._fall, self._min_lr = start, length, fall, min_lr
        super().__init__(optimizer, [build])

    @override
    def rates(self, iterations: range) -> Rates:
        until = bisect_right(iterations, self.start)
        rates = list(self._parts[0].rates(iterations[:until])) if until else []
        tail = iterations[until:]
        if not tail:
            return rates
        tops: Any = self._parts[0].rates(range(self.start, self.start + 1))
        falls = [self._fall(min((s - self.start) / self.length, 1.0)) for s in tail]
        return rates + [self._min_lr + (top - self._min_lr) * fall for fall in falls for top in tops]


def _bound(bound: Bound, b: float, otherwise: float) -> float:
    absolute, factor = bound
    if factor is not None:
        return factor * b
    return otherwise if absolute is None else absolute
