"""Revision: the schedule of a run, which is its base with the list of (change, E) as amendments."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from preheat.runs.draft import Curves, Draft
from preheat.runs.moves import fields_of, keep_moves, without_move
from preheat.runs.run import Change, Run
from preheat.schedule import Schedule, id_of
from preheat.schedulers.amended import held_in_one
from preheat.specs import InvalidSpec, Spec, Violation, spec_of
from preheat.specs.amending import amended_columns, length_setter

_FOR_GOOD = 1 << 62
_RECENT = 16


def base_of(run: Run) -> Schedule:
    """The base schedule of a run."""
    return _base(run.base)


@lru_cache(maxsize=64)
def _base(text: str) -> Schedule:
    return Schedule.stored(id_of(text), text)


def in_fold(run: Run) -> list[tuple[Change, dict[str, Any]]]:
    """Every change that is in force in the present revision, in order of acceptance, with its amendment.

    One that was paused, or whose revert was or is reverted itself, has several.
    """
    reverted: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for change in reversed(run.changes):  # a revert before what it takes back, which may be a revert
        if change.operation["op"] == "revert" and change.effect is not None:
            out = [*change.placement.pauses, *reverted[change.id]]
            end = change.stop_of(change.placement)
            whole = (change.effect, _FOR_GOOD if end is None else end)
            reverted[change.operation["change"]] += _without(whole, out)
    found = []
    for change in run.changes:
        if change.effect is None or change.operation["op"] == "revert":
            continue
        end = change.stop_of(change.placement)
        whole = (change.effect, _FOR_GOOD if end is None else end)
        for start, stop in _without(whole, [*change.placement.pauses, *reverted[change.id]]):
            found.append((change, amendment_of(change, start, None if stop == _FOR_GOOD else stop)))
    return found


def reverts_of(run: Run, change: Change) -> list[Change]:
    """The reverts of a change that are not taken back themselves, and do not end."""
    found = (each for each in run.changes if each.operation.get("change") == change.id and each.effect is not None)
    return [each for each in found if each.placement.stop is None and not reverts_of(run, each)]


def _without(whole: tuple[int, int], ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """What is left of a range (start, stop) without others."""
    start, end = whole
    left = []
    for first, stop in sorted(ranges):
        if start < min(first, end):
            left.append((start, min(first, end)))
        start = max(start, stop)
    return [*left, (start, end)] if start < end else left


def amendment_of(change: Change, effect: int, stop: int | None) -> dict[str, Any]:
    """A change as an amendment from `effect` on."""
    amendment = {**change.operation, "start": effect, "change": change.id}
    if change.operation["op"] == "hold" and change.operation["value"] == "current":
        # Of no column at all: refused for the column that is named, and not for the value.
        amendment["value"] = change.placement.value or 0.0
    if change.placement.moved is not None:
        amendment |= fields_of(change.placement.moved)
    return amendment if stop is None else {**amendment, "stop": stop}


def amended(run: Run, amendments: list[dict[str, Any]]) -> Schedule:
    """The base of a run with amendments. Raises InvalidSpec, in which the first of them is /amendments/0."""
    # By text, which has NaN, and 1 beside 1.0.
    return _amended(run.base, json.dumps(amendments)) if amendments else Schedule(base_of(run).spec)


@lru_cache(maxsize=8)
def _amended(base: str, amendments: str) -> Schedule:
    # Kept, since a change asks for the same again: whether it is valid, and what it makes, rehearsed and then held.
    content = _base(base).spec_dict
    own = content.get("amendments", [])
    try:
        return Schedule(spec_of({**content, "amendments": [*own, *json.loads(amendments)]}))
    except InvalidSpec as error:
        raise InvalidSpec([_relocated(each, len(own)) for each in error.violations]) from None


def _relocated(violation: Violation, own: int) -> Violation:
    match violation.location:
        case ("amendments", int(index), *rest):
            return replace(violation, location=("amendments", index - own, *rest))
    return violation


def total_of(spec: Spec) -> int:
    """The last iteration of a schedule."""
    return spec.amended_total_iterations


def revise(draft: Draft, curves: Curves) -> Schedule:
    """Makes the next revision of what the changes are now; what is no longer possible becomes `missed`.

    A hold of the current LR is computed again where it has moved. Raises ComputeTimeout.
    """
    schedule = settled(draft, curves)
    revision = draft.run.revision + 1
    draft.set(
        revision=revision,
        schedule_id=schedule.id,
        total_iterations=total_of(schedule.spec),
        recent=(*draft.run.recent, (revision, schedule.id))[-_RECENT:],
    )
    if draft.run.attempt is not None:
        draft.set_attempt(draft.run.attempt.number, schedule_id=schedule.id)
    draft.add_revision(schedule)
    draft.has_placed = False
    draft.note("revision", revision=draft.run.revision, schedule=schedule.id)
    return schedule


def settled(draft: Draft, curves: Curves) -> Schedule:
    """The schedule that the changes make, without those that are no longer possible, which are `missed`.

    Raises ComputeTimeout.
    """
    while True:
        curves.check()
        folded = in_fold(draft.run)
        try:
            schedule = amended(draft.run, [_anew(*each, draft.run.horizon) for each in folded])
        except InvalidSpec as error:
            # A change that was possible when it was accepted: its place has gone with another one.
            places = [each.location[1:2] for each in error.violations if each.location[:1] == ("amendments",)]
            index = int(places[0][0]) if places[0] else -1  # all of them together: the last one is too many
            change = folded[index][0]
            draft.place(change, None, "missed", why=error.violations[0].detail)
            continue
        changes = [change for change, _ in folded]
        total = total_of(schedule.spec)
        late = _late(changes, schedule.spec, total, draft.run.horizon)
        for each in late:
            draft.place(each, None, "missed", why=f"the run ends with iteration {total}")
        if not late and keep_moves(draft, changes, schedule.spec):
            return _hold_current(draft, curves)


def _anew(change: Change, amendment: dict[str, Any], horizon: int) -> dict[str, Any]:
    """An amendment without what is computed anew as long as nothing of it was handed out."""
    if (change.effect or 0) < horizon:
        return amendment
    return without_move(amendment)


def _late(changes: list[Change], spec: Spec, total: int, horizon: int) -> list[Change]:
    """Changes still to come that would come after `total`; `changes` own the last amendments of `spec`.

    Without these the run ends where it did, as long as the one that says where it ends is not among them: that one is
    the last, and what its going makes of the others is to be seen.
    """
    ruling = length_setter(spec) - len(spec.amendments or ()) + len(changes)
    found: dict[str, Change] = {}
    for index, change in enumerate(changes):
        if _is_beyond(change, total, horizon):
            found[change.id] = change
            if index == ruling:
                break
    return list(found.values())


def _is_beyond(change: Change, total: int, horizon: int) -> bool:
    """Whether a change that is still to come would come after the end of the run."""
    is_to_come = change.effect is not None and change.effect >= horizon
    return is_to_come and change.effect > total and change.operation["op"] != "extend"  # type: ignore[operator]


def _hold_current(draft: Draft, curves: Curves) -> Schedule:
    """The schedule that the changes make; what holds of the current LR hold is computed where it is not known.

    That is what they would have had, each without those accepted after it. Raises ComputeTimeout.
    """
    folded = in_fold(draft.run)
    schedule = amended(draft.run, [amendment for _, amendment in folded])
    first = len(schedule.spec.amendments or ()) - len(folded)
    unknown: dict[str, int] = {}
    for index, (change, _) in enumerate(folded, first):
        operation, placement = change.operation, change.placement
        if operation["op"] == "hold" and operation["value"] == "current" and placement.value is None:
            unknown.setdefault(change.id, index)
    if not unknown:
        return schedule
    at = {index: folded[index - first][0].effect or 0 for index in unknown.values()}
    held = _held_values(schedule.spec, at, curves)
    placed = {}
    for change_id, index in unknown.items():
        change = folded[index - first][0]
        kept = replace(change.placement, value=held[index])
        placed[change_id] = replace(change, placements=(*change.placements[:-1], kept))
    draft.set(changes=tuple(placed.get(each.id, each) for each in draft.run.changes))
    return amended(draft.run, [amendment for _, amendment in in_fold(draft.run)])


def _held_values(spec: Spec, at: Mapping[int, int], curves: Curves) -> dict[int, dict[str, float]]:
    """What holds of the current LR hold, by their indices among the amendments; `at` has the iteration of each."""
    if spec.has_closed_form:
        return held_in_one(spec, at, curves.check)
    amendments, columns = list(spec.amendments or ()), spec.columns
    found = {}
    for index, n in at.items():
        curves.check()
        curve = curves.curve_of(Schedule(spec.model_copy(update={"amendments": tuple(amendments[:index]) or None})))
        row = curve.lr(min(n, curve.total_iterations))
        found[index] = {columns[column].group: row[column] for column in amended_columns(columns, amendments[index])}
        amendments[index] = amendments[index].model_copy(update={"value": found[index]})
    return found
