"""Scheduler: what every entry of `after_scheduler` knows of itself, and the bases of those that are formulas."""

import math
from collections.abc import Iterable, Sequence
from typing import ClassVar, Self

from pydantic import Field
from typing_extensions import override

from preheat.formula.easing import number
from preheat.specs.duration_text import Duration
from preheat.specs.durations import Iterations
from preheat.specs.fields import LR, Closed, Ratio
from preheat.specs.span import Span
from preheat.specs.violations import Location

MAX_DEPTH = 20
"""Schedulers within schedulers."""

_MOMENTUM = frozenset({"cycle_momentum", "base_momentum", "max_momentum"})

_PER_GROUP = ("base_lr", "max_lr", "swa_lr")
"""Fields of an LR that may be a list with one for each param group."""

Stage = tuple[str, int]
"""Name of a stage, and the iteration of the scheduler's own clock at which it begins."""

Named = tuple[Location, int]
"""A field, by its location below the scheduler, and a number of iterations."""


class Scheduler(Closed):
    """An entry of `after_scheduler`, told apart by `type`: its fields, and everything that follows from them.

    A new type is a subclass with a Literal `type` in a module of this package. It overrides `formula` and what else is
    not as here; only a type that is not a formula needs an entry in `preheat.schedulers.build` too.

    `has_closed_form`: any iteration is computed directly; otherwise it is stepped to one by one.
    `is_computed_by_torch`: its LRs come out of torch's code, which another version of torch may change.
    `can_be_chained`: it multiplies the group's current LR, so that a ChainedScheduler can combine it with others.
    `goes_on`: in a SequentialLR it starts from the LR before it, and not from b.
    `peaks_at_target`: its highest LR is meant to be the target.
    `may_rise`: it is meant to rise at the end of a run that is cut anywhere.
    `length_field`: the field with the length of the whole decay, which usually is what is left of the run.
    `epoch_fields`: fields with durations that are a good part of the run, and often written in epochs by mistake.
    `brief_fields`: fields with durations that may be brief, such as a warm-up's or a tail's, and are so mistaken too.
    `counts_values`: `length_field` counts the values of the decay, and not the iterations from its first to its last.
    `rises_past_length`: after the whole decay its LR goes up again.
    `formula_field`: the location of what a user can change about a formula that has no value.
    `resolved_apart`: fields whose durations do not begin where the scheduler does.
    """

    has_closed_form: ClassVar[bool] = True
    is_computed_by_torch: ClassVar[bool] = False
    can_be_chained: ClassVar[bool] = True
    goes_on: ClassVar[bool] = False
    peaks_at_target: ClassVar[bool] = True
    may_rise: ClassVar[bool] = False
    length_field: ClassVar[str | None] = None
    epoch_fields: ClassVar[tuple[str, ...]] = ()
    brief_fields: ClassVar[tuple[str, ...]] = ()
    counts_values: ClassVar[bool] = False
    rises_past_length: ClassVar[bool] = False
    formula_field: ClassVar[Location] = ()
    resolved_apart: ClassVar[frozenset[str]] = frozenset()
    type: str

    def formula(self, group: int = 0) -> str:
        """The LR of the param group at an index, in the names `s` (own iteration) and `b` (target LR).

        Of a normalised scheduler. Raises NotExpressible where no formula gives it.
        """
        raise NotImplementedError

    def check_formula(self, length: int) -> None:
        """Raises NotExpressible if `formula` does not give the LRs of own iterations 0 … length."""
        for child, own_length in zip(self.children.values(), self.child_lengths(length), strict=True):
            child.check_formula(own_length)

    def turns(self, start: int, stop: int) -> Iterable[int]:
        """A few iterations between which, in start … stop − 1, the LR only rises or only falls.

        Their number does not grow with the window; some may lie outside it.
        """
        return ()

    def turning_points(self, start: int, stop: int) -> set[int]:
        """Iterations of start … stop − 1 that hold, with the two ends, the window's lowest and highest LR."""
        return {point for point in self.turns(start, stop) if start <= point < stop} if start < stop else set()

    def unproved(self, start: int, stop: int) -> range:
        """The part of start … stop − 1 in which `turns` has a sample only, and may miss a peak or a valley."""
        return hull(child.unproved(start, stop) for child in self.children.values())

    def repeats(self, stop: int) -> bool:
        """Whether in 0 … stop − 1 it may turn elsewhere too, without a lower or a higher LR than where `turns` says."""
        return any(child.repeats(stop) for child in self.children.values())

    @property
    def stages(self) -> list[Stage]:
        """The stages that a picture names, in order; the first begins at 0."""
        return [(self.type, 0)]

    @property
    def children(self) -> dict[Location, "Scheduler"]:
        """The schedulers that this one is made of, by their location below it."""
        return {}

    def child_lengths(self, length: int) -> list[int]:
        """What each child has of the `length` iterations that this scheduler has."""
        return [length] * len(self.children)

    def named_length(self) -> Named | None:
        """The field with the length of the whole decay, and that length."""
        value = getattr(self, self.length_field) if self.length_field else None
        return None if value is None else ((str(self.length_field),), value)

    def named_epochs(self, iterations: int) -> list[Named]:
        """Fields with durations that are a good part of a run, and the longest there; `iterations` are left of it."""
        return self._named(self.epoch_fields)

    def named_briefs(self) -> list[Named]:
        """Fields with durations that may be brief, and the longest there."""
        return self._named(self.brief_fields)

    def named_beginnings(self) -> list[Named]:
        """Fields with something that begins later than the scheduler, and the iteration at which it does."""
        return []

    def cycle_position(self, iteration: int) -> tuple[int, float] | None:
        """Iterations into the cycle, and the cycle's length (0 past the last); None if there are no cycles."""
        return None

    def restarts_within(self, iterations: int) -> bool | None:
        """Whether a cycle is over and another begins before `iterations` are; None if it has no cycles."""
        return None

    def suspects(self, length: int) -> Sequence[int]:
        """Iterations of 0 … length at which the formula may have no value, to be tried before a spec is accepted."""
        return ()

    def idle_fields(self) -> list[Location]:
        """Fields that are not at their default and yet change nothing, since the formula is the same without them."""
        mine = {} if self.children else type(self).model_fields
        kept = _MOMENTUM if self.cycles_momentum else frozenset({"cycle_momentum"})
        changed = {
            name: field.default
            for name, field in mine.items()
            if name not in kept and not field.is_required() and field.default not in {None, getattr(self, name)}
        }
        if not changed:
            return []
        own = self.formula()
        return [(name,) for name, value in changed.items() if self.model_copy(update={name: value}).formula() == own]

    @property
    def cycles_momentum(self) -> bool:
        """Whether it runs momentum (or β1) against the LR: a type that can has a field for it."""
        return bool(getattr(self, "cycle_momentum", False))

    @property
    def is_closed(self) -> bool:
        """Whether this scheduler, with all it is made of, answers any iteration without stepping."""
        return self.has_closed_form and all(child.is_closed for child in self.children.values())

    @property
    def differs_by_group(self) -> bool:
        """Whether any of it has a parameter for each param group, so that `formula` does."""
        own = any(isinstance(getattr(self, name, None), tuple) for name in _PER_GROUP)
        return own or any(child.differs_by_group for child in self.children.values())

    @property
    def has_no_start(self) -> bool:
        """Whether any of it goes on from the LR before it, where it follows another scheduler."""
        return self.goes_on or any(child.has_no_start for child in self.children.values())

    def log_growth(self, iterations: int) -> float:
        """Natural logarithm of the factor by which the LR may outgrow b within `iterations`; 0 if it never does."""
        return sum(child.log_growth(iterations) for child in self.children.values())

    def _named(self, fields: Iterable[str]) -> list[Named]:
        values = ((field, getattr(self, field)) for field in fields)
        longest = ((field, max(value) if isinstance(value, tuple) else value) for field, value in values)
        return [((field,), value) for field, value in longest if value]

    def normalised(self, span: Span) -> Self:
        """The same scheduler with every default filled in; what breaks a rule goes to `span.violations`."""
        if span.depth > MAX_DEPTH:
            span.refuse((), f"must not be nested more than {MAX_DEPTH} deep", self.type)
            return self
        # `filled_in` computes with whole iterations: with a Duration that could not be resolved it would fail.
        before = len(span.violations)
        resolved = {
            name: span.resolved(value, (name,))
            for name, value in self
            if name not in self.resolved_apart and _has_durations(value)
        }
        if len(span.violations) > before:
            return self
        return self.model_copy(update=resolved).filled_in(span)

    def filled_in(self, span: Span) -> Self:
        """As `normalised`, of a scheduler whose durations are whole iterations; for each type to override."""
        return self


