"""What can go wrong in the service.

    PreheatError
    ├── ScheduleNotFound      no schedule has this id
    ├── ScheduleUnreadable    a stored schedule that is damaged, or written by a later version
    ├── RecipeNotFound        no recipe has this name
    ├── IterationOutOfRange   an iteration outside 0 … total_iterations
    ├── UndefinedLR           a formula without a value at an iteration
    ├── NotComparable         two schedules without anything in common to compare or to hand over
    ├── NotImportable         a schedule of another library that no spec says
    ├── NotExpressible        a schedule that another library has no words for
    ├── SeamRefused           an LR that would jump where one schedule takes over from another
    ├── LimitExceeded         an answer or a request larger than a setting allows
    ├── ComputeTimeout        a computation cut off after compute_timeout_s
    ├── TorchVersionMismatch  a schedule stored by a service with another torch
    └── StoreUnavailable      the database is locked, read-only, full, corrupt or gone

A spec that breaks rules is `preheat.specs.InvalidSpec`, a ValueError.
"""


class PreheatError(Exception):
    """Root of the service's errors."""


class ScheduleNotFound(PreheatError):
    """No schedule has this id."""

    def __init__(self, schedule_id: str) -> None:
        self.schedule_id = schedule_id
        super().__init__(f"no schedule has the id {schedule_id}: POST its spec to get one")


class ScheduleUnreadable(PreheatError):
    """A stored schedule that cannot be read; `kind` is "damaged", or "unknown-content" of a later version."""

    def __init__(self, schedule_id: str, kind: str, reason: str) -> None:
        self.schedule_id, self.kind, self.reason = schedule_id, kind, reason
        super().__init__(f"schedule {schedule_id} is stored and cannot be read: {reason}")


class RecipeNotFound(PreheatError):
    """No recipe has this name; `known` are those there are."""

    def __init__(self, name: str, known: list[str]) -> None:
        self.name, self.known = name, known
        shown = name[:60].encode("ascii", "backslashreplace").decode()
        super().__init__(f"no recipe has the name {shown} (known: {', '.join(known)})")


class IterationOutOfRange(PreheatError):
    """An iteration, or the end of a window, outside 0 … `last`."""

    def __init__(self, name: str, value: int, last: int) -> None:
        self.name, self.value, self.last = name, value, last
        super().__init__(f"{name} ({value}) must be in 0 … {last}")


class UndefinedLR(PreheatError):
    """A formula that has no finite, non-negative value at iteration `iteration` of its own clock."""

    def __init__(self, scheduler: str, iteration: int, reason: str) -> None:
        self.scheduler, self.iteration, self.reason = scheduler, iteration, reason
        super().__init__(f"{scheduler} has no LR at its iteration s = {iteration}: {reason}")


class NotComparable(PreheatError):
    """Two schedules that cannot be compared, or one that cannot take over from the other."""


class NotImportable(PreheatError):
    """A schedule of another library that cannot be understood, or that no spec says."""


class NotExpressible(PreheatError):
    """A schedule that the target of an export has no words for."""


class SeamRefused(PreheatError):
    """An LR that would jump from `old_lr` to `new_lr` at iteration `iteration`."""

    def __init__(self, group: str, iteration: int, old_lr: float, new_lr: float) -> None:
        self.group, self.iteration, self.old_lr, self.new_lr = group, iteration, old_lr, new_lr
        super().__init__(
            f"the LR of param group {group} would jump from {old_lr!r} to {new_lr!r} at iteration {iteration}: choose "
            "keep to accept that, or rescale to go on from where it is"
        )


class LimitExceeded(PreheatError):
    """Something larger than a setting allows; `way_around` says what to ask for instead."""

    def __init__(self, what: str, value: float, setting: str, limit: float, way_around: str) -> None:
        self.value, self.setting, self.limit = value, setting, limit
        super().__init__(f"{what} ({value}) must not exceed {setting} ({limit}): {way_around}")


class ComputeTimeout(PreheatError):
    """A computation that took longer than `timeout_s` and was stopped."""

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        super().__init__(
            f"computing took longer than compute_timeout_s ({timeout_s:g} s) and was stopped; what was computed is "
            "kept, so that asking again gets further. Ask for a smaller window, or for a scheduler with a closed form"
        )


class TorchVersionMismatch(PreheatError):
    """A schedule made under torch `stored`; `agreeing` are the versions known to compute the same LRs."""

    def __init__(self, schedule_id: str, stored: str | None, running: str, agreeing: list[str]) -> None:
        self.schedule_id, self.stored, self.running, self.agreeing = schedule_id, stored, running, agreeing
        super().__init__(
            f"schedule {schedule_id} was made under torch {stored}, and this service runs torch {running}, which is "
            f"not known to compute the same LRs (known: {', '.join(agreeing) or 'none'}): POST its spec again, which "
            f"GET /v1/schedules/{schedule_id} still answers, for a schedule of this torch"
        )


class StoreUnavailable(PreheatError):
    """The database cannot be read or written at the moment."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the schedule database is not available: {reason}")
