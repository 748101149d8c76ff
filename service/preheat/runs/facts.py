"""Facts: what a job did while the service was out of reach (an overrun) replaces what was planned for that time."""

from dataclasses import dataclass

from preheat.runs.draft import Curves, Draft
from preheat.runs.errors import KnowsMore, NoOverrun
from preheat.runs.moves import are_alike
from preheat.runs.revision import revise
from preheat.runs.run import Attempt, Change, Placement

_MOST_OVERRUNS = 100


@dataclass(frozen=True)
class Overrun:
    """Iterations start … end − 1, through which a job went on along the revision that it knew.

    `start` is C, the end of what the speaker had when it lost the service; `end` that of what any rank was told.
    """

    start: int
    end: int
    revision: int


def take_facts(draft: Draft, attempt: Attempt, overrun: Overrun, curves: Curves) -> None:
    """Replaces everything from the overrun's start on by what the job did; what it did not know comes after its end.

    The same facts again change nothing. Raises NoOverrun for one of many speakers, KnowsMore for a revision that is
    not known here.
    """
    if attempt.speakers == "all":
        raise NoOverrun
    run = draft.run
    if overrun.revision > run.revision:
        raise KnowsMore(run.generation + 1, {"revision": [overrun.revision, run.revision]})
    if overrun.end <= overrun.start:
        return
    is_new = overrun.end > attempt.handed or not _covers(attempt.overruns, overrun)
    moves = [(change, place) for change in run.changes if (place := _place(change, overrun)) is not None]
    if is_new:
        start = _end_of_known(attempt.overruns, overrun.start)
        draft.note("overrun", attempt=attempt.number, start=start, end=overrun.end, revision=overrun.revision)
    draft.set_attempt(
        attempt.number,
        handed=max(attempt.handed, overrun.end),
        acknowledged=max(attempt.acknowledged, overrun.end),
        overruns=merged(attempt.overruns, (overrun.start, overrun.end))[-_MOST_OVERRUNS:],
    )
    for change, place in moves:
        _move(draft, change, place, overrun)
    if moves:
        revise(draft, curves)


def _place(change: Change, overrun: Overrun) -> Placement | None:
    """Where a change must stand after the facts; None where it stands there already."""
    now, known = change.placement, change.placed_at(overrun.revision)
    if known is not None and known.effect is not None and known.effect < overrun.end:
        return _place_of_used(now, known, known.effect, overrun)
    # What it did not know, or knew as something for later, it did not use.
    stop = change.stop_of(now)
    if now.effect is None or now.effect >= overrun.end or (stop is not None and stop <= overrun.start):
        return None
    if now.effect >= overrun.start:
        return Placement(0, 0, overrun.end, "moved")
    # It had, by windows before the overrun, whose record stands.
    pauses = merged(now.pauses, (overrun.start, overrun.end))
    return None if pauses == now.pauses else Placement(0, 0, now.effect, "used", now.stop, pauses=pauses)


def _place_of_used(now: Placement, known: Placement, begun: int, overrun: Overrun) -> Placement | None:
    """Where a change must stand that the job used in an overrun, as it knew it to be in force from `begun` on."""
    first, end = max(begun, overrun.start), overrun.end
    if now.effect is None:
        return Placement(0, 0, first, "used", end, moved=known.moved)
    effect = now.effect if now.effect == begun or now.effect < overrun.start else first
    stop = end if now.stop is not None and now.stop < end and now.stop != known.stop else now.stop
    pauses = merged(now.pauses, (overrun.start, begun)) if effect < overrun.start < begun else now.pauses
    is_moved_alike = are_alike(now.moved, known.moved, end)
    if (effect, stop, pauses) == (now.effect, now.stop, now.pauses) and is_moved_alike:
        return None
    return Placement(0, 0, effect, "used", stop, pauses=pauses, moved=known.moved)


def _move(draft: Draft, change: Change, place: Placement, overrun: Overrun) -> None:
    why = f"the job was out of reach through iterations {overrun.start} to {overrun.end - 1}"
    effect = place.effect or 0
    if place.kind == "moved":
        put_behind(draft, change, effect, why)
    else:
        draft.place(change, effect, place.kind, stop=place.stop, pauses=place.pauses, moved=place.moved, why=why)


def put_behind(draft: Draft, change: Change, effect: int, why: str) -> None:
    """Moves a change to a later effect; it is missed where that breaks what it says itself, or where facts end it."""
    stop = change.placement.stop
    limit = ("its end", stop) if stop is not None and effect >= stop else too_late(change, effect)
    if limit is None:
        draft.place(change, effect, "moved", stop=stop, pauses=change.placement.pauses, why=why)
    else:
        draft.place(change, None, "missed", why=f"{why}: {limit[0]} is {limit[1]}")


def too_late(change: Change, effect: int) -> tuple[str, int] | None:
    """The name and the value of what a change says itself that an effect breaks."""
    if change.until is not None and effect >= change.until:
        return "until", change.until
    if change.not_after is not None and effect > change.not_after:
        return "not_after", change.not_after
    return None


def _covers(overruns: tuple[tuple[int, int], ...], overrun: Overrun) -> bool:
    return any(start <= overrun.start and overrun.end <= end for start, end in overruns)


def _end_of_known(overruns: tuple[tuple[int, int], ...], start: int) -> int:
    """Where what is known of an overrun ends that begins at `start`: while it lasts, each telling is of more of it."""
    return next((end for first, end in overruns if first <= start < end), start)


def merged(ranges: tuple[tuple[int, int], ...], added: tuple[int, int]) -> tuple[tuple[int, int], ...]:
    """Ranges with one more, ascending; those that meet are one."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted([*ranges, added]):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return tuple(merged)
