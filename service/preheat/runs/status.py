"""Status: where a change stands in an attempt."""

from typing import Literal

from preheat.runs.run import Change, Run

Status = Literal["scheduled", "applied", "reverted", "cancelled", "dropped", "missed"]


def status_of(run: Run, change: Change, attempt: int) -> Status | None:
    """`applied` from the first iteration that is reported with it on; None if it was accepted after the attempt.

    In an attempt that is over: where it stood at its end.
    """
    place, lane = change.placed_in(attempt), run.attempt_of(attempt)
    if place is None or lane is None:
        return None
    match place.kind:
        case "cancelled" | "dropped" | "missed":
            return place.kind
    if place.effect is None:
        return None
    reached = max(lane.position, lane.start)
    reverts = (each.placed_in(attempt) for each in run.changes if each.operation.get("change") == change.id)
    if any(each is not None and each.effect is not None and each.effect < reached for each in reverts):
        return "reverted"
    return "applied" if place.effect < reached else "scheduled"
