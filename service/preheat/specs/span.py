"""Span: the part of a run in which one scheduler is in force, by which its durations are resolved and checked."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from preheat.specs.duration_text import Duration
from preheat.specs.durations import Clock
from preheat.specs.fields import Closed
from preheat.specs.violations import Kind, Location, Violation, violation


@dataclass(frozen=True)
class Span:
    """What a scheduler has before it.

    `iterations` is what is left of the run, the default of a duration; `values` counts the iterations 0 … values − 1
    of the scheduler's own clock that are read: one more than `iterations` at the end of the run (its last value is
    read too), the same inside a sequence. `start` is the run's iteration at the scheduler's own 0, `warmup` the
    warm-up before it; `clock` has the length and the units of the whole run. `groups` is the number of param groups.
    What breaks a rule is collected in `violations`, under `location`.
    """

    iterations: int
    values: int
    start: int
    warmup: int
    clock: Clock
    groups: int
    location: Location
    violations: list[Violation]
    depth: int = 0

    def refuse(self, field: Location, rule: str, value: Any, kind: Kind = "invalid") -> None:
        """Notes that the value of `field` breaks `rule`."""
        self.violations.append(violation((*self.location, *field), rule, value, kind))

    def check_per_group(self, field: str, value: Any) -> None:
        """Refuses a list that has not one entry per param group."""
        if isinstance(value, tuple) and len(value) != self.groups:
            self.refuse((field,), f"must have one entry per param group: {self.groups}, not {len(value)}", value)

    def check_alternatives(self, model: Closed, first: str, second: str) -> None:
        """Refuses `second` beside `first`."""
        if getattr(model, first) is not None and getattr(model, second) is not None:
            self.refuse((second,), f"must not be given beside {first}", getattr(model, second))

    def check_filled_in(self, model: Closed, field: str, value: int) -> None:
        """Refuses another value of a field that is filled in: what an answer has may be sent where it still holds."""
        given = getattr(model, field)
        if given not in {None, value}:
            self.refuse((field,), f"must be {value} here, or left out", given)

    def default_length(self, field: str) -> int:
        """What is left of the run; refuses the default of `field` if that is nothing."""
        if self.iterations < 1:
            self.refuse((field,), "has no default here: nothing is left of the run for this scheduler", None)
        # 1 and not 0, by which formulas would divide: the rest of the spec is still checked.
        return max(self.iterations, 1)

    def share(self, share: float) -> int:
        """A share of the whole run, in iterations, at least 1."""
        return max(round(self.total * share), 1)

    @property
    def is_nested(self) -> bool:
        """Whether the scheduler is part of another."""
        return self.depth > 0

    @property
    def total(self) -> int:
        """Iterations of the whole run."""
        return self.clock.total or 0

    def resolved(self, value: Any, field: Location, offset: int = 0) -> Any:
        """A field's value, whose durations, in lists and models too, begin at the scheduler's own `offset`."""
        return self._each(value, field, lambda duration: self.clock.iterations(duration, self.start + offset))

    def resolved_at_end(self, value: Any, field: Location) -> Any:
        """A field's value, whose durations end with the span."""
        stop = self.start + self.iterations
        return self._each(value, field, lambda duration: self.clock.iterations_before(duration, stop))

    def resolved_period(self, value: Any, field: Location) -> Any:
        """A field's value, whose duration is repeated from the start of the run on."""
        return self._each(value, field, self.clock.period)

    def _each(self, value: Any, field: Location, iterations: Callable[[Duration], int]) -> Any:
        if isinstance(value, Duration):
            try:
                return iterations(value)
            except ValueError as error:
                self.refuse(field, str(error), value.text)
                return value
        if isinstance(value, tuple):
            return tuple(self._each(each, (*field, index), iterations) for index, each in enumerate(value))
        if isinstance(value, Closed):
            update = {
                name: self._each(getattr(value, name), (*field, info.alias or name), iterations)
                for name, info in type(value).model_fields.items()
                if isinstance(getattr(value, name), Duration)
            }
            return value.model_copy(update=update) if update else value
        return value

    def child(
        self, *path: str | int, start: int = 0, iterations: int | None = None, extra: int | None = None
    ) -> "Span":
        """The span of a scheduler that this one is made of, from its own iteration `start` on.

        `extra` is 1 if one value more than `iterations` is read; by default as here.
        """
        length = self.iterations - start if iterations is None else iterations
        # 1 at the end of the run, 0 in a sequence: the value at a milestone is read from the next scheduler.
        more = self.values - self.iterations if extra is None else extra
        return replace(
            self,
            iterations=length,
            values=length + more,
            start=self.start + start,
            location=(*self.location, *path),
            depth=self.depth + 1,
        )
