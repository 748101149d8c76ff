"""Durations: iterations, or an amount of a unit; and what epochs, samples and tokens are in iterations."""

import math
import re
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, ValidatorFunctionWrapHandler, WrapValidator

from preheat.specs.fields import MAX_ITERATION, Closed, number_or_list
from preheat.specs.violations import Location

Unit = Literal["epoch", "samples", "tokens"]
"""What a run is counted in besides iterations."""

_EXAMPLES = '"10%", "5ep", "2000it", "4e6sp" or "375e6tok"'
_PATTERN = r"^[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?(%|it|ep|sp|tok)$"
_MAX_CHARACTERS = 32
_UNITS: dict[str, Unit | Literal["%", "it"]] = {"%": "%", "it": "it", "ep": "epoch", "sp": "samples", "tok": "tokens"}

DurationText = Annotated[str, Field(pattern=_PATTERN, max_length=_MAX_CHARACTERS, examples=["10%"])]


@dataclass(frozen=True)
class Duration:
    """An amount of a unit, as written in `text`; it stands for at least `least` iterations.

    % is a share of the whole run. Epochs, samples and tokens take as many iterations as they take where the duration
    begins: fewer where the batch has grown.
    """

    text: str
    amount: float
    unit: Unit | Literal["%", "it"]
    least: int


