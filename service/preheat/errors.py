"""Errors of the service, each with the problem document (RFC 9457) that a client gets for it.

    PreheatError                      status
    ├── KeyRequired           401     no key, where the service asks for one
    ├── KeyRefused            401     a key that is malformed, unknown, revoked or expired
    ├── ScopeMissing          403     a key without the scope that the route needs
    ├── KeysMissing           403     a request from elsewhere to a service without any keys
    ├── RequestMalformed      400     bytes that are no HTTP/1.1 request
    ├── ScheduleNotFound      404     no schedule has this id
    ├── RecipeNotFound        404     no recipe has this name
    ├── NotAcceptable         406     an Accept header that admits none of our formats
    ├── RequestTimeout        408     a request that takes longer to arrive than a setting allows
    ├── HandoverRefused       409     an LR that would jump where one schedule takes over from another
    ├── TorchVersionMismatch  409     a schedule stored by a service with another torch
    ├── BodyTooLarge          413     a request body over max_body_bytes
    ├── TargetTooLong         414     an address over max_target_bytes
    ├── UnsupportedMediaType  415     a request body that is not declared as JSON
    ├── IterationOutOfRange   422     an iteration outside 0 … total_iterations
    ├── UndefinedLR           422     a formula without a value at an iteration
    ├── NotComparable         422     two schedules without anything in common to compare or to hand over
    ├── NotImportable         422     a schedule of another library that cannot be said as a spec
    ├── NotExpressible        422     a schedule that another library cannot express
    ├── LimitExceeded         422     an answer or a request larger than a setting allows
    ├── MemoryExceeded        422     a computation that needed more than compute_memory_bytes
    ├── RateLimited           429     more requests than rate_limit_per_s allows
    ├── HeadTooLarge          431     a head over max_head_bytes or max_headers
    ├── ScheduleUnreadable    500     a stored schedule that is damaged, or written by a later version
    ├── ComputeTimeout        503     a computation cut off after compute_timeout_s
    ├── ServiceBusy           503     more to compute than compute_workers do and compute_queue lets wait
    ├── WorkerLost            503     a worker process that ended while it worked on the request
    ├── ServiceStopping       503     a service that was told to stop, to whoever asks whether it is ready
    ├── TooManyConnections    503     a connection over max_connections
    └── StoreUnavailable      503     the database is locked, read-only, full, corrupt or gone

A spec that breaks rules is `preheat.specs.InvalidSpec`, a ValueError.
"""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, ClassVar, Literal

from preheat.messages import printable


class PreheatError(Exception):
    """Root of the service's errors: the class says `status`, `kind` (of the type's URN), `title` and `retry_after_s`.

    `members` are what a problem document says besides type, title, status and detail.
    """

    status: ClassVar[HTTPStatus]
    kind: ClassVar[str]
    title: ClassVar[str]
    retry_after_s: ClassVar[int | None] = None

    def __init__(self, detail: str, **members: Any) -> None:
        self.members = members
        super().__init__(detail)

    @property
    def headers(self) -> dict[str, str]:
        """What its answer says in headers."""
        return {"retry-after": str(self.retry_after_s)} if self.retry_after_s else {}


class ScheduleNotFound(PreheatError):
    """No schedule has this id."""

    status, kind, title = HTTPStatus.NOT_FOUND, "schedule-not-found", "No such schedule"

    def __init__(self, schedule_id: str) -> None:
        super().__init__(f"no schedule has the id {_shown(schedule_id)}: POST its spec to get one")


class ScheduleUnreadable(PreheatError):
    """A stored schedule that cannot be read; `reason` is "damaged", or "unknown-content" of a later version."""

    status, kind, title = HTTPStatus.INTERNAL_SERVER_ERROR, "schedule-unreadable", "Stored schedule cannot be read"

    def __init__(self, schedule_id: str, reason: str, detail: str) -> None:
        self.schedule_id, self.reason = schedule_id, reason
        detail = f"schedule {schedule_id} is stored and cannot be read: {detail}"
        super().__init__(detail, id=schedule_id, reason=reason)


class RecipeNotFound(PreheatError):
    """No recipe has this name; `known` are those there are."""

    status, kind, title = HTTPStatus.NOT_FOUND, "recipe-not-found", "No such recipe"

    def __init__(self, name: str, known: list[str]) -> None:
        super().__init__(f"no recipe has the name {_shown(name)} (known: {', '.join(known)})")


class NotAcceptable(PreheatError):
    """An Accept header that admits none of the formats in which there is an answer."""

    status, kind, title = HTTPStatus.NOT_ACCEPTABLE, "not-acceptable", "Not acceptable"

    def __init__(self, available: Sequence[str]) -> None:
        super().__init__(f"Accept must admit one of {', '.join(available)}", available=list(available))


