"""Torch's own schedulers that are made of schedulers."""

from itertools import pairwise
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field
from typing_extensions import override

from preheat.specs.after_schedulers.scheduler import Scheduler, Stage
from preheat.specs.after_schedulers.torch_schedulers import ConstantLR, check_milestones
from preheat.specs.fields import Iterations
from preheat.specs.span import Stretch

if TYPE_CHECKING:
    from preheat.specs.after_schedulers import AfterScheduler


class SequentialLR(Scheduler):
    """schedulers[0] until milestones[0], then schedulers[1] on a clock of its own, and so on.

    Each starts from b again, as in torch; SWALR and MultiplicativeLR go on from the LR they find.
    """

    is_computed_by_torch = False  # it is SequentialRestarts, which torch's SequentialLR has no part in
    type: Literal["SequentialLR"]
    schedulers: tuple["AfterScheduler", ...] = Field(
        min_length=1,
        max_length=100,
        fail_fast=True,
        description="The schedulers, in the order of their turns.",
        examples=[[{"type": "ConstantLR", "factor": 1.0, "total_iters": 1}, {"type": "CosineAnnealingLR"}]],
    )
    milestones: tuple[Iterations, ...] = Field(
        description="Iterations at which the next scheduler takes over, ascending: one fewer than schedulers.",
        max_length=99,
        fail_fast=True,
        examples=[[60]],
    )

    @property
    @override
    def is_closed(self) -> bool:
        return all(scheduler.is_closed for scheduler in self.schedulers)

    @property
    @override
    def children(self) -> dict[str, Scheduler]:
        return {f"/schedulers/{index}": scheduler for index, scheduler in enumerate(self.schedulers)}

    @property
    @override
    def stages(self) -> list[Stage]:
        starts = (0, *self.milestones)
        return [
            (name, begin + start)
            for begin, child, end in zip(starts, self.schedulers, (*self.milestones, None), strict=False)
            for name, start in child.stages
            if end is None or begin + start < end
        ]

    @override
    def filled_in(self, stretch: Stretch) -> Self:
        if len(self.milestones) != len(self.schedulers) - 1:
            rule = f"must have one entry fewer than schedulers ({len(self.schedulers)}), not {len(self.milestones)}"
            stretch.refuse(("milestones",), rule, self.milestones)
            return self
        if not check_milestones(self.milestones, stretch):
            return self
        turns = list(zip(self.schedulers, pairwise((0, *self.milestones, stretch.iterations)), strict=True))
        children = []
        for index, (scheduler, (start, stop)) in enumerate(turns):
            extra = None if index == len(turns) - 1 else 0
            turn = stretch.child("schedulers", index, start=start, iterations=stop - start, extra=extra)
            children.append(scheduler.resolve(turn))
        return self.model_copy(update={"schedulers": tuple(children)})

    @override
    def log_growth(self, iterations: int) -> float:
        return sum(scheduler.log_growth(iterations) for scheduler in self.schedulers)


class ChainedScheduler(Scheduler):
    """Every scheduler at once, each multiplying the LR that the one before it left: for pure factors, the product."""

    has_closed_form = False
    type: Literal["ChainedScheduler"]
    schedulers: tuple["AfterScheduler", ...] = Field(
        min_length=1,
        max_length=100,
        fail_fast=True,
        description="The schedulers, in the order in which each is applied.",
        examples=[[{"type": "LinearLR"}, {"type": "ExponentialLR", "gamma": 0.99}]],
    )

    @override
    def filled_in(self, stretch: Stretch) -> Self:
        for index, scheduler in enumerate(self.schedulers):
            self._check(scheduler, index, stretch)
        children = (
            scheduler.resolve(stretch.child("schedulers", index)) for index, scheduler in enumerate(self.schedulers)
        )
        return self.model_copy(update={"schedulers": tuple(children)})

    @property
    @override
    def children(self) -> dict[str, Scheduler]:
        return {f"/schedulers/{index}": scheduler for index, scheduler in enumerate(self.schedulers)}

    @override
    def log_growth(self, iterations: int) -> float:
        return sum(scheduler.log_growth(iterations) for scheduler in self.schedulers)

    @staticmethod
    def _check(scheduler: "AfterScheduler", index: int, stretch: Stretch) -> None:
        if not scheduler.can_be_chained or isinstance(scheduler, SequentialLR):
            rule = "cannot be chained: it would overwrite the LR of the schedulers before it; use a ProductLR"
            stretch.refuse(("schedulers", index, "type"), rule, scheduler.type, "non-recursive-in-chain")
        if isinstance(scheduler, ConstantLR) and scheduler.factor == 0:
            rule = "must be > 0 in a ChainedScheduler: torch divides by it at total_iters"
            stretch.refuse(("schedulers", index, "factor"), rule, scheduler.factor)
