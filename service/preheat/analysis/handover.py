"""Handover: what the LR does where a run goes on with another schedule, and how to keep it from jumping."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from preheat.analysis import PlainPolicy
from preheat.analysis.rewarm import rewarmed
from preheat.budget import NO_DEADLINE, Deadline
from preheat.curve import Curve
from preheat.errors import HandoverRefused, IterationOutOfRange, NotComparable
from preheat.messages import listed
from preheat.schedule import Schedule
from preheat.specs import Spec
from preheat.specs.fields import MAX_LR

# An absolute tolerance too: relative to 0 nothing is close to it.
_REL_TOL, _ABS_TOL = 1e-9, 1e-15

_DEAD = 1e-3
"""Share of the target that was asked for below which a rescaled run would hardly learn anything more."""


@dataclass(frozen=True)
class Place:
    """The last update of the old schedule, by its own count and by the new one's, which may have another batch."""

    old: int
    new: int


@dataclass(frozen=True)
class GroupHandover:
    """One param group at the first update after the handover: its LR by the old schedule, and by the new one.

    `last_lr` is that of the update before it. `own_step` is the largest step that the LR takes beside it: the last of
    the old schedule, or the next of the new one; or, where both have the same LR at the update before, the new
    schedule's step from there.
    """

    group: str
    last_lr: float
    old_lr: float
    new_lr: float
    own_step: float

    @property
    def ratio(self) -> float | None:
        """New over old; None if the old LR is 0."""
        return self.new_lr / self.old_lr if self.old_lr else None

    @property
    def is_continuous(self) -> bool:
        """Whether both are the same, to nine digits."""
        return _is_close(self.old_lr, self.new_lr)

    @property
    def is_ordinary(self) -> bool:
        """Whether the LR goes on as it was, or by a step that is no larger than the schedules' own."""
        step = abs(self.new_lr - self.last_lr)
        return self.is_continuous or step <= self.own_step or _is_close(step, self.own_step)


@dataclass(frozen=True)
class Handover:
    """The first update of a run by another schedule, by its count (`iteration`) and by that of the old one.

    `spec` is the one to go on with.
    """

    iteration: int
    old_iteration: int
    groups: list[GroupHandover]
    spec: Spec

    @property
    def is_continuous(self) -> bool:
        """Whether no group's LR jumps."""
        return all(group.is_continuous for group in self.groups)


def hand_over(old: Curve, place: Place, new: Curve, policy: PlainPolicy, deadline: Deadline = NO_DEADLINE) -> Handover:
    """The handover after an update of `old`: `new` takes over with the next one.

    keep takes the new schedule as it is. rescale multiplies its target LRs so that the LR goes on where the old one
    would have been. refuse raises HandoverRefused if the LR would take a larger step than the schedules' own. An old
    schedule that has ended is at its last LR.

    Raises IterationOutOfRange; NotComparable if the param groups differ, if no targets make the LRs meet, or only such
    at which the run would be over.
    """
    _check(old, place, new)
    seam = _Seam(old, place, deadline)
    handover = seam.to(new)
    jumps = [group for group in handover.groups if not group.is_ordinary]
    if policy == "refuse" and jumps:
        jump = max(jumps, key=lambda group: abs(group.new_lr - group.old_lr))
        raise HandoverRefused(jump.group, handover.iteration, jump.old_lr, jump.new_lr)
    return handover if policy != "rescale" or handover.is_continuous else _rescaled(handover, seam, deadline)


def rewarm(
    old: Curve, place: Place, new: Curve, written: Mapping[str, Any], deadline: Deadline = NO_DEADLINE
) -> Handover:
    """The handover from the LR of now up to the targets of `new` within its warm-up, and down by its scheduler.

    `written` is the spec of `new` as a user wrote it: a length that it leaves out is another where it begins later.
    Raises as `hand_over`, and NotComparable if the new spec has no warm-up that can be done again.
    """
    _check(old, place, new)
    lrs = old.lr(place.old, deadline)[: len(new.group_names)]
    spec = rewarmed(written, new.schedule.spec, place.new, lrs)
    return _Seam(old, place, deadline).to(Curve(Schedule(spec)))


