"""Event stream: the answer (server-sent events) to who watches a live run."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from preheat import formats
from preheat.api.admission import key_of
from preheat.api.caching import NO_STORE
from preheat.api.middleware import IS_HEAD
from preheat.api.offload import has_left
from preheat.api.run_events import Channel, EventHub, as_sent
from preheat.errors import StoreUnavailable
from preheat.runs.errors import EventsTrimmed, RunNotFound
from preheat.server import DRAINING, STREAM

_RETRY = b"retry: 1000\n\n"
_MOST_WAITING = 100

_Write = Callable[[bytes], Awaitable[None]]


class EventStream(Response):
    """The events after a number, or from now on, as they happen.

    It ends when the run is deleted, the service stops, or the key that it was asked for with is revoked or expires.
    Where the server has streams the request's task ends once the events that there are already were sent: a task that
    waits, and what middleware keeps for it, would take most of a watcher's memory, and of the time to tell them.
    """

    media_type = formats.EVENT_STREAM

    def __init__(self, hub: EventHub, run_id: str, after: int | None) -> None:
        self.status_code, self.background = 200, None
        self.init_headers({"cache-control": NO_STORE, "x-accel-buffering": "no"})
        self._hub, self._run_id, self._after = hub, run_id, after

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, a HEAD by the headers alone. Raises TooManyWatchers before the answer begins."""
        start = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        if IS_HEAD in scope:
            await send(start)
            await send({"type": "http.response.body", "body": b""})
            return

        async def write(chunk: bytes) -> None:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})

        is_admitted = partial(self._hub.admits, key_of(scope))
        with self._hub.joined(self._run_id, scope.get("state", {}).get(DRAINING)) as channel:
            await send(start)
            try:
                number = await self._caught_up(channel, write)
            except (RunNotFound, EventsTrimmed, StoreUnavailable):
                pass  # the client asks again, and is told why
            else:
                if STREAM in scope.get("extensions", {}):
                    await send({"type": STREAM, "to": lambda stream: channel.add(stream, number, is_admitted)})
                    return
                await _relay(channel, number, is_admitted, receive, write)
        await send({"type": "http.response.body", "body": b""})

    async def _caught_up(self, channel: Channel, write: _Write) -> int:
        """Writes events that are no longer in the channel; the number of the last one."""
        last = await self._hub.last_of(self._run_id, channel)
        await write(_RETRY)  # from here on nothing is missed
        number = last if self._after is None else self._after
        while not channel.has_all_after(number) and (events := await self._hub.earlier(self._run_id, number)):
            number = events[-1].number
            await write(b"".join(map(as_sent, events)))
        return number


class _Queue:
    """What is written to a watcher whose server has no streams."""

    def __init__(self) -> None:
        self.is_open = True
        self.chunks: asyncio.Queue[bytes] = asyncio.Queue()

    @property
    def is_slow(self) -> bool:
        """Whether much of it was not sent yet."""
        return self.chunks.qsize() > _MOST_WAITING

    def write(self, chunk: bytes) -> None:
        """Has some bytes sent."""
        self.chunks.put_nowait(chunk)

    def end(self) -> None:
        """Says that there will be no more."""
        self.is_open = False
        self.chunks.put_nowait(b"")


async def _relay(
    channel: Channel, number: int, is_admitted: Callable[[], bool], receive: Receive, write: _Write
) -> None:
    """Sends what the channel writes, until it ends or the client has left."""
    queue = _Queue()
    leaving = asyncio.ensure_future(has_left(receive))
    leaving.add_done_callback(lambda _: queue.end())
    channel.add(queue, number, is_admitted)
    try:
        while chunk := await queue.chunks.get():
            await write(chunk)
    finally:
        queue.is_open = False
        leaving.cancel()
