"""Events of live runs as they happen (server-sent events): read once for all who watch a run."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Literal

import orjson
from anyio import to_thread

from preheat.api.run_content import event_content
from preheat.errors import StoreUnavailable
from preheat.runs.errors import EventsTrimmed, RunNotFound
from preheat.runs.events import Event
from preheat.store.run_history import RunHistory

_BEAT_S = 15.0
"""How often something is sent where nothing happens, so that nobody in between takes a connection for dead."""

_AGAIN_S = 1.0
_AT_ONCE, _KEPT = 1_000, 1_000
_RETRY = b"retry: 1000\n\n"

_News = Literal["news", "beat", "over"]


class _Channel:
    """The last events of a run, as they are sent, and what wakes those who watch it."""

    def __init__(self) -> None:
        self.events: deque[tuple[int, bytes]] = deque(maxlen=_KEPT)
        self.last: int | None = None
        """The number of the last event that was read."""

        self.watchers = 0
        self.is_over = False
        self.is_behind = False
        self.reader: asyncio.Task[None] | None = None
        self.waiting: asyncio.Future[_News] = asyncio.get_running_loop().create_future()

    def wake(self, news: _News) -> None:
        """Wakes everybody who waits."""
        woken, self.waiting = self.waiting, asyncio.get_running_loop().create_future()
        woken.set_result(news)

    def has_all_after(self, number: int) -> bool:
        """Whether every event after a number is in memory, or still to come."""
        first = self.events[0][0] if self.events else (self.last or 0) + 1
        return number >= first - 1


class EventHub:
    """Streams of events. Everything but `changed` belongs to the event loop on which the first stream began."""

    def __init__(self, history: RunHistory, draining: asyncio.Event | None = None) -> None:
        self._history, self._draining = history, draining
        self._channels: dict[str, _Channel] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._beating: asyncio.Task[None] | None = None

    def changed(self, run_id: str | None) -> None:
        """Says, on any thread, that a run may have new events, or was deleted; None: every run."""
        if self._loop is not None and self._channels:
            self._loop.call_soon_threadsafe(self._read_soon, run_id)

    async def stream(self, run_id: str, after: int | None, draining: asyncio.Event | None) -> AsyncIterator[bytes]:
        """The events after a number, or from now on, as they happen, until the run is deleted or the service stops."""
        self._begin(draining)
        channel = self._channels.setdefault(run_id, _Channel())
        channel.watchers += 1
        try:
            yield _RETRY
            if channel.last is None:
                channel.last = await to_thread.run_sync(self._history.last_event, run_id)
                self._read_soon(run_id)  # what came meanwhile
            number = channel.last if after is None else after
            async for told, chunk in self._from(run_id, channel, number):
                number = told
                yield chunk
        except (RunNotFound, EventsTrimmed, StoreUnavailable):
            return  # the client asks again, and is told why
        finally:
            channel.watchers -= 1
            if not channel.watchers and self._channels.get(run_id) is channel:
                del self._channels[run_id]

    async def _from(self, run_id: str, channel: _Channel, number: int) -> AsyncIterator[tuple[int, bytes]]:
        """Events after a number, joined where there are several, each time with the number of the last."""
        while True:
            waiting = channel.waiting  # before looking: what comes from now on wakes it
            if not channel.has_all_after(number):
                events = await to_thread.run_sync(self._history.events, run_id, number, _AT_ONCE)
                found = [(event.number, _sent(event)) for event in events]
            else:
                found = [each for each in channel.events if each[0] > number]
            if found:
                number = found[-1][0]
                yield number, b"".join(chunk for _, chunk in found)
            elif channel.is_over:
                return
            elif await asyncio.shield(waiting) == "beat":
                yield number, b":\n\n"

    def _begin(self, draining: asyncio.Event | None) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._draining = loop, draining
        if self._beating is None or self._beating.done():
            self._beating = loop.create_task(self._beat())

    async def _beat(self) -> None:
        """Sends something from time to time as long as anybody watches, and ends all when the service stops."""
        draining = self._draining or asyncio.Event()
        while self._channels and not draining.is_set():
            try:
                await asyncio.wait_for(draining.wait(), _BEAT_S)
            except TimeoutError:
                for channel in self._channels.values():
                    channel.wake("beat")
        for channel in self._channels.values():
            channel.is_over = True
            channel.wake("over")

    def _read_soon(self, run_id: str | None) -> None:
        for each in [*self._channels] if run_id is None else [run_id]:
            channel = self._channels.get(each)
            if channel is None:
                continue
            channel.is_behind = True
            if channel.last is not None and channel.reader is None:
                channel.reader = asyncio.get_running_loop().create_task(self._read(each, channel))

    async def _read(self, run_id: str, channel: _Channel) -> None:
        """Reads what is new of a run, once for all."""
        try:
            while channel.is_behind and channel.watchers:
                channel.is_behind = False
                await self._read_some(run_id, channel)
        except (RunNotFound, EventsTrimmed):
            channel.is_over = True
        finally:
            channel.reader = None
            channel.wake("over" if channel.is_over else "news")

    async def _read_some(self, run_id: str, channel: _Channel) -> None:
        try:
            events = await to_thread.run_sync(self._history.events, run_id, channel.last or 0, _AT_ONCE)
        except StoreUnavailable:  # logged by the database
            channel.is_behind = True
            await asyncio.sleep(_AGAIN_S)
            return
        if events:
            channel.events.extend((event.number, _sent(event)) for event in events)
            channel.last = events[-1].number
            channel.is_behind = channel.is_behind or len(events) == _AT_ONCE
            channel.wake("news")


def _sent(event: Event) -> bytes:
    """An event as the HTML standard's event streams have it."""
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (event.number, event.kind.encode(), orjson.dumps(event_content(event)))
