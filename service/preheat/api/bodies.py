"""Bodies of requests, read within a bound; the server itself has one for the time that they take to arrive."""

import re

from fastapi import Request

from preheat.errors import BodyTooLarge, UnsupportedMediaType

_JSON = re.compile(r"application/([\w.-]+\+)?json", re.IGNORECASE)


async def json_body(request: Request, max_bytes: int) -> bytes:
    """The body, which is not parsed yet. Raises UnsupportedMediaType, BodyTooLarge."""
    content_type = request.headers.get("content-type", "")
    # A browser sends other types across origins without asking the service first, so that JSON must be declared.
    if not _JSON.fullmatch(content_type.partition(";")[0].strip()):
        raise UnsupportedMediaType(content_type)
    body = bytearray()
    async for chunk in request.stream():  # a body without Content-Length is cut off where it is too large
        body += chunk
        if len(body) > max_bytes:
            raise BodyTooLarge(max_bytes)
    return bytes(body)
