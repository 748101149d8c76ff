"""Composed torch schedulers: in sequence, at the same time, clamped, in a window, with a cool-down."""

import math
from abc import abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from typing_extensions import override

from preheat.errors import UndefinedLR
from preheat.formula.language import Evaluate
from preheat.schedulers.closed_forms import LRs, shift
from preheat.schedulers.random_access import RandomAccess, random_access
from preheat.schedulers.stand_in import StandInOptimizer

Build = Callable[[Optimizer], LRScheduler]
"""Makes a scheduler for a given optimizer."""

Combine = Callable[[float, Sequence[float]], float]
"""From a group's initial LR and the LRs of every scheduler to the LR."""

Bound = tuple[float | None, float | None]
"""A bound, absolute or as a factor of the initial LR; None for neither."""


class Composite(LRScheduler):
    """A scheduler whose LR comes from other schedulers; random access as in `RandomAccess`.

    Each has a private optimizer, so that one that rewrites `initial_lr` (OneCycleLR, CyclicLR) does not rescale the
    others, and one that is itself composed starts at its turn and not before (pytorch#196243).
    """

    def __init__(self, optimizer: Optimizer, build: Sequence[Build]) -> None:
        self.initial_lrs = [float(group.get("initial_lr", group["lr"])) for group in optimizer.param_groups]
        self.schedulers = [make(StandInOptimizer(self.initial_lrs)) for make in build]
        self._parts: list[RandomAccess] = [random_access(scheduler) for scheduler in self.schedulers]
        super().__init__(optimizer)

    @abstractmethod
    def rates(self, iterations: range) -> LRs:
        """Learning rates of ascending `iterations`: every group of the first, every group of the second, and so on."""

    @property
    def has_closed_form(self) -> bool:
        """Whether every scheduler has one."""
        return all(part.has_closed_form for part in self._parts)

    def start_from(self, rates: LRs) -> None:
        """Hands the LR on to the schedulers."""
        for part in self._parts:
            part.start_from(rates)

    @override
    def get_lr(self) -> LRs:
        """Learning rates at `last_epoch`."""
        return self.rates(range(self.last_epoch, self.last_epoch + 1))

    @override
    def state_dict(self) -> dict[str, Any]:
        """Where each scheduler stands."""
        return {
            "last_epoch": self.last_epoch,
            "_last_lr": self._last_lr,
            "parts": [part.state_dict() for part in self._parts],
        }

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from where the state was taken."""
        self.last_epoch = state_dict["last_epoch"]
        self._last_lr = state_dict["_last_lr"]
        for part, state in zip(self._parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)


class FixedSequentialLR(Composite):
    """Scheduler 0 until milestones[0], then scheduler 1 on a clock of its own from 0, and so on.

    At s = milestones[k] − 1 scheduler k is in force, at s = milestones[k] scheduler k + 1 at its own 0. Each starts
    from the group's initial LR; SWALR and MultiplicativeLR go on from the LR before, as in torch.
    """

    def __init__(self, optimizer: Optimizer, build: Sequence[Build], milestones: Sequence[int]) -> None:
        self.milestones = list(milestones)
        self._has_started = [True] + [False] * len(self.milestones)
        super().__init__(optimizer, build)

    @override
    def rates(self, iterations: range) -> LRs:
        rates: LRs = []
        for index, (start, stop) in enumerate(pairwise((0, *self.milestones, max(iterations.stop, 1)))):
            within = iterations[bisect_left(iterations, start) : bisect_left(iterations, stop)]
            if within:
                self._start(index)
                rates += self._parts[index].rates(shift(within, -start))
        return rates

    @override
    def start_from(self, rates: LRs) -> None:
        """Hands the LR on to the first scheduler."""
        self._parts[0].start_from(rates)

    @override
    def state_dict(self) -> dict[str, Any]:
        """Where each scheduler stands."""
        return {**super().state_dict(), "has_started": list(self._has_started)}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from where the state was taken."""
        self._has_started = list(state_dict["has_started"])
        super().load_state_dict(state_dict)

    def _start(self, index: int) -> None:
        if not self._has_started[index]:
            # Recursion goes down the milestones: the LR before may come from a scheduler that has not started either.
            before = self.milestones[index - 1] - 1
            self._parts[index].start_from(self.rates(range(before, before + 1)))
            self._has_started[index] = True


