"""Offload: middleware that has heavy requests answered by worker processes, and the part of it that runs there."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from anyio import CapacityLimiter, to_thread
from fastapi import Request, Response
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from preheat.api.bodies import json_body
from preheat.api.heaviness import BY_ID, asks_for_little, is_at_hand, may_be_heavy
from preheat.api.problems import problem_of
from preheat.curve import Curve
from preheat.errors import PreheatError, ServiceBusy, WorkerLost
from preheat.messages import printable
from preheat.settings import Settings
from preheat.store.curves import Catalogue
from preheat.workers import WorkerPool

_LOOKING_FOR_SCHEDULES = 16
"""Threads that read schedules from the database for requests that are cheap as soon as theirs is in memory."""

_OF_A_REQUEST = ("scheme", "method", "path", "raw_path", "query_string", "headers", "root_path", "client", "server")


@dataclass(frozen=True)
class Job:
    """A request as a worker process gets it: parts of its ASGI scope, and its whole body."""

    scope: dict[str, Any]
    body: bytes


@dataclass(frozen=True)
class Answer:
    """An answer as a worker process gives it; `route` is the path of the route that gave it, with its parameters."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    route: str | None


@dataclass(frozen=True)
class AnsweredBy:
    """Stands for the route in the scope of a request that a worker process answered."""

    path: str


class Offload:
    """Answers requests that may be heavy in worker processes, and passes all others on.

    What a light schedule has at hand, a window of its LRs among it, is cheap: it never waits for a worker.
    A client that hangs up has its work stopped.
    """

    def __init__(self, app: ASGIApp, pool: WorkerPool, catalogue: Catalogue, settings: Settings) -> None:
        self._app = app
        self._pool = pool
        self._catalogue = catalogue
        self._settings = settings
        # Of their own: while the database is locked they all wait for it, and nothing else must.
        self._looking = CapacityLimiter(_LOOKING_FOR_SCHEDULES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, or passes it on."""
        if scope["type"] != "http" or not may_be_heavy(scope["method"], scope["path"]) or not _has_route(scope):
            await self._app(scope, receive, send)
            return
        try:
            if await self._is_at_hand(scope):
                await self._app(scope, receive, send)
                return
            answer = await self._by_a_worker(scope, receive)
        except PreheatError as error:
            await problem_of(error)(scope, receive, send)
            return
        except asyncio.CancelledError:  # the service ends, and has waited for its time
            await problem_of(WorkerLost("the service is shutting down"))(scope, receive, send)
            raise
        if answer is not None:  # else nobody waits for one
            self._forget_the_deleted(scope["path"], answer.status)
            if answer.route is not None:
                scope["route"] = AnsweredBy(answer.route)
            response = Response(answer.body, answer.status)
            response.raw_headers = answer.headers
            await response(scope, receive, send)

    async def _is_at_hand(self, scope: Scope) -> bool:
        """Whether the answer is cheap, now that the schedule is in memory.

        Raises ScheduleNotFound, ScheduleUnreadable, StoreUnavailable.
        """
        match = BY_ID.fullmatch(scope["path"])
        if match is None or scope["method"] == "POST":
            return False
        curve = self._catalogue.curve_at_hand(match[1]) or await self._light_curve(match[1])
        if curve is None or not curve.is_light or not asks_for_little(scope["path"]):
            return False
        accept = Request(scope).headers.get("accept", "")
        return is_at_hand(curve, scope["path"], scope["query_string"], accept)

    def _forget_the_deleted(self, path: str, status: int) -> None:
        """Drops a schedule that a worker did not find: another service has deleted it."""
        match = BY_ID.fullmatch(path)
        if match is not None and status == HTTPStatus.NOT_FOUND:
            self._catalogue.cache.drop(match[1])

    async def _light_curve(self, schedule_id: str) -> Curve | None:
        try:
            async with asyncio.timeout(self._settings.compute_wait_s):
                return await to_thread.run_sync(self._catalogue.light_curve, schedule_id, limiter=self._looking)
        except TimeoutError:
            raise ServiceBusy(self._settings.compute_workers, self._settings.compute_queue) from None

    async def _by_a_worker(self, scope: Scope, receive: Receive) -> Answer | None:
        """The answer of a worker process; None once the client has gone."""
        if self._pool.is_full:  # known before a body is read
            raise ServiceBusy(self._settings.compute_workers, self._settings.compute_queue)
        body = await json_body(Request(scope, receive), self._settings) if scope["method"] == "POST" else b""
        job = Job({name: scope[name] for name in _OF_A_REQUEST if name in scope}, body)
        match = BY_ID.fullmatch(scope["path"])
        what = printable(f"{scope['method']} {scope['path']}")
        working = asyncio.ensure_future(self._pool.run(job, what, match[1] if match else ""))
        leaving = asyncio.ensure_future(_has_left(receive))
        try:
            await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
            return working.result() if working.done() else None
        finally:
            working.cancel()
            leaving.cancel()
            await asyncio.gather(working, leaving, return_exceptions=True)


def answering(setup: tuple[Callable[[Settings], ASGIApp], Settings]) -> Callable[[Job], Answer]:
    """What answers jobs in a worker process: an application, made for the settings."""
    make_app, settings = setup
    app = make_app(settings)
    runner = asyncio.Runner()
    return lambda job: runner.run(answered(app, job))


async def answered(app: ASGIApp, job: Job) -> Answer:
    """The answer of an application to a request."""
    scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", **job.scope}
    messages: list[Message] = [{"type": "http.request", "body": job.body}]
    sent: list[Message] = []

    async def receive() -> Message:
        return messages.pop() if messages else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    try:
        await app(scope, receive, send)
    except Exception:
        if not sent:  # else it is a bug that was logged and answered
            raise
    start, *parts = sent
    route = getattr(scope.get("route"), "path", None)
    return Answer(start["status"], list(start["headers"]), b"".join(part.get("body", b"") for part in parts), route)


async def _has_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _has_route(scope: Scope) -> bool:
    # A copy, since matching writes into it; HEAD is answered as GET is.
    asked = {**scope, "method": "GET"} if scope["method"] == "HEAD" else {**scope}
    return any(route.matches(asked)[0] is Match.FULL for route in scope["app"].routes)
