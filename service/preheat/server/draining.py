"""A server that drains: after SIGTERM it says that it is not ready, may go on for a while, and ends in time."""

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable
from socket import socket
from types import FrameType
from typing import NoReturn

from uvicorn import Config, Server

from preheat.observability import logs

_LOG = logging.getLogger("preheat")
_OF_UVICORN = logging.getLogger("uvicorn.error")
LAST_RESORT_S = 2.5
"""How long what cannot be stopped may go on after the graceful part of a shutdown."""

DRAINING = "draining"
"""Key of the lifespan state (ASGI): an `asyncio.Event` that is set when the service was told to stop.

`request.state.draining` in a route; an answer that would not end by itself ends when it is set.
"""


class DrainingServer(Server):
    """uvicorn's server, with `shutdown_delay_s` between the signal and the end of listening.

    A second signal ends the delay. With `end`, which must end the process, a signal ends a server that has not started
    yet at once, and what still runs some seconds after `timeout_graceful_shutdown`, such as a thread that nothing can
    stop, ends with the process.
    """

    def __init__(self, config: Config, shutdown_delay_s: float = 0.0, end: Callable[[], object] | None = None) -> None:
        super().__init__(config)
        _OF_UVICORN.addFilter(_cut_is_no_error)
        self._end = end
        self._shutdown_delay_s = shutdown_delay_s
        self._signals = 0
        self._stops_at: float | None = None
        self._draining = asyncio.Event()
        self._ticked_at: float | None = None

    @property
    def stands_still_for_s(self) -> float:
        """Seconds since the event loop of a server that has started, and is not ending, has last turned."""
        return 0.0 if self._ticked_at is None else time.monotonic() - self._ticked_at

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Begins to listen. What the application's lifespan has put into its state is left as it is."""
        await super().startup(sockets)
        self.lifespan.state[DRAINING] = self._draining

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Notes a signal; called between any two instructions."""
        if self._end is not None and not self.started:
            self._end()  # nobody is served; what is being imported takes seconds, and might swallow an exception
        self._signals += 1
        super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        """Whether to end, a few times a second."""
        self._ticked_at = time.monotonic()
        if not await super().on_tick(counter):
            return False
        if self._stops_at is None:
            self._draining.set()
            _LOG.info("told to stop: not ready any more, and gone once requests in flight are answered or cut")
            self._stops_at = time.monotonic() + self._shutdown_delay_s
        return self._signals > 1 or time.monotonic() >= self._stops_at

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """Ends listening, answers what is in flight, and closes connections."""
        if self._end is not None:
            seconds = (self.config.timeout_graceful_shutdown or 0) + LAST_RESORT_S
            timer = threading.Timer(seconds, self._end_by_force, (self._end,))
            timer.daemon = True
            timer.start()
        self._ticked_at = None
        await super().shutdown(sockets)

    @staticmethod
    def _end_by_force(end: Callable[[], object]) -> None:
        _LOG.warning("what is still at work does not end: the process is ended without it")
        end()


def _cut_is_no_error(record: logging.LogRecord) -> bool:
    """Tells at warning that clients are cut at the end of shutdown_timeout_s, of which uvicorn makes an error."""
    if record.levelno == logging.ERROR and str(record.msg).startswith("Cancel %s running task"):
        record.levelno, record.levelname = logging.WARNING, "WARNING"
    return True


def end_process(code: int = 0) -> NoReturn:
    """Ends the process once its log is written, without waiting for threads, or for the interpreter to clean up."""
    logs.flush()
    os._exit(code)
