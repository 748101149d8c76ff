"""Events of live runs as they happen: read once for all who watch a run, and written to each of them at once."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import orjson
from anyio import to_thread

from preheat.api.run_content import event_content
from preheat.errors import StoreUnavailable, TooManyWatchers
from preheat.keys import Key
from preheat.runs.errors import EventsTrimmed, RunNotFound
from preheat.runs.events import Event
from preheat.store.run_history import RunHistory

_BEAT_S = 15.0
"""How often something is sent where nothing happens, so that nobody in between takes a connection for dead."""

_BEAT = b":\n\n"
_AGAIN_S = 1.0
_AT_ONCE, _KEPT = 1_000, 1_000
_WRITTEN_AT_ONCE = 200
"""Watchers that are written to before other requests have their turn."""


class Sink(Protocol):
    """Where a watcher's events are written to, without waiting."""

    @property
    def is_open(self) -> bool:
        """Whether somebody may still read them."""
        ...

    @property
    def is_slow(self) -> bool:
        """Whether there is much that was written and not read yet."""
        ...

    def write(self, chunk: bytes) -> None:
        """Sends some bytes."""
        ...

    def end(self) -> None:
        """Says that there will be no more."""
        ...


class _Watcher:
    """Who watches a run, the number of the last event that was written to them, and whether they still may watch."""

    __slots__ = ("is_admitted", "number", "sink")

    def __init__(self, sink: Sink, number: int, is_admitted: Callable[[], bool]) -> None:
        self.sink, self.number, self.is_admitted = sink, number, is_admitted


class Channel:
    """The last events of a run, as they are sent, and who watches it."""

    def __init__(self) -> None:
        self.events: deque[tuple[int, bytes]] = deque(maxlen=_KEPT)
        self.last: int | None = None
        """The number of the last event that was read."""

        self.joining = 0
        """Requests that are about to watch."""

        self.is_over = False
        self.is_behind = False
        self.reader: asyncio.Task[None] | None = None
        self._watchers: set[_Watcher] = set()
        self._joined: tuple[tuple[int, int], bytes] = ((0, 0), b"")

    @property
    def is_watched(self) -> bool:
        """Whether anybody is there, or comes."""
        return bool(self._watchers or self.joining)

    @property
    def count(self) -> int:
        """How many are there, or come."""
        return len(self._watchers) + self.joining

    def add(self, sink: Sink, number: int, is_admitted: Callable[[], bool] = lambda: True) -> None:
        """Writes what has come since an event, and from now on everything, until the channel is over.

        `is_admitted` says, before each time that something is written, whether its key still lets it watch.
        """
        watcher = _Watcher(sink, number, is_admitted)
        self._watchers.add(watcher)
        self._tell(watcher, b"")

    def take(self, events: list[Event]) -> None:
        """Adds what was read."""
        self.events.extend((event.number, as_sent(event)) for event in events)
        self.last = events[-1].number

    def has_all_after(self, number: int) -> bool:
        """Whether every event after a number is in memory, or still to come."""
        first = self.events[0][0] if self.events else (self.last or 0) + 1
        return number >= first - 1

    def forget_who_left(self) -> None:
        """Forgets those whose connections are closed."""
        self._watchers = {each for each in self._watchers if each.sink.is_open}

    async def tell(self, otherwise: bytes = b"") -> None:
        """Writes to everybody what they do not have yet, or something else where there is nothing."""
        for place, watcher in enumerate(list(self._watchers), 1):
            self._tell(watcher, otherwise)
            if place % _WRITTEN_AT_ONCE == 0:
                await asyncio.sleep(0)

    def end(self) -> None:
        """Says to everybody that it is over."""
        self.is_over = True
        for watcher in self._watchers:
            watcher.sink.end()
        self._watchers.clear()

    def _tell(self, watcher: _Watcher, otherwise: bytes) -> None:
        sink = watcher.sink
        if not sink.is_open:
            self._watchers.discard(watcher)
        # The client asks again, from where it is, or is told what its key lacks.
        elif self.is_over or not self.has_all_after(watcher.number) or not watcher.is_admitted():
            sink.end()
            self._watchers.discard(watcher)
        elif not sink.is_slow and (chunk := self._after(watcher.number) or otherwise):
            sink.write(chunk)
            watcher.number = max(watcher.number, self.last or 0)

    def _after(self, number: int) -> bytes:
        """The events after a number; nearly everybody needs the same."""
        last = self.last or 0
        if number >= last:
            return b""
        if self._joined[0] != (number, last):
            self._joined = (number, last), b"".join(chunk for each, chunk in self.events if each > number)
        return self._joined[1]


