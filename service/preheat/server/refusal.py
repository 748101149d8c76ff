"""Refusals: problem documents for what never reaches a route, as bytes on a connection and as an application."""

import json
from collections.abc import Iterable

from uvicorn._types import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from preheat.errors import PreheatError

ON_REFUSAL = "on_refusal"
"""Key of the lifespan state (ASGI): what is called with the error and, as far as it is known, the scope of a request
that the server refuses before the application has it. Whoever wants these to be counted puts it there."""

REFUSAL = "preheat.refusal"
"""Key of a request's scope: the error that the server has answered in the application's place, which then sees that
the client has left."""

Headers = list[tuple[bytes, bytes]]


def refusal_bytes(error: PreheatError, default_headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The whole answer of a connection that is closed after it."""
    headers, body = _refusal(error)
    lines = [name + b": " + value + b"\r\n" for name, value in (*default_headers, *headers)]
    return b"".join((STATUS_LINE[error.status], *lines, b"\r\n", body))


def refusing(error: PreheatError) -> ASGI3Application:
    """An application that answers every request with this error."""
    headers, body = _refusal(error)

    async def refuse(_scope: Scope, _receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        await send({"type": "http.response.start", "status": error.status, "headers": headers, "trailers": False})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    return refuse


def _refusal(error: PreheatError) -> tuple[Headers, bytes]:
    document = {"type": f"urn:preheat:{error.kind}", "title": error.title, "status": error.status.value}
    body = json.dumps({**document, "detail": str(error), **error.members}).encode()
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"connection", b"close"),
    ]
    if error.retry_after_s:
        headers.append((b"retry-after", str(error.retry_after_s).encode()))
    return headers, body
