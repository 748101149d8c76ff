"""A TCP proxy between client and service that does to connections what networks do."""

import asyncio
import random
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

_PIECE = 65_536
_GARBAGE = b"\x16\x03\x01\x00SSH-2.0 this is not HTTP\r\n\0\xff" * 40

Then = Literal["hang", "close", "reset", "half_close"]


@dataclass(frozen=True)
class Fault:
    """What becomes of the service's bytes; the client's always get through.

    `listens`: whether anything does at the address. `greeting`: at once on every connection, instead of forwarding it:
    "reset", "hang" (accept and never answer) or "garbage". `latency_s`, `jitter_s`: before each piece. `bytes_per_s`:
    how fast they come. `after_bytes`: when so many of an answer have come, `then` happens: they "hang", or the
    connection is closed, reset, or closed in one direction alone.
    """

    listens: bool = True
    greeting: Literal["reset", "hang", "garbage"] | None = None
    latency_s: float = 0.0
    jitter_s: float = 0.0
    bytes_per_s: float | None = None
    after_bytes: int | None = None
    then: Then = "hang"


NONE = Fault()


class FaultProxy:
    """One address in front of another; `set` changes what is wrong with it, from any thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, upstream: tuple[str, int]) -> None:
        self._loop, self._upstream = loop, upstream
        self._fault = NONE
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.StreamWriter] = set()
        # Bound for as long as it lives, so that the port is nobody else's while nothing listens there.
        self._reserved = socket.socket()
        self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._reserved.bind(("127.0.0.1", 0))
        self.port: int = self._reserved.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def set(self, fault: Fault) -> None:
        """From now on; connections that are open are reset, as when a network changes."""
        asyncio.run_coroutine_threadsafe(self._change(fault), self._loop).result(10)

    def close(self) -> None:
        """Nothing listens there any more, and the port is free."""
        self.set(Fault(listens=False))
        self._reserved.close()

    def lead_to(self, url: str) -> None:
        """Leads new connections to another address."""
        self._upstream = _place(url)

    async def _change(self, fault: Fault) -> None:
        self._fault = fault
        for writer in list(self._connections):
            _reset(writer)
        if self._server is not None and not fault.listens:
            self._server.close()
            self._server = None
        elif self._server is None and fault.listens:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                await self._treat(reader, writer)
        finally:
            self._connections.discard(writer)
            writer.close()

    async def _treat(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fault = self._fault
        if fault.greeting == "reset":
            _reset(writer)
        elif fault.greeting == "hang":
            await reader.read(-1)
        elif fault.greeting == "garbage":
            await reader.read(_PIECE)
            writer.write(_GARBAGE)
            await writer.drain()
        else:
            upstream_reader, upstream_writer = await asyncio.open_connection(*self._upstream)
            forward = asyncio.create_task(_copy(reader, upstream_writer))
            try:
                await _deliver(upstream_reader, writer, fault)
            finally:
                forward.cancel()
                upstream_writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await reader.read(_PIECE):
            writer.write(piece)
            await writer.drain()
        writer.write_eof()


async def _deliver(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, fault: Fault) -> None:
    size = _PIECE if fault.bytes_per_s is None else max(int(fault.bytes_per_s / 20), 1)
    left = fault.after_bytes
    while piece := await reader.read(size if left is None else min(size, left)):
        await asyncio.sleep(fault.latency_s + fault.jitter_s * random.random())
        if fault.bytes_per_s is not None:
            await asyncio.sleep(len(piece) / fault.bytes_per_s)
        writer.write(piece)
        await writer.drain()
        if left is not None:
            left -= len(piece)
            if left == 0:
                break
    if left == 0:
        await _end(reader, writer, fault.then)


async def _end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, then: Then) -> None:
    if then == "reset":
        _reset(writer)
    elif then == "half_close":
        writer.write_eof()
    if then in {"hang", "half_close"}:
        while await reader.read(_PIECE):
            pass


def _reset(writer: asyncio.StreamWriter) -> None:
    """Closes with RST instead of FIN."""
    connection: Any = writer.get_extra_info("socket")
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _place(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return str(parts.hostname), int(parts.port or 80)


@contextmanager
def proxied(loop: asyncio.AbstractEventLoop, url: str) -> Iterator[FaultProxy]:
    """A proxy in front of an address, without a fault to begin with."""
    proxy = FaultProxy(loop, _place(url))
    try:
        proxy.set(NONE)
        yield proxy
    finally:
        proxy.close()


@contextmanager
def proxy_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop on a thread of its own, for any number of proxies."""
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)  # connections that are torn on purpose complain
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        asyncio.run_coroutine_threadsafe(_cancel_all(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def _cancel_all() -> None:
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
