"""The head of an answer, written in one go: uvicorn looks at each header by itself, which takes longer than a point."""

import asyncio
import functools
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HEADER_RE, STATUS_LINE, RequestResponseCycle

_IN_NO_VALUE = bytes([*range(9), *range(10, 32), 127])
_FOR_UVICORN = (b"connection", b"transfer-encoding")


class Cycle(RequestResponseCycle):
    """A request and its answer, as uvicorn has them; the bytes that are sent are the same.

    NOTE: `send` does with the start of an answer what uvicorn's does, whose version is pinned for that. What is not
    plain is left to it: no Content-Length, or two, headers that decide about the connection, and those that it refuses.
    """

    async def send(self, message: Any) -> None:
        """Sends the start of an answer, or a part of its body."""
        is_start = message["type"] == "http.response.start" and not self.response_started
        if not is_start or self.flow.write_paused or self.disconnected or self.access_log:
            await super().send(message)
            return
        headers = [*self.default_headers, *message.get("headers", ())]
        place = _place_of_length(tuple([name for name, _ in headers]))
        text = b"\r\n".join(map(b": ".join, headers))
        # One look at all values: what separates the lines are the only control characters.
        if place is None or len(text.translate(None, _IN_NO_VALUE)) != len(text) - 2 * (len(headers) - 1):
            await super().send(message)
            return
        self.response_started, self.waiting_for_100_continue = True, False
        self.chunked_encoding, self.expected_content_length = False, int(headers[place][1].decode())
        end = b"\r\n\r\n" if self.keep_alive else b"\r\nconnection: close\r\n\r\n"
        self.transport.write(STATUS_LINE[message["status"]] + text + end)


class LingeringTransport:
    """What an answer is written to while the body of its request is still coming: `linger` closes the connection."""

    def __init__(self, transport: asyncio.Transport, linger: Callable[[], None]) -> None:
        self.write, self.is_closing, self.close = transport.write, transport.is_closing, linger


@functools.lru_cache(256)
def _place_of_length(names: tuple[bytes, ...]) -> int | None:
    """Which of these headers is the only Content-Length; None where the names are not plain."""
    are_plain = all(name == name.lower() and not HEADER_RE.search(name) and name not in _FOR_UVICORN for name in names)
    return names.index(b"content-length") if are_plain and names.count(b"content-length") == 1 else None
