"""Changes: what a person, a program or a controller changes of what is still to come; E = max(wanted, H)."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from preheat.budget import NO_DEADLINE, Deadline
from preheat.errors import LimitExceeded
from preheat.runs.confirmation import check_meant
from preheat.runs.draft import Curves, Draft, Outcome
from preheat.runs.errors import (
    BeyondEnd,
    BudgetSpent,
    ChangeNotFound,
    CooldownBegun,
    KeyReused,
    NotInForce,
    PreconditionFailed,
    PreconditionRequired,
    RollbackPending,
    RunFinished,
    RunLocked,
    TooLate,
)
from preheat.runs.facts import too_late
from preheat.runs.limits import DEFAULT_LIMITS, Limits
from preheat.runs.operations import NOT_ASKED, Durations, checked_operation, resolved
from preheat.runs.revision import amended, in_fold, reverts_of, revise, total_of
from preheat.runs.run import Cause, Change, KeptAnswer, Placement, Run
from preheat.schedule import Schedule
from preheat.specs import InvalidSpec, violation

_THOUSAND = 1_000


@dataclass(frozen=True)
class ChangeRequest:
    """What is to be changed: an operation as plain data ({"op": "scale", "factor": 0.5}), when, for how long, and why.

    `at`, `until`, `for_iterations` and `not_after` are durations: iterations, or a text. Without `at` it is as soon as
    may be. `author` is the API key's name.
    """

    operation: Mapping[str, Any]
    why: str
    author: str
    at: int | str | None = None
    until: int | str | None = None
    for_iterations: int | str | None = None
    not_after: int | str | None = None
    confirm: bool = False
    is_automated: bool = False
    cause: Cause | None = None


@dataclass(frozen=True)
class Precondition:
    """The headers of a change: the ETag that its author saw, and a key that is new for every change."""

    if_match: str | None
    key: str | None


@dataclass(frozen=True)
class Accepted:
    """A change, and the iteration from which it is in force; `is_repeated` if the key had been answered before."""

    change: Change
    effect: int | None
    is_repeated: bool = False


def change(
    run: Run,
    request: ChangeRequest,
    precondition: Precondition,
    change_id: str,
    now: float,
    curves: Curves,
    limits: Limits = DEFAULT_LIMITS,
    deadline: Deadline = NO_DEADLINE,
) -> Outcome[Accepted]:
    """Accepts a change, which makes the next revision. Of a dry run the outcome is shown and not saved.

    Raises PreconditionRequired, KeyReused, PreconditionFailed, RunFinished, RunLocked, RollbackPending, InvalidSpec
    (with pointers into the request), TooLate, BeyondEnd, CooldownBegun, NotInForce, ChangeNotFound, BudgetSpent,
    ConfirmationRequired, LimitExceeded.
    """
    digest = digest_of("change", request)
    # The key before If-Match: a retry of what has been accepted meets a run that has moved by it.
    if (kept := answered(run, request.author, precondition, digest)) is not None:
        return Draft(run, now).outcome(Accepted(kept, kept.effect, is_repeated=True))
    check_precondition(run, precondition)
    check_open(run)
    draft = Draft(run, now)
    accepted = add_change(draft, request, change_id, curves, limits)
    if not request.confirm:
        check_meant(run, draft, request.operation, curves, deadline)
    keep_answer(draft, request.author, precondition.key or "", digest, change_id, limits)
    return draft.outcome(Accepted(accepted, accepted.effect))


def cancel(
    run: Run, change_id: str, author: str, precondition: Precondition, now: float, curves: Curves,
    limits: Limits = DEFAULT_LIMITS,
) -> Outcome[Accepted]:  # fmt: skip
    """Takes a change out that has not been handed out yet. Raises as `change`, and NotInForce for one that has."""
    digest = digest_of("cancel", change_id)
    if (kept := answered(run, author, precondition, digest)) is not None:
        return Draft(run, now).outcome(Accepted(kept, kept.effect, is_repeated=True))
    check_precondition(run, precondition)
    check_open(run)
    found = run.change_of(change_id)
    if found is None:
        raise ChangeNotFound(change_id)
    if found.effect is None:
        raise NotInForce(change_id, f"is {found.placement.kind} already")
    if found.effect < run.horizon:
        raise NotInForce(change_id, f"was handed out (from {found.effect:,} on): revert it")
    draft = Draft(run, now)
    draft.place(found, None, "cancelled", author=author)
    revise(draft, curves)
    keep_answer(draft, author, precondition.key or "", digest, change_id, limits)
    return draft.outcome(Accepted(draft.run.change_of(change_id) or found, None))


def add_change(draft: Draft, request: ChangeRequest, change_id: str, curves: Curves, limits: Limits) -> Change:
    """Adds a change to a draft, with the revision that it makes. Raises as `change`, but for preconditions."""
    run = draft.run
    if len(run.changes) >= limits.most_changes:
        way = "fork the run, which shares its history"
        raise LimitExceeded("changes of a run", len(run.changes) + 1, "max_changes_per_run", limits.most_changes, way)
    durations = _durations(run, request)
    effect = max(durations.at or 0, run.horizon)
    added = Change(
        id=change_id,
        operation=checked_operation(run, request.operation, effect),
        why=request.why,
        author=request.author,
        accepted_at=draft.now,
        placements=(Placement(run.revision + 1, run.attempt_number, effect, "accepted"),),
        at=durations.at,
        until=durations.until,
        for_iterations=durations.for_iterations,
        not_after=durations.not_after,
        is_automated=request.is_automated,
        cause=request.cause,
    )
    _check_place(run, added, effect)
    _check_budget(run, added, effect, limits)
    draft.set(changes=(*run.changes, added))
    draft.note(
        "change-accepted",
        change=change_id,
        author=request.author,
        why=request.why,
        operation=dict(added.operation),
        wanted=durations.at,
        effect=effect,
    )
    _check_valid(draft)
    schedule = revise(draft, curves)
    _keep_normal(draft, change_id, schedule)
    found = draft.run.change_of(change_id) or added
    if found.effect is None or effect > total_of(schedule.spec):
        raise BeyondEnd(effect, total_of(schedule.spec))
    return found


def kept_answer(run: Run, author: str, key: str | None, digest: str) -> KeptAnswer | None:
    """What was answered to the same key of the same author before.

    Raises PreconditionRequired without a key, KeyReused if it stood on another request.
    """
    if not key:
        raise PreconditionRequired("Idempotency-Key")
    kept = next((each for each in reversed(run.keys) if (each.author, each.key) == (author, key)), None)
    if kept is not None and kept.digest != digest:
        raise KeyReused(key)
    return kept


def answered(run: Run, author: str, precondition: Precondition, digest: str) -> Change | None:
    """The change that was answered to the same key of the same author before. Raises as `kept_answer`."""
    kept = kept_answer(run, author, precondition.key, digest)
    return None if kept is None else run.change_of(kept.change)


def check_precondition(run: Run, precondition: Precondition) -> None:
    """Raises PreconditionRequired without an If-Match, PreconditionFailed if it is not the run's ETag."""
    if precondition.if_match is None:
        raise PreconditionRequired("If-Match")
    if precondition.if_match != run.etag:
        raise PreconditionFailed(precondition.if_match, run.etag)


