"""Making: a new run, the same one found again by its label, forks, and how a run ends."""

import json
from dataclasses import dataclass, replace
from typing import Any, Literal

from preheat.runs.changes import (
    Precondition,
    check_open,
    check_precondition,
    digest_of,
    keep_answer,
    kept_answer,
)
from preheat.runs.draft import Curves, Draft, Outcome
from preheat.runs.errors import HistoryUnknown, NotInForce, RunAlive, RunDiffers
from preheat.runs.limits import DEFAULT_LIMITS, Limits
from preheat.runs.record import line
from preheat.runs.revision import base_of, revise
from preheat.runs.run import Attempt, Origin, Rollback, Run
from preheat.runs.states import state_of
from preheat.schedule import Schedule
from preheat.specs import InvalidSpec, violation


def make(run_id: str, label: str, base: Schedule, now: float) -> Outcome[None]:
    """A new run of a schedule, its revision 1."""
    total = base.spec.amended_total_iterations
    run = Run(run_id, label, base.text, base.id, total, now, recent=((1, base.id),))
    draft = Draft(run, now)
    draft.add_revision(base)
    draft.note("made", label=label, schedule=base.id)
    return draft.outcome(None)


def check_same(run: Run, base: Schedule) -> None:
    """Raises RunDiffers if a label's run is finished, or has another base: the same call finds it, or says why not."""
    if run.is_finished:
        raise RunDiffers(run.label, run.id, "it is finished", {})
    ours = base_of(run)
    if ours.id == base.id:
        return
    theirs, yours = ours.spec_dict, base.spec_dict
    differences = {
        name: {"run": theirs.get(name), "yours": yours.get(name)}
        for name in sorted({*theirs, *yours})
        if json.dumps(theirs.get(name), sort_keys=True) != json.dumps(yours.get(name), sort_keys=True)
    }
    raise RunDiffers(run.label, run.id, f"its spec differs in {', '.join(differences) or 'torch'}", differences)


@dataclass(frozen=True)
class ForkRequest:
    """A second run that shares the history of an attempt up to an iteration, that one included.

    `changes` says what becomes of changes that come later: kept, so that the fork is its twin, or dropped.
    """

    attempt: int
    iteration: int
    label: str
    changes: Literal["keep", "drop"] = "keep"


def fork(run: Run, request: ForkRequest, run_id: str, now: float, curves: Curves) -> Outcome[None]:
    """The forked run; the other stays as it is. Raises HistoryUnknown past what was acknowledged in the attempt."""
    attempt = run.attempt_of(request.attempt)
    if attempt is None or not 0 <= request.iteration < attempt.acknowledged:
        known = None if attempt is None else attempt.acknowledged
        raise HistoryUnknown(request.attempt, request.iteration, known, run.attempt_number)
    shared = line(run, request.attempt)
    # From the root on; each ends where the next one left it.
    attempts = tuple(_shared(each, request.iteration + 1) for each, _ in reversed(shared))
    placed = (
        (change, change.placed_in(request.attempt)) for change in run.changes if change.placed_in(request.attempt)
    )
    changes = tuple(
        replace(change, placements=(replace(place, revision=1, attempt=request.attempt),))
        for change, place in placed
        if place is not None
    )
    forked = Run(
        id=run_id,
        label=request.label,
        base=run.base,
        schedule_id=run.schedule_id,
        total_iterations=run.total_iterations,
        created_at=now,
        generation=run.generation,
        changes=changes,
        attempts=attempts,
        origins=(*run.origins, Origin(run.id, request.attempt, request.iteration)),
    )
    draft = Draft(forked, now)
    draft.note("forked", run=run.id, attempt=request.attempt, iteration=request.iteration)
    if request.changes == "drop":
        for change in forked.changes:
            if change.effect is not None and change.effect > request.iteration:
                draft.place(change, None, "dropped")
    revise(draft, curves)
    return draft.outcome(None)


