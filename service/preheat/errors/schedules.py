"""Errors of schedules: what there is none of, and what one cannot do."""

from http import HTTPStatus

from preheat.errors.root import PreheatError, shown


class ScheduleNotFound(PreheatError):
    """No schedule has this id."""

    status, kind, title = HTTPStatus.NOT_FOUND, "schedule-not-found", "No such schedule"

    def __init__(self, schedule_id: str) -> None:
        super().__init__(f"no schedule has the id {shown(schedule_id)}: POST its spec to get one")


class ScheduleInUse(PreheatError):
    """A schedule that a run needs: what its job used, and will use, is read from there."""

    status, kind, title = HTTPStatus.CONFLICT, "schedule-in-use", "A run needs the schedule"

    def __init__(self, schedule_id: str, run: str) -> None:
        super().__init__(
            f"schedule {shown(schedule_id)} is that of a revision of run {run}: delete that first", run=run
        )


class RecipeNotFound(PreheatError):
    """No recipe has this name; `known` are those there are."""

    status, kind, title = HTTPStatus.NOT_FOUND, "recipe-not-found", "No such recipe"

    def __init__(self, name: str, known: list[str]) -> None:
        super().__init__(f"no recipe has the name {shown(name)} (known: {', '.join(known)})")


class ScheduleUnreadable(PreheatError):
    """A stored schedule that cannot be read; `reason` is "damaged", or "unknown-content" of a later version."""

    status, kind, title = HTTPStatus.INTERNAL_SERVER_ERROR, "schedule-unreadable", "Stored schedule cannot be read"

    def __init__(self, schedule_id: str, reason: str, detail: str) -> None:
        self.schedule_id, self.reason = schedule_id, reason
        detail = f"schedule {schedule_id} is stored and cannot be read: {detail}"
        super().__init__(detail, id=schedule_id, reason=reason)


class TorchVersionMismatch(PreheatError):
    """A schedule made under torch `stored`; `agreeing` are the versions known to compute the same LRs."""

    status, kind, title = HTTPStatus.CONFLICT, "torch-version-mismatch", "Computed by another torch"

    def __init__(self, schedule_id: str, stored: str | None, running: str, agreeing: list[str]) -> None:
        super().__init__(
            f"schedule {schedule_id} was made under torch {stored}, and this service runs torch {running}, which is "
            f"not known to compute the same LRs (known: {', '.join(agreeing) or 'none'}): POST its spec again, which "
            f"GET /v1/schedules/{schedule_id} still answers, for a schedule of this torch",
            stored=stored,
            running=running,
            agreeing=agreeing,
        )


class IterationOutOfRange(PreheatError):
    """An iteration, or the end of a window, outside `first` … `last`."""

    status, kind, title = HTTPStatus.UNPROCESSABLE_ENTITY, "iteration-out-of-range", "Outside the run"

    def __init__(self, name: str, value: int, last: int, first: int = 0) -> None:
        rule = f"must be in {first} … {last}"
        detail = f"{name} ({value}) {rule}"
        entry = {"parameter": name, "rule": rule, "detail": detail}
        super().__init__(detail, errors=[entry], first=first, last=last)


class UndefinedLR(PreheatError):
    """A formula, or a scheduler of torch, without a finite, non-negative value at `iteration` of its own clock."""

    status, kind, title = HTTPStatus.UNPROCESSABLE_ENTITY, "undefined-lr", "There is no learning rate at an iteration"

    def __init__(self, scheduler: str, iteration: int, reason: str) -> None:
        self.iteration = iteration
        super().__init__(f"{scheduler} has no LR at its iteration s = {iteration}: {reason}", iteration=iteration)


class NotComparable(PreheatError):
    """Two schedules that cannot be compared, or one that cannot take over from the other."""

    status, kind, title = HTTPStatus.UNPROCESSABLE_ENTITY, "not-comparable", "Not comparable"


class HandoverRefused(PreheatError):
    """An LR that would jump from `old_lr` to `new_lr` at iteration `iteration`."""

    status, kind, title = HTTPStatus.CONFLICT, "seam-refused", "The LR would jump"

    def __init__(self, group: str, iteration: int, old_lr: float, new_lr: float) -> None:
        super().__init__(
            f"the LR of param group {group} would jump from {old_lr!r} to {new_lr!r} at iteration {iteration}: choose "
            "keep to accept that, rescale to go on from where it is, or rewarm to go up from there",
            iteration=iteration,
            old_lr=old_lr,
            new_lr=new_lr,
        )


class NotImportable(PreheatError):
    """A schedule of another library that cannot be understood, or that cannot be said as a spec."""

    status, kind, title = HTTPStatus.UNPROCESSABLE_ENTITY, "not-importable", "Cannot be imported"


class NotExpressible(PreheatError):
    """A schedule that the target of an export cannot express."""

    status, kind, title = HTTPStatus.UNPROCESSABLE_ENTITY, "not-expressible", "Cannot be expressed in the target"
