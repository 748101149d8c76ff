"""Options: what uvicorn is told, so that every service has the same limits, however it is started."""

from functools import partial
from typing import Any

from preheat import __version__
from preheat.server.arriving import Arriving
from preheat.server.protocol import LimitedHTTP
from preheat.server.timeouts import Timeouts
from preheat.settings import Settings

API_LEVEL = 1
"""Goes up by one when the API can do something new that a client may need."""

OLDEST_API_LEVEL = 1
"""The lowest level that a client may need and still understands every answer to what it asks."""

VERSION_HEADER = "preheat-version"
"""The header of every answer that says so, in the form of `version_text`."""


def version_text() -> str:
    """The version of the service and the levels of the API that it speaks, as a structured field (RFC 9651)."""
    return f'"{__version__}"; api={API_LEVEL}; oldest-api={OLDEST_API_LEVEL}'


def server_options(settings: Settings) -> dict[str, Any]:
    """Arguments of `uvicorn.Config`, but for the application and where it listens."""
    return {
        # Named here, since uvicorn would take h11, which has none of the limits, where httptools is missing.
        "http": partial(LimitedHTTP, settings, Timeouts(settings), Arriving(settings.max_arriving_bytes)),
        "ws": "none",
        "root_path": settings.root_path,
        "proxy_headers": bool(settings.trusted_proxies),
        "forwarded_allow_ips": [str(network) for network in settings.trusted_proxies],
        "timeout_graceful_shutdown": settings.shutdown_timeout_s,
        "log_config": None,  # how lines look is said once for the whole process (preheat.observability.logs)
        "access_log": False,  # shown from info on, but its text is made for every request before the level is asked
        "server_header": False,
        "headers": [(VERSION_HEADER, version_text())],
    }