def _check(old: Curve, place: Place, new: Curve) -> None:
    if not 0 <= place.old <= old.total_iterations:
        raise IterationOutOfRange("iteration", place.old, old.total_iterations)
    if place.new + 1 > new.total_iterations:
        raise IterationOutOfRange("iteration", place.new, new.total_iterations - 1)
    if old.group_names != new.group_names:
        raise NotComparable(
            f"the param groups differ: {listed(old.group_names)} and {listed(new.group_names)}; "
            "give them the same names, in the same order"
        )


class _Seam:
    """The old schedule's side of a handover, which does not depend on what takes over."""

    def __init__(self, old: Curve, place: Place, deadline: Deadline) -> None:
        self._place, self._deadline = place, deadline
        # Before update 0 there is none: the step to it is none either.
        iterations = (max(place.old - 1, 0), place.old, min(place.old + 1, old.total_iterations))
        self._before, self._last, self.old_lrs = (old.lr(iteration, deadline) for iteration in iterations)

    def to(self, new: Curve) -> Handover:
        """The handover to a schedule of the same param groups."""
        done = self._place.new
        iterations = (done, done + 1, min(done + 2, new.total_iterations))
        here, following, after = (new.lr(iteration, self._deadline) for iteration in iterations)
        groups = []
        # lists of values go on with other hyperparameters after the groups' LRs
        for index, name in enumerate(new.group_names):
            last, new_lr = self._last[index], following[index]
            steps = [abs(last - self._before[index]), abs(after[index] - new_lr)]
            if _is_close(here[index], last):
                steps.append(abs(new_lr - here[index]))
            groups.append(GroupHandover(name, last, self.old_lrs[index], new_lr, max(steps)))
        return Handover(done + 1, self._place.old + 1, groups, new.schedule.spec)


def _rescaled(handover: Handover, seam: _Seam, deadline: Deadline) -> Handover:
    """The handover to the same spec with targets that bring every group's new LR to its old one.

    Most LRs are a straight line in the target (end LRs are absolute): two points give it, and the result is checked.
    """
    spec, iteration = handover.spec, handover.iteration
    doubled = Curve(Schedule(_with_targets(spec, [2 * target for target in spec.target_lrs])))
    targets = []
    for target, group, twice in zip(spec.target_lrs, handover.groups, doubled.lr(iteration, deadline), strict=False):
        slope = twice - group.new_lr
        # NaN where the LR does not depend on the target, as in a table
        targets.append(target * (1 + (group.old_lr - group.new_lr) / slope) if slope else math.nan)
    if all(0 <= target <= MAX_LR for target in targets):  # of a NaN every comparison is false
        rescaled = seam.to(Curve(Schedule(_with_targets(spec, targets))))
        if rescaled.is_continuous:
            _check_alive(handover, targets)
            return rescaled
    raise NotComparable(
        f"no target LR brings the new schedule to {seam.old_lrs[0]:g} at iteration {iteration}: choose keep, or "
        "another spec"
    )


def _check_alive(handover: Handover, targets: list[float]) -> None:
    """Raises NotComparable if a rescaled schedule has come to its end with the old one."""
    for group, asked, target in zip(handover.groups, handover.spec.target_lrs, targets, strict=True):
        if target < _DEAD * asked:
            raise NotComparable(
                f"rescale would bring the target LR of param group {group.group} from {asked:g} to {target:g}, and all "
                f"that is left of the run with it: the old LR at iteration {handover.old_iteration} is "
                f"{group.old_lr:g}. Choose rewarm, with warmup.iterations, to go up again from there, or keep"
            )


def _with_targets(spec: Spec, targets: list[float]) -> Spec:
    groups = spec.param_groups and tuple(
        group.model_copy(update={"target_lr": target}) for group, target in zip(spec.param_groups, targets, strict=True)
    )
    target_lr = targets[0] if groups is None else spec.target_lr
    return spec.model_copy(update={"target_lr": target_lr, "param_groups": groups})


def _is_close(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=_REL_TOL, abs_tol=_ABS_TOL)
