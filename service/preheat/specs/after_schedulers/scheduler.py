"""What every scheduler of a spec has."""

from typing import ClassVar, Self

from preheat.specs.fields import Closed
from preheat.specs.span import Stretch, has_amount

MAX_DEPTH = 20
"""Schedulers within schedulers."""

Stage = tuple[str, int]
"""Name of a stage, and the iteration of the scheduler's own clock at which it begins."""


class Scheduler(Closed):
    """An entry of `after_scheduler`, told apart by `type`.

    `has_closed_form`: any iteration is computed directly; otherwise it is stepped to one by one.
    `can_be_chained`: it multiplies the group's current LR, so that a ChainedScheduler can combine it with others.
    `is_computed_by_torch`: its LRs come out of torch's code, which another version of torch may change.
    `placed_apart`: durations that do not begin where the scheduler does.
    """

    has_closed_form: ClassVar[bool] = True
    can_be_chained: ClassVar[bool] = True
    is_computed_by_torch: ClassVar[bool] = True
    placed_apart: ClassVar[frozenset[str]] = frozenset()
    type: str

    @property
    def is_closed(self) -> bool:
        """Whether this scheduler, with all it is made of, answers any iteration without stepping."""
        return self.has_closed_form

    @property
    def stages(self) -> list[Stage]:
        """The stages that a picture names, in order; the first begins at 0."""
        return [(self.type, 0)]

    @property
    def children(self) -> dict[str, "Scheduler"]:
        """The schedulers that this one is made of, by JSON pointer."""
        return {}

    def resolve(self, stretch: Stretch) -> Self:
        """The same scheduler with every default filled in; what breaks a rule goes to `stretch.violations`."""
        if stretch.depth > MAX_DEPTH:
            stretch.refuse((), f"must not be nested more than {MAX_DEPTH} deep", self.type)
            return self
        placed = {
            name: stretch.placed(getattr(self, name))
            for name in type(self).model_fields
            if name not in self.placed_apart and has_amount(getattr(self, name))
        }
        return (self.model_copy(update=placed) if placed else self).filled_in(stretch)

    def filled_in(self, stretch: Stretch) -> Self:
        """As `resolve`, of a scheduler whose durations are whole iterations; for each type to override."""
        del stretch
        return self

    def log_growth(self, iterations: int) -> float:
        """Natural logarithm of the factor by which the LR may outgrow b within `iterations`; 0 if it never does."""
        del iterations
        return 0.0
