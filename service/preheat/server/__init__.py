"""The server: HTTP/1.1 with limits on what one client may take, shutdown, and workers that are replaced."""

from preheat.server.draining import DRAINING
from preheat.server.options import server_options
from preheat.server.run import run

__all__ = ["DRAINING", "run", "server_options"]
