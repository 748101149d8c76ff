"""The shortest way to one LR: a request that trainers repeat, answered without the framework."""

import re

from starlette.types import ASGIApp, Receive, Scope, Send

from preheat.api.answers import IMMUTABLE, point_etag, point_json
from preheat.errors import UndefinedLR
from preheat.store.curves import Catalogue

_PATH = re.compile(r"/v1/schedules/([0-9a-f]{32})/lr/(0|[1-9][0-9]{0,15})")
_CACHE_CONTROL = (b"cache-control", IMMUTABLE.encode())
_CONTENT_TYPE = (b"content-type", b"application/json")


class PointLookup:
    """Answers `GET /v1/schedules/{id}/lr/{iteration}` as the route does, if the LR is at hand in memory.

    Everything out of the ordinary (another method, a query, a conditional request, an unknown schedule, an iteration
    outside the run or one that must be stepped to or has no value) goes on to the route.
    """

    def __init__(self, app: ASGIApp, catalogue: Catalogue) -> None:
        self._app = app
        self._catalogue = catalogue

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        found = self._found(scope) if scope["type"] == "http" else None
        if found is None:
            await self._app(scope, receive, send)
            return
        tag, body = found
        headers = [
            (b"content-length", str(len(body)).encode()),
            _CONTENT_TYPE,
            (b"etag", tag.encode()),
            _CACHE_CONTROL,
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _found(self, scope: Scope) -> tuple[str, bytes] | None:
        match = _PATH.fullmatch(scope["path"])
        if match is None or scope["method"] != "GET" or scope["query_string"]:
            return None
        if any(name == b"if-none-match" for name, _ in scope["headers"]):
            return None
        schedule_id, iteration = match[1], int(match[2])
        curve = self._catalogue.curve_at_hand(schedule_id)
        if curve is None:
            return None
        try:
            row = curve.row_at_hand(iteration)
        except UndefinedLR:  # the route says so
            return None
        return None if row is None else (point_etag(schedule_id, iteration), point_json(curve, iteration, row))