class Shape(Scheduler):
    """A schedule that torch lacks: everything about it follows from its formula."""

    can_be_chained: ClassVar[bool] = False


class Decay(Shape):
    """A shape that ends at min_lr, or at min_ratio · b, after `length` iterations, and stays there."""

    length_field: ClassVar[str | None] = "length"
    epoch_fields: ClassVar[tuple[str, ...]] = ("length",)
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
    def filled_in(self, span: Span) -> Self:
        span.check_alternatives(self, "min_lr", "min_ratio")
        # Written down even where it is the default: a stored spec must not depend on defaults of a later version.
        length = self.length or span.default_length("length")
        min_lr = 0.0 if self.min_lr is None and self.min_ratio is None else self.min_lr
        return self.model_copy(update={"length": length, "min_lr": min_lr})

    @override
    def turns(self, start: int, stop: int) -> Iterable[int]:
        return (self.length or 1,)

    def between(self, height: str) -> str:
        """The LR where `height` goes from 1 (b) to 0 (the end LR), as a formula."""
        # Three notations of one line, so that an end LR of 0 is reached to the last bit.
        if self.min_ratio is None and not self.min_lr:
            return f"b * ({height})"
        if self.min_ratio is not None:
            return f"b * ({number(self.min_ratio)} + {number(1 - self.min_ratio)} * ({height}))"
        return f"{self.low} + (b - {self.low}) * ({height})"


def hull(parts: Iterable[range]) -> range:
    """The shortest range that all the parts lie in."""
    parts = [part for part in parts if part]
    return range(min(part.start for part in parts), max(part.stop for part in parts)) if parts else range(0)


def moved(part: range, by: int) -> range:
    """A range on a clock that is ahead by so much."""
    return range(part.start + by, part.stop + by)


def log_growth_to(factor: float, exponent: float = 1.0) -> float:
    """Logarithm of a power of a factor above 1; 0 for others."""
    return math.log(factor) * exponent if factor > 1 else 0.0


def is_over(factor: float, steps: int) -> bool:
    """Whether so many steps, each by a factor, leave less than a thousandth."""
    return factor < 1 and (factor == 0 or steps * math.log(factor) < math.log(1e-3)) if steps else False


def _has_durations(value: object) -> bool:
    """Not those of children, which resolve their own."""
    if isinstance(value, tuple):
        return any(map(_has_durations, value))
    if isinstance(value, Closed) and not isinstance(value, Scheduler):
        return any(isinstance(each, Duration) for _, each in value)
    return isinstance(value, Duration)
