"""Recovery: the changes of a run whose database has lost some, made to agree with what its job was told.

The rule: in the iterations `told` LRs are exactly those of the revision that the job had; behind them is in force what
the database has, and, in the order of that revision, what it has lost. An event says so of every change that this puts
elsewhere, and of every one that the database has and the job had not.
"""

from collections import defaultdict
from collections.abc import Mapping
from functools import reduce
from itertools import pairwise
from typing import Any

from preheat.runs.draft import Curves, Draft
from preheat.runs.facts import merged, put_behind
from preheat.runs.moves import Move, are_alike, move_of, until, without_move
from preheat.runs.operations import NOT_ASKED
from preheat.runs.revision import base_of, in_fold, settled
from preheat.runs.run import Change, Placement, Run
from preheat.specs import InvalidSpec, Spec, spec_of, violation

_UNKNOWN = "the job did not know it when it came back to a database that had lost something"
_KNOWN = "as the job knew it when it came back to a database that had lost something"
_TAKEN_BACK = "it is taken back here, and the job had it when it came back"
_LOST = "the database has lost this change, and the job knows it"
_TOLD = "what the job was told, in a part that the database cannot give by its own changes"

_Amendment = dict[str, Any]


def take_revision(draft: Draft, spec: Mapping[str, Any], told: range, curves: Curves) -> None:
    """Makes changes agree with what a job was told: the iterations `told`, by the revision of which this is the spec.

    First every change of the run is put where the job had it, and behind `told` if the job had it not; what is left of
    that revision was lost, and is a change again. Where this does not give the very amendments of that revision up to
    the end of `told`, the whole of `told` is held to it by one `replace`.
    Raises InvalidSpec for a spec that is not this run's base with amendments.
    """
    theirs = _revision_of(draft.run, spec)
    owners = _owners(draft.run, theirs)
    _agree(draft, theirs, owners, told)
    _add_lost(draft, theirs, owners, told.start)
    own = len(base_of(draft.run).spec.amendments or ())
    ours = _parts(settled(draft, curves).spec)[1][own:]
    if told and _clipped(ours, told) != _clipped(theirs, told):
        _hold_to(draft, theirs, told)


def _revision_of(run: Run, spec: Mapping[str, Any]) -> list[_Amendment]:
    """The amendments that a revision has beyond those of the base. Raises InvalidSpec."""
    (base, own), (given, amendments) = (_parts(each) for each in (base_of(run).spec, spec_of(dict(spec))))
    if given != base or amendments[: len(own)] != own:
        raise InvalidSpec([violation((), "must be a revision of this run: its base schedule with amendments")])
    return amendments[len(own) :]


def _parts(spec: Spec) -> tuple[dict[str, Any], list[_Amendment]]:
    """A spec without its amendments, and these."""
    content = spec.model_dump(mode="json", exclude_none=True)
    amendments = content.pop("amendments", [])
    return content, amendments


def _owners(run: Run, theirs: list[_Amendment]) -> list[str | None]:
    """Of each amendment the id of the change that it is; None for one that was lost.

    A lost one that somebody has entered again since, for the same iterations, is that one, and not a second.
    """
    known = {change.id for change in run.changes}
    owners = [each["change"] if each.get("change") in known else None for each in theirs]
    for change, amendment in in_fold(run):
        lost = [i for i, each in enumerate(theirs) if owners[i] is None and _asked(each) == _asked(amendment)]
        if lost and change.id not in owners:
            owners[lost[0]] = change.id
    return owners


def _asked(amendment: _Amendment) -> _Amendment:
    return {name: value for name, value in without_move(amendment).items() if name != "change"}


def _begins(run: Run, change: Change) -> set[int]:
    """Every iteration at which a change comes into force where it stands, as the run knows it and its reverts."""
    place = change.placement
    begins = {end for _, end in place.pauses} | ({place.effect} if place.effect is not None else set())
    return begins.union(*(_ends(run, each) for each in _reverts(run, change)))


