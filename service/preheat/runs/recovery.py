"""Recovery: the changes of a run whose database has lost some, made again from the revision that its job knows."""

from collections.abc import Mapping
from itertools import groupby
from typing import Any

from preheat.runs.draft import Draft
from preheat.runs.facts import merged, put_behind
from preheat.runs.revision import amended, base_of, in_fold
from preheat.runs.run import Change, Placement, PlacementKind, Run
from preheat.specs import InvalidSpec, Spec, spec_of, violation

_UNKNOWN = "the job did not know it when it came back to a database that had lost something"
_KNOWN = "as the job knew it when it came back to a database that had lost something"
_LOST = "the database has lost this change, and the job knows it"

_Amendment = dict[str, Any]


def take_revision(draft: Draft, spec: Mapping[str, Any], told: range, first: int) -> None:
    """Makes changes agree with what a job was told: the iterations `told`, by the revision of which this is the spec.

    What the revision has and the run lacks is a change again, from `first` on at the earliest. What the run has for
    these iterations otherwise than the revision is put where the job had it, or, if the job had it nowhere, behind
    `told`, as after any time out of reach. What is still to come behind them stays, and folds in after what was lost.
    Raises InvalidSpec for a spec that is not this run's base with amendments.
    """
    run = draft.run
    theirs = _revision_of(run, spec)
    left, differing = list(theirs), []
    for change, ours in _by_change(run):
        missing = [each for each in ours if not _taken(left, each)]
        if missing:
            differing.append((change, ours, missing))
    unknown = []
    for change, ours, missing in differing:
        twin = next((each for each in left if _operation(each) == _operation(ours[0])), None)
        if twin is not None and ours == missing and ours[0]["start"] < told.stop:
            left.remove(twin)
            _put_where_used(draft, change, twin, told)
        else:
            unknown.append(change.id)
            _put_behind(draft, change, told)
    for change in run.changes:
        if change.operation["op"] == "revert" and not _is_known(run, change, theirs):
            _put_behind(draft, change, told)
    _add(draft, left, first, unknown)


def _revision_of(run: Run, spec: Mapping[str, Any]) -> list[_Amendment]:
    """The amendments that a revision has beyond those of the base. Raises InvalidSpec."""
    (base, own), (given, amendments) = (_parts(each) for each in (base_of(run).spec, spec_of(dict(spec))))
    if given != base or amendments[: len(own)] != own:
        raise InvalidSpec([violation((), "must be a revision of this run: its base schedule with amendments")])
    return amendments[len(own) :]


def _parts(spec: Spec) -> tuple[dict[str, Any], list[_Amendment]]:
    """A spec without its amendments, and these; what follows from the rest is left out of them."""
    content = spec.model_dump(mode="json", exclude_none=True)
    amendments = content.pop("amendments", [])
    return content, [{name: value for name, value in each.items() if name != "moved_from"} for each in amendments]


def _by_change(run: Run) -> list[tuple[Change, list[_Amendment]]]:
    """Every change in force, in order of acceptance, with its amendments as they are written down in a schedule."""
    folded = in_fold(run)
    _, written = _parts(amended(run, [amendment for _, amendment in folded]).spec)
    pairs = zip((change for change, _ in folded), written[len(written) - len(folded) :], strict=True)
    groups = groupby(pairs, key=lambda pair: pair[0].id)
    return [(found[0][0], [each for _, each in found]) for found in (list(group) for _, group in groups)]


def _taken(left: list[_Amendment], amendment: _Amendment) -> bool:
    """Whether an amendment was among those left; it is so no more."""
    if amendment not in left:
        return False
    left.remove(amendment)
    return True


def _operation(amendment: _Amendment) -> _Amendment:
    return {name: value for name, value in amendment.items() if name not in {"start", "stop"}}


def _put_where_used(draft: Draft, change: Change, twin: _Amendment, told: range) -> None:
    """Puts a change where the job had it."""
    start, end = twin["start"], twin.get("stop")
    kind: PlacementKind = "used" if start < told.stop else "moved"
    stop = None if change.stop_of(Placement(0, 0, start, kind)) == end else end
    now = change.placement
    if (now.effect, now.stop, now.pauses) != (start, stop, ()):
        draft.place(change, start, kind, stop=stop, why=_KNOWN)


def _put_behind(draft: Draft, change: Change, told: range) -> None:
    """Takes a change out of iterations in which the job did not have it."""
    now = change.placement
    end = change.stop_of(now)
    if now.effect is None or not told or now.effect >= told.stop or (end is not None and end <= told.start):
        return
    if now.effect >= told.start:
        put_behind(draft, change, told.stop, _UNKNOWN)
    else:
        pauses = merged(now.pauses, (told.start, told.stop))
        draft.place(change, now.effect, "used", stop=now.stop, pauses=pauses, why=_UNKNOWN)


def _is_known(run: Run, revert: Change, theirs: list[_Amendment]) -> bool:
    """Whether a revision has an amendment that ends where a revert takes its change back, or brings it back."""
    root, place = revert, "start"
    while root.operation["op"] == "revert":
        target = run.change_of(root.operation["change"])
        if target is None:
            return True
        root, place = target, "stop" if place == "start" else "start"
    there = [each for each in theirs if each.get(place) == revert.effect]
    # The value of a hold of the current LR is a number there.
    names = [name for name in root.operation if name != "value"]
    return any(all(each.get(name) == root.operation[name] for name in names) for each in there)


def _add(draft: Draft, lost: list[_Amendment], first: int, after: list[str]) -> None:
    """Adds changes that were lost; they were accepted before those of the run that the job does not know (`after`)."""
    run, added = draft.run, []
    for index, amendment in enumerate(lost):
        start, stop = max(amendment["start"], first), amendment.get("stop")
        if stop is not None and stop <= start:
            continue
        change = Change(
            id=f"recovered-{run.revision}-{index}",
            operation=_operation(amendment),
            why=_LOST,
            author="preheat",
            accepted_at=draft.now,
            placements=(Placement(run.revision + 1, run.attempt_number, start, "accepted"),),
            at=start,
            until=stop,
        )
        draft.note(
            "change-accepted", change=change.id, author=change.author, why=change.why,
            operation=dict(change.operation), wanted=start, effect=start,
        )  # fmt: skip
        added.append(change)
    known = [each for each in run.changes if each.id not in after]
    draft.set(changes=(*known, *added, *(each for each in run.changes if each.id in after)))
