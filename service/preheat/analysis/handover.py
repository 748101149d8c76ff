"""Handover: what the LR does where a run goes on with another schedule, and how to keep it from jumping."""

import math
from dataclasses import dataclass
from typing import Literal

from preheat.budget import NO_DEADLINE, Deadline
from preheat.curve import Curve
from preheat.errors import HandoverRefused, IterationOutOfRange, NotComparable
from preheat.schedule import Schedule
from preheat.specs import Spec

Policy = Literal["keep", "rescale", "refuse"]

# An absolute tolerance too: relative to 0 nothing is close to it.
_REL_TOL, _ABS_TOL = 1e-9, 1e-15


@dataclass(frozen=True)
class GroupHandover:
    """One param group at the first update after the handover: its LR by the old schedule, and by the new one."""

    group: str
    old_lr: float
    new_lr: float

    @property
    def ratio(self) -> float | None:
        """New over old; None if the old LR is 0."""
        return self.new_lr / self.old_lr if self.old_lr else None

    @property
    def is_continuous(self) -> bool:
        """Whether both are the same, to nine digits."""
        return math.isclose(self.old_lr, self.new_lr, rel_tol=_REL_TOL, abs_tol=_ABS_TOL)


@dataclass(frozen=True)
class Handover:
    """The first update of a run by another schedule; `spec` is the one to go on with."""

    iteration: int
    groups: list[GroupHandover]
    spec: Spec

    @property
    def is_continuous(self) -> bool:
        """Whether no group's LR jumps."""
        return all(group.is_continuous for group in self.groups)


def hand_over(old: Curve, done: int, new: Curve, policy: Policy, deadline: Deadline = NO_DEADLINE) -> Handover:
    """The handover after update `done` of `old`: `new` takes over with update `done + 1`.

    keep takes the new schedule as it is. rescale multiplies its target LRs so that the LR goes on where the old one
    would have been. refuse raises HandoverRefused if the LR would jump. An old schedule that has ended is at its last
    LR.

    Raises IterationOutOfRange, NotComparable if the param groups differ, or if no targets make the LRs meet.
    """
    if not 0 <= done <= old.total_iterations:
        raise IterationOutOfRange("iteration", done, old.total_iterations)
    if done + 1 > new.total_iterations:
        raise IterationOutOfRange("iteration", done, new.total_iterations - 1)
    if old.group_names != new.group_names:
        raise NotComparable(
            f"the param groups differ: {', '.join(old.group_names)} and {', '.join(new.group_names)}; "
            "give them the same names, in the same order"
        )
    old_lrs = old.lr(min(done + 1, old.total_iterations), deadline)
    handover = _handover(old_lrs, new, done + 1, deadline)
    if policy == "keep" or handover.is_continuous:
        return handover
    if policy == "refuse":
        jump = max(handover.groups, key=lambda group: abs(group.new_lr - group.old_lr))
        raise HandoverRefused(jump.group, handover.iteration, jump.old_lr, jump.new_lr)
    return _rescaled(handover, deadline)


def _handover(old_lrs: list[float], new: Curve, iteration: int, deadline: Deadline) -> Handover:
    # both lists of values go on with other hyperparameters after the groups' LRs
    columns = zip(new.group_names, old_lrs, new.lr(iteration, deadline), strict=False)
    return Handover(iteration, [GroupHandover(*column) for column in columns], new.schedule.spec)


def _rescaled(handover: Handover, deadline: Deadline) -> Handover:
    """The handover to the same spec with targets that bring every group's new LR to its old one.

    Most LRs are a straight line in the target (end LRs are absolute): two points give it, and the result is checked.
    """
    spec, iteration, old_lrs = handover.spec, handover.iteration, [group.old_lr for group in handover.groups]
    doubled = Curve(Schedule(_with_targets(spec, [2 * target for target in spec.target_lrs])))
    targets = []
    for target, group, twice in zip(spec.target_lrs, handover.groups, doubled.lr(iteration, deadline), strict=False):
        slope = twice - group.new_lr
        # NaN where the LR does not depend on the target, as in a table
        targets.append(target * (1 + (group.old_lr - group.new_lr) / slope) if slope else math.nan)
    if all(math.isfinite(target) and target >= 0 for target in targets):
        rescaled = _handover(old_lrs, Curve(Schedule(_with_targets(spec, targets))), iteration, deadline)
        if rescaled.is_continuous:
            return rescaled
    raise NotComparable(
        f"no target LR brings the new schedule to {old_lrs[0]:g} at iteration {iteration}: choose keep, or another spec"
    )


def _with_targets(spec: Spec, targets: list[float]) -> Spec:
    groups = spec.param_groups and tuple(
        group.model_copy(update={"target_lr": target}) for group, target in zip(spec.param_groups, targets, strict=True)
    )
    target_lr = targets[0] if groups is None else spec.target_lr
    return spec.model_copy(update={"target_lr": target_lr, "param_groups": groups})