class Combined(Composite):
    """Several schedulers on one clock, whose LRs are combined into one."""

    def __init__(self, optimizer: Optimizer, build: Sequence[Build], combine: Combine) -> None:
        self._combine = combine
        super().__init__(optimizer, build)

    @override
    def rates(self, iterations: range) -> LRs:
        columns: list[Any] = [part.rates(iterations) for part in self._parts]
        bases, combine = self.initial_lrs, self._combine
        rates = [combine(b, lrs) for b, lrs in zip(bases * len(iterations), zip(*columns, strict=True), strict=True)]
        # One sum instead of a test of each: a NaN or an infinity stays in it.
        if not math.isfinite(sum(rates)):
            raise UndefinedLR("ProductLR", iterations.start, "it grows beyond what a number can be")
        return rates  # type: ignore[return-value]


class Clamped(Composite):
    """A scheduler whose LR is kept between bounds."""

    def __init__(self, optimizer: Optimizer, build: Build, lower: Bound, upper: Bound) -> None:
        self._lower, self._upper = lower, upper
        super().__init__(optimizer, [build])

    @override
    def rates(self, iterations: range) -> LRs:
        bounds = [(_bound(self._lower, b, 0.0), _bound(self._upper, b, math.inf)) for b in self.initial_lrs]
        rates: Any = self._parts[0].rates(iterations)
        return [min(max(lr, low), high) for lr, (low, high) in zip(rates, bounds * len(iterations), strict=True)]


class Windowed(Composite):
    """A scheduler that runs from `begin` to `end` on a clock of its own, and stands still before and after."""

    def __init__(self, optimizer: Optimizer, build: Build, begin: int, end: int) -> None:
        self.begin, self.end = begin, end
        super().__init__(optimizer, [build])

    @override
    def rates(self, iterations: range) -> LRs:
        part = self._parts[0]
        # begin and end are inside: at both the child is read on its own clock.
        before, until = bisect_right(iterations, self.begin), bisect_right(iterations, self.end)
        rates = list(part.rates(range(1))) * before if before else []
        within = shift(iterations[before:until], -self.begin)
        rates += part.rates(within) if within else []
        length, after = self.end - self.begin, len(iterations) - until
        return rates + list(part.rates(range(length, length + 1))) * after if after else rates


class Cooled(Composite):
    """A scheduler until s = start, then a tail of `length` iterations from its LR there to min_lr, which stays.

    `fall`, a compiled formula, gives the height of the tail, 1 to 0, by the share of it that is over.
    """

    def __init__(
        self, optimizer: Optimizer, build: Build, start: int, length: int, fall: Evaluate, min_lr: float
    ) -> None:
        self.start, self.length, self._fall, self._min_lr = start, length, fall, min_lr
        super().__init__(optimizer, [build])

    @override
    def rates(self, iterations: range) -> LRs:
        until = bisect_right(iterations, self.start)
        rates = list(self._parts[0].rates(iterations[:until])) if until else []
        tail = iterations[until:]
        if not tail:
            return rates
        tops: Any = self._parts[0].rates(range(self.start, self.start + 1))
        falls = self._fall((min((s - self.start) / self.length, 1.0) for s in tail), (1.0,))
        return rates + [self._min_lr + (top - self._min_lr) * fall for fall in falls for top in tops]


def product(b: float, lrs: Sequence[float]) -> float:
    """B · Π (lr / b); 0 where b is 0."""
    return b * math.prod(lr / b for lr in lrs) if b else 0.0


def _bound(bound: Bound, b: float, otherwise: float) -> float:
    absolute, factor = bound
    if factor is not None:
        return factor * b
    return otherwise if absolute is None else absolute