class EventHub:
    """The channels of the runs that are watched, by up to `most_watchers`.

    All but `changed` and `count` belongs to the event loop of the first watcher. `admits` says whether a key, or none,
    still lets somebody watch.
    """

    def __init__(self, history: RunHistory, most_watchers: int) -> None:
        self._history, self._most_watchers = history, most_watchers
        self.admits: Callable[[Key | None], bool] = lambda _: True
        self._channels: dict[str, Channel] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._draining: asyncio.Event | None = None
        self._beating: asyncio.Task[None] | None = None

    def changed(self, run_id: str | None) -> None:
        """Says, on any thread, that a run may have new events, or was deleted; None: every run."""
        if self._loop is not None and self._channels:
            self._loop.call_soon_threadsafe(self._read_soon, run_id)

    @property
    def count(self) -> int:
        """How many watch runs; those who have left count until something is written to them."""
        return sum(channel.count for channel in list(self._channels.values()))

    @contextmanager
    def joined(self, run_id: str, draining: asyncio.Event | None) -> Iterator[Channel]:
        """The channel of a run, for who is about to watch it. It is over when `draining` is set.

        Raises TooManyWatchers.
        """
        self._make_room()
        self._begin(draining)
        channel = self._channels.setdefault(run_id, Channel())
        channel.joining += 1
        try:
            yield channel
        finally:
            channel.joining -= 1
            self._drop(run_id)

    async def last_of(self, run_id: str, channel: Channel) -> int:
        """The number of the last event. Raises RunNotFound, StoreUnavailable."""
        if channel.last is None:
            last = await to_thread.run_sync(self._history.last_event, run_id)
            if channel.last is None:  # another one may have been here meanwhile
                channel.last = last
            self._read_soon(run_id)  # what has come meanwhile
        return channel.last

    async def earlier(self, run_id: str, number: int) -> list[Event]:
        """The next events after a number, from the database. Raises RunNotFound, EventsTrimmed, StoreUnavailable."""
        return await to_thread.run_sync(self._history.events, run_id, number, _AT_ONCE)

    def _make_room(self) -> None:
        if self.count >= self._most_watchers:
            for channel in self._channels.values():
                channel.forget_who_left()
            if self.count >= self._most_watchers:
                raise TooManyWatchers(self._most_watchers)

    def _begin(self, draining: asyncio.Event | None) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._draining = loop, draining
        if self._beating is None or self._beating.done():
            self._beating = loop.create_task(self._beat())

    def _drop(self, run_id: str) -> None:
        channel = self._channels.get(run_id)
        if channel is not None and not channel.is_watched:
            del self._channels[run_id]

    async def _beat(self) -> None:
        """Sends something from time to time as long as anybody watches, and ends all when the service stops."""
        draining = self._draining or asyncio.Event()
        while self._channels and not draining.is_set():
            try:
                await asyncio.wait_for(draining.wait(), _BEAT_S)
            except TimeoutError:
                for run_id, channel in list(self._channels.items()):
                    await channel.tell(_BEAT)
                    self._drop(run_id)
        for channel in self._channels.values():
            channel.end()

    def _read_soon(self, run_id: str | None) -> None:
        for each in [*self._channels] if run_id is None else [run_id]:
            channel = self._channels.get(each)
            if channel is None:
                continue
            channel.is_behind = True
            if channel.last is not None and channel.reader is None:
                channel.reader = asyncio.get_running_loop().create_task(self._read(each, channel))

    async def _read(self, run_id: str, channel: Channel) -> None:
        """Reads what is new of a run, once for all."""
        try:
            while channel.is_behind and channel.is_watched:
                channel.is_behind = False
                await self._read_some(run_id, channel)
        except (RunNotFound, EventsTrimmed):
            channel.end()
        finally:
            channel.reader = None
            self._drop(run_id)

    async def _read_some(self, run_id: str, channel: Channel) -> None:
        try:
            events = await self.earlier(run_id, channel.last or 0)
        except StoreUnavailable:  # logged by the database
            channel.is_behind = True
            await asyncio.sleep(_AGAIN_S)
            return
        if events:
            channel.take(events)
            channel.is_behind = channel.is_behind or len(events) == _AT_ONCE
            await channel.tell()


def as_sent(event: Event) -> bytes:
    """An event as the HTML standard's event streams have it."""
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (event.number, event.kind.encode(), orjson.dumps(event_content(event)))
