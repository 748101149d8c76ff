"""Middleware: what is known of every request when it is over: its id, metrics, log line and span."""

import asyncio
import logging
import time
from collections import defaultdict
from functools import cached_property
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.requests import ClientDisconnect
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from preheat.api.access import path_of
from preheat.api.admission import KEY_NAME
from preheat.api.problems import PROBLEM, unexpected
from preheat.errors import ComputeTimeout, LimitExceeded, MemoryExceeded, PreheatError, ServiceBusy
from preheat.messages import printable, shortened
from preheat.observability.line_budget import LineBudget
from preheat.observability.metrics import Metrics, Refusal
from preheat.observability.request_id import (
    HEADER,
    current_request_id,
    current_trace_id,
    request_id_of,
    trace_id_of,
)
from preheat.observability.requests import NO_ROUTE, SOCKET
from preheat.observability.traces import Tracing
from preheat.server import PROBES, REFUSAL

_LOG = logging.getLogger("preheat.request")
POINT_ROUTE = "/v1/schedules/{schedule_id}/lr/{iteration}"
CLIENT_LEFT = 499
"""The status, which nobody sees, of a request whose client hung up before it was answered (nginx' number)."""

_REFUSALS: dict[str, Refusal] = {
    f"urn:preheat:{ServiceBusy.kind}": "busy",
    f"urn:preheat:{ComputeTimeout.kind}": "time",
    f"urn:preheat:{MemoryExceeded.kind}": "memory",
    f"urn:preheat:{LimitExceeded.kind}": "limit",
}
"""Types of problem documents that refuse a request for its budget."""

_PROBLEM_TYPE = (b"content-type", PROBLEM.encode())
_MOST_REASON, _MOST_PATH = 160, 200


class Observer:
    """Records requests that are over. Called on the event loop, and fast."""

    def __init__(self, metrics: Metrics, tracing: Tracing | None, *, logs_points: bool) -> None:
        self.metrics, self._tracing, self._logs_points = metrics, tracing, logs_points
        self._of_points = metrics.requests.of(POINT_ROUTE, "GET", HTTPStatus.OK)
        self._tells_of_points = logs_points or tracing is not None
        self._lines_of_refusals: defaultdict[int, LineBudget] = defaultdict(LineBudget)

    def point(self, scope: Scope, request_id: bytes, begun: float, bytes_out: int) -> None:
        """Records a point lookup that took the short way; `begun` is of time.perf_counter."""
        if self._tells_of_points:
            told = Request(scope, request_id.decode(), begun)
            told.route, told.status, told.bytes_out = POINT_ROUTE, HTTPStatus.OK, bytes_out
            self.request(told)
        else:
            self._of_points.observe(time.perf_counter() - begun, bytes_out)

    def refused(self, error: PreheatError, scope: Scope) -> None:
        """Records a request that the server refused before its route was known; `scope` is what there is of it."""
        request = Request({"method": "-", "path": "", **scope, REFUSAL: error}, "", time.perf_counter())
        request.route = SOCKET
        self.metrics.requests.of(SOCKET, request.method, error.status).observe(0.0, 0)
        self._log(request, error.status, 0.0, None)

    def request(self, request: "Request") -> None:
        """Records any other request."""
        status, duration_s = request.status_seen, time.perf_counter() - request.begun
        observer = self.metrics.requests.of(request.route or NO_ROUTE, request.method, status)
        observer.observe(duration_s, request.bytes_out, request.bytes_in)
        if refusal := _REFUSALS.get(request.problem_type):
            self.metrics.refuse(refusal)
        if request.route in PROBES:  # without a line and without a span
            return
        trace_id = request.trace_id
        if self._tracing:
            trace_id = self._tracing.record(
                request.scope["headers"],
                request.method,
                request.route,
                status,
                duration_s,
                {"url.path": request.path, "client.address": request.client, "preheat.request_id": request.id},
            )
        if request.route == POINT_ROUTE and status < HTTPStatus.BAD_REQUEST and not self._logs_points:
            return
        self._log(request, status, duration_s, trace_id)

    def _log(self, request: "Request", status: int, duration_s: float, trace_id: str | None) -> None:
        level = _level(status, is_by_server=request.refusal is not None or request.is_cut)
        if not _LOG.isEnabledFor(level):
            return
        fields = {**request.fields(status, duration_s), "trace_id": trace_id}
        if request.refusal is not None:  # no request need be whole, nor have a key, to be refused by the server
            held_back = self._lines_of_refusals[status].take(time.monotonic())
            if held_back is None:
                return
            fields["lines_held_back"] = held_back or None
        _LOG.log(level, "%s %s %d", request.method, request.route or request.path, status, extra={"fields": fields})


