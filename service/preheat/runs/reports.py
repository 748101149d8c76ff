"""Reports: numbers that a job tells of its iterations, such as its loss; they never stop a training loop."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from preheat.errors import PreheatError
from preheat.runs.changes import ChangeRequest, add_change, check_open
from preheat.runs.draft import Curves, Draft, Outcome
from preheat.runs.limits import DEFAULT_LIMITS, Limits
from preheat.runs.plateau import stepped, with_report
from preheat.runs.revision import base_of
from preheat.runs.run import Cause, Controller, Run
from preheat.runs.windows import present
from preheat.specs import InvalidSpec

_AT_ONCE, _FOLLOWED_AT_ONCE = 1000, 10
"""Reported values that are taken while a run is held; of those that a controller follows, each may be a reduction."""


@dataclass(frozen=True)
class Report:
    """A named number at an iteration of the present attempt; NaN and infinities are numbers here."""

    iteration: int
    name: str
    value: float


@dataclass(frozen=True)
class Told:
    """What an iteration had, as a rank says: its LRs by param group, and the revision that it had them from."""

    iteration: int
    rank: int
    lrs: Mapping[str, float]
    revision: int


@dataclass(frozen=True)
class Taken:
    """What became of a batch: how many were stored, how many alarms there were, and what was `left` for another one."""

    stored: int
    alarms: int
    left: tuple[Report, ...] = ()


def part_of(run: Run, batch: Sequence[Report], limits: Limits = DEFAULT_LIMITS) -> tuple[Report, ...]:
    """The beginning of a batch, in order of iterations, that may be taken while the run is held."""
    followed = {controller.metric for controller in run.controllers}
    near = batch[:_AT_ONCE]
    part = near if followed.isdisjoint(each.name for each in near) else near[:_FOLLOWED_AT_ONCE]
    # After one that nobody can have run come others like it: together they are one event.
    return tuple(batch if part and _is_ahead(run, part[-1], limits) else part)


def is_same(known: float | None, each: Report) -> bool:
    """Whether a report is the one that is stored."""
    return known is not None and repr(known) == repr(float(each.value))


def report(
    run: Run,
    attempt: int,
    token: str,
    batch: tuple[Report, ...],
    known: Mapping[tuple[int, str], float],
    now: float,
    curves: Curves,
    limits: Limits = DEFAULT_LIMITS,
    room: int = DEFAULT_LIMITS.most_reports,
) -> Outcome[tuple[Report, ...]]:
    """Takes a batch of reports; the answer is those that are to be stored.

    `room` is how many may be stored; beyond it those alone are that a controller follows, `more_followed` of them.

    `known` has the stored values of this attempt under the batch's own (iteration, name). The same value again is
    ignored; others are an event, and so are those that come too late for a controller, or are of an iteration that
    nobody can have run, and none of these is stored. The event has the first of them, and their count.
    Raises Superseded.
    """
    present(run, attempt, token)
    draft = Draft(run, now)
    stored: dict[tuple[int, str], Report] = {}
    refused: dict[str, list[dict[str, Any]]] = {}
    followed = {controller.metric for controller in run.controllers}
    more_room = room + limits.more_followed
    for each in sorted(batch, key=lambda each: each.iteration):
        key = (each.iteration, each.name)
        before = known[key] if key in known else stored[key].value if key in stored else None
        unfit = _unfit(draft.run, each, limits) if before is None else None
        if unfit is not None:
            refused.setdefault(unfit, []).append(
                {"iteration": each.iteration, "name": each.name, "value": as_json(each.value)}
            )
        elif before is None and len(stored) < (more_room if each.name in followed else room):
            stored[key] = each
            _fold(draft, attempt, each, curves, limits)
        elif before is not None and not is_same(before, each):
            refused.setdefault("report-conflict", []).append(
                {"iteration": each.iteration, "name": each.name, "kept": as_json(before),
                 "refused": as_json(each.value)}
            )  # fmt: skip
    for kind, those in refused.items():
        draft.note(kind, attempt=attempt, count=len(those), **those[0])
    for left, limit in ((room, limits.most_reports), (more_room, limits.most_reports + limits.more_followed)):
        if len(stored) >= left > 0:
            draft.note("reports-full", attempt=attempt, limit=limit)
    return draft.outcome(tuple(stored.values()))


def as_json(value: float) -> float | str:
    """A number, or the text of one that JSON does not have: NaN, Infinity, -Infinity."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def alarms(run: Run, attempt: int, token: str, told: tuple[Told, ...], now: float, curves: Curves) -> Outcome[int]:
    """Compares what ranks say they used with the record; every difference is an event. The answer is their number.

    Raises Superseded.
    """
    present(run, attempt, token)
    draft = Draft(run, now)
    curve = curves.curve(run.schedule_id)
    for each in told:
        row = curve.lr(min(max(each.iteration, 0), curve.total_iterations))
        expected = {c.group: lr for c, lr in zip(curve.columns, row, strict=True) if c.hyperparameter == "lr"}
        if each.lrs != expected or each.revision > run.revision:
            draft.note("alarm", attempt=attempt, iteration=each.iteration, rank=each.rank, lrs=dict(each.lrs),
                       expected=expected, revision=each.revision)  # fmt: skip
    return draft.outcome(draft.run.events - run.events)


