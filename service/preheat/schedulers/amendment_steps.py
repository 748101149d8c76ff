"""Steps: what one amendment does with the values of a row, and with those of many rows, bit for bit the same."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from preheat.formula.easing import falling
from preheat.formula.language import compiled
from preheat.schedulers.closed_forms import shift
from preheat.schedulers.table import Table
from preheat.specs.amendments import CooldownAmendment

Floats = NDArray[np.float64]


class Step(Protocol):
    """What is done with the values of some columns."""

    def on_row(self, values: list[float], n: int) -> None:
        """Changes the values of one iteration."""
        ...

    def on_rows(self, values: Floats, iterations: range) -> None:
        """Changes the values of ascending iterations."""
        ...


@dataclass(frozen=True)
class Source(Step):
    """The values of a table in the run's columns; its 0 is the run's `origin`, and past `last` its last one stays."""

    table: Table
    origin: int
    last: int
    columns: tuple[int, ...]
    theirs: tuple[int, ...]

    def own(self, n: int) -> int:
        """The table's iteration at n."""
        return min(n - self.origin, self.last)

    @override
    def on_row(self, values: list[float], n: int) -> None:
        row = self.table.row(self.own(n))
        for column, own in zip(self.columns, self.theirs, strict=True):
            values[column] = row[own]

    @override
    def on_rows(self, values: Floats, iterations: range) -> None:
        own = shift(iterations, -self.origin)
        within = bisect_right(own, self.last)
        if within:
            values[:within, self.columns] = self.table.rows(own[:within])[:, self.theirs]
        if within < len(own):
            values[within:, self.columns] = self.table.rows(range(self.last, self.last + 1))[:, self.theirs]


@dataclass(frozen=True)
class Scale(Step):
    """Factors, one after the other, each product rounded."""

    columns: tuple[int, ...]
    factors: tuple[float, ...]

    @override
    def on_row(self, values: list[float], n: int) -> None:
        for column in self.columns:
            value = values[column]
            for factor in self.factors:
                value *= factor
            values[column] = value

    @override
    def on_rows(self, values: Floats, iterations: range) -> None:
        own = values[:, self.columns]
        for factor in self.factors:
            own *= factor
        values[:, self.columns] = own


@dataclass(frozen=True)
class FlooredScale(Step):
    """v · factor, not below a floor, and not above v."""

    columns: tuple[int, ...]
    factor: float
    floors: tuple[float, ...]

    @override
    def on_row(self, values: list[float], n: int) -> None:
        for column, floor in zip(self.columns, self.floors, strict=True):
            v = values[column]
            values[column] = min(v, max(v * self.factor, floor))

    @override
    def on_rows(self, values: Floats, iterations: range) -> None:
        own = values[:, self.columns]
        values[:, self.columns] = np.minimum(own, np.maximum(own * self.factor, self.floors))


@dataclass(frozen=True)
class Hold(Step):
    """Values that stay."""

    columns: tuple[int, ...]
    values: tuple[float, ...]

    @override
    def on_row(self, values: list[float], n: int) -> None:
        for column, value in zip(self.columns, self.values, strict=True):
            values[column] = value

    @override
    def on_rows(self, values: Floats, iterations: range) -> None:
        values[:, self.columns] = self.values


@dataclass(frozen=True)
class Rewarm(Step):
    """A ramp, times what follows."""

    columns: tuple[int, ...]
    start: int
    iterations: int
    start_factor: float

    def _factor(self, n: int) -> float:
        return self.start_factor + (1.0 - self.start_factor) * ((n - self.start + 1) / self.iterations)

    @override
    def on_row(self, values: list[float], n: int) -> None:
        factor = self._factor(n)
        for column in self.columns:
            values[column] *= factor

    @override
    def on_rows(self, values: Floats, iterations: range) -> None:
        # Not in arrays: the last bits must be those of a single point.
        values[:, self.columns] *= np.array([self._factor(n) for n in iterations])[:, None]


class Cooldown(Step):
    """From the values at start − 1 to `to`; those values are computed when they are first needed."""

    def __init__(self, columns: tuple[int, ...], amendment: CooldownAmendment, top: Callable[[], list[float]]) -> None:
        self.columns = columns
        self._amendment, self._top = amendment, top
        self._tops: list[float] | None = None
        self._fall = compiled(falling(amendment.shape, "s"))

    def _values(self, iterations: range) -> list[list[float]]:
        if self._tops is None:
            top = self._top()
            self._tops = [top[column] for column in self.columns]
        start, length, to = self._amendment.start, self._amendment.iterations, self._amendment.to
        falls = self._fall([min((n - start + 1) / length, 1.0) for n in iterations], (1.0,))
        return [[to + (top - to) * fall for top in self._tops] for fall in falls]

    @override
    def on_row(self, values: list[float], n: int) -> None:
        for column, value in zip(self.columns, self._values(range(n, n + 1))[0], strict=True):
            values[column] = value

    @override
    def on_rows(self, values: Floats, iterations: range) -> None:
        values[:, self.columns] = self._values(iterations)


@dataclass(frozen=True)
class Frozen:
    """Every iteration is what the chain before is at `at`."""

    at: int


@dataclass(frozen=True)
class Later:
    """Every iteration n is what the chain before is at n − by."""

    by: int


@dataclass(frozen=True)
class Chain:
    """The last step of a segment, and the chain before it; none before what takes the place of all columns."""

    step: Any
    before: "Chain | None"


Planned = tuple[Step, int, int | None]
"""A step, by how much later it comes than on its own clock, and the iteration at which it stands still, if it does."""


def planned(chain: Chain, known: dict[int, list[Planned]]) -> list[Planned]:
    """The steps of a chain from the first on; scales of the same columns, one after the other, are one step.

    Those that stand still come first. `known` has the steps of other chains by their id: of those that this one goes on
    from, they are taken from there.
    """
    rest: list[Chain] = []
    at: Chain | None = chain
    while at is not None and id(at) not in known:
        rest.append(at)
        at = at.before
    plan = [] if at is None else known[id(at)]
    for step in _with_scales_together(each.step for each in reversed(rest)):
        plan = _followed(plan, step)
    return plan


def _with_scales_together(steps: Iterable[Any]) -> Iterator[Any]:
    """Consecutive scales of the same columns as one."""
    for columns, same in groupby(steps, lambda step: step.columns if isinstance(step, Scale) else None):
        if columns is None:
            yield from same
        else:
            yield Scale(columns, tuple(factor for step in same for factor in step.factors))


def _followed(plan: list[Planned], step: Step | Frozen | Later) -> list[Planned]:
    """A plan with one step more."""
    if isinstance(step, Later):
        return [(each, by + step.by, frozen) for each, by, frozen in plan]
    if isinstance(step, Frozen):
        return [(each, by, step.at - by if frozen is None else frozen) for each, by, frozen in plan]
    if isinstance(step, Scale) and plan:
        last, _, frozen = plan[-1]
        if isinstance(last, Scale) and frozen is None and last.columns == step.columns:
            return [*plan[:-1], (Scale(step.columns, last.factors + step.factors), 0, None)]
    return [*plan, (step, 0, None)]
