"""Run: serves on a listening socket, with one worker or several, until a signal ends it."""

from socket import socket

from uvicorn import Config
from uvicorn.config import STARTUP_FAILURE

from preheat.server.draining import DrainingServer
from preheat.server.options import server_options
from preheat.server.supervisor import Supervisor
from preheat.settings import Settings


def run(factory: str, settings: Settings, listener: socket) -> int:
    """The exit code of the process, once everything is in order after a signal.

    `factory` (module:function) makes the application in each worker. With one worker KeyboardInterrupt, and whatever
    the handler of SIGTERM raises, come after that.
    """
    config = Config(factory, factory=True, workers=settings.workers, **server_options(settings))
    if settings.workers > 1:
        return Supervisor(config, settings, listener).run()
    server = DrainingServer(config, settings.shutdown_delay_s, owns_process=True)
    server.run([listener])
    return 0 if server.started else STARTUP_FAILURE
