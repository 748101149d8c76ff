"""Offload: middleware that has heavy requests answered by worker processes, and the part of it that runs there."""

import asyncio
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI, Request, Response
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from preheat.api.access import path_of
from preheat.api.admission import KEY_NAME
from preheat.api.bodies import json_body
from preheat.api.heaviness import BY_ID, asks_for_little, is_at_hand, may_be_heavy
from preheat.api.problems import error_problem, unexpected
from preheat.curve import Curve
from preheat.errors import PreheatError, ServiceBusy, WorkerLost
from preheat.messages import printable
from preheat.observability.request_id import current_request_id
from preheat.settings import Settings
from preheat.store.curves import Catalogue
from preheat.workers import WorkerPool

_LOOKING_FOR_SCHEDULES = 16
"""Threads that read schedules from the database for requests that are cheap as soon as theirs is in memory."""

_OF_A_REQUEST = (
    "scheme", "method", "path", "raw_path", "query_string", "headers", "root_path", "client", "server", KEY_NAME,
)  # fmt: skip
_RUN = re.compile(r"/v1/runs/([0-9a-f]{32})/.*")


@dataclass(frozen=True)
class Job:
    """A request as a worker process gets it: parts of its ASGI scope, its whole body, and its id."""

    scope: dict[str, Any]
    body: bytes
    request_id: str | None = None


@dataclass(frozen=True)
class Answer:
    """An answer as a worker process gives it; `used` are the ids of the schedules that it is made of."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    used: frozenset[str]


class Offload:
    """Answers requests that may be heavy in worker processes, and passes all others on.

    What a light schedule has at hand, a window of its LRs among it, is cheap: it never waits for a worker.
    A client that hangs up has its work stopped.
    """

    def __init__(
        self,
        app: ASGIApp,
        pool: WorkerPool,
        catalogue: Catalogue,
        settings: Settings,
        run_changed: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._app = app
        self._run_changed = run_changed
        self._pool = pool
        self._catalogue = catalogue
        self._settings = settings
        # Of their own: while the database is locked they all wait for it, and nothing else must.
        self._looking = CapacityLimiter(_LOOKING_FOR_SCHEDULES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, or passes it on."""
        if scope["type"] != "http" or not _may_be_heavy(scope):
            await self._app(scope, receive, send)
            return
        try:
            if await self._is_at_hand(scope):
                await self._app(scope, receive, send)
                return
            answer = await self._by_a_worker(scope, receive)
        except PreheatError as error:
            await error_problem(error)(scope, receive, send)
            return
        except asyncio.CancelledError:  # the service ends, and has waited for its time
            await error_problem(WorkerLost("the service is shutting down"))(scope, receive, send)
            raise
        if match := _RUN.fullmatch(path_of(scope)):
            self._run_changed(match[1])  # who watches it here need not wait until the database tells
        if answer is not None:  # else nobody waits for one
            self._catalogue.used.update(answer.used)
            response = Response(answer.body, answer.status)
            response.raw_headers = answer.headers
            await response(scope, receive, send)
            await self._take_into_memory(answer)

    async def _is_at_hand(self, scope: Scope) -> bool:
        """Whether the answer is cheap, now that the schedule is in memory.

        Raises ScheduleNotFound, ScheduleUnreadable, StoreUnavailable.
        """
        path = path_of(scope)
        match = BY_ID.fullmatch(path)
        if match is None or scope["method"] == "POST":
            return False
        curve = self._catalogue.curve_at_hand(match[1]) or await self._light_curve(match[1])
        if curve is None or not curve.is_light or not asks_for_little(path):
            return False
        return is_at_hand(curve, path, scope["query_string"], Request(scope).headers.get("accept"))

    async def _take_into_memory(self, answer: Answer) -> None:
        """Makes a new schedule's points cheap at once, and known while the database is away."""
        location = dict(answer.headers).get(b"location")
        if location is not None:
            with suppress(PreheatError):  # as whoever asks for it will be told
                await self._light_curve(location.decode().rpartition("/")[2])

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
        has_body = scope["method"] == "POST"
        body = await json_body(Request(scope, receive), self._settings.max_body_bytes) if has_body else b""
        parts = {name: scope[name] for name in _OF_A_REQUEST if name in scope}
        # It was judged: no other process needs to have the key in its memory.
        parts["headers"] = [header for header in scope["headers"] if header[0] != b"authorization"]
        job = Job(parts, body, current_request_id.get())
        match = BY_ID.fullmatch(path_of(scope))
        what = printable(f"{scope['method']} {scope['path']}")
        working = asyncio.ensure_future(self._pool.run(job, what, match[1] if match else ""))
        leaving = asyncio.ensure_future(has_left(receive))
        try:
            await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
            return working.result() if working.done() else None
        finally:
            working.cancel()
            leaving.cancel()
            await asyncio.gather(working, leaving, return_exceptions=True)


def answering(setup: tuple[Callable[[Settings], FastAPI], Settings]) -> Callable[[Job], Answer]:
    """What answers jobs in a worker process: an application, made for the settings."""
    make_app, settings = setup
    app = make_app(settings)
    runner = asyncio.Runner()
    return lambda job: runner.run(answered(app, job))


async def answered(app: FastAPI, job: Job) -> Answer:
    """The answer of an application to a request; to a bug, which is logged, what `Observed` answers elsewhere."""
    current_request_id.set(job.request_id)
    scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", **job.scope}
    messages: list[Message] = [{"type": "http.request", "body": job.body}]
    sent: list[Message] = []

    async def receive() -> Message:
        return messages.pop() if messages else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    try:
        await app(scope, receive, send)
    except Exception as error:  # noqa: BLE001 - whatever it is, the service answers
        sent.clear()  # Starlette has said that there was an error, and no more
        await unexpected(error)(scope, receive, send)
    start, *parts = sent
    used = frozenset(app.state.catalogue.used)
    app.state.catalogue.used.clear()
    body = b"".join(part.get("body", b"") for part in parts)
    return Answer(start["status"], list(start["headers"]), body, used)


async def has_left(receive: Receive) -> None:
    """Returns once the client has hung up."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _may_be_heavy(scope: Scope) -> bool:
    return may_be_heavy(scope["method"], path_of(scope), scope["query_string"]) and _has_route(scope)


def _has_route(scope: Scope) -> bool:
    # A copy, since matching writes into it; HEAD is answered as GET is.
    asked = {**scope, "method": "GET"} if scope["method"] == "HEAD" else {**scope}
    return any(route.matches(asked)[0] is Match.FULL for route in scope["app"].routes)
