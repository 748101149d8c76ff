"""What an epoch, a sample and a token are in iterations."""

import math
import re
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from preheat.specs.durations import EXAMPLES, PATTERN, Amount
from preheat.specs.fields import MAX_ITERATION, Closed

Unit = Literal["epoch", "samples", "tokens"]

_Size = Annotated[float, Field(ge=1e-6, le=1e15)]
_SUFFIXES: dict[str, Unit] = {"ep": "epoch", "sp": "samples", "tok": "tokens"}
_FIELDS: dict[Unit, str] = {
    "epoch": "iterations_per_epoch",
    "samples": "samples_per_iteration",
    "tokens": "tokens_per_iteration",
}


class BatchSize(Closed):
    """One stretch of a ramp: `size` per iteration from `start` on, or growing evenly to `end_size` at the next."""

    start: Annotated[float, Field(ge=0, le=1e18)] = Field(
        description="Where the stretch begins, in samples or tokens seen before it.", examples=[252e6]
    )
    size: _Size = Field(description="Samples or tokens per iteration.", examples=[4e6])
    end_size: _Size | None = Field(
        None, description="Size at the start of the next stretch; by default it stays the same.", examples=[8e6]
    )


def _number_or_ramp(value: Any) -> str:
    return "list" if isinstance(value, list | tuple) else "number"


_SizeOrRamp = Annotated[
    Annotated[_Size, Tag("number")]
    | Annotated[tuple[BatchSize, ...], Field(min_length=1, max_length=100, fail_fast=True), Tag("list")],
    Discriminator(_number_or_ramp),
]


class Units(Closed):
    """How long epochs, samples and tokens are. A duration becomes the nearest number of iterations (½ rounds up)."""

    iterations_per_epoch: _Size | None = Field(None, description="Iterations of one epoch.", examples=[156.39])
    samples_per_iteration: _SizeOrRamp | None = Field(
        None, description="Samples of one iteration, over all ranks; a ramp is a list of stretches.", examples=[8192]
    )
    tokens_per_iteration: _SizeOrRamp | None = Field(
        None,
        description="Tokens of one iteration, over all ranks; a ramp is a list of stretches.",
        examples=[[{"start": 0, "size": 4e6}, {"start": 252e6, "size": 8e6}]],
    )

    def iterations(self, unit: Unit, amount: float) -> int:
        """The nearest iteration to where `amount` epochs, samples or tokens are done. Raises ValueError if unknown."""
        return _rounded(self._ramp(unit).iterations(amount))

    def amount(self, unit: Unit, iteration: int) -> float:
        """Epochs, samples or tokens done after `iteration` iterations. Raises ValueError if unknown."""
        return self._ramp(unit).amount(iteration)

    def _ramp(self, unit: Unit) -> "Ramp":
        size = getattr(self, _FIELDS[unit])
        if size is None:
            raise ValueError(f"counts {unit if unit != 'epoch' else 'epochs'}: give units.{_FIELDS[unit]}")
        if unit == "epoch":
            return Ramp((BatchSize(start=0, size=1 / size),))
        return Ramp(size if isinstance(size, tuple) else (BatchSize(start=0, size=size),))


@dataclass(frozen=True)
class Ramp:
    """Samples (or tokens) as a function of iterations, where their number per iteration changes on the way."""

    stretches: tuple[BatchSize, ...]

    def amount(self, iterations: float) -> float:
        """How much is done after `iterations`."""
        index = max(bisect_right(self._firsts, iterations) - 1, 0)
        stretch, x = self.stretches[index], iterations - self._firsts[index]
        return stretch.start + stretch.size * x + self._growth(index) * x * x / 2

    def iterations(self, amount: float) -> float:
        """After how many iterations `amount` is done."""
        index = max(bisect_right([stretch.start for stretch in self.stretches], amount) - 1, 0)
        stretch, growth = self.stretches[index], self._growth(index)
        left = amount - stretch.start
        # the root of growth · x² / 2 + size · x = left that stays exact for a growth of 0
        root = math.sqrt(max(stretch.size**2 + 2 * growth * left, 0.0))
        return self._firsts[index] + 2 * left / (stretch.size + root)

    @cached_property
    def _firsts(self) -> list[float]:
        """The iteration at which each stretch begins."""
        firsts = [0.0]
        for index in range(len(self.stretches) - 1):
            firsts.append(firsts[-1] + self._length(index))
        return firsts

    def _length(self, index: int) -> float:
        here, following = self.stretches[index], self.stretches[index + 1]
        return (following.start - here.start) * 2 / (here.size + (here.end_size or here.size))

    def _growth(self, index: int) -> float:
        stretch = self.stretches[index]
        if stretch.end_size is None or index == len(self.stretches) - 1:
            return 0.0
        return (stretch.end_size - stretch.size) / self._length(index)


@dataclass(frozen=True)
class Clock:
    """A run's length and units: what durations are resolved with. `total` is None while the length is unknown."""

    total: int | None
    units: Units

    def iterations(self, text: str) -> int:
        """Iterations of a duration such as "10%" (of the whole run) or "5ep", rounded. Raises ValueError."""
        match = re.fullmatch(PATTERN, text) if len(text) <= 32 else None  # noqa: PLR2004 - as its field says
        if match is None:
            raise ValueError(f"must be a whole number of iterations or a duration: {EXAMPLES}")
        suffix = match[3]
        amount = float(text.removesuffix(suffix))
        if amount > MAX_ITERATION * 1e6:
            raise ValueError("must be shorter")
        if suffix == "it":
            return _rounded(amount)
        if suffix in _SUFFIXES:
            unit = _SUFFIXES[suffix]
            return Amount.of(self.units.iterations(unit, amount), unit, amount)
        if self.total is None:
            raise ValueError("is a share of total_iterations, which is not known here")
        return _rounded(amount * self.total / 100)

    def placed(self, amount: int, start: int) -> int:
        """A duration that begins at iteration `start`: later in a ramp, the same tokens take fewer iterations."""
        if not isinstance(amount, Amount):
            return amount
        done = self.units.amount(amount.unit, start)  # type: ignore[arg-type]
        return self.units.iterations(amount.unit, done + amount.amount) - start  # type: ignore[arg-type]

    def placed_before(self, amount: int, stop: int) -> int:
        """A duration that ends at iteration `stop`."""
        if not isinstance(amount, Amount):
            return amount
        done = self.units.amount(amount.unit, stop)  # type: ignore[arg-type]
        return stop - self.units.iterations(amount.unit, max(done - amount.amount, 0.0))  # type: ignore[arg-type]


def ramp_violations(units: Units) -> list[tuple[tuple[str | int, ...], str, Any]]:
    """What breaks the rules of ramps: path, rule and value."""
    found: list[tuple[tuple[str | int, ...], str, Any]] = []
    for field in ("samples_per_iteration", "tokens_per_iteration"):
        ramp = getattr(units, field)
        if not isinstance(ramp, tuple):
            continue
        if ramp[0].start != 0:
            found.append(((field, 0, "start"), "must be 0: a ramp begins with the run", ramp[0].start))
        found += [
            ((field, index, "start"), f"must be greater than that of the stretch before ({before.start})", after.start)
            for index, (before, after) in enumerate(pairwise(ramp), start=1)
            if after.start <= before.start
        ]
        if ramp[-1].end_size is not None:
            found.append(
                ((field, len(ramp) - 1, "end_size"), "must not be given: no stretch follows", ramp[-1].end_size)
            )
    return found


def _rounded(iterations: float) -> int:
    return math.floor(iterations + 0.5)