def _shared(attempt: Attempt, end: int) -> Attempt:
    """An attempt as a fork has it: over, and nothing is known of what it did from `end` on."""
    return replace(
        attempt,
        is_closed=True,
        handed=min(attempt.handed, end),
        acknowledged=min(attempt.acknowledged, end),
        position=min(attempt.position, end),
        overruns=tuple((start, min(stop, end)) for start, stop in attempt.overruns if start < end),
    )


def keep_fork(
    run: Run, author: str, key: str, digest: str, forked: str, now: float, limits: Limits = DEFAULT_LIMITS
) -> Outcome[None]:
    """The run that was forked, which remembers the key and the id of the fork."""
    draft = Draft(run, now)
    keep_answer(draft, author, key, digest, forked, limits)
    return draft.outcome(None)


@dataclass(frozen=True)
class RollbackRequest:
    """A restart after iteration `after`, from a checkpoint of it: what becomes of changes from there on, and why."""

    after: int
    changes: Literal["drop", "from-here"]
    why: str
    author: str


def roll_back(
    run: Run, request: RollbackRequest, precondition: Precondition, now: float, limits: Limits = DEFAULT_LIMITS
) -> Outcome[Rollback]:
    """Asks the job to restart at iteration after + 1; until it does, other changes are refused.

    Raises as `changes.change`; InvalidSpec for an iteration that was not handed out.
    """
    digest = digest_of("rollback", request)
    if kept_answer(run, request.author, precondition.key, digest) is not None:
        asked = Rollback(request.after + 1, request.changes, request.why, request.author)
        return Draft(run, now).outcome(asked)
    check_precondition(run, precondition)
    check_open(run)
    violations = []
    if not request.why.strip():
        violations.append(violation(("why",), "must say why, for those who read it later", request.why))
    if not 0 <= request.after + 1 <= run.horizon:
        rule = f"must be before what is handed out next ({run.horizon:,})"
        violations.append(violation(("after",), rule, request.after))
    if violations:
        raise InvalidSpec(violations)
    draft = Draft(run, now)
    rollback = Rollback(request.after + 1, request.changes, request.why, request.author)
    draft.set(rollback=rollback)
    draft.note(
        "rollback-asked", position=rollback.position, changes=rollback.changes, author=request.author, why=request.why
    )
    keep_answer(draft, request.author, precondition.key or "", digest, "", limits)
    return draft.outcome(rollback)


def withdraw_rollback(run: Run, author: str, precondition: Precondition, now: float) -> Outcome[None]:
    """Takes a restart back that the job has not made yet. Raises PreconditionFailed, NotInForce if there is none."""
    check_precondition(run, precondition)
    if run.rollback is None:
        raise NotInForce("rollback", "is not asked for")
    draft = Draft(run, now)
    draft.set(rollback=None)
    draft.note("rollback-withdrawn", author=author)
    if run.attempt is not None:
        draft.set_attempt(run.attempt.number, is_asked=False)
    return draft.outcome(None)


def finish(run: Run, author: str, now: float) -> Outcome[None]:
    """Ends a run: it takes nothing more. The same again changes nothing."""
    draft = Draft(run, now)
    if not run.is_finished:
        draft.set(is_finished=True)
        draft.note("finished", author=author)
    return draft.outcome(None)


def lock(run: Run, author: str, now: float, *, is_locked: bool) -> Outcome[None]:
    """Locks or opens a run for changes. The same again changes nothing."""
    draft = Draft(run, now)
    if run.is_locked != is_locked:
        draft.set(is_locked=is_locked)
        draft.note("locked" if is_locked else "opened", author=author)
    return draft.outcome(None)


def check_deletable(run: Run, now: float) -> None:
    """Raises RunAlive unless the run is finished, or its job is closed or has never been."""
    state: Any = state_of(run, now)
    if state not in {"FINISHED", "CLOSED", "WAITING"}:
        raise RunAlive(run.id, state)
