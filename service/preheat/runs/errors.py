"""Errors of runs: requests that a run refuses, each with the problem document that a client gets for it.

    PreheatError                    status
    ├── RunNotFound           404   no run has this id
    ├── ChangeNotFound        404   no change has this id
    ├── ControllerNotFound    404   no controller has this id
    ├── RunDiffers            409   a label that names a run of another spec, or a finished one
    ├── RunFinished           409   a run that takes nothing more
    ├── RunLocked             409   a run whose changes are locked
    ├── RunAlive              409   a run that is to be deleted while its job lives
    ├── RollbackPending       409   a run that waits for a restart that was asked for
    ├── Superseded            409   an attempt that is not the newest one
    ├── AttemptMoved          409   an attach that has seen another attempt than the present one
    ├── Occupied              409   an attach while the present attempt is alive
    ├── CheckpointMismatch    409   a checkpoint that this run cannot be resumed from
    ├── KnowsMore             409   a client that knows what the database has lost
    ├── PositionAhead         409   a position beyond everything that was handed out
    ├── NoOverrun             409   an overrun of one speaker of many
    ├── TooLate               409   a change that would come too late for what it says itself
    ├── BeyondEnd             409   a change that would take effect after the end of the run
    ├── CooldownBegun         409   a cool-down that is to be moved and has begun
    ├── NotInForce            409   a change that cannot be cancelled or taken back any more
    ├── ConfirmationRequired  409   a change that needs confirm: true
    ├── HistoryUnknown        409   a fork of what is not known to have been used
    ├── EventsTrimmed         410   events that are no longer kept
    ├── PreconditionFailed    412   an If-Match of a run that has moved
    ├── KeyReused             422   an Idempotency-Key with another request
    ├── PreconditionRequired  428   a change without If-Match, or without an Idempotency-Key
    └── BudgetSpent           429   an automated author that changes too much

A request that breaks rules is `preheat.specs.InvalidSpec`, with pointers into the request.
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from preheat.errors import PreheatError
from preheat.messages import encodable


class RunNotFound(PreheatError):
    """No run has this id."""

    status, kind, title = HTTPStatus.NOT_FOUND, "run-not-found", "No such run"

    def __init__(self, run: str) -> None:
        super().__init__(f"no run has the id {run}", run=run)


class ChangeNotFound(PreheatError):
    """No change of the run has this id."""

    status, kind, title = HTTPStatus.NOT_FOUND, "change-not-found", "No such change"

    def __init__(self, change: str) -> None:
        super().__init__(f"no change of this run has the id {encodable(change)}", change=encodable(change))


class ControllerNotFound(PreheatError):
    """No controller of the run has this id."""

    status, kind, title = HTTPStatus.NOT_FOUND, "controller-not-found", "No such controller"

    def __init__(self, controller: str) -> None:
        super().__init__(f"no controller of this run has the id {controller}", controller=controller)


class RunDiffers(PreheatError):
    """A label that names a run of another spec (`theirs` is what it has where `yours` differs), or a finished run."""

    status, kind, title = HTTPStatus.CONFLICT, "run-differs", "The label names another run"

    def __init__(self, label: str, run: str, reason: str, differences: dict[str, Any]) -> None:
        super().__init__(f"the label {label} names the run {run}: {reason}", run=run, differences=differences)


class RunFinished(PreheatError):
    """A run that is finished takes no attempts, windows, changes or reports."""

    status, kind, title = HTTPStatus.CONFLICT, "run-finished", "The run is finished"

    def __init__(self, run: str) -> None:
        super().__init__(f"run {run} is finished: make another one, or fork it", run=run)


class RunLocked(PreheatError):
    """A run that is locked takes no changes."""

    status, kind, title = HTTPStatus.CONFLICT, "run-locked", "The run is locked"

    def __init__(self, run: str) -> None:
        super().__init__(f"run {run} is locked: open it before you change it", run=run)


class RunAlive(PreheatError):
    """A run can be deleted when its job is closed, or when it is finished."""

    status, kind, title = HTTPStatus.CONFLICT, "run-alive", "The run is alive"

    def __init__(self, run: str, state: str) -> None:
        super().__init__(f"run {run} is {state}: finish it, or stop its job, before you delete it", state=state)


class RollbackPending(PreheatError):
    """While a restart is asked for, the run takes no other change."""

    status, kind, title = HTTPStatus.CONFLICT, "rollback-pending", "A restart has been asked for"

    def __init__(self, position: int) -> None:
        super().__init__(
            f"the run waits for its job to restart at iteration {position:,}: withdraw that, or wait for it",
            position=position,
        )


class Superseded(PreheatError):
    """An attempt that is not the newest one: it gets no windows, and its reports do not count."""

    status, kind, title = HTTPStatus.CONFLICT, "superseded", "Another attempt has taken over"

    def __init__(self, attempt: int, present: int) -> None:
        super().__init__(
            f"attempt {attempt} is not the present one ({present}), or its token is not: stop this process",
            attempt=attempt,
            present=present,
        )


class AttemptMoved(PreheatError):
    """An attach that names another attempt than the present one."""

    status, kind, title = HTTPStatus.CONFLICT, "attempt-moved", "The attempt has moved"

    def __init__(self, seen: int, present: int) -> None:
        super().__init__(
            f"the attempt that you saw ({seen}) is not the present one ({present}): look again", seen=seen,
            present=present,
        )  # fmt: skip


class Occupied(PreheatError):
    """An attach while the present attempt is alive, by what is not its restart."""

    status, kind, title = HTTPStatus.CONFLICT, "occupied", "Another process speaks for the run"
    retry_after_s = 5  # a lease of one speaker: after two of silence the attempt may be taken over

    def __init__(self, attempt: int) -> None:
        super().__init__(
            f"attempt {attempt} is alive: stop it and wait until it is silent, or attach with take_over",
            attempt=attempt,
        )


class CheckpointMismatch(PreheatError):
    """A checkpoint that this run cannot be resumed from: `field` has two values that should be one."""

    status, kind, title = HTTPStatus.CONFLICT, "checkpoint-mismatch", "The checkpoint is of another run or iteration"

    def __init__(self, field: str, checkpoint: Any, run: Any) -> None:
        super().__init__(
            f"{field} of the checkpoint ({checkpoint}) must be {run}: load the checkpoint that belongs here",
            field=field,
            checkpoint=checkpoint,
            run=run,
        )


class KnowsMore(PreheatError):
    """A client that knows what the database has lost: it must attach again, with facts, in the new generation."""

    status, kind, title = HTTPStatus.CONFLICT, "knows-more", "The database has lost what you know"

    def __init__(self, generation: int, lost: Mapping[str, Sequence[int | str]]) -> None:
        told = ", ".join(f"{name} {theirs} (here {ours})" for name, (theirs, ours) in lost.items())
        super().__init__(
            f"you know more than the database, which was restored or has failed over: {told}; attach again with what "
            f"you know, in generation {generation}",
            generation=generation,
            lost=lost,
        )


class PositionAhead(PreheatError):
    """A position beyond everything that was handed out or told in an overrun, or an overrun too far beyond it."""

    status, kind, title = HTTPStatus.CONFLICT, "position-ahead", "Further than may be"

    def __init__(self, name: str, value: int, handed: int) -> None:
        super().__init__(
            f"{name} ({value:,}) must not exceed {handed:,}: so far has been handed out, or may be",
            value=value,
            handed=handed,
        )


class NoOverrun(PreheatError):
    """One of many speakers cannot go on alone: nobody could tell the others."""

    status, kind, title = HTTPStatus.CONFLICT, "no-overrun", "Many speakers have no overrun"

    def __init__(self) -> None:
        super().__init__("an overrun is of one speaker, who tells the others; with many each waits")


class TooLate(PreheatError):
    """A change that would take effect at `effect`, which is not before the `limit` that it names itself."""

    status, kind, title = HTTPStatus.CONFLICT, "too-late", "The change would come too late"

    def __init__(self, effect: int, name: str, limit: int) -> None:
        rule = "must be after" if name == "until" else "must not be before"
        super().__init__(
            f"{name} ({limit:,}) {rule} the iteration from which the change can be in force ({effect:,})",
            effect=effect,
            limit=limit,
        )


class BeyondEnd(PreheatError):
    """A change that would take effect at `effect`, after the last iteration of the run, or that ends the run before."""

    status, kind, title = HTTPStatus.CONFLICT, "beyond-end", "The run would be over"

    def __init__(self, effect: int, total_iterations: int) -> None:
        super().__init__(
            f"the change would be in force from iteration {effect:,} on, and the run ends with {total_iterations:,}",
            effect=effect,
            total_iterations=total_iterations,
        )


class CooldownBegun(PreheatError):
    """A cool-down (the last phase) that begins at `begin`, before the iteration from which it can be moved."""

    status, kind, title = HTTPStatus.CONFLICT, "cooldown-begun", "The cool-down has begun"

    def __init__(self, begin: int, effect: int) -> None:
        super().__init__(
            f"the last phase begins at iteration {begin:,}, and can be moved from {effect:,} on: extend with keep, or "
            "replace the schedule",
            begin=begin,
            effect=effect,
        )


class NotInForce(PreheatError):
    """A change that cannot be cancelled or taken back, for a reason."""

    status, kind, title = HTTPStatus.CONFLICT, "not-in-force", "The change cannot be taken back so"

    def __init__(self, change: str, reason: str) -> None:
        super().__init__(f"change {change} {reason}", change=change)


class ConfirmationRequired(PreheatError):
    """A change that somebody may not have meant, for reasons; with confirm: true it is accepted."""

    status, kind, title = HTTPStatus.CONFLICT, "confirmation-required", "Do you mean that?"

    def __init__(self, reasons: list[str]) -> None:
        super().__init__(f"{'; '.join(reasons)}: send confirm: true if you mean it", reasons=reasons)


class HistoryUnknown(PreheatError):
    """A fork after an iteration that is not known to have been used in that attempt, or of none; `present` is the last.

    Its member `last` is null where there is no such iteration.
    """

    status, kind, title = HTTPStatus.CONFLICT, "history-unknown", "There is no such history"

    def __init__(self, attempt: int, iteration: int, acknowledged: int | None, present: int) -> None:
        last = None if not acknowledged else acknowledged - 1
        if acknowledged is None:
            detail = f"there is no attempt {attempt}: {f'the last is {present}' if present else 'there is none yet'}"
        elif last is None:
            detail = f"of attempt {attempt} no iteration is known to have been used"
        else:
            detail = f"attempt {attempt} is known up to iteration {last:,}, not {iteration:,}"
        super().__init__(detail, attempt=attempt, iteration=iteration, last=last)


class PreconditionFailed(PreheatError):
    """An If-Match that is not the run's entity tag: somebody else was faster."""

    status, kind, title = HTTPStatus.PRECONDITION_FAILED, "precondition-failed", "The run has moved"

    def __init__(self, given: str, present: str) -> None:
        super().__init__(f"If-Match ({given}) is not the run's ETag ({present}): look at it again", etag=present)


