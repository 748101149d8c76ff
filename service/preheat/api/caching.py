"""Caching of answers: Cache-Control, entity tags and 304, for every route in one place."""

import hashlib
from collections.abc import Callable

from fastapi import Request, Response
from pydantic import BaseModel

from preheat.formats import JSON

IMMUTABLE = "public, max-age=31536000, immutable"
"""For numbers that follow from a schedule's id and from nothing else: they can never change."""

REVALIDATE = "no-cache"
"""For what also follows from this version of the service, or from the store: kept, but asked about before each use."""

NO_STORE = "no-store"
"""For every answer that says nothing else (`middleware.HTTPMethods`): problems, answers to POST, health."""

Content = bytes | str | BaseModel


def etag(version: str, *parts: object) -> str:
    """A strong entity tag: what an answer is made of, and the version of the service that writes it down."""
    return f'"{hashlib.sha256(repr((version, parts)).encode()).hexdigest()[:32]}"'


def point_etag(version: str, schedule_id: str, iteration: int) -> str:
    """The strong entity tag of a point: as `etag`, made without hashing, since points are asked for so often."""
    return f'"{version}.{schedule_id}.{iteration}"'


def conditional(
    request: Request,
    tag: str,
    make: Callable[[], Content],
    policy: str,
    media_type: str = JSON,
    **headers: str,
) -> Response:
    """What `make` gives, or 304 without calling it if the client has the answer with this tag (RFC 9110 §13.1.2).

    Both have the same headers, but for those that describe a body. A name in `headers` has _ for -.
    """
    fields = {
        "etag": tag,
        "cache-control": policy,
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    if _has(request, tag):  # 304 must repeat what a cache updates its copy with (RFC 9110 §15.4.5)
        return Response(status_code=304, headers=fields)
    return Response(_written(make()), headers=fields, media_type=media_type)


def response(content: Content, status: int = 200, media_type: str = JSON, **headers: str) -> Response:
    """An answer to a POST. It says nothing about caching, and so is not kept."""
    return Response(_written(content), status, headers, media_type)


def _has(request: Request, tag: str) -> bool:
    # If-None-Match compares weakly (RFC 9110 §8.8.3.2): a cache that compressed the answer made its tag weak.
    # A proxy may have split the list into several lines, which are one list (RFC 9110 §5.3).
    tags = ",".join(request.headers.getlist("if-none-match")).split(",")
    return any(part.strip().removeprefix("W/") in {tag, "*"} for part in tags)


def _written(content: Content) -> bytes | str:
    return content.model_dump_json() if isinstance(content, BaseModel) else content
