"""Answers: how they are written, and those that are there at once, which need no task to be sent."""

import asyncio
import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from uvicorn.protocols.http.httptools_impl import HEADER_RE, STATUS_LINE, RequestResponseCycle

from preheat.server.stream import STREAM, Stream

_IN_NO_VALUE = bytes([*range(9), *range(10, 32), 127])
_FOR_UVICORN = (b"connection", b"transfer-encoding")
_LENGTH = b"content-length"
_EXTENSIONS: dict[str, dict[object, object]] = {STREAM: {}}

Header = tuple[bytes, bytes]


class Answer:
    """A whole answer, as an ASGI application that sends it, whatever is asked; `shared` headers come before its own."""

    __slots__ = ("body", "headers", "shared", "status")

    def __init__(self, status: int, headers: list[Header], body: bytes, shared: tuple[Header, ...] = ()) -> None:
        self.status, self.headers, self.body, self.shared = status, headers, body, shared

    async def __call__(self, _scope: Any, _receive: Any, send: Any) -> None:
        """Sends it."""
        headers = [*self.shared, *self.headers]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


class Cycle(RequestResponseCycle):
    """A request and its answer, as uvicorn has them; the bytes that are sent are the same.

    NOTE: `send` and `begin` do with the start of an answer what uvicorn's `send` does, which looks at each header by
    itself and takes longer than a point; its version is pinned for that. What is not plain is left to it: no
    Content-Length, or two, headers that decide about the connection, and those that it refuses.
    """

    _has_stream = False
    _is_bare = False
    """Whether the end of the connection is the end of the body: nothing else tells a client of HTTP/1.0 without one."""

    def begin(self, app: Any) -> Any:
        """The application that a task is to run for this request; None if the answer was there at once, and is sent.

        An application says so by a method `responder(scope)`, which takes a request that has no body to come, and
        gives what it would have answer it: an `Answer`, or another application.
        """
        choose = getattr(app, "responder", None)
        if choose is None or self.more_body:
            return app
        try:
            responder = choose(self.scope)
        except Exception:  # noqa: BLE001 - it fails again in its task, where that is logged and answered
            return app
        if isinstance(responder, Answer) and self._send_whole(responder):
            return None
        self.scope["extensions"] = _EXTENSIONS
        return responder

    async def run_asgi(self, app: Any) -> None:
        """Has an application answer. A client whose answer is cancelled, since the server ends, is cut: no error."""
        on_response, goes_on = self.on_response, False

        async def answer(scope: Any, receive: Any, send: Any) -> None:
            nonlocal goes_on
            try:
                await app(scope, receive, send)
            except asyncio.CancelledError:
                self.disconnected = True
                self.transport.close()
            else:
                goes_on = self._has_stream and not self.response_complete
                self.response_complete |= goes_on  # for uvicorn, which looks for it now

        await super().run_asgi(answer)
        if goes_on:
            self.response_complete, self.on_response = False, on_response

    def write(self, chunk: bytes) -> None:
        """Sends a part, of at least one byte, of an answer that goes on as a stream."""
        self.transport.write(chunk if self._is_bare else b"%x\r\n%b\r\n" % (len(chunk), chunk))

    def complete(self) -> None:
        """Ends an answer that goes on as a stream, as uvicorn does after the last part of a body."""
        self.response_complete = True
        if not self._is_bare:
            self.transport.write(b"0\r\n\r\n")
        if not self.keep_alive:
            self.transport.close()
        self.on_response()
        self.on_response = lambda: None

    async def send(self, message: Any) -> None:
        """Sends the start of an answer, or a part of its body; or gives its rest away as a stream."""
        if message["type"] == STREAM:
            self._has_stream = True
            message["to"](Stream(self))
            return
        is_start = message["type"] == "http.response.start" and not self.response_started
        head = self._head(message["status"], message.get("headers", ())) if is_start else None
        if head is None:
            await super().send(self._of_1_0(message) if self.scope.get("http_version") == "1.0" else message)
            return
        self.response_started, self.waiting_for_100_continue = True, False
        text, self.expected_content_length = head
        self.chunked_encoding = False
        self.transport.write(text)

    def _of_1_0(self, message: Any) -> Any:
        """A message as HTTP/1.0 has it, which knows no chunks (RFC 9112 §6.1): uvicorn would send some."""
        if message["type"] == "http.response.start":
            headers = [each for each in message.get("headers", ()) if each[0].lower() != b"transfer-encoding"]
            self._is_bare = all(name.lower() != _LENGTH for name, _ in headers)
            if self._is_bare:
                self.chunked_encoding = False
            return {**message, "headers": headers}
        if self._is_bare:  # every part has the length that it has
            self.expected_content_length = len(message.get("body", b""))
        return message

    def _send_whole(self, answer: Answer) -> bool:
        """Sends an answer from its start to its end; returns whether that can be done without waiting."""
        head = self._head(answer.status, answer.headers, answer.shared)
        if head is None or head[1] != len(answer.body) or self.scope["method"] == "HEAD":
            return False
        self.response_started = self.response_complete = True
        self.message_event.set()
        self.transport.write(head[0] + answer.body)
        if not self.keep_alive:
            self.transport.close()
        self.on_response()
        self.on_response = lambda: None  # as uvicorn does: connection and cycle would keep each other in memory
        return True

    def _head(self, status: int, given: Iterable[Header], shared: tuple[Header, ...] = ()) -> tuple[bytes, int] | None:
        """The head of an answer and the length of its body, if it is plain and can be sent now."""
        if self.flow.write_paused or self.disconnected or self.access_log:
            return None
        first, more, own = _lines(tuple(self.default_headers)), _lines(shared), list(given)
        place = _place_of_length(tuple([name for name, _ in own]))
        text = _plain_lines(own)
        if first is None or more is None or place is None or text is None:
            return None
        end = b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n"
        return STATUS_LINE[status] + first + more + text + end, int(own[place][1].decode())


class LingeringTransport:
    """What an answer is written to while the body of its request is still coming: `linger` closes the connection."""

    def __init__(self, transport: asyncio.Transport, linger: Callable[[], None]) -> None:
        self.write, self.is_closing, self.close = transport.write, transport.is_closing, linger


@functools.lru_cache(64)
def _lines(headers: tuple[Header, ...]) -> bytes | None:
    """The text of headers that many answers share; None where they are not plain, or have a Content-Length."""
    names = [name for name, _ in headers]
    return _plain_lines(headers) if _are_plain(names) and _LENGTH not in names else None


def _plain_lines(headers: Sequence[Header]) -> bytes | None:
    """The text of headers; None where a value has what no value may have."""
    text = b"".join([b"%b: %b\r\n" % header for header in headers])
    # One look at all values: what ends the lines are the only control characters.
    return text if len(text.translate(None, _IN_NO_VALUE)) == len(text) - 2 * len(headers) else None


@functools.lru_cache(256)
def _place_of_length(names: tuple[bytes, ...]) -> int | None:
    """Which of these headers is the only Content-Length; None where the names are not plain."""
    return names.index(_LENGTH) if _are_plain(names) and names.count(_LENGTH) == 1 else None


def _are_plain(names: Iterable[bytes]) -> bool:
    """Whether these names are written as they are sent, and say nothing that uvicorn must know."""
    return all(name == name.lower() and not HEADER_RE.search(name) and name not in _FOR_UVICORN for name in names)
