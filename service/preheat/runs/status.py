"""Status: where a change stands in an attempt, and where it stands now."""

from typing import Literal

from preheat.runs.run import Change, Run

Status = Literal["scheduled", "applied", "reverted", "cancelled", "dropped", "missed"]


def status_now(run: Run, change: Change) -> Status | None:
    """In the present attempt; before the first one nothing is applied but what a fork shares."""
    if run.attempt is not None:
        return status_of(run, change, run.attempt_number)
    return _status(run, change, run.attempt_number, run.horizon)


def status_of(run: Run, change: Change, attempt: int) -> Status | None:
    """`applied` from the first iteration that is reported with it on; None if it was accepted after the attempt.

    In an attempt that is over: where it stood at its end.
    """
    lane = run.attempt_of(attempt)
    return None if lane is None else _status(run, change, attempt, max(lane.position, lane.start))


def _status(run: Run, change: Change, attempt: int, reached: int) -> Status | None:
    place = change.placed_in(attempt)
    if place is None:
        return None
    match place.kind:
        case "cancelled" | "dropped" | "missed":
            return place.kind
    if place.effect is None:
        return None
    if _is_reverted(run, change, attempt, reached):
        return "reverted"
    return "applied" if place.effect < reached else "scheduled"


def _is_reverted(run: Run, change: Change, attempt: int, reached: int) -> bool:
    """Whether a change is taken back by a revert that has begun, and that is not taken back itself."""
    for each in run.changes:
        place = each.placed_in(attempt) if each.operation.get("change") == change.id else None
        has_begun = place is not None and place.effect is not None and place.effect < reached
        has_ended = place is not None and place.stop is not None and place.stop < reached
        if has_begun and not has_ended and not _is_reverted(run, each, attempt, reached):
            return True
    return False
