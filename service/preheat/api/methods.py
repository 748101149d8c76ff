"""HEAD, OPTIONS and 405 for every route, and Cache-Control for every answer."""

from http import HTTPStatus

from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from preheat.api.operations import operations


class Methods:
    """Answers HEAD as GET without a body, OPTIONS with what a path allows, and completes the Allow of a 405.

    An answer that says nothing about caching gets `Cache-Control: no-store`.
    """

    def __init__(self, app: ASGIApp, described_by: FastAPI) -> None:
        self._app = app
        self._described_by = described_by

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method, allowed = scope["method"], operations(self._described_by).methods(scope["path"])
        if method == "OPTIONS" and allowed:
            headers = {"allow": ", ".join(allowed), "cache-control": "no-store"}
            await Response(status_code=HTTPStatus.NO_CONTENT, headers=headers)(scope, receive, send)
            return
        if method == "HEAD" and "GET" in allowed:
            scope = {**scope, "method": "GET"}

        async def send_completed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("cache-control", "no-store")
                if message["status"] == HTTPStatus.METHOD_NOT_ALLOWED and allowed:
                    headers["allow"] = ", ".join(allowed)
            elif method == "HEAD":
                message = {**message, "body": b""}
            await send(message)

        await self._app(scope, receive, send_completed)