def _ends(run: Run, change: Change) -> set[int]:
    """Every iteration at which it has gone out of force."""
    stops = [change.stop_of(place) for place in change.placements]
    pauses = [start for place in change.placements for start, _ in place.pauses]
    ends = {each for each in [*stops, *pauses] if each is not None}
    return ends.union(*(_begins(run, each) for each in _reverts(run, change)))


def _reverts(run: Run, change: Change) -> list[Change]:
    return [each for each in run.changes if each.operation.get("change") == change.id]


def _operation(amendment: _Amendment) -> _Amendment:
    return {name: value for name, value in amendment.items() if name not in NOT_ASKED}


def _agree(draft: Draft, theirs: list[_Amendment], owners: list[str | None], told: range) -> None:
    """Puts every change where the job had it, or behind what it was told."""
    run, parts = draft.run, defaultdict(list)
    for owner, amendment in zip(owners, theirs, strict=True):
        parts[owner].append(amendment)
    in_force = {change.id for change, _ in in_fold(run)}
    for change in run.changes:
        if change.operation["op"] == "revert":
            root, takes_back = _root(run, change)
            _agree_on_revert(draft, change, parts[root], told, takes_back=takes_back)
        elif parts[change.id]:
            _put_where_used(draft, change, parts[change.id], told)
        elif change.id in in_force:
            _put_behind(draft, change, told)


def _root(run: Run, revert: Change) -> tuple[str, bool]:
    """The id of the change that a revert is about in the end, and whether it takes it back, or brings it back."""
    at, takes_back = revert, True
    while (target := run.change_of(at.operation["change"])) is not None and target.operation["op"] == "revert":
        at, takes_back = target, not takes_back
    return at.operation["change"], takes_back


def _agree_on_revert(draft: Draft, revert: Change, parts: list[_Amendment], told: range, *, takes_back: bool) -> None:
    """Puts a revert behind `told` if its change was in force there, or was not, against it."""
    if revert.effect is None or revert.effect not in told:
        return
    was_in_force = any(each["start"] < told.stop and each.get("stop", told.stop) > revert.effect for each in parts)
    if was_in_force == takes_back:
        put_behind(draft, revert, told.stop, _UNKNOWN)


def _put_where_used(draft: Draft, change: Change, parts: list[_Amendment], told: range) -> None:
    """Puts a change where the job had it; where the run has taken it out since, for `told` alone."""
    now, first, last = change.placement, parts[0]["start"], parts[-1].get("stop")
    if now.effect is None:
        if first < told.stop:
            _place(draft, change, parts, min(told.stop, last or told.stop))
        else:
            draft.note("change-kept", change=change.id, before=first, effect=None, why=_TAKEN_BACK)
    elif first not in _begins(draft.run, change):
        _place(draft, change, parts, last)
    else:
        known = _ends(draft.run, change)
        pauses = [pause for pause in _pauses(parts) if pause[0] not in known]  # of an overrun that was lost
        is_ended = last is not None and last not in known  # by a revert that was lost
        moved = move_of(parts[0])
        if pauses or is_ended or not are_alike(now.moved, moved, told.stop):
            stop, paused = last if is_ended else now.stop, reduce(merged, pauses, now.pauses)
            draft.place(change, now.effect, "used", stop=stop, pauses=paused, moved=moved, why=_KNOWN)


def _pauses(parts: list[_Amendment]) -> list[tuple[int, int]]:
    """The iterations between the parts of a change."""
    return [(a["stop"], b["start"]) for a, b in pairwise(parts) if a.get("stop", b["start"]) < b["start"]]


def _place(draft: Draft, change: Change, parts: list[_Amendment], stop: int | None) -> None:
    pauses: tuple[tuple[int, int], ...] = reduce(merged, _pauses(parts), tuple[tuple[int, int], ...]())
    draft.place(change, parts[0]["start"], "used", stop=stop, pauses=pauses, moved=move_of(parts[0]), why=_KNOWN)
    value = parts[0].get("value")
    if change.operation.get("value") == "current" and isinstance(value, dict):
        draft.keep(draft.run.change_of(change.id) or change, value=value)


