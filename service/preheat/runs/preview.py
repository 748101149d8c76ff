"""Preview: what a change would do, for a dry run: where it begins, LRs around there, the end, sums, phases."""

from dataclasses import dataclass

from preheat.analysis.window import totals
from preheat.budget import NO_DEADLINE, Deadline
from preheat.curve import Curve
from preheat.specs import Phase

MOST_SUMMED = 2_000_000
"""Iterations of which every one is summed up."""


@dataclass(frozen=True)
class Side:
    """One of the two revisions: values at E − 1, E, E + 1 and T by column, last iteration, sums from E on, phases.

    Iterations before 0 and past the end are left out. Where there are too many iterations the sums are None, and there
    is no value at T unless there is a closed form of it.
    """

    values: dict[int, dict[str, float]]
    total_iterations: int
    sums: dict[str, float] | None
    phases: list[Phase]


@dataclass(frozen=True)
class Preview:
    """The first iteration of what would be, and the run without and with it."""

    effect: int
    before: Side
    after: Side


def preview(effect: int, before: Curve, after: Curve, deadline: Deadline = NO_DEADLINE) -> Preview:
    """What becomes of a run from an iteration on, by its revisions before and after. Raises ComputeTimeout."""
    return Preview(effect, _side(before, effect, deadline), _side(after, effect, deadline))


def _side(curve: Curve, effect: int, deadline: Deadline) -> Side:
    total = curve.total_iterations
    names = [column.name for column in curve.columns]
    is_summed = effect <= total and total - effect < MOST_SUMMED
    ends = [total] if is_summed or curve.has_closed_form else []
    shown = sorted({n for n in (effect - 1, effect, effect + 1, *ends) if 0 <= n <= total})
    values = {n: dict(zip(names, curve.lr(n, deadline), strict=True)) for n in shown}
    sums = None
    if is_summed:
        sums = {each.column.name: each.sum for each in totals(curve, effect, total + 1, deadline)}
    return Side(values, total, sums, curve.schedule.spec.phases)
