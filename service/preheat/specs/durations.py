"""Durations: iterations, or an amount of a unit; and what epochs, samples and tokens are in iterations."""

import math
from bisect import bisect_right
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, ValidatorFunctionWrapHandler, WrapValidator

from preheat.specs.duration_text import Duration, DurationText, Unit, duration
from preheat.specs.fields import MAX_ITERATION, Closed, Int, number_or_list, whole
from preheat.specs.violations import Location


def _validator(least: int) -> WrapValidator:
    def duration_or_iterations(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        if isinstance(value, float) and 0 < value < 1:
            raise ValueError(f'must be a whole number of iterations; a share of the run is written "{value * 100:g}%"')
        return duration(value, least) if isinstance(value, str) else handler(whole(value))

    return WrapValidator(duration_or_iterations, json_schema_input_type=int | DurationText)


# For the type checker both are int: a spec whose durations are read has been normalised, and has no Duration left.
Iterations = Annotated[int, Field(ge=1, le=MAX_ITERATION), _validator(1)]
"""A duration of at least one iteration."""

IterationsOrZero = Annotated[int, Field(ge=0, le=MAX_ITERATION), _validator(0)]
"""A duration that may be 0."""


_SMALLEST, _LARGEST = 1e-6, 1e15
Size = Annotated[float, Field(ge=_SMALLEST, le=_LARGEST)]
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


_Count = Annotated[Int, Field(ge=1, le=10**12)]


class Units(Closed):
    """How long epochs, samples and tokens are. A duration becomes the nearest number of iterations (½ rounds up).

    An epoch may be told by the dataset instead: batches = dataset_size / (batch_size · devices), rounded up, or down
    with drop_last, and iterations_per_epoch = batches / accumulation, rounded as `rounding` says. The answer has
    iterations_per_epoch and samples_per_iteration = batch_size · accumulation · devices instead.
    """

    iterations_per_epoch: Size | None = Field(None, description="Iterations of one epoch.", examples=[156.39])
    samples_per_iteration: _SizeOrRamp | None = Field(
        None, description="Samples of one iteration, over all ranks; a ramp is a list of steps.", examples=[8192]
    )
    tokens_per_iteration: _SizeOrRamp | None = Field(
        None,
        description="Tokens of one iteration, over all ranks; a ramp is a list of steps.",
        examples=[[{"start": 0, "size": 4e6}, {"start": 252e6, "size": 8e6}]],
    )

    dataset_size: _Count | None = Field(
        None, description="Samples of an epoch, instead of iterations_per_epoch.", examples=[1000]
    )
    batch_size: _Count | None = Field(
        None, description="Batch of one device; required with dataset_size.", examples=[16]
    )
    accumulation: _Count | None = Field(None, description="Batches of one iteration; 1 by default.", examples=[2])
    devices: _Count | None = Field(None, description="Devices that share the dataset; 1 by default.", examples=[8])
    drop_last: bool = Field(
        False, description="Whether a last, smaller batch is dropped, as torch's DataLoader can.", examples=[False]
    )
    rounding: Literal["up", "down", "none"] = Field(
        "up",
        description=(
            "What becomes of the last batches of an epoch, fewer than `accumulation`: an iteration of their own (up: "
            "transformers, Lightning, accelerate, timm), nothing (down), or the start of the next epoch's first (none)."
        ),
        examples=["up"],
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


_REPETITIONS = 1000


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
        if duration.is_point:
            return _at_least(duration, self._iterations(duration, 0) - start)
        return _at_least(duration, self._iterations(duration, start))

    def period(self, duration: Duration) -> int:
        """Iterations of a duration that is repeated from the start of the run on. Raises ValueError as `iterations`.

        It must come to the same whole number every time: rounded, the repetitions would run away from what they count.
        """
        if duration.is_point:
            raise ValueError("must be a duration and no point of the run: it is repeated")
        iterations = self.iterations(duration)
        many = self._iterations(replace(duration, amount=duration.amount * _REPETITIONS), 0)
        if many != iterations * _REPETITIONS:
            raise ValueError(f"must be whole iterations, and is {many / _REPETITIONS:g} here: it is repeated")
        return iterations

    def iterations_before(self, duration: Duration | int, stop: int) -> int:
        """Iterations of a duration that ends at iteration `stop` of the run; a point is where it begins.

        Raises as `iterations`.
        """
        if isinstance(duration, int):
            return duration
        if duration.is_point:
            return _at_least(duration, stop - self._iterations(duration, 0))
        if duration.unit in {"%", "it"}:
            return self.iterations(duration)
        # Any: after `in` the type checker still has "%" and "it" in the type.
        unit: Any = duration.unit
        done = self.units.amount(unit, stop)
        if duration.amount > done:  # it would begin before the run: no number of iterations that end at `stop`
            return self.iterations(duration)
        return _at_least(duration, stop - self.units.iterations(unit, done - duration.amount))

    def _iterations(self, duration: Duration, start: int) -> int:
        match duration.unit:
            case "it":
                return _rounded(duration.amount)
            case "%":
                if self.total is None:
                    raise ValueError("is a share of total_iterations, which is not known here")
                # Divided last: 29 · 50 / 100 is 14.5, a half to round up, and 0.29 · 50 is a little less.
                return _rounded(duration.amount * self.total / 100)
            case unit:  # later in a ramp the same tokens take fewer iterations
                done = self.units.amount(unit, start)
                return self.units.iterations(unit, done + duration.amount) - start


_OF_DATASET = ("dataset_size", "batch_size", "accumulation", "devices", "drop_last", "rounding")


def dataset_violations(units: Units) -> list[tuple[Location, str, Any]]:
    """What breaks the rules of an epoch that is told by its dataset: location, rule and value."""
    given = {name: getattr(units, name) for name in _OF_DATASET if getattr(units, name) not in {None, False, "up"}}
    if units.dataset_size is None:
        rule = "must stand beside dataset_size, which says what an epoch is"
        return [((name,), rule, value) for name, value in given.items()]
    if units.batch_size is None:
        return [(("batch_size",), "is required with dataset_size", None)]
    found: list[tuple[Location, str, Any]] = []
    derived = with_epochs(units)
    for name in ("iterations_per_epoch", "samples_per_iteration"):
        value, follows = getattr(units, name), getattr(derived, name)
        if value is not None and value != follows and not isinstance(value, tuple):
            found.append(((name,), f"must be left out, or {follows:g}, which follows from dataset_size", value))
    if not derived.iterations_per_epoch:
        found.append((("dataset_size",), "must be at least one iteration: all of it is dropped", units.dataset_size))
        return found
    for name in ("iterations_per_epoch", "samples_per_iteration"):
        follows = getattr(derived, name)
        # What follows is held against the field's own bounds: it takes its place in the answer.
        if isinstance(follows, float) and not _SMALLEST <= follows <= _LARGEST:
            rule = f"makes units.{name} {follows:g}, which must be in {_SMALLEST:g} … {_LARGEST:g}"
            found.append((("dataset_size",), rule, units.dataset_size))
    return found


def with_epochs(units: Units) -> Units:
    """The units with iterations_per_epoch and samples_per_iteration in the place of the dataset they follow from."""
    if units.dataset_size is None or units.batch_size is None:
        return units
    accumulation, samples = units.accumulation or 1, units.batch_size * (units.devices or 1)
    # In whole numbers, as frameworks count: -(-a // b) is a / b rounded up.
    batches = units.dataset_size // samples if units.drop_last else -(-units.dataset_size // samples)
    epoch = {"up": -(-batches // accumulation), "down": batches // accumulation, "none": batches / accumulation}
    per_iteration = units.samples_per_iteration
    return Units.model_construct(
        iterations_per_epoch=float(epoch[units.rounding]),
        samples_per_iteration=per_iteration if isinstance(per_iteration, tuple) else float(samples * accumulation),
        tokens_per_iteration=units.tokens_per_iteration,
    )


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
    if iterations < 0:
        raise ValueError("must be a point after the iteration at which this begins")
    if iterations < duration.least:
        raise ValueError(f"must be ≥ {duration.least} iterations, and is {iterations} here")
    if iterations > MAX_ITERATION:
        raise ValueError(f"must be ≤ {MAX_ITERATION} iterations")
    return iterations


def _rounded(iterations: float) -> int:
    # Not round(), which takes the even neighbour of a half: 2.5 would become 2. A half may come out of an amount and a
    # size some ulps short: 3 epochs of 37.5 iterations are 112.49999999999999.
    return math.floor(iterations + min(8 * math.ulp(iterations), 0.001) + 0.5)
