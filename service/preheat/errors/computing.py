"""Errors of computing: size, time, memory, and who does it."""

from http import HTTPStatus

from preheat.errors.root import PreheatError


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