def _put_behind(draft: Draft, change: Change, told: range) -> None:
    """Takes a change out of iterations in which the job did not have it."""
    now = change.placement
    end = change.stop_of(now)
    if now.effect is None or (end is not None and end <= told.start):
        return
    if now.effect in told:
        put_behind(draft, change, told.stop, _UNKNOWN)
    elif now.effect < told.start and told:
        pauses = merged(now.pauses, (told.start, told.stop))
        draft.place(change, now.effect, "used", stop=now.stop, pauses=pauses, why=_UNKNOWN)
    else:
        draft.note("change-kept", change=change.id, before=now.effect, effect=now.effect, why=_UNKNOWN)


def _add_lost(draft: Draft, theirs: list[_Amendment], owners: list[str | None], first: int) -> None:
    """Makes what was lost changes again, each behind what is before it in the revision of the job."""
    changes, at = list(draft.run.changes), 0
    standing = {change.id for change, _ in in_fold(draft.run)} | {*owners}
    for index, (owner, amendment) in enumerate(zip(owners, theirs, strict=True)):
        if owner is not None:
            at = max(at, 1 + next(i for i, each in enumerate(changes) if each.id == owner))
            continue
        # What is out of force stays before it: nothing tells that it was accepted since.
        at = next((i for i in range(at, len(changes)) if changes[i].id in standing), len(changes))
        start, stop = max(amendment["start"], first), amendment.get("stop")
        if stop is not None and stop <= start:
            continue
        # Its parts are changes each: the first has its id.
        taken = {each.id for each in changes}
        name = amendment.get("change")
        name = f"recovered-{draft.run.revision}-{index}" if name is None or name in taken else name
        moved = move_of(amendment)
        changes.insert(at, _change(draft, name, _operation(amendment), range(start, stop or start), _LOST, moved))
        at += 1
    draft.set(changes=tuple(changes))


def _hold_to(draft: Draft, theirs: list[_Amendment], told: range) -> None:
    """One change more, which gives iterations the LRs of a revision."""
    own = base_of(draft.run).spec_dict
    # None stays, so that a replace among them does not end the schedule before the end of `told`.
    needed = [_cut_at(each, told.stop) for each in theirs if each["start"] < told.stop]
    if not any(each["op"] in {"cooldown", "extend"} for each in needed):  # these look back
        needed = [each for each in needed if each.get("stop", told.stop) > told.start]
    schedule = {**own, "amendments": [*own.get("amendments", []), *needed]}
    operation = {"op": "replace", "schedule": schedule, "clock": "run"}
    draft.set(
        changes=(*draft.run.changes, _change(draft, f"recovered-{draft.run.revision}-told", operation, told, _TOLD))
    )


def _change(
    draft: Draft, change_id: str, operation: _Amendment, at: range, why: str, moved: Move | None = None
) -> Change:
    """A change by Preheat itself, in force at the iterations `at`, or, if these are none, from their start on."""
    run = draft.run
    place = Placement(run.revision + 1, run.attempt_number, at.start, "accepted", at.stop if at else None, moved=moved)
    draft.note(
        "change-accepted", change=change_id, author="preheat", why=why,
        operation=operation, wanted=at.start, effect=at.start,
    )  # fmt: skip
    return Change(
        id=change_id,
        operation=operation,
        why=why,
        author="preheat",
        accepted_at=draft.now,
        placements=(place,),
        at=at.start,
    )


def _cut_at(amendment: _Amendment, stop: int) -> _Amendment:
    if amendment["op"] in {"cooldown", "extend"}:  # these have no end
        return amendment
    return {**amendment, "stop": min(amendment.get("stop", stop), stop)}


def _clipped(amendments: list[_Amendment], told: range) -> list[_Amendment]:
    """What amendments are up to the end of `told`."""
    return [
        {
            **_operation(each),
            "start": each["start"],
            "stop": min(each.get("stop", told.stop), told.stop),
            "moved": until(move_of(each), told.stop),
        }
        for each in amendments
        if each["start"] < told.stop
    ]
