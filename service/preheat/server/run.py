"""Run: serves on a listening socket, with one worker or several, until a signal ends it."""

import logging
import resource
from collections.abc import Callable
from socket import socket

from uvicorn import Config
from uvicorn.config import STARTUP_FAILURE

from preheat.server.draining import DrainingServer
from preheat.server.options import server_options
from preheat.server.supervisor import Supervisor
from preheat.settings import Settings

_LOG = logging.getLogger("preheat")
_OTHER_FILES = 200
"""Files of a worker that are no clients' connections: those to databases and processes, what is just being read."""


def run(factory: str, settings: Settings, listener: socket, end: Callable[[], object]) -> int:
    """The exit code of the process, once everything is in order after a signal.

    `factory` (module:function) makes the application in each worker. With one worker KeyboardInterrupt, and what the
    handler of SIGTERM does, come after that; and `end`, which must end the process, is called where nothing is in order
    yet, or does not get there.
    """
    _allow_files(settings.max_connections + _OTHER_FILES)
    config = Config(factory, factory=True, workers=settings.workers, **server_options(settings))
    if settings.workers > 1:
        return Supervisor(config, settings, listener).run()
    server = DrainingServer(config, settings.shutdown_delay_s, end)
    server.run([listener])
    return 0 if server.started else STARTUP_FAILURE


def _allow_files(count: int) -> None:
    """Raises the limit of open files as far as needed and allowed: a shell's is often 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= count:
        return
    allowed = count if hard == resource.RLIM_INFINITY else min(count, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < count:
        _LOG.warning(
            "max_connections needs %d open files, and ulimit -n allows %d: lower one or raise the other", count, hard
        )
