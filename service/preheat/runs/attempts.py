"""Attempts: one life of the job after another; attach, with replay or a rollback, and goodbye."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Protocol

from preheat.errors import LimitExceeded
from preheat.runs.draft import Curves, Draft, Outcome
from preheat.runs.errors import (
    AttemptMoved,
    CheckpointMismatch,
    KnowsMore,
    Occupied,
    PositionAhead,
    RunFinished,
    Superseded,
)
from preheat.runs.facts import Overrun, put_behind, take_facts
from preheat.runs.first_lr import note_first_lr
from preheat.runs.knowledge import Knowledge, recover
from preheat.runs.limits import DEFAULT_LIMITS, Limits
from preheat.runs.plateau import rewind
from preheat.runs.revision import revise
from preheat.runs.run import Attempt, Lineage, Run, Speakers
from preheat.runs.states import is_alive
from preheat.runs.windows import check_knowledge, present
from preheat.specs import InvalidSpec, violation


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint says of the run that it was saved in; `position` is the next iteration to run after it."""

    run: str
    attempt: int
    revision: int
    position: int
    acknowledged: int
    overrun: Overrun | None = None


@dataclass(frozen=True)
class AttachRequest:
    """A speaker process that is about to run iteration `position`.

    `token` is random, and the process's own: the same request again gives the same answer, and a token that is fenced
    stays so. `seen_attempt` is the present attempt that it has looked at, 0 if there was none. `knowledge` is what it
    knows of a run that the database has lost.
    """

    token: str
    seen_attempt: int
    position: int
    speakers: Speakers = "one"
    lineage: Lineage | None = None
    take_over: bool = False
    checkpoint: Checkpoint | None = None
    knowledge: Knowledge | None = None
    world_size: int | None = None


@dataclass(frozen=True)
class Attached:
    """The attempt that was opened or joined, and the revision and generation that hold for it."""

    attempt: int
    start: int
    revision: int
    schedule_id: str
    generation: int
    lease_s: float


class Reports(Protocol):
    """Counted reports, as they are stored: what a controller that is rewound reads again."""

    def __call__(self, metric: str, attempt: int, start: int, stop: int) -> Iterable[tuple[int, float]]:
        """Iteration and value of a metric's reports of iterations start … stop − 1 in an attempt, ascending."""
        ...


def attach(
    run: Run, request: AttachRequest, now: float, curves: Curves, reports: Reports, limits: Limits = DEFAULT_LIMITS
) -> Outcome[Attached]:
    """Opens the next attempt, or, as one of many speakers of the same job, joins the present one.

    Raises RunFinished; Superseded for a token that is fenced; AttemptMoved, Occupied; CheckpointMismatch;
    KnowsMore; PositionAhead for a position past the end of the run; InvalidSpec; LimitExceeded.
    """
    if run.is_finished:
        raise RunFinished(run.id)
    _check_request(request)
    if request.knowledge is not None and not request.knowledge.is_ahead_of(run):
        request = replace(request, knowledge=None)
    draft = Draft(run, now)
    if (joined := _joined(run, request)) is not None:
        return draft.outcome(_answer(draft.run, joined))
    if len(run.attempts) >= limits.most_attempts:
        way = "fork the run, which shares its history"
        raise LimitExceeded(
            "attempts of a run", len(run.attempts) + 1, "max_attempts_per_run", limits.most_attempts, way
        )
    _check_attach(run, request, now, limits)
    if request.knowledge is not None:
        _check_bound(run, request.position, request.knowledge.bound, limits)
        recover(draft, request.knowledge, curves)
        furthest = max(draft.run.total_iterations + 1, run.horizon) + limits.window_cap
        if request.position > furthest:
            raise PositionAhead("position", request.position, furthest)
    parent = _parent(draft.run, request)
    _learn(draft, request, curves)
    handed = draft.run.horizon
    _open(draft, request, parent, limits)
    _place_changes(draft, request, handed)
    rewind(draft, parent, request.position, reports)
    if draft.has_placed:
        revise(draft, curves)
    note_first_lr(draft, curves)
    return draft.outcome(_answer(draft.run, draft.run.attempts[-1]))


