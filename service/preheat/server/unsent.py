"""Bytes that are sent to a client and wait for it to read them."""

import logging
from collections.abc import Iterable
from typing import Any

_LOG = logging.getLogger("preheat")
_STEP_BYTES = 65_536


class Unsent:
    """How many bytes wait for the client of one connection, and since when it has read no good part of them."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self.count, self.since = 0, 0.0

    def note(self, now: float) -> None:
        """Begins to wait for the client anew."""
        self.count, self.since = self._transport.get_write_buffer_size(), now

    def is_stuck(self, now: float, timeout_s: float) -> bool:
        """Whether the client has read less than 64 KiB, and not all, for longer than `timeout_s`."""
        count = self._transport.get_write_buffer_size()
        if not count or not 0 <= self.count - count < _STEP_BYTES:
            self.note(now)
        return bool(count) and now - self.since > timeout_s


def cut_slowest(connections: Iterable[Any], max_unsent_bytes: int) -> None:
    """Cuts the clients that have not read for longest, until the answers that wait for clients have room again."""
    unsent = [(each, each.transport.get_write_buffer_size()) for each in connections]
    # A little that is just being sent, and was never looked at, is not waiting.
    waiting = [(each, size) for each, size in unsent if size and each.unsent.count]
    waiting.sort(key=lambda entry: entry[0].unsent.since)
    total = sum(size for _, size in waiting)
    for connection, size in waiting[:-1]:  # one answer alone has the limits of answers
        if total <= max_unsent_bytes:
            return
        _LOG.warning("max_unsent_bytes (%d) is exceeded: the slowest client is cut", max_unsent_bytes)
        connection.transport.abort()
        total -= size
