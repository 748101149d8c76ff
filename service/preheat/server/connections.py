"""Connections of one worker: the phases they are in, and which of them makes room for the others."""

from collections.abc import Collection
from enum import IntEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from preheat.server.protocol import LimitedHTTP

PROBES = frozenset({"/livez", "/readyz", "/metrics"})
"""Paths that are asked every few seconds by whoever watches over the service.

They are answered on connections beyond max_connections too: a busy service must not be taken for a dead one.
"""

_SPARE_CONNECTIONS = 64


class Phase(IntEnum):
    """Whose turn it is on a connection."""

    HEAD, BODY, ANSWERING, IDLE, CLOSING = range(5)


def find_room(newest: "LimitedHTTP", max_connections: int) -> None:
    """Closes the connection whose client has been silent longest; the newest is limited to probes if none is silent.

    So connections that send nothing, however many, keep nobody out who sends a request at once.
    """
    connections: Collection[Any] = newest.connections
    silent = [each for each in connections if each is not newest and each.phase in {Phase.HEAD, Phase.IDLE}]
    if silent:
        min(silent, key=lambda each: each.since).close_silently()
    elif len(connections) <= max_connections + _SPARE_CONNECTIONS:
        newest.is_beyond_limit = True
    else:
        newest.phase = Phase.CLOSING
        newest.transport.abort()