def close(run: Run, attempt: int, token: str, position: int, now: float) -> Outcome[None]:
    """The goodbye of a speaker: the attempt is CLOSED, and another may attach. Raises Superseded."""
    found = present(run, attempt, token)
    draft = Draft(run, now)
    draft.set_attempt(found.number, is_closed=True, position=max(found.position, min(position, found.handed)))
    draft.note("closed", attempt=attempt, position=position)
    return draft.outcome(None)


def _check_request(request: AttachRequest) -> None:
    violations = []
    if request.position < 0:
        violations.append(violation(("position",), "must be ≥ 0", request.position))
    if request.speakers == "all" and request.lineage is None:
        rule = "is required of many speakers: by it they are known as one job (TORCHELASTIC_RUN_ID, SLURM_JOB_ID)"
        violations.append(violation(("lineage",), rule))
    if violations:
        raise InvalidSpec(violations)


def _joined(run: Run, request: AttachRequest) -> Attempt | None:
    """The present attempt, of an attach that is sent again or of one more speaker of the same life of the job."""
    attempt = run.attempt
    fenced = [each for each in run.attempts if each.token == request.token]
    if fenced and (attempt is None or attempt.token != request.token or attempt.is_closed):
        raise Superseded(fenced[-1].number, run.attempt_number)
    if attempt is None or attempt.is_closed:
        return None
    is_same_life = attempt.speakers == request.speakers == "all" and attempt.lineage == request.lineage
    return attempt if attempt.token == request.token or is_same_life else None


def _check_attach(run: Run, request: AttachRequest, now: float, limits: Limits) -> None:
    attempt = run.attempt
    if request.seen_attempt != run.attempt_number and request.knowledge is None:
        raise AttemptMoved(request.seen_attempt, run.attempt_number)
    if attempt is not None and is_alive(attempt, now) and not request.take_over and not _is_restart(attempt, request):
        raise Occupied(attempt.number)
    overrun = None if request.checkpoint is None else request.checkpoint.overrun
    furthest = max(run.total_iterations + 1, run.horizon)
    if overrun is not None:
        furthest = max(furthest, min(overrun.end, furthest + limits.window_cap))
    if request.position > furthest and request.knowledge is None:
        raise PositionAhead("position", request.position, furthest)
    if request.checkpoint is not None:
        _check_checkpoint(run, request, request.checkpoint)


def _check_bound(run: Run, position: int, bound: int, limits: Limits) -> None:
    """Raises PositionAhead for what no window can have reached: whoever goes on from `position` was not handed it."""
    furthest = max(position, run.horizon) + limits.window_cap
    if bound > furthest:
        raise PositionAhead("knowledge.bound", bound, furthest)


def _check_checkpoint(run: Run, request: AttachRequest, checkpoint: Checkpoint) -> None:
    if checkpoint.position != request.position:
        raise CheckpointMismatch("position", checkpoint.position, request.position)
    origin = next((each for each in run.origins if each.run == checkpoint.run), None)
    if origin is None and checkpoint.run != run.id:
        raise CheckpointMismatch("run", checkpoint.run, run.id)
    if origin is not None and checkpoint.attempt > origin.attempt:
        rule = f"at most {origin.attempt}, the last attempt of run {origin.run} that this fork shares"
        raise CheckpointMismatch("attempt", checkpoint.attempt, rule)
    last = run.shared_until(checkpoint.attempt)
    if last is not None and checkpoint.position > last:
        raise CheckpointMismatch("position", checkpoint.position, f"at most {last}, where the run was forked")
    if request.knowledge is not None:
        return
    if origin is None:
        check_knowledge(run, run.generation, checkpoint.revision, checkpoint.attempt)
    own = run.attempt_of(checkpoint.attempt)
    if own is None:
        raise CheckpointMismatch("attempt", checkpoint.attempt, f"one of this run's, up to {run.attempt_number}")
    # A fork does not know how far an attempt that it shares has come since.
    if last is None and checkpoint.acknowledged > own.handed:
        raise KnowsMore(run.generation + 1, {"acknowledged": [checkpoint.acknowledged, own.handed]})
    if checkpoint.position < own.start:
        raise CheckpointMismatch("position", checkpoint.position, f"at least {own.start}, where that attempt began")


