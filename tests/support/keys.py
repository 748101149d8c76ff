"""A service with keys on a thread of this process, and requests to an app without any server."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from fastapi import FastAPI
from starlette.types import Message

from preheat.api import create_app
from preheat.keys import SCOPES
from preheat.settings import Settings
from preheat.store import KeyStore
from running_service import serving

Headers = list[tuple[bytes, bytes]]


@dataclass
class Keyed:
    """A service, and a token for each scope."""

    app: FastAPI
    http: httpx.Client
    store: KeyStore
    tokens: dict[str, str]

    def make(self, name: str, *scopes: Any, lifetime_s: int | None = None) -> str:
        """The token of a key that the service knows when this returns."""
        token = self.store.make(name, scopes, lifetime_s).token
        self.app.state.keyring.read()
        return token


@contextmanager
def keyed_service(**settings: Any) -> Iterator[Keyed]:
    """A service whose database has a key of each scope."""
    app = create_app(Settings(**{"database_url": "sqlite:///:memory:", **settings}))
    store = KeyStore(app.state.database)
    tokens: dict[str, str] = {scope: store.make(scope, [scope]).token for scope in SCOPES}
    with serving(app) as url, httpx.Client(base_url=url, timeout=60) as http:
        yield Keyed(app, http, store, tokens)


def bearer(token: str) -> dict[str, str]:
    """The header with a token."""
    return {"authorization": f"Bearer {token}"}


def asked(app: FastAPI, path: str = "/v1/recipes", headers: Headers | None = None, **scope: Any) -> tuple[int, Headers]:
    """Status and headers of the answer to a request that no server has seen."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    request = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": headers or [], **scope}
    try:
        asyncio.run(app(request, receive, send))
    finally:
        app.state.keyring.close()
    return sent[0]["status"], sent[0]["headers"]
