"""StaircaseLR: any scheduler whose LR is held, for an epoch, say."""

from collections.abc import Iterable
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field
from typing_extensions import override

from preheat.formula.language import substituted
from preheat.specs.after_schedulers.compositions import Wrapper
from preheat.specs.after_schedulers.scheduler import Stage
from preheat.specs.durations import Iterations
from preheat.specs.fields import MAX_ITERATION, Int
from preheat.specs.span import Span
from preheat.specs.violations import Location

_FEW = 128


class StaircaseLR(Wrapper):
    """lr(⌊n / hold⌋ · hold): the scheduler's LR at the last multiple of `hold`, in iterations n of the run.

    At a multiple of hold the scheduler's own LR, which stays until the iteration before the next multiple. Before the
    first that is its own it is at its start. An epoch that is held must be whole iterations. Source: loops that step
    once per epoch (timm), `staircase` in Keras.
    """

    brief_fields: ClassVar[tuple[str, ...]] = ("hold",)
    resolved_apart: ClassVar[frozenset[str]] = frozenset({"hold"})
    type: Literal["StaircaseLR"]
    hold: Iterations = Field(description="Iterations for which each LR is held.", examples=["1ep"])
    start: Annotated[Int, Field(ge=0, le=MAX_ITERATION)] | None = Field(
        None, description="n at s = 0; filled in.", examples=[10]
    )

    def held(self, s: int) -> int:
        """The own iteration whose LR is in force at own iteration s."""
        start = self.start or 0
        return max((s + start) // self.hold * self.hold - start, 0)

    @property
    @override
    def stages(self) -> list[Stage]:
        # A stage that begins within a stair is seen from the next one on.
        begins = [(name, self.held(start + self.hold - 1) if start else 0) for name, start in self.scheduler.stages]
        # Of two stages on one stair the later one is seen.
        return [
            stage
            for stage, (_, following) in zip(begins, [*begins[1:], ("", -1)], strict=True)
            if stage[1] != following
        ]

    @override
    def filled_in(self, span: Span) -> Self:
        span.check_filled_in(self, "start", span.start)
        hold = span.resolved_period(self.hold, ("hold",))
        child = self.scheduler.normalised(span.child("scheduler"))
        return self.model_copy(update={"start": span.start, "hold": hold, "scheduler": child})

    @override
    def formula(self, group: int = 0) -> str:
        n = f"(s + {self.start})" if self.start else "s"
        held = f"{n} // {self.hold} * {self.hold}"
        held = f"max({held} - {self.start}, 0)" if self.start else held
        return substituted(self.scheduler.formula(group), {"s": held})

    @override
    def idle_fields(self) -> list[Location]:
        return [("hold",)] if self.hold == 1 else []

    @override
    def turns(self, start: int, stop: int) -> Iterable[int]:
        """The stairs on either side of where the scheduler turns; all of them, where they are few."""
        first, last = self.held(start), self.held(stop - 1)
        if self._are_few(start, stop):
            return {self.held(s) for s in range(first, last + self.hold, self.hold)}
        turns = {first, last, *self.scheduler.turning_points(first, stop)}
        return {self.held(point + offset) for point in turns for offset in (0, self.hold, -self.hold)}

    @override
    def unproved(self, start: int, stop: int) -> range:
        if self._are_few(start, stop):
            return range(0)
        # Of a scheduler that repeats itself the extremes may lie off the multiples, and other turns on them.
        return range(start, stop) if self.scheduler.repeats(stop) else self.scheduler.unproved(self.held(start), stop)

    def _are_few(self, start: int, stop: int) -> bool:
        return self.held(stop - 1) - self.held(start) <= _FEW * self.hold
