"""Windows: LRs handed out ahead, each after its end is on disk, acknowledged by the next request; the heartbeat."""

import math
from dataclasses import dataclass

from preheat.runs.draft import Curves, Draft, Outcome
from preheat.runs.errors import KnowsMore, PositionAhead, RunFinished, Superseded
from preheat.runs.facts import Overrun, take_facts
from preheat.runs.knowledge import check_plausible
from preheat.runs.limits import DEFAULT_LIMITS, Limits
from preheat.runs.run import Attempt, Rollback, Run
from preheat.specs import InvalidSpec, violation


@dataclass(frozen=True)
class WindowRequest:
    """What a speaker asks and tells: the next iteration to run, the end of what it has, the revision that it has it by.

    `schedule_id` is that revision's: a database that was restored gives its number to another one.
    `iteration_s` is how long an iteration takes, once that is known. `overrun` is what it did out of reach.
    """

    attempt: int
    token: str
    position: int
    acknowledged: int
    revision: int
    generation: int = 1
    schedule_id: str | None = None
    iteration_s: float | None = None
    overrun: Overrun | None = None


@dataclass(frozen=True)
class Window:
    """Iterations start … stop − 1 of a revision, which may be told to ranks; empty where there is nothing to hand out.

    Its LRs are those of the schedule `schedule_id`. `restart` is what a person asked the job for.
    """

    attempt: int
    start: int
    stop: int
    revision: int
    schedule_id: str
    generation: int
    lease_s: float
    restart: Rollback | None = None


def hand_out(
    run: Run, request: WindowRequest, now: float, curves: Curves, limits: Limits = DEFAULT_LIMITS
) -> Outcome[Window]:
    """The next window of the present attempt; H is its end at least. To be answered when the run is on disk.

    Raises Superseded for any but the present attempt and its token, RunFinished, KnowsMore, PositionAhead, NoOverrun;
    InvalidSpec for what lies before the attempt.
    """
    attempt = _fenced(run, request)
    if run.is_finished:
        raise RunFinished(run.id)
    _check_bounds(run, attempt, request, limits)
    draft = Draft(run, now)
    if request.overrun is not None:
        take_facts(draft, attempt, request.overrun, curves)
    attempt = _heard(draft, request, limits)
    start = max(request.acknowledged, 0 if request.overrun is None else request.overrun.end)
    stop = _end(draft, attempt, request, start, limits)
    restart = draft.run.rollback
    if restart is not None and not attempt.is_asked:
        draft.note("restart-requested", attempt=attempt.number, position=restart.position)
    draft.set_attempt(
        attempt.number,
        handed=max(attempt.handed, stop),
        is_asked=attempt.is_asked or restart is not None,
    )
    run = draft.run
    return draft.outcome(
        Window(
            attempt.number,
            start,
            max(stop, start),
            run.revision,
            run.schedule_id,
            run.generation,
            attempt.lease_s,
            restart,
        )
    )


def present(run: Run, attempt: int, token: str) -> Attempt:
    """The present attempt, if it is that of this number and token, and not closed. Raises Superseded."""
    found = run.attempt
    if found is None or found.is_closed or (found.number, found.token) != (attempt, token):
        raise Superseded(attempt, run.attempt_number)
    return found


def check_knowledge(run: Run, generation: int, revision: int, attempt: int) -> None:
    """Raises KnowsMore for a client that has seen what this database has not, InvalidSpec for what nobody has."""
    check_plausible(run, generation=generation, revision=revision, attempt=attempt)
    if lost := _lost(run, generation, revision, attempt):
        raise KnowsMore(max(generation, run.generation) + 1, lost)


def _lost(run: Run, generation: int, revision: int, attempt: int) -> dict[str, list[int]]:
    """What a client has seen, and this database has not, each with what it has."""
    pairs = {
        "generation": (generation, run.generation),
        "revision": (revision, run.revision),
        "attempt": (attempt, run.attempt_number),
    }
    return {name: [theirs, ours] for name, (theirs, ours) in pairs.items() if theirs > ours}


