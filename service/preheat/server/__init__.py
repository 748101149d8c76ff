"""The server: HTTP/1.1 with limits on what one client may take, shutdown, and workers that are replaced."""

from preheat.server.answer import Answer, Header
from preheat.server.connections import PROBES
from preheat.server.draining import DRAINING, end_process
from preheat.server.options import API_LEVEL, OLDEST_API_LEVEL, server_options
from preheat.server.refusal import ON_REFUSAL, REFUSAL
from preheat.server.run import run
from preheat.server.stream import STREAM

__all__ = [
    "API_LEVEL",
    "DRAINING",
    "OLDEST_API_LEVEL",
    "ON_REFUSAL",
    "PROBES",
    "REFUSAL",
    "STREAM",
    "Answer",
    "Header",
    "end_process",
    "run",
    "server_options",
]
