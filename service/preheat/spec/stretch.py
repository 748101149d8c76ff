"""The stretch of a run in which one scheduler is in force: what its durations default to and are held against."""

from dataclasses import dataclass
from typing import Any

from preheat.spec.violations import Path, Violation, violation


@dataclass(frozen=True)
class Stretch:
    """What a scheduler has before it.

    `iterations` is what is left of the run, the default of a duration; `values` counts the iterations 0 … values − 1
    of the scheduler's own clock that are read: one more than `iterations` at the end of the run (its last value is
    read too), the same inside a sequence. `groups` is the number of param groups. What breaks a rule is collected
    in `violations`, under `path`.
    """

    iterations: int
    values: int
    groups: int
    path: Path
    violations: list[Violation]

    def refuse(self, field: Path, rule: str, value: Any) -> None:
        """Notes that the value of `field` breaks `rule`."""
        self.violations.append(violation((*self.path, *field), rule, value))

    def check_per_group(self, field: str, value: Any) -> None:
        """Refuses a list that has not one entry per param group."""
        if isinstance(value, tuple) and len(value) != self.groups:
            self.refuse((field,), f"must have one entry per param group: {self.groups}, not {len(value)}", value)

    def child(self, index: int, *, iterations: int, values: int) -> "Stretch":
        """The stretch of the scheduler at `schedulers[index]`."""
        return Stretch(iterations, values, self.groups, (*self.path, "schedulers", index), self.violations)
