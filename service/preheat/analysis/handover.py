"""Where a run goes over from one schedule to another."""

import math
from dataclasses import dataclass
from typing import Literal

from preheat.budget import NO_DEADLINE, Deadline
from preheat.curve import Curve
from preheat.errors import IterationOutOfRange, NotComparable, SeamRefused
from preheat.schedule import Schedule
from preheat.specs import Spec

Policy = Literal["keep", "rescale", "refuse"]

_SAME = 1e-9


@dataclass(frozen=True)
class Handover:
    """One param group at the first update after the seam: what the old schedule says, and what the new one says."""

    group: str
    old_lr: float
    new_lr: float

    @property
    def ratio(self) -> float | None:
        """New over old; None if the old LR is 0."""
        return self.new_lr / self.old_lr if self.old_lr else None

    @property
    def is_continuous(self) -> bool:
        """Whether both are the same."""
        return math.isclose(self.old_lr, self.new_lr, rel_tol=_SAME, abs_tol=1e-15)


@dataclass(frozen=True)
class Seam:
    """What becomes of a run that goes over to another schedule; `spec` is the one to go on with."""

    iteration: int
    handovers: list[Handover]
    spec: Spec


def seam(old: Curve, done: int, new: Curve, policy: Policy, deadline: Deadline = NO_DEADLINE) -> Seam:
    """The seam after update `done` of `old`, where `new` takes over with update `done + 1`.

    keep takes the new schedule as it is. rescale multiplies its target LRs so that the LR goes on where the old one
    would have been. refuse raises SeamRefused if the LR would jump. An old schedule that has ended is at its last LR.

    Raises IterationOutOfRange, NotComparable if the param groups differ, or if no targets make the LRs meet.
    """
    if not 0 <= done <= old.total_iterations:
        raise IterationOutOfRange("iteration", done, old.total_iterations)
    if done + 1 > new.total_iterations:
        raise IterationOutOfRange("iteration", done, new.total_iterations - 1)
    if old.group_names != new.group_names:
        raise NotComparable(
            f"the param groups differ: {', '.join(old.group_names)} and {', '.join(new.group_names)}; "
            "name them alike, in the same order"
        )
    following = done + 1
    wanted = old.lr(min(following, old.total_iterations), deadline)
    found = _handovers(wanted, new, following, deadline)
    spec = new.schedule.spec
    if all(handover.is_continuous for handover in found) or policy == "keep":
        return Seam(following, found, spec)
    if policy == "refuse":
        worst = max(found, key=lambda handover: abs(handover.new_lr - handover.old_lr))
        raise SeamRefused(worst.group, following, worst.old_lr, worst.new_lr)
    rescaled = _rescaled(spec, wanted, new, following, deadline)
    return Seam(following, _handovers(wanted, Curve(Schedule(rescaled)), following, deadline), rescaled)


def _handovers(wanted: list[float], new: Curve, iteration: int, deadline: Deadline) -> list[Handover]:
    values = new.lr(iteration, deadline)
    return [
        Handover(name, old_lr, new_lr) for name, old_lr, new_lr in zip(new.group_names, wanted, values, strict=False)
    ]


def _rescaled(spec: Spec, wanted: list[float], curve: Curve, iteration: int, deadline: Deadline) -> Spec:
    """The spec with targets that bring every group's LR at `iteration` to what is wanted.

    Most LRs are a straight line in the target (end LRs are absolute): two points give it, and the result is checked.
    """
    once = curve.lr(iteration, deadline)
    twice = Curve(Schedule(_with_targets(spec, [2 * target for target in spec.target_lrs]))).lr(iteration, deadline)
    targets = []
    for target, want, one, two in zip(spec.target_lrs, wanted, once, twice, strict=False):
        scale = 1 + (want - one) / (two - one) if two != one else math.nan
        targets.append(target * scale)
    if all(math.isfinite(target) and target >= 0 for target in targets):
        rescaled = _with_targets(spec, targets)
        if all(
            handover.is_continuous for handover in _handovers(wanted, Curve(Schedule(rescaled)), iteration, deadline)
        ):
            return rescaled
    raise NotComparable(
        f"no target LR brings the new schedule to {wanted[0]:g} at iteration {iteration}: choose keep, or another spec"
    )


def _with_targets(spec: Spec, targets: list[float]) -> Spec:
    groups = spec.param_groups and tuple(
        group.model_copy(update={"target_lr": target}) for group, target in zip(spec.param_groups, targets, strict=True)
    )
    return spec.model_copy(
        update={"target_lr": targets[0] if groups is None else spec.target_lr, "param_groups": groups}
    )