class BodyTooLarge(PreheatError):
    """A request body of more than `limit` bytes."""

    status, kind = HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "request-entity-too-large"
    title = "Request body too large"

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"the body must not exceed max_body_bytes ({limit}): a spec is small; long lists of factors are better "
            "said as a scheduler",
            setting="max_body_bytes",
            limit=limit,
        )


class UnsupportedMediaType(PreheatError):
    """A request body that is not declared as JSON."""

    status, kind = HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type"
    title = "Unsupported media type"

    def __init__(self, content_type: str) -> None:
        super().__init__(
            f"Content-Type ({_shown(content_type)}) must be application/json: with curl, add "
            "-H 'Content-Type: application/json'"
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


class NotImportable(PreheatError):
    """A schedule of another library that cannot be understood, or that cannot be said as a spec."""

    status, kind, title = HTTPStatus.UNPROCESSABLE_ENTITY, "not-importable", "Cannot be imported"


class NotExpressible(PreheatError):
    """A schedule that the target of an export cannot express."""

    status, kind, title = HTTPStatus.UNPROCESSABLE_ENTITY, "not-expressible", "Cannot be expressed in the target"


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


class LimitExceeded(PreheatError):
    """Something larger than a setting allows; `way_around` says what to ask for instead."""

    status, kind, title = HTTPStatus.UNPROCESSABLE_ENTITY, "limit-exceeded", "Larger than this service allows"

    def __init__(self, what: str, value: float, setting: str, limit: float, way_around: str) -> None:
        super().__init__(
            f"{what} ({value}) must not exceed {setting} ({limit}): {way_around}",
            setting=setting,
            limit=limit,
            value=value,
        )


class ComputeTimeout(PreheatError):
    """A computation that took longer than `timeout_s` and was stopped, by itself or with its process."""

    status, kind, title = HTTPStatus.SERVICE_UNAVAILABLE, "compute-timeout", "Computing took too long"
    retry_after_s = 1  # the next attempt goes on where this one was stopped

    def __init__(self, timeout_s: float, *, is_killed: bool = False) -> None:
        kept = "" if is_killed else "; what was computed is kept, so that asking again gets further"
        super().__init__(
            f"computing took longer than compute_timeout_s ({timeout_s:g} s) and was stopped{kept}. Ask for a smaller "
            "window, or for a scheduler with a closed form"
        )


class MemoryExceeded(PreheatError):
    """A computation that needed more than `limit` bytes and was stopped."""

    status, kind = HTTPStatus.UNPROCESSABLE_ENTITY, "memory-exceeded"
    title = "Computing needed too much memory"

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"computing needed more memory than compute_memory_bytes ({limit}) and was stopped: ask for a smaller "
            "window, or for fewer param groups",
            setting="compute_memory_bytes",
            limit=limit,
        )


class ServiceBusy(PreheatError):
    """More to compute than `workers` processes do and `queue_length` requests wait for."""

    status, kind, title = HTTPStatus.SERVICE_UNAVAILABLE, "busy", "The service is busy"
    retry_after_s = 2

    def __init__(self, workers: int, queue_length: int) -> None:
        super().__init__(
            f"the service computes for other requests (compute_workers is {workers}), and this one waited for "
            f"compute_wait_s or found compute_queue ({queue_length}) others waiting: try again later"
        )


class WorkerLost(PreheatError):
    """A worker process that ended while it worked on the request."""

    status, kind, title = HTTPStatus.SERVICE_UNAVAILABLE, "worker-lost", "Computing was interrupted"
    retry_after_s = 1

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"the request was not answered: {reason}; if that happens again, it may need more than compute_memory_bytes"
        )


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


class StoreUnavailable(PreheatError):
    """The database cannot be read or written at the moment."""

    status, kind, title = HTTPStatus.SERVICE_UNAVAILABLE, "store-unavailable", "Database not available"
    retry_after_s = 5  # a lock is gone by then; what an operator must mend takes longer than anybody could promise

    def __init__(self, reason: str) -> None:
        super().__init__(f"the schedule database is not available: {reason}")


class KeyRequired(PreheatError):
    """A request without a key, where the service asks for one."""

    status, kind, title = HTTPStatus.UNAUTHORIZED, "key-required", "A key is required"

    def __init__(self) -> None:
        super().__init__("this service asks for a key: Authorization: Bearer KEY (in the client: token, PREHEAT_TOKEN)")

    @property
    def headers(self) -> dict[str, str]:
        """The challenge without an error, since no attempt was made (RFC 6750 §3.1)."""
        return {"www-authenticate": _CHALLENGE}