def check_open(run: Run) -> None:
    """Raises RunFinished, RunLocked or RollbackPending."""
    if run.is_finished:
        raise RunFinished(run.id)
    if run.is_locked:
        raise RunLocked(run.id)
    if run.rollback is not None:
        raise RollbackPending(run.rollback.position)


def keep_answer(draft: Draft, author: str, key: str, digest: str, change_id: str, limits: Limits) -> None:
    """Remembers what was answered to a key; the oldest are forgotten, and a retry of these is a 412."""
    kept = (*draft.run.keys, KeptAnswer(author, key, digest, change_id))
    draft.set(keys=kept[-limits.most_keys :])


def digest_of(kind: str, request: Any) -> str:
    """Hash of what is asked for."""
    content = request.__dict__ if hasattr(request, "__dict__") else request
    text = json.dumps([kind, content], sort_keys=True, default=lambda value: value.__dict__)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _durations(run: Run, request: ChangeRequest) -> Durations:
    violations = []
    if not request.why.strip():
        violations.append(violation(("why",), "must say why, for those who read it later", request.why))
    if request.until is not None and request.for_iterations is not None:
        violations.append(violation(("for_iterations",), "must not be given beside until", request.for_iterations))
    ends = request.operation.get("op") in ("cooldown", "extend", "revert")
    for field in ("until", "for_iterations"):
        if ends and getattr(request, field) is not None:
            rule = f"must not be given with {request.operation['op']}: it stays, until it is reverted"
            violations.append(violation((field,), rule, getattr(request, field)))
    if violations:
        raise InvalidSpec(violations)
    return resolved(run, request.at, request.until, request.for_iterations, request.not_after)


