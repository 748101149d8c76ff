"""A client that says what no HTTP library would, and an application for it to talk to."""

import json
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Self

import httpx

from preheat.server import server_options
from preheat.settings import Settings
from running_service import serving

PATIENCE_S = 30.0
"""How long a busy machine may take for what takes milliseconds."""

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED = b"POST /read HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


class Application:
    """Answers by path: how many bytes the body has, so many bytes, its own scope, or nothing until it is told to."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.disconnected = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        self.paths.append(scope["path"])
        kind, _, argument = scope["path"].strip("/").partition("/")
        if kind == "read":
            await self._read(receive, send)
        elif kind == "bytes":
            await _answer(send, bytes(int(argument)))
        elif kind == "wait":
            await receive()
            await receive()  # the end of the connection
            self.disconnected += 1
        elif kind == "scope":
            shown = {name: scope[name] for name in ("path", "root_path", "client", "scheme")}
            shown["headers"] = {name.decode(): value.decode() for name, value in scope["headers"]}
            await _answer(send, json.dumps(shown).encode())
        else:
            await _answer(send, b"hello")

    async def _read(self, receive: Any, send: Any) -> None:
        length, message = 0, {"more_body": True}
        while message.get("more_body"):
            message = await receive()
            if message["type"] == "http.disconnect":
                self.disconnected += 1
                return
            length += len(message["body"])
        await _answer(send, str(length).encode())


async def _answer(send: Any, body: bytes) -> None:
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class RawClient:
    """A connection on which any bytes are sent."""

    def __init__(self, url: str) -> None:
        address = httpx.URL(url)
        self.socket = socket.create_connection((address.host, address.port or 80), timeout=PATIENCE_S)
        self.received = b""

    def send(self, *data: bytes) -> Self:
        """Sends bytes, as far as the service still takes them."""
        with suppress(OSError):
            for each in data:
                self.socket.sendall(each)
        return self

    def until(self, text: bytes) -> bytes:
        """What has been received, once it has a text in it."""
        while text not in self.received:
            more = self.socket.recv(65536)
            assert more, self.received
            self.received += more
        return self.received

    def until_closed(self) -> bytes:
        """What has been received, once the service has closed the connection."""
        with suppress(ConnectionResetError):
            while more := self.socket.recv(65536):
                self.received += more
        return self.received

    def has_received(self, text: bytes, wait_s: float = 0.05) -> bool:
        """Whether a text has been received by the end of a short wait."""
        self.socket.settimeout(wait_s)
        with suppress(OSError):  # nothing has come, or the connection was reset
            self.received += self.socket.recv(65536)
        self.socket.settimeout(PATIENCE_S)
        return text in self.received

    def is_open(self) -> bool:
        """Whether the service keeps the connection at this moment."""
        self.socket.setblocking(False)
        try:
            return self.socket.recv(1, socket.MSG_PEEK) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False
        finally:
            self.socket.settimeout(PATIENCE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


@contextmanager
def limited(app: Any, loop: str = "auto", **settings: Any) -> Iterator[str]:
    """The address of an application behind the service's own server, with these settings."""
    options = server_options(Settings(database_url="sqlite:///:memory:", **settings))
    with serving(app, **{**options, "log_level": "critical", "loop": loop}) as url:
        yield url


def statuses(received: bytes) -> list[int]:
    """The status of each answer in what was received."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+) ", received)]


def document(received: bytes) -> dict[str, Any]:
    """The problem document that ends what was received."""
    head, _, body = received.rpartition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head
    content: dict[str, Any] = json.loads(body)
    return content


def is_answered(url: str) -> bool:
    """Whether a second client gets its answer in a time that anybody would wait."""
    return httpx.get(f"{url}/livez", timeout=PATIENCE_S).status_code == 200
