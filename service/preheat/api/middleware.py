"""Middleware: the short way of point lookups, and the HTTP methods HEAD and OPTIONS of every route."""

import re
import time
from http import HTTPStatus
from typing import NamedTuple

from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from preheat.api.access import ROUTES, path_of
from preheat.api.admission import Admission, Admitted, make_private
from preheat.api.browser import add_security_headers
from preheat.api.caching import IMMUTABLE, NO_STORE, point_etag
from preheat.api.observed import POINT_ROUTE, Observer
from preheat.errors import UndefinedLR
from preheat.formats import JSON, point_json
from preheat.observability.request_id import HEADER as REQUEST_ID
from preheat.observability.request_id import request_id_of
from preheat.server import Answer, Header
from preheat.store.curves import Catalogue

_POINT = re.compile(r"/v1/schedules/([0-9a-f]{32})/lr/(0|[1-9][0-9]{0,15})")
IS_HEAD = "preheat.is_head"
"""Where the scope of a GET says that it was a HEAD: for a route whose answer might not end."""

_METHODS = ("DELETE", "GET", "PATCH", "POST", "PUT", "TRACE")
_ACCESS = ROUTES[POINT_ROUTE]["GET"]
_OUT_OF_THE_ORDINARY = frozenset({b"if-none-match", b"origin"})
"""Headers with which an answer may have another status, or other headers."""

_OK = int(HTTPStatus.OK)  # an enum's member is looked up slowly
_MOST_KNOWN = 4096
"""Points whose answers are kept, of about half a kilobyte each: ranks of a job ask for the same ones."""


def _shared_headers() -> tuple[tuple[Header, ...], tuple[Header, ...]]:
    """Headers that every point has: of a service without keys, and those that a key gets."""
    shared = [(b"content-type", JSON.encode()), (b"cache-control", IMMUTABLE.encode())]
    add_security_headers(shared)
    private = list(shared)
    make_private(private)
    return tuple(shared), tuple(private)


_SHARED, _PRIVATE = _shared_headers()


class PointLookup:
    """Answers `GET /v1/schedules/{id}/lr/{iteration}` as the route does, if the LR is at hand in memory.

    Trainers repeat this request, and FastAPI's own way takes several times as long. Everything out of the ordinary
    (another method, a query, a conditional request, an unknown schedule, an iteration outside the run or one that
    must be stepped to or has no value) goes on to the route.
    """

    def __init__(
        self, app: ASGIApp, service: FastAPI, catalogue: Catalogue, observer: Observer, admission: Admission
    ) -> None:
        self._app, self._service = app, service
        self._catalogue = catalogue
        self._observer = observer
        self._admission = admission
        self._known: dict[str, _Point] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, or passes it on."""
        responder = self.responder(scope) if scope["type"] == "http" else self._app
        await responder(scope, receive, send)

    def responder(self, scope: Scope) -> ASGIApp:
        """What answers one request: the point as an `Answer`, which our server sends at once, or the routes."""
        begun = time.perf_counter()
        if scope["method"] != "GET" or scope["query_string"] or not self._admission.is_ready:
            return self._app
        given = dict(scope["headers"])
        point = self._point(path_of(scope)) if _OUT_OF_THE_ORDINARY.isdisjoint(given) else None
        # Last, since it counts the request; where others are asked for their admission again, it is not counted twice.
        admitted = None if point is None else self._admission.admit_once(scope, _ACCESS)
        if point is None or not isinstance(admitted, Admitted):
            return self._app
        request_id = request_id_of(given.get(REQUEST_ID))
        headers = [*point.headers, (REQUEST_ID, request_id), *admitted.headers]
        self._observer.point(scope, request_id, begun, len(point.body))
        return Answer(_OK, headers, point.body, _SHARED if admitted.key is None else _PRIVATE)

    def _point(self, path: str) -> "_Point | None":
        # What is known stays true, since LRs follow from the id; but a schedule that was deleted is not at hand.
        known = self._known.get(path)
        if known is not None and self._catalogue.curve_at_hand(known.schedule_id) is not None:
            return known
        match = _POINT.fullmatch(path)
        point = self._made(match[1], int(match[2])) if match else None
        if point is not None:
            if len(self._known) == _MOST_KNOWN:
                del self._known[next(iter(self._known))]  # the oldest
            self._known[path] = point
        return point

    def _made(self, schedule_id: str, iteration: int) -> "_Point | None":
        # The event loop must neither read the database nor step a scheduler: both are for the route, in a thread.
        curve = self._catalogue.curve_at_hand(schedule_id)
        if curve is None:
            return None
        try:
            row = curve.row_at_hand(iteration)
        except UndefinedLR:  # the route says so
            return None
        if row is None:
            return None
        body = bytes(memoryview(point_json(curve, iteration, row)))  # without the 4 KiB that orjson wrote it in
        tag = point_etag(self._service.version, schedule_id, iteration)
        return _Point(schedule_id, body, ((b"content-length", b"%d" % len(body)), (b"etag", tag.encode())))


class _Point(NamedTuple):
    """What answers a point: the schedule's id, the body, and the headers that follow from both."""

    schedule_id: str
    body: bytes
    headers: tuple[Header, ...]


class HTTPMethods:
    """Answers HEAD as GET without a body, OPTIONS with what a path allows, and completes the Allow of a 405.

    Routes themselves are asked which methods they match. An answer that says nothing about caching gets
    `Cache-Control: no-store`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers or completes one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method = scope["method"]
        if method == "OPTIONS" and (allowed := _allowed(scope)):
            headers = {"allow": ", ".join(allowed), "cache-control": NO_STORE}
            await Response(status_code=HTTPStatus.NO_CONTENT, headers=headers)(scope, receive, send)
            return
        if method == "HEAD" and "GET" in _allowed(scope):
            scope = {**scope, "method": "GET", IS_HEAD: True}  # routes need not know of HEAD

        async def send_completed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("cache-control", NO_STORE)
                if message["status"] == HTTPStatus.METHOD_NOT_ALLOWED:
                    headers["allow"] = ", ".join(_allowed(scope))
            elif method == "HEAD":
                message = {**message, "body": b""}
            await send(message)

        await self._app(scope, receive, send_completed)


def _allowed(scope: Scope) -> list[str]:
    """Methods that a path answers, in alphabetical order; none for an unknown path."""
    routes = scope["app"].routes
    # A copy of the scope for each question, since matching writes into it; only OPTIONS, HEAD and 405 ask.
    methods = {
        method
        for method in _METHODS
        if any(route.matches({**scope, "method": method})[0] is Match.FULL for route in routes)
    }
    if "GET" in methods:
        methods.add("HEAD")
    return sorted({*methods, "OPTIONS"}) if methods else []
