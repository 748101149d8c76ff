"""Connections of one worker: the phases they are in, and which of them makes room for the others."""

from collections.abc import Iterable
from enum import IntEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from preheat.server.protocol import LimitedHTTP


class Phase(IntEnum):
    """Whose turn it is on a connection."""

    HEAD, BODY, ANSWERING, IDLE, CLOSING = range(5)


def silent_longest(connections: Iterable[Any], newest: "LimitedHTTP") -> "LimitedHTTP | None":
    """The connection, but for the newest, whose client has been silent longest; None if all are at work.

    It makes room: so connections that send nothing, however many, keep nobody out who sends a request at once.
    """
    silent = [each for each in connections if each is not newest and each.phase in {Phase.HEAD, Phase.IDLE}]
    return min(silent, key=lambda each: each.since, default=None)
