"""Connections of one worker: the phases they are in, and which of them makes room for the others."""

import logging
from collections.abc import Iterable
from enum import IntEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from preheat.server.protocol import LimitedHTTP

_LOG = logging.getLogger("preheat")


class Phase(IntEnum):
    """Whose turn it is on a connection."""

    HEAD, BODY, ANSWERING, IDLE, CLOSING = range(5)


def silent_longest(connections: Iterable[Any], newest: "LimitedHTTP") -> "LimitedHTTP | None":
    """The connection, but for the newest, whose client has been silent longest; None if all are at work.

    It makes room: so connections that send nothing, however many, keep nobody out who sends a request at once.
    """
    silent = [each for each in connections if each is not newest and each.phase in {Phase.HEAD, Phase.IDLE}]
    return min(silent, key=lambda each: each.since, default=None)


def cut_slowest(connections: Iterable[Any], max_unsent_bytes: int) -> None:
    """Cuts the clients that have not read for longest, until the answers that wait for clients have room again."""
    unsent = [(each, each.transport.get_write_buffer_size()) for each in connections]
    # A little that is just being sent, and was never looked at, is not waiting.
    waiting = [(each, size) for each, size in unsent if size and each.unsent_bytes]
    waiting.sort(key=lambda entry: entry[0].unsent_since)
    total = sum(size for _, size in waiting)
    for connection, size in waiting[:-1]:  # one answer alone has the limits of answers
        if total <= max_unsent_bytes:
            return
        _LOG.warning("max_unsent_bytes (%d) is exceeded: the slowest client is cut", max_unsent_bytes)
        connection.transport.abort()
        total -= size