class KeyRefused(PreheatError):
    """A key that is malformed, unknown (as a revoked one is) or expired; `reason` is one of these words."""

    status, kind, title = HTTPStatus.UNAUTHORIZED, "key-refused", "The key is refused"

    def __init__(self, reason: Literal["malformed", "unknown", "expired"]) -> None:
        self.reason = reason
        super().__init__(_REFUSALS[reason], reason=reason)

    @property
    def headers(self) -> dict[str, str]:
        """The challenge with the error that RFC 6750 has for all of these."""
        return {"www-authenticate": f'{_CHALLENGE}, error="invalid_token", error_description="{self}"'}


class ScopeMissing(PreheatError):
    """A key without the scope that the route needs; `scope` names it."""

    status, kind, title = HTTPStatus.FORBIDDEN, "scope-missing", "The key lacks a scope"

    def __init__(self, scope: str) -> None:
        self.scope = scope
        super().__init__(f"this needs a key with the scope {scope}, which this key has not", scope=scope)

    @property
    def headers(self) -> dict[str, str]:
        """The challenge with the scope."""
        return {"www-authenticate": f'{_CHALLENGE}, error="insufficient_scope", scope="{self.scope}"'}


class KeysMissing(PreheatError):
    """A request that came from elsewhere to a service that has no keys: it answers on the loopback address alone."""

    status, kind, title = HTTPStatus.FORBIDDEN, "keys-missing", "This service has no keys"

    def __init__(self) -> None:
        super().__init__(
            "without any key this service answers on its loopback address alone: its operator makes a key "
            "(preheat keys make), or starts it --without-keys"
        )


class RateLimited(PreheatError):
    """More requests of one key, or without keys of one address, than rate_limit_per_s allows."""

    status, kind, title = HTTPStatus.TOO_MANY_REQUESTS, "rate-limited", "Too many requests"

    def __init__(self, per_s: float, wait_s: int) -> None:
        self.wait_s = wait_s
        super().__init__(
            f"requests must not exceed rate_limit_per_s ({per_s:g}): ask again in {wait_s} s, or for windows of many "
            "iterations at once",
            setting="rate_limit_per_s",
            limit=per_s,
        )

    @property
    def headers(self) -> dict[str, str]:
        """When to ask again."""
        return {"retry-after": str(self.wait_s)}


_CHALLENGE = 'Bearer realm="preheat"'
_REFUSALS = {
    "malformed": "the key is malformed: one header is needed, Authorization: Bearer KEY, with the key as it was made",
    "unknown": "the key is not known here, or was revoked",
    "expired": "the key has expired",
}


class ServiceStopping(PreheatError):
    """The service was told to stop: it is not ready for new requests."""

    status, kind, title = HTTPStatus.SERVICE_UNAVAILABLE, "service-stopping", "The service is stopping"
    retry_after_s = 5

    def __init__(self) -> None:
        super().__init__("the service was told to stop: requests in flight are answered, new ones belong elsewhere")


class RequestMalformed(PreheatError):
    """Bytes that are no HTTP/1.1 request, or one whose length two readers could see differently."""

    status, kind, title = HTTPStatus.BAD_REQUEST, "bad-request", "Not an HTTP/1.1 request"


class RequestTimeout(PreheatError):
    """A head or a body that takes longer to arrive than `setting` allows."""

    status, kind, title = HTTPStatus.REQUEST_TIMEOUT, "request-timeout", "The request took too long to arrive"

    def __init__(self, what: str, setting: str, limit_s: float) -> None:
        detail = f"the {what} of the request must arrive within {setting} ({limit_s:g} s)"
        super().__init__(detail, setting=setting, limit=limit_s)


class TargetTooLong(PreheatError):
    """A path and query of more than `limit` bytes."""

    status, kind, title = HTTPStatus.REQUEST_URI_TOO_LONG, "uri-too-long", "Address too long"

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"path and query must not exceed max_target_bytes ({limit}): POST a long spec, and ask by its id",
            setting="max_target_bytes",
            limit=limit,
        )


class HeadTooLarge(PreheatError):
    """More headers, or more bytes of them, than `setting` allows; or of what stands between the parts of a body."""

    status, kind = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "request-header-fields-too-large"
    title = "Request head too large"

    def __init__(self, what: str, setting: str, limit: int) -> None:
        super().__init__(f"{what} must not exceed {setting} ({limit})", setting=setting, limit=limit)


class TooManyConnections(PreheatError):
    """A request on a connection beyond `limit`, all of which are at work."""

    status, kind, title = HTTPStatus.SERVICE_UNAVAILABLE, "too-many-connections", "Too many connections"
    retry_after_s = 1

    def __init__(self, limit: int) -> None:
        detail = f"all connections that a worker may have, max_connections ({limit}), are waiting for answers"
        super().__init__(detail, setting="max_connections", limit=limit)


def _shown(text: str) -> str:
    """Text of a request as a header or a terminal can carry it: short, ASCII."""
    # Long enough to recognise one's own value, too short to flood a log.
    return printable(text[:60])
