"""Errors of requests: bytes, head, body, and formats."""

from collections.abc import Sequence
from http import HTTPStatus

from preheat.errors.root import PreheatError, shown


class RequestMalformed(PreheatError):
    """Bytes that are no HTTP/1.1 request, or one whose length two readers could see differently."""

    status, kind, title = HTTPStatus.BAD_REQUEST, "bad-request", "Not an HTTP/1.1 request"


class NotAcceptable(PreheatError):
    """An Accept header that admits none of the formats in which there is an answer, or that breaks another rule."""

    status, kind, title = HTTPStatus.NOT_ACCEPTABLE, "not-acceptable", "Not acceptable"

    def __init__(self, available: Sequence[str], detail: str = "Accept must admit one of") -> None:
        super().__init__(f"{detail} {', '.join(available)}", available=list(available))


class RequestTimeout(PreheatError):
    """A head or a body that takes longer to arrive than `setting` allows."""

    status, kind, title = HTTPStatus.REQUEST_TIMEOUT, "request-timeout", "The request took too long to arrive"

    def __init__(self, what: str, setting: str, limit_s: float) -> None:
        detail = f"the {what} of the request must arrive within {setting} ({limit_s:g} s)"
        super().__init__(detail, setting=setting, limit=limit_s)


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


class TargetTooLong(PreheatError):
    """A path and query of more than `limit` bytes."""

    status, kind, title = HTTPStatus.REQUEST_URI_TOO_LONG, "uri-too-long", "Address too long"

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"path and query must not exceed max_target_bytes ({limit}): POST a long spec, and ask by its id",
            setting="max_target_bytes",
            limit=limit,
        )


class UnsupportedMediaType(PreheatError):
    """A request body that is not declared as JSON."""

    status, kind = HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type"
    title = "Unsupported media type"

    def __init__(self, content_type: str) -> None:
        super().__init__(
            f"Content-Type ({shown(content_type)}) must be application/json: with curl, add "
            "-H 'Content-Type: application/json'"
        )


class CompressionRefused(PreheatError):
    """A body with a Content-Encoding that this route does not take, or that is not what its body is."""

    status, kind = HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "compression-refused"
    title = "Body cannot be unpacked"

    def __init__(self, encoding: str, rule: str) -> None:
        super().__init__(f"Content-Encoding ({shown(encoding)}) {rule}")


class HeadTooLarge(PreheatError):
    """More headers, or more bytes of them, than `setting` allows; or of what stands between the parts of a body."""

    status, kind = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "request-header-fields-too-large"
    title = "Request head too large"

    def __init__(self, what: str, setting: str, limit: int) -> None:
        super().__init__(f"{what} must not exceed {setting} ({limit})", setting=setting, limit=limit)
