"""Fixtures of the API's tests: the reference schedule, and a service whose app a test can reach into."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from preheat.api import create_app
from preheat.api.dependencies import deadline
from preheat.budget import Deadline
from preheat.settings import Settings
from reference import REFERENCE_SPEC
from rest import posted_id
from running_service import serving


@pytest.fixture(scope="session")
def schedule_id(http: httpx.Client) -> str:
    """The id of the reference schedule."""
    return posted_id(http, REFERENCE_SPEC)


@dataclass
class Watched:
    """A service in this process, the requests that its outermost middleware saw, and a hold on its deadlines."""

    app: FastAPI
    http: httpx.Client
    seen: list[dict[str, Any]] = field(default_factory=list)

    def set_deadline(self, timeout_s: float, clock: Any = lambda: 0.0) -> None:
        """Gives every request a deadline of its own clock."""
        self.app.dependency_overrides[deadline] = lambda: Deadline(timeout_s, clock)

    def set_deadline_of_looks(self, looks: int) -> None:
        """Gives every request a deadline that is over after so many looks at its clock, by all of them together."""
        counted = itertools.count()
        self.set_deadline(0.5, lambda: max(next(counted) - looks + 1, 0))

    def expire_deadlines(self) -> None:
        """Lets every request run out of time at the first look at its deadline."""
        self.set_deadline(-1.0)


class _Watch:
    """A middleware such as anybody may add."""

    def __init__(self, app: ASGIApp, seen: list[dict[str, Any]]) -> None:
        self._app, self._seen = app, seen

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        entry: dict[str, Any] = {"path": scope.get("path")}

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                entry["status"] = message["status"]
                message["headers"] = [*message["headers"], (b"x-watched", b"42")]
            await send(message)

        await self._app(scope, receive, watched)
        # Routing writes the endpoint that it found into the request's scope.
        entry["reached_a_route"] = "endpoint" in scope
        self._seen.append(entry)


@pytest.fixture
def watched() -> Iterator[Watched]:
    """A service of its own."""
    app = create_app(Settings(database_url="sqlite:///:memory:"))
    seen: list[dict[str, Any]] = []
    app.add_middleware(_Watch, seen=seen)
    with serving(app) as url, httpx.Client(base_url=url, timeout=60) as http:
        yield Watched(app, http, seen)
