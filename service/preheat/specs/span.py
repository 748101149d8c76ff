"""The stretch of a run in which one scheduler is in force: what its durations default to and are held against."""

from dataclasses import dataclass, replace
from typing import Any

from preheat.specs.durations import Amount
from preheat.specs.units import Clock
from preheat.specs.violations import Path, Violation, violation


@dataclass(frozen=True)
class Stretch:
    """What a scheduler has before it.

    `iterations` is what is left of the run, the default of a duration; `values` counts the iterations 0 … values − 1
    of the scheduler's own clock that are read: one more than `iterations` at the end of the run (its last value is
    read too), the same inside a sequence. `start` is the run's iteration at the scheduler's own 0, `warmup` the
    warm-up before it; `clock` has the length and the units of the whole run. `groups` is the number of param groups.
    What breaks a rule is collected in `violations`, under `path`.
    """

    iterations: int
    values: int
    start: int
    warmup: int
    clock: Clock
    groups: int
    path: Path
    violations: list[Violation]
    depth: int = 0

    def refuse(self, field: Path, rule: str, value: Any, kind: str = "invalid") -> None:
        """Notes that the value of `field` breaks `rule`."""
        self.violations.append(violation((*self.path, *field), rule, value, kind))

    def check_per_group(self, field: str, value: Any) -> None:
        """Refuses a list that has not one entry per param group."""
        if isinstance(value, tuple) and len(value) != self.groups:
            self.refuse((field,), f"must have one entry per param group: {self.groups}, not {len(value)}", value)

    def default_length(self, field: str) -> int:
        """What is left of the run; refuses the default of `field` if that is nothing."""
        if self.iterations < 1:
            self.refuse((field,), "has no default here: nothing is left of the run for this scheduler", None)
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

    def placed(self, duration: Any, offset: int = 0) -> Any:
        """A duration, or a list of them, that begins at the scheduler's own iteration `offset`."""
        if isinstance(duration, tuple):
            return tuple(self.placed(each, offset) for each in duration)
        return self.clock.placed(duration, self.start + offset)

    def placed_at_end(self, duration: int) -> int:
        """A duration that ends with the stretch."""
        return self.clock.placed_before(duration, self.start + self.iterations)

    def child(
        self, *path: str | int, start: int = 0, iterations: int | None = None, extra: int | None = None
    ) -> "Stretch":
        """The stretch of a scheduler that this one is made of, from its own iteration `start` on.

        `extra` is 1 if one value more than `iterations` is read; by default as here.
        """
        length = self.iterations - start if iterations is None else iterations
        more = self.values - self.iterations if extra is None else extra
        return replace(
            self,
            iterations=length,
            values=length + more,
            start=self.start + start,
            path=(*self.path, *path),
            depth=self.depth + 1,
        )


def has_amount(value: Any) -> bool:
    """Whether a field's value is, or contains, a duration in epochs, samples or tokens."""
    return isinstance(value, Amount) or (isinstance(value, tuple) and any(isinstance(each, Amount) for each in value))