class Request:
    """What is known of one request: more and more until it is over."""

    def __init__(self, scope: Scope, request_id: str, begun: float, trace_id: str | None = None) -> None:
        self.scope, self.id, self.begun, self.trace_id = scope, request_id, begun, trace_id
        self.method: str = scope["method"]
        self.route: str | None = None
        self.status: int | None = None
        self.bytes_in = self.bytes_out = 0
        self.is_problem, self.problem = False, b""
        self.has_left = self.is_cut = False

    @property
    def path(self) -> str:
        """The path, short and in ASCII."""
        return shortened(printable(self.scope["path"]), _MOST_PATH)

    @property
    def client(self) -> str:
        """The address that the request came from; "unix" of a Unix socket."""
        client = self.scope.get("client")
        return client[0] if client else "unix"

    @property
    def refusal(self) -> PreheatError | None:
        """What the server has answered in the application's place."""
        refusal: PreheatError | None = self.scope.get(REFUSAL)
        return refusal

    @property
    def status_seen(self) -> int:
        """The status that the client saw; 499 if it left before."""
        if self.refusal is not None:
            return self.refusal.status
        return CLIENT_LEFT if self.has_left or self.status is None else self.status

    def fields(self, status: int, duration_s: float) -> dict[str, Any]:
        """The members of its log line."""
        return {
            "request_id": self.id or None,
            "method": printable(self.method),
            "route": self.route,
            "path": self.path,
            "status": status,
            "duration_s": round(duration_s, 6),
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
            "client": self.client,
            "key": self.scope.get(KEY_NAME),
            **self._reason(),
        }

    @property
    def problem_type(self) -> str:
        """The type of the problem document that was the answer; empty if it was something else."""
        return str(self._problem_document.get("type", ""))

    @cached_property
    def _problem_document(self) -> dict[str, Any]:
        if self.refusal is not None:
            return {"type": f"urn:preheat:{self.refusal.kind}", "detail": str(self.refusal)}
        try:
            document: dict[str, Any] = orjson.loads(self.problem)
        except orjson.JSONDecodeError:
            return {}
        return document

    def _reason(self) -> dict[str, str]:
        """The kind and the first words of the problem document that was the answer."""
        if not self._problem_document:
            return {}
        reason = shortened(printable(str(self._problem_document.get("detail"))), _MOST_REASON)
        return {"problem": self.problem_type, "reason": reason}


class Observed:
    """Gives every request its id, and records it once it is over, however it ends.

    The id is in the answer's X-Request-ID, in problem documents and in each log line. An unexpected error is logged
    and answered with 500 here, where the id is still known.
    """

    def __init__(self, app: ASGIApp, observer: Observer) -> None:
        self._app, self._observer = app, observer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        request_id = request_id_of(headers.get(HEADER))
        request = Request(scope, request_id.decode(), time.perf_counter(), trace_id_of(headers.get(b"traceparent")))
        current_request_id.set(request.id)  # the task is the request's own: nothing to set back
        current_trace_id.set(request.trace_id)
        metrics = self._observer.metrics.requests
        metrics.in_progress += 1
        try:
            await self._answer(request, _counted_receive(request, receive), _counted_send(request, receive, send))
        finally:
            metrics.in_progress -= 1
            request.route = template_of(scope)
            self._observer.request(request)

    async def _answer(self, request: Request, receive: Receive, send: Send) -> None:
        try:
            await self._app(request.scope, receive, send)
        except ClientDisconnect:
            request.has_left = True
        except asyncio.CancelledError:  # the service stops, and cuts what is still in flight
            request.status, request.is_cut = HTTPStatus.SERVICE_UNAVAILABLE, True
            raise
        except Exception as error:
            if request.status is not None:  # the server logs it and cuts the connection: the client sees half an answer
                request.status = HTTPStatus.INTERNAL_SERVER_ERROR
                raise
            await unexpected(error)(request.scope, receive, send)


def _counted_receive(request: Request, receive: Receive) -> Receive:
    """`receive`, which notes the bytes of the body, and whether the client hung up before it was answered."""

    async def counted() -> Message:
        message = await receive()
        if message["type"] == "http.request":
            request.bytes_in += len(message.get("body", b""))
        elif request.status is None:
            request.has_left = True
        return message

    return counted


def _counted_send(request: Request, receive: Receive, send: Send) -> Send:
    """`send`, which adds the request's id, and notes status, bytes of the body, and the body of a problem."""

    async def counted(message: Message) -> None:
        if message["type"] == "http.response.start":
            request.has_left = request.has_left or _is_gone(receive)
            request.status = message["status"]
            request.is_problem = _PROBLEM_TYPE in message["headers"]
            message = {**message, "headers": [*message["headers"], (HEADER, request.id.encode())]}
        else:
            body = message.get("body", b"")
            request.bytes_out += len(body)
            if request.is_problem and body:
                request.problem = body
        await send(message)

    return counted


def template_of(scope: Scope) -> str | None:
    """The template of the route that has the request's path, whatever it answers; None if no route has."""
    app: FastAPI = scope["app"]
    if not hasattr(app.state, "templates"):
        paths = dict.fromkeys(context.path_format for context in iter_route_contexts(app.routes))
        app.state.templates = [(path, compile_path(path)[0]) for path in paths if path]
    path = path_of(scope)
    return next((template for template, pattern in app.state.templates if pattern.match(path)), None)


def _is_gone(receive: Receive) -> bool:
    """Whether the client has hung up, as uvicorn knows before anybody asks: `receive` is a method of its cycle."""
    return bool(getattr(getattr(receive, "__self__", None), "disconnected", False))


def _level(status: int, *, is_by_server: bool) -> int:
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return logging.WARNING if is_by_server else logging.ERROR
    is_warned = status >= HTTPStatus.BAD_REQUEST and status != CLIENT_LEFT and not is_by_server
    return logging.WARNING if is_warned else logging.INFO
