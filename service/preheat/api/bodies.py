"""Bodies of requests, read within bounds of bytes and time."""

import asyncio
import re

from fastapi import Request

from preheat.errors import BodyTooLarge, BodyTooSlow, UnsupportedMediaType
from preheat.settings import Settings

_JSON = re.compile(r"application/([\w.-]+\+)?json", re.IGNORECASE)


async def json_body(request: Request, settings: Settings) -> bytes:
    """The body, which is not parsed yet. Raises UnsupportedMediaType, BodyTooLarge, BodyTooSlow."""
    content_type = request.headers.get("content-type", "")
    # A browser sends other types across origins without asking the service first, so that JSON must be declared.
    if not _JSON.fullmatch(content_type.partition(";")[0].strip()):
        raise UnsupportedMediaType(content_type)
    try:
        async with asyncio.timeout(settings.body_timeout_s):
            return await _body(request, settings.max_body_bytes)
    except TimeoutError:
        raise BodyTooSlow(settings.body_timeout_s) from None


async def _body(request: Request, max_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():  # a body without Content-Length is cut off where it is too large
        body += chunk
        if len(body) > max_bytes:
            raise BodyTooLarge(max_bytes)
    return bytes(body)