def _validator(least: int) -> WrapValidator:
    def duration_or_iterations(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        return _duration(value, least) if isinstance(value, str) else handler(value)

    return WrapValidator(duration_or_iterations, json_schema_input_type=int | DurationText)


def _duration(text: str, least: int) -> Duration:
    match = re.fullmatch(_PATTERN, text) if len(text) <= _MAX_CHARACTERS else None
    if match is None:
        raise ValueError(f"must be a whole number of iterations or a duration: {_EXAMPLES}")
    # 1e999 matches the pattern and is inf here, which the bound below refuses.
    amount = float(text.removesuffix(match[3]))
    # Of any unit, before it is known what one is: a bound against overflow, not the one on iterations.
    if amount > MAX_ITERATION * 1e6:
        raise ValueError("must be shorter")
    return Duration(text, amount, _UNITS[match[3]], least)


# For the type checker both are int: a spec whose durations are read has been normalised, and has no Duration left.
Iterations = Annotated[int, Field(ge=1, le=MAX_ITERATION), _validator(1)]
"""A duration of at least one iteration."""

IterationsOrZero = Annotated[int, Field(ge=0, le=MAX_ITERATION), _validator(0)]
"""A duration that may be 0."""


Size = Annotated[float, Field(ge=1e-6, le=1e15)]
"""Samples, tokens or iterations of one of something; a mean may be a fraction."""

_FIELDS: dict[Unit, str] = {
    "epoch": "iterations_per_epoch",
    "samples": "samples_per_iteration",
    "tokens": "tokens_per_iteration",
}


class BatchSize(Closed):
    """One step of a ramp: `size` per iteration from `start` on, or growing evenly to `end_size` at the next."""

    start: Annotated[float, Field(ge=0, le=1e18)] = Field(
        description="Where the step begins, in samples or tokens seen before it.", examples=[252e6]
    )
    size: Size = Field(description="Samples or tokens per iteration.", examples=[4e6])
    end_size: Size | None = Field(
        None, description="Size at the start of the next step; by default it stays the same.", examples=[8e6]
    )


_SizeOrRamp = Annotated[
    Annotated[Size, Tag("number")]
    | Annotated[tuple[BatchSize, ...], Field(min_length=1, max_length=100, fail_fast=True), Tag("list")],
    Discriminator(number_or_list),
]


class Units(Closed):
    """How long epochs, samples and tokens are. A duration becomes the nearest number of iterations (½ rounds up)."""

    iterations_per_epoch: Size | None = Field(None, description="Iterations of one epoch.", examples=[156.39])
    samples_per_iteration: _SizeOrRamp | None = Field(
        None, description="Samples of one iteration, over all ranks; a ramp is a list of steps.", examples=[8192]
    )
    tokens_per_iteration: _SizeOrRamp | None = Field(
        None,
        description="Tokens of one iteration, over all ranks; a ramp is a list of steps.",
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
            # An epoch is given in iterations, the other units per iteration: hence the reciprocal.
            return Ramp((BatchSize(start=0, size=1 / size),))
        return Ramp(size if isinstance(size, tuple) else (BatchSize(start=0, size=size),))


@dataclass(frozen=True)
class Ramp:
    """Samples (or tokens) as a function of iterations, where their number per iteration changes on the way."""

    steps: tuple[BatchSize, ...]

    def amount(self, iterations: float) -> float:
        """How much is done after `iterations`."""
        # bisect_right: at its own first iteration a step is already in force.
        index = max(bisect_right(self._firsts, iterations) - 1, 0)
        step, x = self.steps[index], iterations - self._firsts[index]
        return step.start + step.size * x + self._growth(index) * x * x / 2

    def iterations(self, amount: float) -> float:
        """After how many iterations `amount` is done."""
        index = max(bisect_right([step.start for step in self.steps], amount) - 1, 0)
        step, growth = self.steps[index], self._growth(index)
        rest = amount - step.start
        # The root of growth · x² / 2 + size · x = rest, in the form that stays exact for a growth of 0.
        # max: rounding may take a batch that shrinks to its end just below 0.
        root = math.sqrt(max(step.size**2 + 2 * growth * rest, 0.0))
        return self._firsts[index] + 2 * rest / (step.size + root)

    @cached_property
    def _firsts(self) -> list[float]:
        """The iteration at which each step begins."""
        return list(accumulate(map(self._length, range(len(self.steps) - 1)), initial=0.0))

    def _length(self, index: int) -> float:
        here, following = self.steps[index], self.steps[index + 1]
        # A batch that grows evenly has, on the way, the mean of its two sizes.
        return (following.start - here.start) * 2 / (here.size + (here.end_size or here.size))

    def _growth(self, index: int) -> float:
        step = self.steps[index]
        # The last step has no next one towards which it could grow.
        if step.end_size is None or index == len(self.steps) - 1:
            return 0.0
        return (step.end_size - step.size) / self._length(index)


@dataclass(frozen=True)
class Clock:
    """A run's length and units: what durations are resolved with. `total` is None while the length is unknown."""

    total: int | None
    units: Units

    def iterations(self, duration: Duration | int, start: int = 0) -> int:
        """Iterations of a duration that begins at iteration `start` of the run.

        Raises ValueError, which says the rule, if it cannot be told or is shorter than it may be.
        """
        if isinstance(duration, int):
            return duration
        match duration.unit:
            case "it":
                return _at_least(duration, _rounded(duration.amount))
            case "%":
                if self.total is None:
                    raise ValueError("is a share of total_iterations, which is not known here")
                # Divided last: 29 · 50 / 100 is 14.5, a half to round up, and 0.29 · 50 is a little less.
                return _at_least(duration, _rounded(duration.amount * self.total / 100))
            case unit:  # later in a ramp the same tokens take fewer iterations
                done = self.units.amount(unit, start)
                return _at_least(duration, self.units.iterations(unit, done + duration.amount) - start)

    def iterations_before(self, duration: Duration | int, stop: int) -> int:
        """Iterations of a duration that ends at iteration `stop` of the run. Raises as `iterations`."""
        if isinstance(duration, int) or duration.unit in {"%", "it"}:
            return self.iterations(duration)
        # Any: after `in` the type checker still has "%" and "it" in the type.
        unit: Any = duration.unit
        done = self.units.amount(unit, stop)
        if duration.amount > done:  # it would begin before the run: no number of iterations that end at `stop`
            return self.iterations(duration)
        return _at_least(duration, stop - self.units.iterations(unit, done - duration.amount))


def ramp_violations(units: Units) -> list[tuple[Location, str, Any]]:
    """What breaks the rules of ramps: location, rule and value."""
    found: list[tuple[Location, str, Any]] = []
    for field in ("samples_per_iteration", "tokens_per_iteration"):
        ramp = getattr(units, field)
        if not isinstance(ramp, tuple):
            continue
        if ramp[0].start != 0:
            found.append(((field, 0, "start"), "must be 0: a ramp begins with the run", ramp[0].start))
        found += [
            ((field, index, "start"), f"must be greater than that of the step before ({before.start})", after.start)
            for index, (before, after) in enumerate(pairwise(ramp), start=1)
            if after.start <= before.start
        ]
        if ramp[-1].end_size is not None:
            found.append(((field, len(ramp) - 1, "end_size"), "must not be given: no step follows", ramp[-1].end_size))
    return found


def _at_least(duration: Duration, iterations: int) -> int:
    if iterations < duration.least:
        raise ValueError(f"must be ≥ {duration.least} iterations, and is {iterations} here")
    if iterations > MAX_ITERATION:
        raise ValueError(f"must be ≤ {MAX_ITERATION} iterations")
    return iterations


def _rounded(iterations: float) -> int:
    # Not round(), which takes the even neighbour of a half: 2.5 would become 2. A half may come out of an amount and a
    # size some ulps short: 3 epochs of 37.5 iterations are 112.49999999999999.
    return math.floor(iterations + min(8 * math.ulp(iterations), 0.001) + 0.5)