def _unfit(run: Run, each: Report, limits: Limits) -> str | None:
    """The event of a report that is not stored.

    One that is late comes after a controller has counted a later one: stored, it would count when the run is rewound,
    and only then. One that is ahead is of an iteration that nobody can have run: further than a cap past H.
    Counted by a controller, it would make late whatever comes after it.
    """
    if _is_ahead(run, each, limits):
        return "report-ahead"
    followed = (controller for controller in run.controllers if controller.metric == each.name)
    return "report-late" if any(each.iteration <= controller.folded for controller in followed) else None


def _is_ahead(run: Run, each: Report, limits: Limits) -> bool:
    return each.iteration >= run.horizon + limits.window_cap


def _fold(draft: Draft, attempt: int, each: Report, curves: Curves, limits: Limits) -> None:
    for controller in draft.run.controllers:
        if controller.metric != each.name:
            continue
        if each.iteration < controller.first:
            continue
        lrs = _lrs_at_effect(draft, controller, curves)
        state, after = stepped(controller.parameters, controller.param_groups, controller.state, each.value, lrs)
        draft_controller = with_report(controller, attempt, each.iteration, state)
        draft.set(controllers=tuple(draft_controller if c.id == controller.id else c for c in draft.run.controllers))
        reduced = [name for name, lr, new in zip(controller.param_groups, lrs, after, strict=True) if new != lr]
        if reduced:
            _reduce(draft, controller, Cause(controller.id, attempt, each.iteration), reduced, curves, limits)


def _lrs_at_effect(draft: Draft, controller: Controller, curves: Curves) -> list[float]:
    """The LRs that a reduction would be of: those of the iteration from which it would be in force."""
    run = draft.run
    curve = draft.curve(run.schedule_id, curves)
    row = curve.lr(min(run.horizon, curve.total_iterations))
    by_group = dict(zip(curve.group_names, row, strict=False))
    return [by_group[group] for group in controller.param_groups]


def _reduce(
    draft: Draft, controller: Controller, cause: Cause, groups: list[str], curves: Curves, limits: Limits
) -> None:
    parameters = controller.parameters
    operation: dict[str, Any] = {"op": "scale", "factor": parameters["factor"]}
    floor = parameters.get("min_lr", 0.0)
    if isinstance(floor, Mapping):
        operation["floor"] = {group: floor[group] for group in groups}
    elif floor:
        operation["floor"] = floor
    if set(groups) != set(base_of(draft.run).spec.group_names):
        operation["param_groups"] = groups
    better = "below" if parameters.get("mode", "min") == "min" else "above"
    why = (
        f"{controller.metric} has not come {better} its best in {parameters.get('patience', 10) + 1} reports, "
        f"the last of iteration {cause.iteration:,}"
    )
    request = ChangeRequest(operation, why, author="plateau", is_automated=True, cause=cause)
    change_id = f"{controller.id}-{cause.attempt}-{cause.iteration}"
    tried = draft.copy()
    try:
        check_open(draft.run)
        add_change(tried, request, change_id, curves, limits)
    except (PreheatError, InvalidSpec) as error:
        # The report counts, and the loop goes on: the run is locked, at its end, or has all the changes it may have.
        draft.note("reduction-refused", controller=controller.id, iteration=cause.iteration, why=str(error))
    else:
        draft.take(tried)
