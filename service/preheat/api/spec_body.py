"""A spec out of a request."""

import re
from http import HTTPStatus

from fastapi import Request
from fastapi.concurrency import run_in_threadpool

from preheat.api.problems import RequestRefused
from preheat.specs import Spec, parse_spec

_JSON = re.compile(r"application/([\w.-]+\+)?json", re.IGNORECASE)


async def read_spec(request: Request, max_body_bytes: int) -> Spec:
    """The normalised spec in the body. Raises InvalidSpec if it breaks rules, and what `read_json_body` raises."""
    return await run_in_threadpool(parse_spec, await read_json_body(request, max_body_bytes))  # not on the event loop


async def read_json_body(request: Request, max_body_bytes: int) -> bytes:
    """The body, which is not parsed yet. Raises RequestRefused if it is too large or not declared as JSON."""
    content_type = request.headers.get("content-type", "")
    if not _JSON.fullmatch(content_type.partition(";")[0].strip()):
        raise RequestRefused(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"Content-Type ({content_type[:60].encode('ascii', 'backslashreplace').decode()}) must be "
            "application/json: with curl, add -H 'Content-Type: application/json'",
        )
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_body_bytes:
            raise RequestRefused(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"the body must not exceed max_body_bytes ({max_body_bytes}): a spec is small; long lists of factors "
                "are better said as a scheduler",
                setting="max_body_bytes",
                limit=max_body_bytes,
            )
    return bytes(body)