def _fenced(run: Run, request: WindowRequest) -> Attempt:
    """The present attempt, if the request is of it: only its token can tell, and fence it by, what was lost.

    Who comes from an attempt that was lost is told so, and closes nothing. Raises Superseded, KnowsMore, InvalidSpec.
    """
    seen = (request.generation, request.revision, request.attempt)
    check_plausible(run, generation=request.generation, revision=request.revision, attempt=request.attempt)
    attempt, lost = run.attempt, _lost(run, *seen)
    if request.attempt > run.attempt_number:
        raise KnowsMore(run.generation, lost)
    is_fenced = attempt is not None and attempt.is_closed and request.generation < run.generation
    if attempt is not None and is_fenced and (attempt.number, attempt.token) == (request.attempt, request.token):
        # Again: the answer that said so may have got lost.
        raise KnowsMore(run.generation, {**lost, "generation": [request.generation, run.generation]})
    found = present(run, request.attempt, request.token)
    check_knowledge(run, *seen)
    ours = run.schedule_of(request.revision)
    if request.schedule_id is not None and ours is not None and request.schedule_id != ours:
        raise KnowsMore(run.generation + 1, {f"schedule of revision {request.revision}": [request.schedule_id, ours]})
    return found


def iterations_per_window(iteration_s: float | None, lease_s: float, limits: Limits) -> int:
    """A window is a length of time: clamp(lease_s / iteration_s, 2, cap) iterations."""
    if iteration_s is None or not iteration_s > 0:
        return min(limits.first_window, limits.window_cap)
    return max(min(math.ceil(min(lease_s / iteration_s, limits.window_cap)), limits.window_cap), 2)


def _check_bounds(run: Run, attempt: Attempt, request: WindowRequest, limits: Limits) -> None:
    """Raises InvalidSpec, KnowsMore, PositionAhead."""
    told_first: dict[tuple[str, ...], int] = {("acknowledged",): request.acknowledged}
    if request.overrun is not None:
        told_first["overrun", "start"] = request.overrun.start
    rule = f"must be ≥ {attempt.start}, where attempt {attempt.number} began"
    wrong = [violation(location, rule, n) for location, n in told_first.items() if n < attempt.start]
    if wrong:
        raise InvalidSpec(wrong)
    # What was acknowledged was handed out once, or told in the overrun: a database that knows neither has lost it.
    known = request.acknowledged
    if request.overrun is not None and known <= request.overrun.end:
        known = request.overrun.start
    if known > attempt.handed:
        raise KnowsMore(run.generation + 1, {"acknowledged": [known, attempt.handed]})
    told = attempt.handed if request.overrun is None else max(request.overrun.end, attempt.handed)
    if request.position > told:
        raise PositionAhead("position", request.position, told)
    # As of windows: else a job could tell that it has told everything, and nothing could be changed any more.
    furthest = max(request.position, attempt.position) + limits.window_cap
    if request.overrun is not None and request.overrun.end > max(furthest, attempt.handed):
        raise PositionAhead("overrun.end", request.overrun.end, furthest)


def _heard(draft: Draft, request: WindowRequest, limits: Limits) -> Attempt:
    """The attempt with what the request says of it."""
    attempt = draft.run.attempts[-1]
    has_moved = request.position > attempt.position
    draft.set_attempt(
        attempt.number,
        position=max(attempt.position, request.position),
        acknowledged=max(attempt.acknowledged, request.acknowledged),
        heard_at=draft.now,
        moved_at=draft.now if has_moved else attempt.moved_at,
        iteration_s=request.iteration_s if request.iteration_s is not None else attempt.iteration_s,
        lease_s=limits.lease(attempt.speakers),
    )
    return draft.run.attempts[-1]


def _end(draft: Draft, attempt: Attempt, request: WindowRequest, start: int, limits: Limits) -> int:
    """The end of the window: a lease after the position, not past the run's end.

    It is at most a cap after the highest position, and after the window's own start: who has come to `position` has
    what is before it, and says so by what it acknowledges.
    """
    wanted = iterations_per_window(attempt.iteration_s, attempt.lease_s, limits)
    furthest = min(attempt.position, start) + limits.window_cap
    return min(request.position + wanted, furthest, draft.run.total_iterations + 1)
