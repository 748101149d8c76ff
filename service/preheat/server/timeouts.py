"""Timeouts: how long each phase of a connection may last, and how often that is looked at."""

from preheat.server.connections import Phase
from preheat.settings import Settings

_LINGER_S, _LONGEST_LOOK_S = 2.0, 1.0


class Timeouts:
    """Those of all connections of a server, in seconds."""

    def __init__(self, settings: Settings) -> None:
        self.of_phase = {
            Phase.HEAD: settings.head_timeout_s,
            Phase.BODY: settings.body_timeout_s,
            Phase.IDLE: settings.keep_alive_timeout_s,
            Phase.CLOSING: _LINGER_S,
        }
        self.look_s = min(_LONGEST_LOOK_S, settings.send_timeout_s / 2, *(each / 2 for each in self.of_phase.values()))
