"""Ways to get live runs wrong, each with its promise: faulty functions of the room, habits of clients, and a disk."""

from dataclasses import replace
from typing import Any

from live_runs.promises import EFFECT, EVENTS, FENCING, ON_DISK, ONCE, ONE_LR, PLATEAU, RECORD, REPLAY
from live_runs.world import Habits, Room
from preheat.runs import attempts, changes, reports, windows
from preheat.runs.draft import Outcome
from preheat.runs.run import Run
from preheat.schedule import Schedule, id_of


def _unacknowledged(run: Run, request: windows.WindowRequest, *args: Any) -> Outcome[windows.Window]:
    """What was handed out counts as known: an overrun is taken to have gone along the last revision."""
    if request.overrun is None:
        return windows.hand_out(run, request, *args)
    return windows.hand_out(run, replace(request, overrun=replace(request.overrun, revision=run.revision)), *args)


def _with_horizon(run: Run, handed: int) -> Run:
    if run.attempt is None:
        return run
    return replace(run, attempts=(*run.attempts[:-1], replace(run.attempts[-1], handed=handed)))


def _put_back(run: Run, outcome: Outcome[Any]) -> Outcome[Any]:
    if run.attempt is None:
        return outcome
    return replace(outcome, run=_with_horizon(outcome.run, run.attempt.handed))


def _effect_at_position(run: Run, *args: Any) -> Outcome[changes.Accepted]:
    """E = position + 1."""
    position = run.horizon if run.attempt is None else run.attempt.position + 1
    return _put_back(run, changes.change(_with_horizon(run, position), *args))


def _effect_by_margin(run: Run, *args: Any) -> Outcome[changes.Accepted]:
    """E = position + 4, a margin in the place of H."""
    position = run.horizon if run.attempt is None else run.attempt.position + 4
    return _put_back(run, changes.change(_with_horizon(run, position), *args))


def _precondition_first(run: Run, request: Any, precondition: changes.Precondition, *args: Any) -> Any:
    """If-Match before the Idempotency-Key."""
    changes.check_precondition(run, precondition)
    return changes.change(run, request, precondition, *args)


def _anybody(run: Run, request: windows.WindowRequest, *args: Any) -> Outcome[windows.Window]:
    """No fencing: whoever asks gets the present attempt's window, under the number that it has itself."""
    if run.attempt is None:
        return windows.hand_out(run, request, *args)
    own = replace(
        request, attempt=run.attempt.number, token=run.attempt.token, position=run.attempt.position,
        acknowledged=run.attempt.acknowledged, overrun=None,
    )  # fmt: skip
    outcome = windows.hand_out(run, own, *args)
    return replace(outcome, answer=replace(outcome.answer, attempt=request.attempt))


def _returning(run: Run, request: windows.WindowRequest, *args: Any) -> Outcome[windows.Window]:
    """A fenced token that is taken back: its attempt becomes the present one again."""
    returned = next((each for each in run.attempts[:-1] if each.token == request.token), None)
    if returned is None:
        return windows.hand_out(run, request, *args)
    present = replace(returned, number=run.attempt_number, is_closed=False)
    own = replace(request, attempt=present.number, acknowledged=min(request.acknowledged, present.handed), overrun=None,
                  position=min(request.position, present.handed))  # fmt: skip
    outcome = windows.hand_out(replace(run, attempts=(*run.attempts[:-1], present)), own, *args)
    return replace(outcome, answer=replace(outcome.answer, attempt=request.attempt))


def _per_rank(run: Run, attempt: int, token: str, batch: Any, _known: Any, *args: Any) -> Any:
    """Plateau stepped once for each of two ranks that report the same loss."""
    outcome = reports.report(run, attempt, token, batch, {}, *args)
    again = replace(outcome.run, controllers=tuple(replace(each, folded=-1) for each in outcome.run.controllers))
    second = reports.report(again, attempt, token, batch, {}, *args)
    return replace(second, events=(*outcome.events, *second.events), revisions=(*outcome.revisions, *second.revisions))


def _forgetful(run: Run, request: attempts.AttachRequest, *args: Any) -> Outcome[attempts.Attached]:
    """The job goes on after a restart with the base as it was made, and the changes are in the list alone."""
    outcome = attempts.attach(run, request, *args)
    base = Schedule.stored(id_of(run.base), run.base)
    present = replace(outcome.run.attempts[-1], schedule_id=base.id)
    forgotten = replace(outcome.run, schedule_id=base.id, attempts=(*outcome.run.attempts[:-1], present))
    return replace(outcome, run=forgotten, answer=replace(outcome.answer, schedule_id=base.id))


def _silent(run: Run, attempt: int, token: str, batch: Any, *args: Any) -> Any:
    """The last event of a report is counted and not kept."""
    outcome = reports.report(run, attempt, token, batch, *args)
    return replace(outcome, events=outcome.events[:-1])


FAULTS: dict[str, tuple[Room, Habits, str]] = {
    "commit after answer": (Room(), Habits(commits_first=False), ON_DISK),
    "no acknowledgement": (Room(hand_out=_unacknowledged), Habits(), RECORD),
    "answers not thrown away after an overrun": (Room(), Habits(throws_away=False), ONE_LR),
    "E = position + 1": (Room(change=_effect_at_position), Habits(), EFFECT),
    "== for at": (Room(), Habits(takes_at_by_value=False), RECORD),
    "a margin instead of H": (Room(change=_effect_by_margin), Habits(), EFFECT),
    "If-Match before the key": (Room(change=_precondition_first), Habits(), ONCE),
    "no fencing": (Room(hand_out=_anybody), Habits(), FENCING),
    "a fenced token taken back": (Room(hand_out=_returning), Habits(), FENCING),
    "plateau stepped per rank": (Room(report=_per_rank), Habits(), PLATEAU),
    "a replay without the changes": (Room(attach=_forgetful), Habits(), REPLAY),
    "an event too few": (Room(report=_silent), Habits(), EVENTS),
}
"""Every fault as a room and habits that have it and are right else, and the promise that it breaks."""