class KeyReused(PreheatError):
    """An Idempotency-Key that stood on another request."""

    status, kind, title = HTTPStatus.UNPROCESSABLE_ENTITY, "key-reused", "The key stood on another request"

    def __init__(self, key: str) -> None:
        super().__init__(f"Idempotency-Key ({key}) stood on another request: take a new one for every change", key=key)


class PreconditionRequired(PreheatError):
    """A change without a header that keeps it from being made twice, or on something else than what was seen."""

    status, kind, title = HTTPStatus.PRECONDITION_REQUIRED, "precondition-required", "A header is missing"

    def __init__(self, header: str) -> None:
        super().__init__(
            f"{header} is required for a change: the ETag that you saw, and a key of your own", name=header
        )


class BudgetSpent(PreheatError):
    """An automated author that has changed the run so often within a thousand iterations."""

    status, kind, title = HTTPStatus.TOO_MANY_REQUESTS, "budget-spent", "Too many changes by a program"

    def __init__(self, author: str, limit: int) -> None:
        super().__init__(
            f"{author} is a program, and may make {limit} changes within a thousand iterations",
            setting="automated_changes_per_thousand",
            limit=limit,
        )


class EventsTrimmed(PreheatError):
    """Events after `after` that are no longer kept, or are not there: there are those of `first` … `last`."""

    status, kind, title = HTTPStatus.GONE, "events-trimmed", "These events are no longer kept"

    def __init__(self, after: int, first: int, last: int) -> None:
        detail = f"events after {after:,} are not kept: the first is {first:,}; read the run anew"
        if after > last:
            why = "it never was, or the database has lost it"
            detail = f"there is no event {after:,}: the last is {last:,}; {why}: read the run anew"
        super().__init__(detail, first=first)
