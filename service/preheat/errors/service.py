"""Errors of the service as a whole: it is starting, stopping, full, or without its database."""

from http import HTTPStatus

from preheat.errors.root import PreheatError


class ServiceStarting(PreheatError):
    """The service answers already, but what needs computing would wait for the first worker process."""

    status, kind, title = HTTPStatus.SERVICE_UNAVAILABLE, "service-starting", "The service is starting"
    retry_after_s = 1

    def __init__(self) -> None:
        super().__init__("the service is starting: no worker process is ready yet, for which heavy requests would wait")


class ServiceStopping(PreheatError):
    """The service was told to stop: it is not ready for new requests."""

    status, kind, title = HTTPStatus.SERVICE_UNAVAILABLE, "service-stopping", "The service is stopping"
    retry_after_s = 5

    def __init__(self) -> None:
        super().__init__("the service was told to stop: requests in flight are answered, new ones belong elsewhere")


class TooManyConnections(PreheatError):
    """A request on a connection beyond `limit`, all of which are at work."""

    status, kind, title = HTTPStatus.SERVICE_UNAVAILABLE, "too-many-connections", "Too many connections"
    retry_after_s = 1

    def __init__(self, limit: int) -> None:
        detail = f"all connections that a worker may have, max_connections ({limit}), are waiting for answers"
        super().__init__(detail, setting="max_connections", limit=limit)


class TooManyWatchers(PreheatError):
    """Somebody who would watch a run, beside `limit` others on this worker."""

    status, kind, title = HTTPStatus.SERVICE_UNAVAILABLE, "too-many-watchers", "Too many watch runs"
    retry_after_s = 5

    def __init__(self, limit: int) -> None:
        detail = (
            f"as many as may watch runs at a worker, max_watchers ({limit}), do: the others of its connections are for "
            "jobs; ask for a page of events as application/json, or raise max_connections and max_watchers"
        )
        super().__init__(detail, setting="max_watchers", limit=limit)


class TooManyBodies(PreheatError):
    """A body that was arriving while those of a worker took more than `limit` bytes together, and it most of them."""

    status, kind, title = HTTPStatus.SERVICE_UNAVAILABLE, "too-many-bodies", "Too many bodies are arriving"
    retry_after_s = 1

    def __init__(self, limit: int) -> None:
        detail = (
            f"bodies that are arriving at a worker must not exceed max_arriving_bytes ({limit}) together, and this one "
            "has taken most memory for longest: send it again, without pauses"
        )
        super().__init__(detail, setting="max_arriving_bytes", limit=limit)


class StoreUnavailable(PreheatError):
    """The database cannot be read or written at the moment."""

    status, kind, title = HTTPStatus.SERVICE_UNAVAILABLE, "store-unavailable", "Database not available"
    retry_after_s = 5  # a lock is gone by then; what an operator must mend takes longer than anybody could promise

    def __init__(self, reason: str) -> None:
        super().__init__(f"the schedule database is not available: {reason}")
