"""torch's SequentialLR and ChainedScheduler: schedulers one after the other, and each on top of the one before."""

from collections.abc import Iterable, Iterator
from functools import reduce
from itertools import pairwise
from typing import ClassVar, Literal, Self

from pydantic import Field
from typing_extensions import override

from preheat.errors import NotExpressible
from preheat.formula.language import substituted
from preheat.specs.after_schedulers.compositions import MAX_CHILDREN, Several
from preheat.specs.after_schedulers.scheduler import Named, Scheduler, Stage, hull, moved
from preheat.specs.after_schedulers.torch_decays import SWALR, ConstantLR, CosineAnnealingLR, LinearLR, check_milestones
from preheat.specs.durations import Iterations
from preheat.specs.fields import MIN_RATE
from preheat.specs.span import Span


class SequentialLR(Several):
    """schedulers[0] until milestones[0], then schedulers[1] on a clock of its own, and so on.

    Each starts from b again, as in torch; SWALR and MultiplicativeLR go on from the LR they find.
    """

    type: Literal["SequentialLR"]
    milestones: tuple[Iterations, ...] = Field(
        description="Iterations at which the next scheduler takes over, ascending: one fewer than schedulers.",
        max_length=MAX_CHILDREN - 1,
        fail_fast=True,
        examples=[[60]],
    )

    @property
    @override
    def stages(self) -> list[Stage]:
        return [
            (name, begin + start)
            for begin, child, end in zip((0, *self.milestones), self.schedulers, (*self.milestones, None), strict=False)
            for name, start in child.stages
            # A child that its milestone cuts off does not come to its later stages.
            if end is None or begin + start < end
        ]

    @override
    def child_lengths(self, length: int) -> list[int]:
        return [end - begin for begin, end in pairwise((0, *self.milestones, length))]

    @override
    def named_epochs(self, iterations: int) -> list[Named]:
        return self._named(("milestones",)) if len(self.milestones) > 1 else []

    @override
    def named_briefs(self) -> list[Named]:
        """A first part before a single milestone is often a warm-up."""
        return self._named(("milestones",)) if len(self.milestones) == 1 else []

    @override
    def filled_in(self, span: Span) -> Self:
        if len(self.milestones) != len(self.schedulers) - 1:
            rule = f"must have one entry fewer than schedulers ({len(self.schedulers)}), not {len(self.milestones)}"
            span.refuse(("milestones",), rule, self.milestones)
            return self
        if not check_milestones(self.milestones, span):
            return self
        children = []
        last = len(self.schedulers) - 1
        bounds = pairwise((0, *self.milestones, span.iterations))
        for index, (scheduler, (start, stop)) in enumerate(zip(self.schedulers, bounds, strict=True)):
            extra = None if index == last else 0  # the value at a milestone is read from the next scheduler
            own = span.child("schedulers", index, start=start, iterations=stop - start, extra=extra)
            children.append(scheduler.normalised(own))
        return self.model_copy(update={"schedulers": tuple(children)})

    @override
    def formula(self, group: int = 0) -> str:
        for child in self.schedulers[1:]:
            if child.has_no_start:
                reason = "in a SequentialLR goes on from the LR before it, which no formula knows"
                raise NotExpressible(f"{child.type} {reason}")
        starts = [0, *self.milestones]
        texts = [_from(child.formula(group), start) for child, start in zip(self.schedulers, starts, strict=True)]

        # By halves, so that a hundred are not nested in each other; at a milestone itself the next is in force.
        def choose(first: int, last: int) -> str:
            if first == last:
                return f"({texts[first]})"
            middle = (first + last + 1) // 2
            return f"({choose(first, middle - 1)} if s < {starts[middle]} else {choose(middle, last)})"

        return choose(0, len(texts) - 1)

    @override
    def turns(self, start: int, stop: int) -> Iterable[int]:
        for child, begin, end in self._in_force(start, stop):
            # At end - 1 the child is read for the last time: at a milestone the next one is.
            yield from (begin, end - 1)
            for point in child.turning_points(max(start - begin, 0), min(stop, end) - begin):
                yield point + begin

    @override
    def unproved(self, start: int, stop: int) -> range:
        return hull(
            moved(child.unproved(max(start - begin, 0), min(stop, end) - begin), begin)
            for child, begin, end in self._in_force(start, stop)
        )

    def _in_force(self, start: int, stop: int) -> Iterator[tuple[Scheduler, int, int]]:
        """The schedulers that are read in start … stop − 1, each with where its turn begins and ends."""
        bounds = pairwise((0, *self.milestones, max(stop, *self.milestones, 0)))
        for child, (begin, end) in zip(self.schedulers, bounds, strict=True):
            if begin < stop and end > start:
                yield child, begin, end


class ChainedScheduler(Several):
    """Every scheduler at once, each multiplying the LR that the one before it left: for pure factors, the product."""

    has_closed_form: ClassVar[bool] = False
    is_computed_by_torch: ClassVar[bool] = True
    can_be_chained: ClassVar[bool] = True
    type: Literal["ChainedScheduler"]

    @override
    def filled_in(self, span: Span) -> Self:
        for index, scheduler in enumerate(self.schedulers):
            self._check(scheduler, index, span)
        return super().filled_in(span)

    @staticmethod
    def _check(scheduler: Scheduler, index: int, span: Span) -> None:
        if not scheduler.can_be_chained:
            rule = "cannot be chained: it would overwrite the LR of the schedulers before it; use a ProductLR"
            span.refuse(("schedulers", index, "type"), rule, scheduler.type, "non-recursive-in-chain")
        field = {ConstantLR: "factor", LinearLR: "start_factor"}.get(type(scheduler))
        if field and getattr(scheduler, field) < MIN_RATE:
            rule = f"must be at least {MIN_RATE:g} in a ChainedScheduler: torch divides by it"
            span.refuse(("schedulers", index, field), rule, getattr(scheduler, field))

    @override
    def check_formula(self, length: int) -> None:
        super().check_formula(length)
        for child in self.schedulers:
            # At T_max the whole chain is at 0, and torch begins anew from b, whatever the others have made of it.
            if isinstance(child, CosineAnnealingLR) and len(self.schedulers) > 1 and length > (child.T_max or 0):
                raise NotExpressible(f"a chained CosineAnnealingLR is no product past its T_max ({child.T_max})")

    @override
    def formula(self, group: int = 0) -> str:
        for child in self.schedulers:
            # With an eta_min, torch's recursion depends on the LR that it finds: it is no factor of a chain.
            if isinstance(child, SWALR | ChainedScheduler) or getattr(child, "eta_min", 0.0) > 0.0:
                raise NotExpressible(f"{child.type} in a ChainedScheduler depends on the LR before: use a ProductLR")
        texts = [child.formula(group) for child in self.schedulers]
        # The first goes from b; each of the others is a factor, which is its formula with 1 for b.
        return reduce(lambda left, right: f"({left}) * ({substituted(right, {'b': '1.0'})})", texts)


def _from(formula: str, start: int) -> str:
    return substituted(formula, {"s": f"s - {start}"}) if start else formula