def _check_place(run: Run, added: Change, effect: int) -> None:
    """Raises TooLate, BeyondEnd, CooldownBegun."""
    if (limit := too_late(added, effect)) is not None:
        raise TooLate(effect, *limit)
    op = added.operation["op"]
    if effect > run.total_iterations and op != "extend":
        raise BeyondEnd(effect, run.total_iterations)
    if op == "extend":
        more = added.operation["total_iterations"]
        if more <= run.total_iterations or more < effect:
            rule = f"must be greater than that of the run ({max(run.total_iterations, effect - 1):,})"
            raise InvalidSpec([violation(("operation", "total_iterations"), rule, more)])
        phases = amended(run, [amendment for _, amendment in in_fold(run)]).spec.phases
        if added.operation.get("policy") == "move-cooldown" and phases[-1].start < effect:
            raise CooldownBegun(phases[-1].start, effect)
    if op == "revert":
        _check_revert(run, added, effect)


def _check_revert(run: Run, added: Change, effect: int) -> None:
    target = run.change_of(added.operation["change"])
    if target is None:
        raise ChangeNotFound(added.operation["change"])
    if target.effect is None:
        raise NotInForce(target.id, f"is {target.placement.kind} already")
    if reverts := reverts_of(run, target):
        raise NotInForce(target.id, f"is reverted by {reverts[0].id}")
    root = target
    while root.operation["op"] == "revert":  # of a revert: what it took back comes again
        root = run.change_of(root.operation["change"]) or root
    if root.effect is None:
        raise NotInForce(root.id, f"is {root.placement.kind} already")
    stop = root.stop_of(root.placement)
    if stop is not None and stop <= effect:
        raise NotInForce(root.id, f"ends at {stop:,} by itself")


def _check_budget(run: Run, added: Change, effect: int, limits: Limits) -> None:
    # A controller's budget is its patience and its cooldown.
    if not added.is_automated or added.cause is not None:
        return
    near = [
        each
        for each in run.changes
        if each.author == added.author and each.is_automated
        if each.effect is not None and abs(effect - each.effect) < _THOUSAND
    ]
    if len(near) >= limits.automated_changes_per_thousand:
        raise BudgetSpent(added.author, limits.automated_changes_per_thousand)


def _keep_normal(draft: Draft, change_id: str, schedule: Schedule) -> None:
    """Keeps an operation as it is written down in the schedule: a recipe within it may be another one tomorrow."""
    found = draft.run.change_of(change_id)
    if found is None or found.effect is None or found.operation["op"] == "revert":
        return
    amendment = (schedule.spec.amendments or ())[-1]
    normal = amendment.model_dump(mode="json", exclude_none=True, exclude={*NOT_ASKED})
    if found.operation.get("value") == "current":
        normal["value"] = "current"
    draft.set_change(replace(found, operation=normal))


def _check_valid(draft: Draft) -> None:
    """Raises InvalidSpec with pointers into the request, if the operation itself is why the next revision is none."""
    folded = [amendment for _, amendment in in_fold(draft.run)]
    index = len(folded) - 1
    try:
        amended(draft.run, folded)
    except InvalidSpec as error:
        if all(each.location == ("amendments",) for each in error.violations):  # all of them together
            raise InvalidSpec([replace(each, location=("operation",)) for each in error.violations]) from None
        if draft.run.changes[-1].operation["op"] == "revert":  # another one loses its place by it, and is told so
            return
        own = [
            replace(each, location=("operation", *each.location[2:]))
            for each in error.violations
            if each.location[:2] == ("amendments", index)
        ]
        if own:
            raise InvalidSpec(own) from None
        if any(each.location[:1] != ("amendments",) for each in error.violations) or not folded:
            raise