def _is_restart(attempt: Attempt, request: AttachRequest) -> bool:
    """Whether it is the same job, restarted by its launcher."""
    ours, theirs = attempt.lineage, request.lineage
    return ours is not None and theirs is not None and ours.job == theirs.job and theirs.restarts > ours.restarts


def _parent(run: Run, request: AttachRequest) -> Attempt | None:
    """The attempt that the new one goes on from: that of its checkpoint, or the last one."""
    if request.checkpoint is not None:
        found = run.attempt_of(request.checkpoint.attempt)
        if found is not None:
            return found
    return run.attempts[-1] if run.attempts else None


def _learn(draft: Draft, request: AttachRequest, curves: Curves) -> None:
    """Takes what the checkpoint says of the attempt that it comes from: [C, k) is known now."""
    checkpoint, attempt = request.checkpoint, draft.run.attempt
    if checkpoint is None or attempt is None or checkpoint.attempt != attempt.number or request.knowledge is not None:
        return
    k, overrun = request.position, checkpoint.overrun
    if overrun is not None and overrun.start < k:
        take_facts(draft, attempt, replace(overrun, end=min(overrun.end, k)), curves)
        attempt = draft.run.attempts[-1]
    known = min(k, max(checkpoint.acknowledged, attempt.acknowledged), attempt.handed)
    draft.set_attempt(
        attempt.number, acknowledged=max(attempt.acknowledged, known), position=max(attempt.position, known)
    )


def _open(draft: Draft, request: AttachRequest, parent: Attempt | None, limits: Limits) -> None:
    run, k = draft.run, request.position
    attempt = Attempt(
        number=run.attempt_number + 1,
        parent=None if parent is None else parent.number,
        start=k,
        token=request.token,
        handed=k,
        acknowledged=k,
        position=k,
        schedule_id=run.schedule_id,
        attached_at=draft.now,
        heard_at=draft.now,
        moved_at=draft.now,
        lease_s=limits.lease(request.speakers),
        speakers=request.speakers,
        lineage=request.lineage,
        world_size=request.world_size,
    )
    draft.add_attempt(attempt)
    draft.note(
        "attached",
        attempt=attempt.number,
        parent=attempt.parent,
        position=k,
        world_size=request.world_size,
        took_over=request.take_over,
    )


def _place_changes(draft: Draft, request: AttachRequest, handed: int) -> None:
    """Puts changes where the new attempt has them: by the rollback that was asked for, or behind what it has skipped.

    Without a rollback everything stays: the job replays, bit for bit, what it had from `position` on.
    """
    k, rollback = request.position, draft.run.rollback
    if rollback is not None and rollback.position == k:
        draft.set(rollback=None)
        draft.note("rolled-back", position=k, changes=rollback.changes, author=rollback.author, why=rollback.why)
        for change in draft.run.changes:
            if change.effect is None or change.effect < k or (change.cause and rollback.changes == "drop"):
                continue
            stop = change.placement.stop
            if rollback.changes == "drop" or (stop is not None and stop <= max(handed, k)):
                # What facts have ended is over, and begins nowhere anew.
                draft.place(change, None, "dropped")
            elif change.effect > k and not (change.at is not None and change.at >= max(handed, k)):
                draft.place(change, k, "from-here", stop=stop)
    elif rollback is not None:
        draft.note("rollback-missed", asked=rollback.position, came=k)
    for change in draft.run.changes:
        if change.effect is not None and change.effect in range(handed, k):
            put_behind(draft, change, k, f"the job goes on from iteration {k}")


def _answer(run: Run, attempt: Attempt) -> Attached:
    return Attached(attempt.number, attempt.start, run.revision, run.schedule_id, run.generation, attempt.lease_s)
