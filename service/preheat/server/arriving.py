"""Bodies that are arriving: how many bytes of them a worker holds, and which one makes room for the others."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from preheat.errors import TooManyBodies

if TYPE_CHECKING:
    from preheat.server.protocol import LimitedHTTP


class Arriving:
    """The bytes of all bodies that are not yet whole, and their limit; for one event loop."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes, self._total = max_bytes, 0

    def add(self, connection: "LimitedHTTP", count: int) -> None:
        """Counts bytes that have come, for which bodies that hold much for long make room.

        So clients that stop in the middle, however many, keep nobody out who sends a body at once. Raises TooManyBodies
        if the connection's own body is the one to go. A body alone has the limit of bodies, and no other.
        """
        if not connection.arriving_bytes:
            connection.arriving_since = connection.loop.time()
        connection.arriving_bytes += count
        self._total += count
        while self._total > max(self._max_bytes, connection.arriving_bytes):
            longest = _holds_most(connection)
            error = TooManyBodies(self._max_bytes)
            if longest is connection:
                raise error
            longest.refuse(error)

    def forget(self, connection: "LimitedHTTP") -> None:
        """The connection's body is whole, or is not waited for any more."""
        self._total -= connection.arriving_bytes
        connection.arriving_bytes = 0


def _holds_most(newest: "LimitedHTTP") -> "LimitedHTTP":
    """The connection whose unfinished body has held most memory for longest, in bytes × seconds.

    Neither many bytes that have just come, nor a slow client with few, are in anybody's way. A body that is queued
    behind a request at work counts too.
    """
    now = newest.loop.time()
    connections: Iterable[Any] = newest.connections
    arriving: list[LimitedHTTP] = [each for each in connections if each.arriving_bytes]
    return max(arriving, key=lambda each: each.arriving_bytes * (now - each.arriving_since))
